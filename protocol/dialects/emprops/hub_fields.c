/* SPDX-License-Identifier: MIT */
/* Owns how requests to the hub and its answers are written down: fields behind their number and length, items behind
 * their kind and two lengths. It knows the meaning of none. Both halves of the dialect call it. */
#include "core/check.h"
#include "protocol/dialects/emprops/hub.h"

#define FIELD_HEAD 9 /* number, length */
#define ITEM_HEAD 17 /* kind, two lengths */

static size_t take_length(struct slice *from)
{
    check_op(from->bytes, >=, 8);
    uint64_t bytes = load_be64(from->data);
    *from = slice_skip(*from, 8);
    check_op(bytes, <=, from->bytes);
    return (size_t)bytes;
}

static void put_length(struct buf *out, size_t bytes)
{
    uint8_t memory[8];
    store_be64(memory, bytes);
    buf_put(out, slice_of(memory, 8));
}

void hub_put_field(struct buf *out, enum hub_field field, struct slice value)
{
    if (value.data == NULL)
        return;
    buf_put_byte(out, (uint8_t)field);
    put_length(out, value.bytes);
    buf_put(out, value);
}

void hub_put_number(struct buf *out, enum hub_field field, uint64_t value)
{
    uint8_t memory[8];
    store_be64(memory, value);
    hub_put_field(out, field, slice_of(memory, 8));
}

void hub_take_fields(struct slice body, struct hub_fields *fields)
{
    *fields = (struct hub_fields){0};
    while (body.bytes > 0) {
        check(body.bytes >= FIELD_HEAD && body.data[0] < HUB_FIELDS);
        enum hub_field field = (enum hub_field)body.data[0];
        body = slice_skip(body, 1);
        size_t bytes = take_length(&body);
        fields->at[field] = slice_of(body.data, bytes);
        body = slice_skip(body, bytes);
    }
}

uint64_t hub_number(const struct hub_fields *fields, enum hub_field field, uint64_t otherwise)
{
    if (!hub_has(fields, field))
        return otherwise;
    check_op(fields->at[field].bytes, ==, 8);
    return load_be64(fields->at[field].data);
}

void hub_put_text(struct buf *out, struct slice text)
{
    check_op(text.bytes, <=, 255);
    buf_put_byte(out, (uint8_t)text.bytes);
    buf_put(out, text);
}

bool hub_next_text(struct slice *list, struct slice *text)
{
    if (list->bytes == 0)
        return false;
    size_t bytes = list->data[0];
    *list = slice_skip(*list, 1);
    check_op(list->bytes, >=, bytes);
    *text = slice_of(list->data, bytes);
    *list = slice_skip(*list, bytes);
    return true;
}

void hub_put_item(struct buf *out, enum hub_item item, struct slice first, struct slice second)
{
    buf_put_byte(out, (uint8_t)item);
    put_length(out, first.bytes);
    put_length(out, second.bytes);
    buf_put(out, first);
    buf_put(out, second);
}

bool hub_next_item(struct slice *body, enum hub_item *item, struct slice *first, struct slice *second)
{
    if (body->bytes == 0)
        return false;
    check_op(body->bytes, >=, ITEM_HEAD);
    *item = (enum hub_item)body->data[0];
    uint64_t one = load_be64(body->data + 1), two = load_be64(body->data + 9);
    *body = slice_skip(*body, ITEM_HEAD);
    check(one <= body->bytes && two <= body->bytes - one);
    *first = slice_of(body->data, (size_t)one);
    *second = slice_of(body->data + one, (size_t)two);
    *body = slice_skip(*body, (size_t)(one + two));
    return true;
}
