/* SPDX-License-Identifier: MIT */
/* Owns the encoding of filter unions.
 * It never allocates and knows neither subscriptions nor blocks.
 * The dialect rustorium builds variants with it, the home of its channels matches by it, the chain service counts
 * levels. */
#include "protocol/dialects/rustorium/chain_filter.h"

#include "core/check.h"

void chain_filter_put(struct buf *out, const struct chain_filter *filter)
{
    uint8_t level[2];
    check_op(filter->level, <=, UINT16_MAX);
    check_op(filter->key.bytes, <=, CHAIN_FILTER_KEY_BYTES_MAX);
    store_be16(level, (uint16_t)filter->level);
    buf_put(out, slice_of(level, sizeof level));
    buf_put_byte(out, (uint8_t)filter->kind);
    buf_put_byte(out, (uint8_t)filter->key.bytes);
    buf_put(out, filter->key);
}

bool chain_filter_next(struct slice *variant, struct chain_filter *filter)
{
    if (variant->bytes == 0)
        return false;
    check_op(variant->bytes, >=, 4);
    size_t key_bytes = variant->data[3];
    check_op(variant->bytes - 4, >=, key_bytes);
    *filter = (struct chain_filter){.level = load_be16(variant->data),
                                    .kind = (enum chain_filter_kind)variant->data[2],
                                    .key = slice_of(variant->data + 4, key_bytes)};
    *variant = slice_skip(*variant, 4 + key_bytes);
    return true;
}

/* By bytes, the shorter first: so by level, and within a level '*' before all others. */
static bool comes_before(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = memcmp(a.data, b.data, common);
    return order < 0 || (order == 0 && a.bytes < b.bytes);
}

static void sort(struct slice *filters, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct slice moved = filters[i];
        size_t at = i;
        for (; at > 0 && comes_before(moved, filters[at - 1]); at--)
            filters[at] = filters[at - 1];
        filters[at] = moved;
    }
}

void chain_filter_union(struct slice *filters, size_t count, struct buf *out)
{
    struct slice last = {0};
    sort(filters, count);
    for (size_t i = 0; i < count; i++) {
        bool covered =
            last.bytes > 0 && last.data[2] == CHAIN_FILTER_ANY && load_be16(last.data) == load_be16(filters[i].data);
        if (covered || slice_equal(last, filters[i]))
            continue;
        buf_put(out, filters[i]);
        last = filters[i];
    }
}

bool chain_filter_matches(struct slice variant, const struct event *event)
{
    struct chain_filter filter;
    while (chain_filter_next(&variant, &filter)) {
        if (filter.level != event->level)
            continue;
        if (filter.kind == CHAIN_FILTER_ANY ||
            (filter.kind == CHAIN_FILTER_KEY && slice_equal(event->key, filter.key)) ||
            (filter.kind == CHAIN_FILTER_PREFIX && slice_starts(event->key, filter.key)))
            return true;
    }
    return false;
}
