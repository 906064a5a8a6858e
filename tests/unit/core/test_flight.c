/* SPDX-License-Identifier: MIT */
/* Proves what a flight recorder keeps and how an event reads. Run by unit_core. */
#include "core/buf.h"
#include "core/flight.h"

#include <criterion/criterion.h>

static struct flight flight; /* all of it zero at the start of each test, which is a process */

static const char *text_of(const struct flight_event *event, uint64_t newest_ms)
{
    static char memory[FLIGHT_LINE_BYTES_MAX + 1];
    struct buf out = buf_of(memory, FLIGHT_LINE_BYTES_MAX);
    flight_put(event, newest_ms, &out);
    cr_assert_not(out.overflow);
    memory[out.used] = '\0';
    return memory;
}

Test(flight, holds_nothing_at_first)
{
    cr_assert_eq(flight_held(&flight), 0);
}

Test(flight, gives_events_by_age)
{
    flight_note(&flight, 10, FLIGHT_ACCEPT, 1, 7, 0);
    flight_note(&flight, 12, FLIGHT_RECEIVE, 1, 512, 1);
    cr_assert_eq(flight_held(&flight), 2);
    cr_assert_str_eq(text_of(flight_event_at(&flight, 1), 12), "-2 ms accept conn 1 socket 7 listener 0");
    cr_assert_str_eq(text_of(flight_event_at(&flight, 0), 12), "0 ms receive conn 1 result 512 more 1");
}

Test(flight, keeps_the_newest_4096)
{
    for (uint32_t i = 0; i < FLIGHT_EVENTS + 3; i++)
        flight_note(&flight, i, FLIGHT_FREE, i, 0, 0);
    cr_assert_eq(flight_held(&flight), FLIGHT_EVENTS);
    cr_assert_eq(flight.count, FLIGHT_EVENTS + 3);
    cr_assert_eq(flight_event_at(&flight, 0)->index, FLIGHT_EVENTS + 2);
    cr_assert_eq(flight_event_at(&flight, FLIGHT_EVENTS - 1)->index, 3);
}

Test(flight, names_why_a_connection_ended)
{
    flight_note(&flight, 5, FLIGHT_TERMINATE, 9, 1, 4);
    cr_assert_str_eq(text_of(flight_event_at(&flight, 0), 5), "0 ms terminate conn 9 reason 1 (peer closed) state 4");
}

Test(flight, prints_an_error_as_a_negative_number_and_leaves_out_what_an_event_does_not_have)
{
    flight_note(&flight, 5, FLIGHT_ACCEPT_ERROR, 2, -24, 0);
    cr_assert_str_eq(text_of(flight_event_at(&flight, 0), 5), "0 ms accept_error listener 2 result -24");
}

Test(flight, prints_a_damaged_event_within_its_bound)
{
    struct flight_event event;
    memset(&event, 0xFF, sizeof event);
    cr_assert_str_eq(text_of(&event, 0), "-1 ms unknown index 4294967295 first -1 second -1");
    for (uint32_t kind = 0; kind < FLIGHT_KINDS; kind++) {
        event = (struct flight_event){
            .ms = UINT64_MAX / 2 + 1, .index = UINT32_MAX, .first = INT32_MIN, .second = INT32_MIN};
        event.kind = (uint16_t)kind;
        text_of(&event, 0);
        for (event.first = 0; event.first < 64; event.first++) /* all reasons, and behind them */
            text_of(&event, 0);
    }
}
