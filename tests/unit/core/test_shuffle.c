/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/shuffle. */
#include "core/shuffle.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT_MAX 8192

Test(shuffle, gives_each_number_one_place)
{
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 255, 256, 257, 1000, 4096, 5000};
    static uint8_t seen[COUNT_MAX];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct shuffle shuffle;
            shuffle_init(&shuffle, counts[i], seed);
            uint32_t count = shuffle_count(&shuffle);
            cr_assert(count >= counts[i] && count < 2 * counts[i] && count <= COUNT_MAX);
            memset(seen, 0, sizeof seen);
            for (uint32_t place = 0; place < count; place++) {
                uint32_t number = shuffle_at(&shuffle, place);
                cr_assert_lt(number, count);
                cr_assert_eq(seen[number]++, 0, "%u of %u twice, seed %lu", number, counts[i], (unsigned long)seed);
            }
        }
}

/* The largest order there is: no step runs over. */
Test(shuffle, stays_below_the_largest_count)
{
    struct shuffle shuffle;
    shuffle_init(&shuffle, 1U << 31, 7);
    cr_assert_eq(shuffle_count(&shuffle), 1U << 31);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_lt(shuffle_at(&shuffle, i * 2147483 % (1U << 31)), 1U << 31);
}

/* Each tenth of the places has a tenth of the numbers below any count, +- 2 of 100, also where places stand empty. */
Test(shuffle, spreads_low_numbers_evenly)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct shuffle shuffle;
        uint32_t used = 5000, tenths[10] = {0};
        shuffle_init(&shuffle, used, seed);
        for (uint32_t place = 0; place < shuffle_count(&shuffle); place++)
            if (shuffle_at(&shuffle, place) < used)
                tenths[(uint64_t)place * 10 / shuffle_count(&shuffle)]++;
        for (unsigned i = 0; i < 10; i++)
            cr_assert(tenths[i] >= used * 8 / 100 && tenths[i] <= used * 12 / 100, "seed %lu: %u in tenth %u",
                      (unsigned long)seed, tenths[i], i);
    }
}

Test(shuffle, keeps_neighbours_apart_and_follows_its_seed)
{
    struct shuffle one, same, other;
    uint32_t neighbours = 0, equal = 0;
    shuffle_init(&one, 4096, 1);
    shuffle_init(&same, 4096, 1);
    shuffle_init(&other, 4096, 2);
    for (uint32_t place = 0; place < 4095; place++) {
        uint32_t a = shuffle_at(&one, place), b = shuffle_at(&one, place + 1);
        neighbours += a + 1 == b || b + 1 == a;
        equal += a == shuffle_at(&other, place);
        cr_assert_eq(a, shuffle_at(&same, place));
    }
    cr_assert_lt(neighbours, 400, "%u of 4095", neighbours);
    cr_assert_lt(equal, 400, "%u of 4095", equal);
}
