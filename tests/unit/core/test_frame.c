/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/frame on one shard: logs and their segments, rewinding, references, the budget. */
#include "core/limits.h"
#include "tests/unit/core/frame_shard.h"
#include "tests/unit/core/last_words.h"
#include "tests/unit/starve.h"

#include <signal.h>

/* --- logs --------------------------------------------------------------------------------------------------------- */

Test(frame, keeps_what_was_written)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    uint8_t *at = reserve(&home, &log, 100);
    memcpy(at, "hello", 5);
    struct frame frame = frame_append_commit(&log, 5);
    cr_assert_eq(frame.bytes, 5, "less than was reserved may be sealed");
    cr_assert_arr_eq(frame_data(frame), "hello", 5);
    cr_assert_eq(frame.segment->home, 0);
    release_log(&home, &log);
    reclaim_idle(&home);
    expect_all_returned(&home);
}

Test(frame, forgets_a_reserve_that_was_not_committed)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame first = append_held(&home, &log, 1, 10);
    memset(reserve(&home, &log, 50), 9, 50);
    struct frame second = append_held(&home, &log, 2, 10);
    cr_assert(frame_adjacent(first, second));
    cr_assert(filled_with(first, 1) && filled_with(second, 2));
    frame_memory_destroy(&home.memory);
}

Test(frame, puts_frames_that_follow_each_other_into_one_range)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame range = append_held(&home, &log, 0, 7);
    for (uint8_t i = 1; i < 20; i++) {
        struct frame next = append_held(&home, &log, i, 7);
        cr_assert(frame_adjacent(range, next));
        cr_assert(!frame_adjacent(next, range));
        range.bytes += next.bytes;
    }
    cr_assert_eq(range.bytes, 140);
    for (uint32_t i = 0; i < 140; i++)
        cr_assert_eq(frame_data(range)[i], i / 7);
    frame_memory_destroy(&home.memory);
}

Test(frame, tells_ranges_apart_that_do_not_touch)
{
    struct shard home;
    struct frame_log one = {.tail = NULL}, two = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame a = append_held(&home, &one, 1, 10);
    struct frame b = append_held(&home, &one, 2, 10);
    struct frame c = append_held(&home, &one, 3, 10);
    cr_assert(!frame_adjacent(a, c), "a gap");
    cr_assert(frame_adjacent(b, c));
    struct frame other = append_held(&home, &two, 4, 10);
    struct frame behind = append_held(&home, &two, 5, 10);
    cr_assert_eq(behind.offset, b.offset);
    cr_assert(!frame_adjacent(a, behind), "another segment");
    cr_assert(frame_adjacent(other, behind));
    frame_memory_destroy(&home.memory);
}

Test(frame, never_splits_a_frame_over_two_segments)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame first = append_held(&home, &log, 1, 3000);
    struct frame second = append_held(&home, &log, 2, 3000);
    cr_assert_neq(first.segment, second.segment);
    cr_assert_eq(second.offset, 0);
    cr_assert(filled_with(first, 1) && filled_with(second, 2));
    frame_memory_destroy(&home.memory);
}

Test(frame, fills_a_segment_to_its_last_byte)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame first = append_held(&home, &log, 1, SEGMENT_BYTES_MIN - 1);
    struct frame last = append_held(&home, &log, 2, 1);
    cr_assert_eq(first.segment, last.segment);
    cr_assert_eq(last.segment->used, last.segment->capacity);
    cr_assert_neq(append_held(&home, &log, 3, 1).segment, last.segment);
    frame_memory_destroy(&home.memory);
}

Test(frame, makes_larger_segments_while_a_log_is_busy)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct segment *tail = NULL;
    uint32_t expected = SEGMENT_BYTES_MIN, segments = 0;
    for (int i = 0; i < 2000; i++) {
        struct frame frame = append_held(&home, &log, 1, 1000);
        if (frame.segment == tail)
            continue;
        tail = frame.segment;
        cr_assert_eq(tail->capacity, expected);
        if (expected < SEGMENT_BYTES_MAX)
            expected *= 2;
        segments++;
    }
    cr_assert_eq(tail->capacity, SEGMENT_BYTES_MAX);
    cr_assert_eq(segments, alive_count(&home));
    expect_sound(&home);
    frame_memory_destroy(&home.memory);
}

