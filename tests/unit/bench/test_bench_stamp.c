/* SPDX-License-Identifier: MIT */
/* Proves what the load client's verdict rests on: stamps survive the trip, and lost, repeated and late messages are
 * told apart. Run by unit_bench. */
#include "bench/bench_stamp.h"
#include "bench/bench_track.h"
#include "core/random.h"

#include <criterion/criterion.h>

Test(bench_stamp, is_written_as_hexadecimal_text)
{
    uint8_t text[STAMP_BYTES];
    stamp_write(text, &(struct stamp){.source = 0x1a2, .sequence = 0xdeadbeef, .sent_ns = 0x123456789abc});
    cr_assert_arr_eq(text, "01a2deadbeef123456789abc", STAMP_BYTES);
}

Test(bench_stamp, reads_back_what_was_written)
{
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 10000; i++) {
        struct stamp in = {.source = (uint16_t)random_u64(&random),
                           .sequence = (uint32_t)random_u64(&random),
                           .sent_ns = random_u64(&random) & STAMP_TIME_MASK};
        struct stamp out;
        uint8_t payload[1 + STAMP_BYTES] = {'"'};
        stamp_write(payload + 1, &in);
        size_t quoted = i % 2 == 0 ? 0 : 1; /* with and without the quotation mark of a JSON string */
        cr_assert(stamp_read(slice_of(payload + quoted, sizeof payload - quoted), &out));
        cr_assert_eq(out.source, in.source);
        cr_assert_eq(out.sequence, in.sequence);
        cr_assert_eq(out.sent_ns, in.sent_ns);
    }
}

Test(bench_stamp, is_not_found_in_other_texts)
{
    struct stamp stamp;
    cr_assert_not(stamp_read(slice_text(""), &stamp));
    cr_assert_not(stamp_read(slice_text("0123456789abcdef0123456"), &stamp), "one digit short");
    cr_assert_not(stamp_read(slice_text("{\"type\":\"welcome\",\"id\":1}"), &stamp));
    cr_assert_not(stamp_read(slice_text("0123456789abcdef012345 7"), &stamp));
    cr_assert_not(stamp_read(slice_text("0123456789ABCDEF01234567"), &stamp), "upper case is not ours");
}

Test(bench_stamp, age_survives_the_wrap_and_is_never_negative)
{
    struct stamp stamp = {.sent_ns = STAMP_TIME_MASK - 9};
    cr_assert_eq(stamp_age_ns(&stamp, (UINT64_C(5) << 48) + 10), 20);
    cr_assert_eq(stamp_age_ns(&stamp, (UINT64_C(5) << 48) - 20), 0);
}

Test(bench_track, counts_nothing_for_a_stream_in_order)
{
    struct track track = {0};
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(track_take(&track, i), TRACK_IN_ORDER);
    cr_assert_eq(track_lost(&track, 1000), 0);
}

Test(bench_track, counts_messages_that_never_come)
{
    struct track track = {0};
    track_take(&track, 0);
    track_take(&track, 5);
    cr_assert_eq(track_lost(&track, 6), 4);
    cr_assert_eq(track_lost(&track, 8), 6, "and those behind the last that came");
    track_take(&track, 500);
    cr_assert_eq(track_lost(&track, 501), 4 + 494, "a gap wider than the window");
}

Test(bench_track, tells_a_late_message_from_a_repeated_one)
{
    struct track track = {0};
    track_take(&track, 0);
    track_take(&track, 2);
    cr_assert_eq(track_take(&track, 1), TRACK_LATE);
    cr_assert_eq(track_lost(&track, 3), 0, "late is not lost");
    cr_assert_eq(track_take(&track, 1), TRACK_REPEATED);
    cr_assert_eq(track_take(&track, 2), TRACK_REPEATED);
    track_take(&track, 70);
    cr_assert_eq(track_take(&track, 7), TRACK_LATE, "the last place of the window");
    cr_assert_eq(track_take(&track, 6), TRACK_REPEATED, "behind the window it counts as a repetition");
}
