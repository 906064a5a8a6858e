/* SPDX-License-Identifier: MIT */
/* The pure half of shards/quota: places and windows at their limits, and what the sweep forgets. */
#include "shards/mail/quota.h"

#include "core/random.h"
#include "protocol/action.h"

#include <criterion/criterion.h>

#define LIMIT 10
#define WINDOW_MS 60000

static const struct siphash_key key = {1, 2};

static struct hash128 name_of(uint64_t n)
{
    return (struct hash128){.low = n, .high = ~n};
}

static bool place(struct quotas *quotas, uint64_t name, uint32_t limit)
{
    return quota_take(quotas, name_of(name), QUOTA_ADDRESS, limit, 0, 0);
}

static bool attempt(struct quotas *quotas, uint64_t now_ms)
{
    return quota_take(quotas, name_of(1), QUOTA_ADDRESS_ATTEMPTS, LIMIT, WINDOW_MS, now_ms);
}

Test(quota, grants_up_to_the_limit)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    for (unsigned i = 0; i < LIMIT; i++)
        cr_assert(place(&quotas, 1, LIMIT), "place %u", i + 1);
    cr_assert_not(place(&quotas, 1, LIMIT));
    cr_assert(place(&quotas, 2, LIMIT), "another name has places of its own");
    quota_give(&quotas, name_of(1));
    cr_assert(place(&quotas, 1, LIMIT), "a place that was given back is free at once");
    cr_assert_not(place(&quotas, 1, LIMIT));
    quotas_destroy(&quotas);
}

Test(quota, counts_without_a_limit_and_knows_the_count_later)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(place(&quotas, 1, 0));
    cr_assert_not(place(&quotas, 1, 3), "a limit set by a reload counts those that are here");
    cr_assert(place(&quotas, 1, 4));
    quotas_destroy(&quotas);
}

Test(quota, forgets_a_name_with_its_last_place)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    place(&quotas, 1, 2);
    place(&quotas, 1, 2);
    cr_assert_not(place(&quotas, 1, 2));
    quota_give(&quotas, name_of(1));
    cr_assert_eq(quotas.map.count, 1);
    quota_give(&quotas, name_of(1));
    cr_assert_eq(quotas.map.count, 0);
    quotas_destroy(&quotas);
}

Test(quota, counts_attempts_in_windows_that_begin_with_the_first)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    cr_assert(attempt(&quotas, 5000));
    for (unsigned i = 1; i < LIMIT; i++)
        cr_assert(attempt(&quotas, 5000 + WINDOW_MS - 1));
    cr_assert_not(attempt(&quotas, 5000 + WINDOW_MS - 1));
    cr_assert(attempt(&quotas, 5000 + WINDOW_MS), "a new window");
    quotas_destroy(&quotas);
}

Test(quota, sweeps_away_windows_that_are_over_and_nothing_else)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    for (uint64_t i = 0; i < 1000; i++)
        quota_take(&quotas, name_of(i), QUOTA_ADDRESS_ATTEMPTS, LIMIT, WINDOW_MS, i < 500 ? 0 : 1);
    place(&quotas, 2000, LIMIT);
    for (unsigned i = 0; i < 10; i++)
        quota_sweep(&quotas, 2000, WINDOW_MS - 1);
    cr_assert_eq(quotas.map.count, 1001);
    for (unsigned i = 0; i < 10; i++)
        quota_sweep(&quotas, 2000, WINDOW_MS);
    cr_assert_eq(quotas.map.count, 501);
    for (unsigned i = 0; i < 200; i++)
        quota_sweep(&quotas, 10, WINDOW_MS + 1); /* in small steps */
    cr_assert_eq(quotas.map.count, 1, "the place is still held");
    quota_give(&quotas, name_of(2000));
    cr_assert_eq(quotas.map.count, 0);
    quotas_destroy(&quotas);
}

Test(quota, agrees_with_plain_counters)
{
    struct quotas quotas;
    struct random random;
    uint32_t held[16] = {0};
    quotas_init(&quotas, key);
    random_init(&random, 7);
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t n = random_below(&random, 16);
        if (random_chance(&random, 1, 2)) {
            cr_assert_eq(place(&quotas, n, 5), held[n] < 5);
            held[n] += held[n] < 5;
        } else if (held[n] > 0) {
            quota_give(&quotas, name_of(n));
            held[n]--;
        }
    }
    for (uint64_t n = 0; n < 16; n++)
        for (; held[n] > 0; held[n]--)
            quota_give(&quotas, name_of(n));
    cr_assert_eq(quotas.map.count, 0);
    quotas_destroy(&quotas);
}

/* Whether there is room is asked without taking any (N-2: only failed logins count). */
Test(quota, says_what_is_left_without_counting)
{
    struct quotas quotas;
    quotas_init(&quotas, key);
    for (unsigned i = 0; i < 3 * LIMIT; i++)
        cr_assert(quota_take(&quotas, name_of(1), QUOTA_ADDRESS_LEFT, LIMIT, WINDOW_MS, 0));
    quotas_check(&quotas); /* and keeps nothing of a name that was only asked for */
    for (unsigned i = 0; i < LIMIT; i++) {
        cr_assert(quota_take(&quotas, name_of(1), QUOTA_ADDRESS_LEFT, LIMIT, WINDOW_MS, 0));
        cr_assert(attempt(&quotas, 0));
    }
    cr_assert_not(quota_take(&quotas, name_of(1), QUOTA_ADDRESS_LEFT, LIMIT, WINDOW_MS, WINDOW_MS - 1));
    cr_assert(quota_take(&quotas, name_of(1), QUOTA_ADDRESS_LEFT, 0, WINDOW_MS, 0), "no limit");
    cr_assert(quota_take(&quotas, name_of(1), QUOTA_ADDRESS_LEFT, LIMIT, WINDOW_MS, WINDOW_MS), "the next window");
    quotas_destroy(&quotas);
}