Test(frame, gives_a_frame_larger_than_a_segment_one_of_its_own)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame small = append_held(&home, &log, 1, 100);
    struct frame large = append_held(&home, &log, 2, 5 * SEGMENT_BYTES_MAX + 7);
    struct frame after = append_held(&home, &log, 3, 100);
    cr_assert_neq(large.segment, small.segment);
    cr_assert_eq(large.segment->capacity, 5 * SEGMENT_BYTES_MAX + 7);
    cr_assert_neq(after.segment, large.segment);
    cr_assert_leq(after.segment->capacity, SEGMENT_BYTES_MAX);
    cr_assert(filled_with(small, 1) && filled_with(large, 2) && filled_with(after, 3));
    release(&home, small);
    release(&home, large);
    release(&home, after);
    release_log(&home, &log);
    reclaim_idle(&home);
    cr_assert_lt(home.memory.bytes, 3 * SEGMENT_BYTES_MAX, "a segment of an odd size is not kept");
    expect_all_returned(&home);
}

/* --- rewinding ---------------------------------------------------------------------------------------------------- */

Test(frame, writes_a_segment_again_when_only_the_log_holds_it)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame first = append_held(&home, &log, 1, 3000);
    release(&home, first);
    for (int i = 0; i < 100; i++) {
        struct frame next = append_held(&home, &log, 2, 3000);
        cr_assert_eq(next.segment, first.segment);
        cr_assert_eq(next.offset, 0);
        release(&home, next);
    }
    cr_assert_eq(alive_count(&home), 1);
    frame_memory_destroy(&home.memory);
}

/* Whoever holds the oldest segment is cut first: a quiet log that starts again holds nothing old. */
Test(frame, counts_a_segment_as_young_when_it_is_written_again)
{
    struct shard home;
    struct frame_log quiet = {.tail = NULL}, busy = {.tail = NULL};
    begin(&home, 0, ROOMY);
    append(&home, &quiet, 1, 100);
    struct frame old = append_held(&home, &busy, 2, 100);
    struct frame young = append_held(&home, &quiet, 3, 100);
    cr_assert_lt(old.segment->serial, young.segment->serial);
    cr_assert_eq(list_first(&home.memory.segments), &old.segment->node);
    frame_memory_destroy(&home.memory);
}

Test(frame, does_not_write_over_a_frame_that_is_referenced)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame first = append_held(&home, &log, 1, SEGMENT_BYTES_MIN / 2);
    struct frame second = append_held(&home, &log, 2, SEGMENT_BYTES_MIN / 8);
    release(&home, second);
    struct frame third = append_held(&home, &log, 3, SEGMENT_BYTES_MIN / 8);
    cr_assert(frame_adjacent(second, third), "the first is still held: nothing starts again");
    cr_assert(filled_with(first, 1));
    frame_memory_destroy(&home.memory);
}

Test(frame, does_not_write_over_a_frame_that_is_lent)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame lent = append(&home, &log, 1, 100);
    frame_lend(lent.segment);
    struct frame second = append(&home, &log, 2, 100);
    cr_assert(frame_adjacent(lent, second), "on its way to the other shard");
    frame_borrow(lent.segment, 1);
    struct frame third = append(&home, &log, 3, 100);
    cr_assert(frame_adjacent(second, third), "held by the other shard");
    cr_assert(filled_with(lent, 1));

    struct frame_idle other = {.first = NULL};
    frame_release(&other, lent.segment, 1, 1);
    cr_assert_eq(frame_idle_pop(&other, 1), lent.segment);
    cr_assert(frame_adjacent(third, append(&home, &log, 4, 100)), "the lending is not home yet");
    frame_return(&home.memory, lent.segment, frame_take_lendings(lent.segment, 1));
    struct frame again = append(&home, &log, 5, 100);
    cr_assert_eq(again.segment, lent.segment);
    cr_assert_eq(again.offset, 0);
    frame_memory_destroy(&home.memory);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

Test(frame, frees_a_segment_only_when_the_idle_list_is_emptied)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame frame = append_held(&home, &log, 7, 1000);
    release_log(&home, &log);
    release(&home, frame);
    cr_assert_eq(alive_count(&home), 1);
    cr_assert(filled_with(frame, 7), "in the middle of a delivery nothing is freed");
    reclaim_idle(&home);
    expect_all_returned(&home);
}

Test(frame, takes_a_segment_off_the_idle_list_that_is_referenced_again)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame frame = append(&home, &log, 7, 1000);
    release_log(&home, &log);
    frame_ref(frame.segment, 0, 1);
    cr_assert_null(frame_idle_pop(&home.idle, 0));
    cr_assert_null(home.idle.first);
    release(&home, frame);
    cr_assert_eq(frame_idle_pop(&home.idle, 0), frame.segment, "and it comes back onto the list");
    frame_reclaim(&home.memory, frame.segment);
    expect_all_returned(&home);
}

