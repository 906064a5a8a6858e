/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/random. Expected numbers: the state 1 2 3 4 is the usual known answer for xoshiro256**;
 * those of the seeds were computed by a second implementation in another language. */
#include "core/random.h"

#include <criterion/criterion.h>

Test(random, gives_the_known_numbers_of_xoshiro)
{
    static const uint64_t expected[] = {
        11520, 0, 1509978240, 1215971899390074240, 1216172134540287360, 607988272756665600,
    };
    struct random random = {.s = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_assert_eq(random_u64(&random), expected[i], "number %zu", i);
}

Test(random, spreads_seeds_through_splitmix)
{
    struct random random;
    random_init(&random, 0);
    cr_assert_eq(random.s[0], 0xe220a8397b1dcdaf);
    cr_assert_eq(random.s[1], 0x6e789e6aa1b965f4);
    cr_assert_eq(random.s[2], 0x06c45d188009454f);
    cr_assert_eq(random.s[3], 0xf88bb8a8724c81ec);
    cr_assert_eq(random_u64(&random), 0x99ec5f36cb75f2b4);
    random_init(&random, 42);
    cr_assert_eq(random_u64(&random), 0x15780b2e0c2ec716);
    cr_assert_eq(random_u64(&random), 0x6104d9866d113a7e);
}

Test(random, repeats_a_sequence_from_its_seed)
{
    struct random a, b;
    random_init(&a, 7);
    random_init(&b, 7);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(random_below(&a, 1 + (uint64_t)i), random_below(&b, 1 + (uint64_t)i));
}

Test(random, stays_below_every_bound)
{
    static const uint64_t bounds[] = {
        1, 2, 3, 7, 64, 1000, UINT32_MAX, (uint64_t)1 << 63, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    struct random random;
    random_init(&random, 1);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        for (int n = 0; n < 1000; n++)
            cr_assert_lt(random_below(&random, bounds[i]), bounds[i]);
}

/* Chi-square with 9 degrees of freedom: above 27.9 with a chance of one in a thousand; the seed makes it certain. */
Test(random, is_uniform_below_a_small_bound)
{
    enum { FACES = 10, THROWS = 100000 };
    uint32_t seen[FACES] = {0};
    struct random random;
    random_init(&random, 3);
    for (int i = 0; i < THROWS; i++)
        seen[random_below(&random, FACES)]++;
    double chi = 0;
    for (int i = 0; i < FACES; i++) {
        double off = (double)seen[i] - THROWS / (double)FACES;
        chi += off * off / (THROWS / (double)FACES);
    }
    cr_assert_lt(chi, 27.9);
}

/* Of 2^64 numbers taken modulo 3 * 2^62, the lowest third would come twice as often as the others: half of all
 * draws. */
Test(random, has_no_modulo_bias)
{
    enum { DRAWS = 30000 };
    const uint64_t third = (uint64_t)1 << 62;
    uint32_t lowest = 0;
    struct random random;
    random_init(&random, 4);
    for (int i = 0; i < DRAWS; i++)
        lowest += random_below(&random, 3 * third) < third;
    cr_assert_gt(lowest, DRAWS * 31 / 100);
    cr_assert_lt(lowest, DRAWS * 36 / 100);
}

Test(random, keeps_to_the_odds)
{
    enum { DRAWS = 40000 };
    uint32_t hits = 0;
    struct random random;
    random_init(&random, 5);
    for (int i = 0; i < DRAWS; i++) {
        hits += random_chance(&random, 1, 4);
        cr_assert(!random_chance(&random, 0, 4));
        cr_assert(random_chance(&random, 4, 4));
    }
    cr_assert_gt(hits, DRAWS * 24 / 100);
    cr_assert_lt(hits, DRAWS * 26 / 100);
}
