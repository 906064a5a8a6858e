/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/bucket.h: where a window begins, where it ends, and which event is the first one over. */
#include "core/bucket.h"
#include "core/random.h"

#include <criterion/criterion.h>

Test(bucket, counts_events_of_one_window)
{
    struct bucket bucket = {.count = 0};
    for (uint32_t n = 1; n <= 20; n++)
        cr_assert_eq(bucket_count(&bucket, 5000 + n, 1000), n);
}

/* Not at a multiple of the window: the first event opens it. */
Test(bucket, begins_its_window_with_the_first_event)
{
    struct bucket bucket = {.count = 0};
    cr_assert_eq(bucket_count(&bucket, 1999, 1000), 1);
    cr_assert_eq(bucket_count(&bucket, 2000, 1000), 2);
    cr_assert_eq(bucket_count(&bucket, 2998, 1000), 3);
    cr_assert_eq(bucket_count(&bucket, 2999, 1000), 1);
}

Test(bucket, begins_the_next_window_with_the_first_event_after_the_last_one)
{
    struct bucket bucket = {.count = 0};
    bucket_count(&bucket, 0, 1000);
    cr_assert_eq(bucket_count(&bucket, 1700, 1000), 1);
    cr_assert_eq(bucket_count(&bucket, 2600, 1000), 2);
    cr_assert_eq(bucket_count(&bucket, 2700, 1000), 1);
}

Test(bucket, counts_from_time_zero)
{
    struct bucket bucket = {.count = 0};
    cr_assert_eq(bucket_count(&bucket, 0, 60000), 1);
    cr_assert_eq(bucket_count(&bucket, 0, 60000), 2);
    cr_assert_eq(bucket_count(&bucket, 59999, 60000), 3);
    cr_assert_eq(bucket_count(&bucket, 60000, 60000), 1);
}

Test(bucket, does_not_wrap_to_zero)
{
    struct bucket bucket = {.start_ms = 10, .count = UINT32_MAX - 1};
    cr_assert_eq(bucket_count(&bucket, 10, 1000), UINT32_MAX);
    cr_assert_eq(bucket_count(&bucket, 10, 1000), UINT32_MAX);
}

/* Property: the count is that of the events since the window's first one, wherever the windows fall. */
Test(bucket, agrees_with_a_list_of_events)
{
    enum { EVENTS = 3000, WINDOW_MS = 1000 };
    static uint64_t times[EVENTS];
    struct random random;
    random_init(&random, 2);
    struct bucket bucket = {.count = 0};
    uint64_t now = 77;
    int window_first = 0;
    for (int i = 0; i < EVENTS; i++) {
        now += random_below(&random, 400);
        times[i] = now;
        if (now - times[window_first] >= WINDOW_MS)
            window_first = i;
        cr_assert_eq(bucket_count(&bucket, now, WINDOW_MS), (uint32_t)(i - window_first + 1));
    }
}