Test(frame, counts_many_references_at_once)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame frame = append(&home, &log, 7, 1000);
    frame_ref(frame.segment, 0, 1000);
    release_log(&home, &log);
    frame_release(&home.idle, frame.segment, 0, 999);
    cr_assert_null(frame_idle_pop(&home.idle, 0));
    frame_release(&home.idle, frame.segment, 0, 1);
    reclaim_idle(&home);
    expect_all_returned(&home);
}

Test(frame, uses_cached_segments_again)
{
    struct shard home;
    begin(&home, 1, ROOMY);
    size_t high = 0;
    for (int i = 0; i < 100; i++) {
        struct frame_log log = {.tail = NULL};
        append(&home, &log, 1, 1000);
        release_log(&home, &log);
        reclaim_idle(&home);
        cr_assert_eq(alive_count(&home), 0);
        cr_assert(high == 0 || home.memory.bytes == high);
        high = home.memory.bytes;
    }
    expect_all_returned(&home);
}

Test(frame, answers_null_when_the_budget_is_exhausted_and_recovers)
{
    enum { FRAMES = 10 };
    struct shard home;
    struct frame_log log = {.tail = NULL};
    struct frame frames[FRAMES];
    begin(&home, 0, 40000);
    uint8_t count = 0;
    while (reserve(&home, &log, 3000) != NULL) {
        cr_assert_lt(count, FRAMES);
        frames[count] = append_held(&home, &log, count, 3000);
        count++;
    }
    cr_assert_gt(count, 3);
    cr_assert_null(reserve(&home, &log, 3000), "again");
    expect_sound(&home);
    for (uint8_t i = 0; i < count; i++) {
        cr_assert(filled_with(frames[i], i));
        release(&home, frames[i]);
    }
    reclaim_idle(&home);
    cr_assert(filled_with(append(&home, &log, 99, 3000), 99));
    release_log(&home, &log);
    reclaim_idle(&home);
    expect_all_returned(&home);
}

Test(frame, refuses_a_frame_larger_than_the_whole_budget)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, 100000);
    struct frame held = append_held(&home, &log, 1, 50);
    cr_assert_null(reserve(&home, &log, 100001));
    cr_assert_null(reserve(&home, &log, UINT32_MAX));
    struct frame next = append(&home, &log, 2, 50);
    cr_assert(frame_adjacent(held, next), "the log goes on where it was");
    frame_memory_destroy(&home.memory);
}

/* The cache fills the budget with small segments; a large frame must get their room. */
Test(frame, gives_up_cached_segments_for_the_budget)
{
    struct shard home;
    begin(&home, 0, 200000);
    struct frame_log logs[20];
    memset(logs, 0, sizeof logs);
    for (int i = 0; i < 20; i++)
        append(&home, &logs[i], 1, 100);
    for (int i = 0; i < 20; i++)
        release_log(&home, &logs[i]);
    reclaim_idle(&home);
    cr_assert_gt(home.memory.bytes, 20 * SEGMENT_BYTES_MIN);
    struct frame_log log = {.tail = NULL};
    struct frame large = append(&home, &log, 2, 190000);
    cr_assert(filled_with(large, 2));
    expect_sound(&home);
    release_log(&home, &log);
    reclaim_idle(&home);
    expect_all_returned(&home);
}

#if STARVE_WORKS
Test(frame, answers_null_when_the_machine_has_no_memory)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame held = append_held(&home, &log, 1, 100);
    starve_begin();
    uint8_t *none = reserve(&home, &log, 8U << 20);
    starve_end();
    cr_assert_null(none);
    expect_sound(&home);
    cr_assert(frame_adjacent(held, append(&home, &log, 2, 100)));
    cr_assert_not_null(reserve(&home, &log, 8U << 20));
    frame_memory_destroy(&home.memory);
}
#endif

Test(frame, stops_when_more_is_committed_than_there_is_room, .signal = SIGABRT)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    reserve(&home, &log, 10);
    frame_append_commit(&log, SEGMENT_BYTES_MIN + 1);
}

#if POISON_ASAN

static void write_to_a_frame_that_nobody_holds(void)
{
    struct shard home;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame frame = append(&home, &log, 7, 1000);
    release_log(&home, &log);
    reclaim_idle(&home);
    cr_assert_gt(home.memory.bytes, 0, "it is cached, not freed");
    *(volatile uint8_t *)(uintptr_t)frame_data(frame) = 0;
}

Test(frame, the_address_sanitizer_watches_cached_segments)
{
    expect_poisoned(write_to_a_frame_that_nobody_holds);
}

#endif
