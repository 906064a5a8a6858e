/* SPDX-License-Identifier: MIT */
/* Owns how a filter of job notifications is written down, and whether an event passes it. It is asked once for each
 * class of listeners and event, at the home of the channel. The dialect writes filters, the hub events, the channel
 * asks. */
#include "protocol/dialects/emprops/filter.h"

#include "core/check.h"

enum { HAS_CUSTOMER = 1, HAS_KINDS = 2 };

void filter_put(struct buf *out, const struct filter *filter)
{
    uint8_t head[] = {
        (uint8_t)((filter->customer.data != NULL ? HAS_CUSTOMER : 0) | (filter->kinds.data != NULL ? HAS_KINDS : 0)),
        filter->priority_min, filter->states};
    buf_put(out, slice_of(head, sizeof head));
    if (filter->customer.data != NULL) {
        buf_put_byte(out, (uint8_t)filter->customer.bytes);
        buf_put(out, filter->customer);
    }
    if (filter->kinds.data != NULL)
        buf_put(out, filter->kinds);
    buf_put_byte(out, 0);
}

void filter_put_own(struct buf *out, struct slice variant, uint64_t connection)
{
    uint8_t tail[9];
    store_be64(tail, connection);
    tail[8] = 8;
    check(variant.bytes > 0 && variant.data[variant.bytes - 1] == 0);
    buf_put(out, slice_of(variant.data, variant.bytes - 1));
    buf_put(out, slice_of(tail, sizeof tail));
}

uint64_t filter_owner(struct slice variant)
{
    if (variant.bytes < 9 || variant.data[variant.bytes - 1] != 8)
        return 0;
    return load_be64(variant.data + variant.bytes - 9);
}

uint8_t filter_state(enum job_status status)
{
    static const uint8_t bits[JOB_STATUSES] = {[QUEUED] = 1,    [DELAYED] = 1, [ASSIGNED] = 2,  [IN_PROGRESS] = 4,
                                               [COMPLETED] = 8, [FAILED] = 16, [CANCELLED] = 32};
    return bits[status];
}

static void put_short(struct buf *out, struct slice text)
{
    buf_put_byte(out, text.data == NULL ? 255 : (uint8_t)text.bytes);
    if (text.data != NULL)
        buf_put(out, text);
}

void filter_put_key(struct buf *out, struct slice kind, struct slice customer, struct slice except)
{
    put_short(out, kind);
    put_short(out, customer);
    buf_put(out, except);
}

static struct slice take_short(struct slice *from)
{
    check_op(from->bytes, >, 0);
    size_t bytes = from->data[0];
    *from = slice_skip(*from, 1);
    if (bytes == 255)
        return slice_of(NULL, 0);
    check_op(from->bytes, >=, bytes);
    struct slice text = slice_of(from->data, bytes);
    *from = slice_skip(*from, bytes);
    return text;
}

bool filter_matches(struct slice variant, const struct event *event)
{
    if (variant.bytes < 4)
        return true;
    struct slice rest = event->key, kind = take_short(&rest), customer = take_short(&rest);
    if (rest.bytes > 0 && slice_equal(rest, variant))
        return false;
    uint8_t has = variant.data[0], states = variant.data[2];
    if ((event->level & 0xff) < variant.data[1] || (states != 0 && !(states & event->level >> 8)))
        return false;
    variant = slice_skip(variant, 3);
    if (has & HAS_CUSTOMER) {
        struct slice wanted = take_short(&variant);
        if (customer.data == NULL || !slice_equal(customer, wanted))
            return false;
    }
    bool found = !(has & HAS_KINDS);
    if (has & HAS_KINDS) {
        uint8_t count = variant.data[0];
        variant = slice_skip(variant, 1);
        for (uint8_t i = 0; i < count; i++)
            found = slice_equal(take_short(&variant), kind) || found;
    }
    return found;
}
