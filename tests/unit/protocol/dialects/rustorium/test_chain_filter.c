/* SPDX-License-Identifier: MIT */
/* Proves the filters of the chain service and their union. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/rustorium/chain.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/dialects/rustorium/rustorium.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct slice encode(struct buf *out, uint32_t level, enum chain_filter_kind kind, const char *key)
{
    size_t mark = out->used;
    chain_filter_put(out, &(struct chain_filter){.level = level, .kind = kind, .key = slice_text(key)});
    return buf_since(out, mark);
}

Test(chain_filter, has_golden_bytes)
{
    uint8_t memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert(slice_equal(encode(&out, 1000, CHAIN_FILTER_ANY, ""), slice_of("\x03\xe8*\0", 4)));
    cr_assert(slice_equal(encode(&out, 1, CHAIN_FILTER_KEY, "0xt"), slice_of("\0\1=\3"
                                                                             "0xt",
                                                                             7)));
    cr_assert(slice_equal(encode(&out, 0, CHAIN_FILTER_PREFIX, "a"), slice_of("\0\0^\1a", 5)));
}

Test(chain_filter, comes_back_filter_by_filter)
{
    uint8_t memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    struct chain_filter filter;
    encode(&out, 3, CHAIN_FILTER_ANY, "");
    encode(&out, 7, CHAIN_FILTER_PREFIX, "0x9");
    struct slice variant = buf_slice(&out);
    cr_assert(chain_filter_next(&variant, &filter));
    cr_assert(filter.level == 3 && filter.kind == CHAIN_FILTER_ANY && filter.key.bytes == 0);
    cr_assert(chain_filter_next(&variant, &filter));
    cr_assert(filter.level == 7 && filter.kind == CHAIN_FILTER_PREFIX && slice_is(filter.key, "0x9"));
    cr_assert_not(chain_filter_next(&variant, &filter));
}

static bool matches(struct slice variant, uint32_t level, const char *key)
{
    struct event event = {.level = level, .key = slice_text(key)};
    return chain_filter_matches(variant, &event);
}

Test(chain_filter, matches_level_and_key)
{
    uint8_t memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    encode(&out, 1, CHAIN_FILTER_ANY, "");
    encode(&out, 2, CHAIN_FILTER_KEY, "0xa");
    encode(&out, 3, CHAIN_FILTER_PREFIX, "0xa");
    struct slice v = buf_slice(&out);
    cr_assert(matches(v, 1, "") && matches(v, 1, "x"));
    cr_assert(matches(v, 2, "0xa") && !matches(v, 2, "0xab") && !matches(v, 2, "0x") && !matches(v, 2, ""));
    cr_assert(matches(v, 3, "0xa") && matches(v, 3, "0xab") && !matches(v, 3, "0x"));
    cr_assert(!matches(v, 0, "0xa") && !matches(v, 4, "0xa"));
    cr_assert_not(matches(slice_text(""), 1, ""));
}

/* The same set of filters gives the same bytes in whatever order and how often, and matches what any one of them
 * matches. */
Test(chain_filter, union_is_canonical)
{
    struct random random;
    random_init(&random, 18);
    for (int round = 0; round < 2000; round++) {
        static uint8_t memory[8192], one_memory[8192], two_memory[8192];
        struct buf out = buf_of(memory, sizeof memory), one = buf_of(one_memory, sizeof one_memory),
                   two = buf_of(two_memory, sizeof two_memory);
        struct slice filters[40], shuffled[40];
        size_t count = 1 + random_below(&random, 12), twice = 0;
        for (size_t i = 0; i < count; i++) {
            static const char *const keys[] = {"a", "ab", "b", "abc"};
            static const enum chain_filter_kind kinds[] = {CHAIN_FILTER_ANY, CHAIN_FILTER_KEY, CHAIN_FILTER_PREFIX};
            enum chain_filter_kind kind = kinds[random_below(&random, 3)];
            filters[i] = encode(&out, (uint32_t)random_below(&random, 3), kind,
                                kind == CHAIN_FILTER_ANY ? "" : keys[random_below(&random, 4)]);
            shuffled[twice++] = filters[i];
            if (random_chance(&random, 1, 3))
                shuffled[twice++] = filters[i];
        }
        for (size_t i = twice; i-- > 1;) {
            size_t other = random_below(&random, i + 1);
            struct slice kept = shuffled[i];
            shuffled[i] = shuffled[other];
            shuffled[other] = kept;
        }
        static const char *const probes[] = {"", "a", "ab", "abc", "abcd", "b", "c"};
        bool expected[3][7];
        for (uint32_t level = 0; level < 3; level++)
            for (size_t p = 0; p < 7; p++) {
                expected[level][p] = false;
                for (size_t i = 0; i < count; i++)
                    expected[level][p] |= matches(filters[i], level, probes[p]);
            }
        chain_filter_union(filters, count, &one);
        chain_filter_union(shuffled, twice, &two);
        cr_assert(slice_equal(buf_slice(&one), buf_slice(&two)));
        for (uint32_t level = 0; level < 3; level++)
            for (size_t p = 0; p < 7; p++)
                cr_assert_eq(matches(buf_slice(&one), level, probes[p]), expected[level][p]);
    }
}

Test(chain_filter, union_leaves_out_what_any_covers)
{
    uint8_t memory[64], made[64];
    struct buf out = buf_of(memory, sizeof memory), result = buf_of(made, sizeof made);
    struct slice filters[3] = {encode(&out, 1, CHAIN_FILTER_KEY, "k")};
    filters[1] = encode(&out, 1, CHAIN_FILTER_ANY, "");
    filters[2] = encode(&out, 2, CHAIN_FILTER_KEY, "k");
    chain_filter_union(filters, 3, &result);
    cr_assert(slice_equal(buf_slice(&result), slice_of("\0\1*\0\0\2=\1k", 9)));
}
