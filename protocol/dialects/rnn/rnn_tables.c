/* SPDX-License-Identifier: MIT */
/* Owns how operations on tables and their items are written down, in requests and in the store. Called by the ingest
 * half, which makes them, and by the node. */
#include "protocol/dialects/rnn/rnn_tables.h"

#include "core/check.h"

void rnn_put_operation(struct buf *out, const struct rnn_operation *operation)
{
    buf_put_byte(out, operation->kind);
    buf_put_byte(out, operation->list);
    rnn_put_part(out, operation->peer);
    rnn_put_part(out, operation->peer_name);
}

struct rnn_operation rnn_take_operation(struct slice *body)
{
    check_op(body->bytes, >=, 2);
    struct rnn_operation operation = {.kind = body->data[0], .list = body->data[1]};
    *body = slice_skip(*body, 2);
    check(rnn_next_part(body, &operation.peer) && rnn_next_part(body, &operation.peer_name));
    return operation;
}

void rnn_put_item(struct buf *out, const struct rnn_item *item)
{
    uint8_t number[8];
    store_be64(number, item->number);
    rnn_put_part(out, item->key);
    rnn_put_part(out, item->text);
    rnn_put_part(out, item->tail);
    rnn_put_part(out, item->found);
    rnn_put_part(out, item->found_tail);
    rnn_put_part(out, item->words);
    rnn_put_part(out, slice_of(number, sizeof number));
}

bool rnn_take_item(struct slice *body, struct rnn_item *item)
{
    struct slice number;
    if (!rnn_next_part(body, &item->key))
        return false;
    bool whole = rnn_next_part(body, &item->text) && rnn_next_part(body, &item->tail) &&
                 rnn_next_part(body, &item->found) && rnn_next_part(body, &item->found_tail) &&
                 rnn_next_part(body, &item->words) && rnn_next_part(body, &number);
    check(whole && number.bytes == 8);
    item->number = load_be64(number.data);
    return true;
}

uint64_t rnn_service_bit(struct slice type)
{
    static const struct {
        const char *name;
        uint64_t bit;
    } rows[] = {{"DOCKER", RNN_DOCKER}, {"DATA", RNN_DATA}, {"STANDALONE", RNN_STANDALONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_is_nocase(type, rows[i].name))
            return rows[i].bit;
    return 0;
}

void rnn_put_lower(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        buf_put_byte(out, c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c);
    }
}
