/* SPDX-License-Identifier: MIT */
/* What a shard writes down of what happens: numbers, for the dump when the process fails (core/flight.h). */
#ifndef RINGCAST_SHARDS_NOTE_H
#define RINGCAST_SHARDS_NOTE_H

#include "core/flight.h"
#include "shards/shard.h"

/* Into the flight recorder (flight.def). */
static inline void shard_note(struct shard *shard, enum flight_kind kind, uint32_t index, int64_t first, int64_t second)
{
    flight_note(shard->flight, shard->now_ms, kind, index, first, second);
}

#endif
