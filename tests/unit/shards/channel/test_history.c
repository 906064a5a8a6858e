/* SPDX-License-Identifier: MIT */
/* shards/history: its bounds by count and age at their edges, ranges, and its references. */
#include "core/frame_memory.h"
#include "shards/channel/history.h"

#include <criterion/criterion.h>

struct fixture {
    struct frame_memory memory;
    struct frame_idle idle;
    struct frame_log log, other;
    struct history history;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    frame_memory_init(&f->memory, 0, 1, (size_t)16 << 20);
}

static void add(struct fixture *f, const struct channel_traits *traits, struct frame_log *log, uint8_t fill,
                uint64_t now_ms)
{
    uint8_t *at = frame_append_reserve(&f->memory, &f->idle, log, 10);
    memset(at, fill, 10);
    cr_assert(history_add(&f->history, traits, &f->idle, 0, frame_append_commit(log, 10), now_ms));
}

static void end(struct fixture *f)
{
    history_clear(&f->history, &f->idle, 0);
    frame_log_release(&f->memory, &f->idle, &f->log);
    frame_log_release(&f->memory, &f->idle, &f->other);
    for (struct segment *segment; (segment = frame_idle_pop(&f->idle, 0)) != NULL;)
        frame_reclaim(&f->memory, segment);
    cr_assert(list_empty(&f->memory.segments), "a reference has been lost");
    frame_memory_destroy(&f->memory);
}

Test(history, keeps_nothing_without_retention)
{
    struct fixture f;
    begin(&f);
    add(&f, &(struct channel_traits){0}, &f.log, 1, 0);
    cr_assert_eq(f.history.count, 0);
    cr_assert_null(f.history.entries);
    end(&f);
}

Test(history, keeps_the_newest_count)
{
    const struct channel_traits traits = {.retain_count = 20};
    struct frame frames[20];
    uint32_t messages[20];
    struct fixture f;
    begin(&f);
    for (uint8_t i = 1; i <= 20; i++) {
        add(&f, &traits, &f.log, i, 0);
        cr_assert_eq(f.history.count, i);
    }
    add(&f, &traits, &f.log, 21, 0);
    cr_assert_eq(f.history.count, 20);
    cr_assert_eq(history_ranges(&f.history, 20, frames, messages), 1);
    cr_assert_eq(messages[0], 20);
    cr_assert_eq(frame_data(frames[0])[0], 2, "the oldest is gone");
    cr_assert_eq(history_ranges(&f.history, 3, frames, messages), 1);
    cr_assert_eq(messages[0], 3);
    cr_assert_eq(frame_data(frames[0])[0], 19);
    end(&f);
}

Test(history, lets_go_at_the_age_and_not_before)
{
    const struct channel_traits traits = {.retain_count = 10, .retain_age_ms = 100};
    struct fixture f;
    begin(&f);
    add(&f, &traits, &f.log, 1, 1000);
    add(&f, &traits, &f.log, 2, 1050);
    history_expire(&f.history, &traits, &f.idle, 0, 1099);
    cr_assert_eq(f.history.count, 2);
    history_expire(&f.history, &traits, &f.idle, 0, 1100);
    cr_assert_eq(f.history.count, 1);
    add(&f, &traits, &f.log, 3, 1150);
    cr_assert_eq(f.history.count, 1, "adding lets go, too");
    end(&f);
}

Test(history, merges_only_ranges_that_touch)
{
    const struct channel_traits traits = {.retain_count = 10};
    struct frame frames[10];
    uint32_t messages[10];
    struct fixture f;
    begin(&f);
    add(&f, &traits, &f.log, 1, 0);
    add(&f, &traits, &f.log, 2, 0);
    add(&f, &traits, &f.other, 3, 0);
    add(&f, &traits, &f.log, 4, 0);
    cr_assert_eq(history_ranges(&f.history, 10, frames, messages), 3);
    cr_assert_eq(messages[0], 2);
    cr_assert_eq(frames[0].bytes, 20);
    cr_assert_eq(messages[1], 1);
    cr_assert_eq(messages[2], 1);
    cr_assert_eq(history_ranges(&f.history, 0, frames, messages), 0);
    end(&f);
}

/* A message that is refused may have left its frame in the log. */
Test(history, leaves_out_what_lies_between_two_retained_frames)
{
    const struct channel_traits traits = {.retain_count = 10};
    struct frame frames[2];
    uint32_t messages[2];
    struct fixture f;
    begin(&f);
    add(&f, &traits, &f.log, 1, 0);
    add(&f, &(struct channel_traits){.retain_count = 0}, &f.log, 2, 0);
    add(&f, &traits, &f.log, 3, 0);
    cr_assert_eq(history_ranges(&f.history, 10, frames, messages), 2);
    cr_assert_eq(frame_data(frames[0])[0], 1);
    cr_assert_eq(frame_data(frames[1])[0], 3);
    end(&f);
}

Test(history, follows_a_smaller_bound)
{
    struct fixture f;
    begin(&f);
    for (uint8_t i = 0; i < 30; i++)
        add(&f, &(struct channel_traits){.retain_count = 30}, &f.log, i, 0);
    add(&f, &(struct channel_traits){.retain_count = 5}, &f.log, 30, 0);
    cr_assert_eq(f.history.count, 5);
    for (uint8_t i = 31; i < 60; i++)
        add(&f, &(struct channel_traits){.retain_count = 40}, &f.log, i, 0);
    cr_assert_eq(f.history.count, 34, "and a larger one again");
    end(&f);
}
