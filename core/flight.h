/* SPDX-License-Identifier: MIT */
/* The flight recorder of one shard: its last events, as numbers. The thread of the shard writes it and nobody reads it
 * until the process finds a fault of its own; then crash.h prints it. */
#ifndef RINGCAST_CORE_FLIGHT_H
#define RINGCAST_CORE_FLIGHT_H

#include "core/bytes.h"

struct buf;

#define FLIGHT_EVENTS 4096
_Static_assert((FLIGHT_EVENTS & (FLIGHT_EVENTS - 1)) == 0, "the place of an event is a mask away");

enum flight_kind {
#define FLIGHT(id, text, index, first, second) FLIGHT_##id,
#include "core/flight.def"
#undef FLIGHT
    FLIGHT_KINDS,
};

struct flight_event {
    uint64_t ms;
    uint32_t index; /* of a connection, a shard ... as flight.def says */
    int32_t first, second;
    uint16_t kind; /* enum flight_kind */
};
_Static_assert(sizeof(struct flight_event) == 24, "8 events in three cache lines");

struct flight {
    uint64_t count; /* events ever noted; the newest is at (count - 1) % FLIGHT_EVENTS */
    struct flight_event events[FLIGHT_EVENTS];
};

/* Numbers are cut to 32 bits. Never a secret, never bytes of a peer. */
static inline void flight_note(struct flight *flight, uint64_t now_ms, enum flight_kind kind, uint32_t index,
                               int64_t first, int64_t second)
{
    flight->events[flight->count++ & (FLIGHT_EVENTS - 1)] = (struct flight_event){
        .ms = now_ms, .index = index, .first = (int32_t)first, .second = (int32_t)second, .kind = (uint16_t)kind};
}

/* How many events are there. */
static inline uint32_t flight_held(const struct flight *flight)
{
    return flight->count < FLIGHT_EVENTS ? (uint32_t)flight->count : FLIGHT_EVENTS;
}

/* The event that was noted `age` events before the newest; age < flight_held. */
static inline const struct flight_event *flight_event_at(const struct flight *flight, uint32_t age)
{
    return &flight->events[(flight->count - 1 - age) & (FLIGHT_EVENTS - 1)];
}

#define FLIGHT_LINE_BYTES_MAX 160

/* One event without a line's end, its time as the distance to `newest_ms`: "-12 ms close conn 7 reason 18 (idle) code
 * 1001". At most FLIGHT_LINE_BYTES_MAX bytes, from a damaged recorder too. */
void flight_put(const struct flight_event *event, uint64_t newest_ms, struct buf *out);

#endif
