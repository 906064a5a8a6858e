/* SPDX-License-Identifier: MIT */
/* shards/spin: it looks on while pauses are short, gives up where they are long, and comes back. */
#include "shards/turn/spin.h"

#include <criterion/criterion.h>

#define LIMIT 50000U

/* Work, then nothing for so long; whether it looked on at first. The clock is at `*now`. */
static bool pause_of(struct spin *spin, uint64_t *now, uint64_t ns)
{
    bool on = spin_on(spin, LIMIT, *now + 100);
    for (uint64_t at = 1000; at < ns; at += 1000)
        (void)spin_on(spin, LIMIT, *now + at);
    *now += ns;
    spin_worked(spin, LIMIT, *now, *now + 500);
    *now += 500;
    return on;
}

Test(spin, looks_on_after_some_short_pauses)
{
    struct spin spin = {0};
    uint64_t now = 1000000;
    spin_worked(&spin, LIMIT, now, now);
    for (int i = 0; i < SPIN_TRUST_MIN; i++)
        cr_assert_not(pause_of(&spin, &now, 10000), "not before it is known to pay");
    for (int i = 0; i < 20; i++)
        cr_assert(pause_of(&spin, &now, 10000));
}

Test(spin, looks_no_longer_than_the_limit)
{
    struct spin spin = {.trust = SPIN_TRUST_MAX, .worked_ns = 1000};
    cr_assert(spin_on(&spin, LIMIT, 1000 + LIMIT - 1));
    cr_assert_not(spin_on(&spin, LIMIT, 1000 + LIMIT));
    cr_assert_not(spin_on(&spin, 0, 1000), "switched off");
}

Test(spin, gives_up_where_pauses_are_long_and_learns_again)
{
    struct spin spin = {.trust = SPIN_TRUST_MAX, .worked_ns = 1000000};
    uint64_t now = 1000000;
    int looks = 0;
    for (int i = 0; i < 50; i++)
        looks += pause_of(&spin, &now, 1000000);
    cr_assert_leq(looks, SPIN_TRUST_MAX);
    looks = 0;
    for (int i = 0; i < 50; i++)
        looks += pause_of(&spin, &now, 30000);
    cr_assert_geq(looks, 50 - SPIN_TRUST_MIN);
}

/* Turns with work that follow each other say nothing about pauses. */
Test(spin, learns_from_pauses_only)
{
    struct spin spin = {0};
    for (uint64_t now = 1000; now < 100000; now += 1000)
        spin_worked(&spin, LIMIT, now, now + 500);
    cr_assert_eq(spin.trust, 0);
}

/* A wake-up comes late: a pause that was slept through seems longer than it was. */
Test(spin, allows_for_the_time_that_waking_takes)
{
    struct spin spin = {.worked_ns = 1000000};
    uint64_t now = 1000000;
    for (int i = 0; i < SPIN_TRUST_MIN; i++)
        (void)pause_of(&spin, &now, LIMIT + SPIN_WAKE_NS);
    cr_assert_eq(spin.trust, SPIN_TRUST_MIN);
}
