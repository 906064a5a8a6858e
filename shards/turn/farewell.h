/* SPDX-License-Identifier: MIT */
/* The farewell of a drain: every connection of a shard is closed, in random order and evenly over a time, so that those who
 * come back elsewhere do not come at once, and neighbours (one office, one key) do not fall together. */
#ifndef RINGCAST_SHARDS_FAREWELL_H
#define RINGCAST_SHARDS_FAREWELL_H

#include "core/shuffle.h"
#include "core/wheel.h"

struct shard;

struct farewell {
    struct wheel_timer timer; /* the next places are due */
    struct shuffle order;     /* of the slots that there were when it began */
    uint64_t begun_ms;
    uint64_t spread_ms; /* from the first close to the last; 0: all at once */
    uint32_t place;     /* the next in the order; at its count: all have been closed once */
    uint32_t rest_at;   /* slot cursor of the walks behind that, over who could not be closed in his place */
};

/* The stage has come to FAREWELL, or to STOP, in which nobody is waited for. */
void farewell_begin(struct shard *shard);
/* Once a turn from then on: closes whose time has come. */
void farewell_go_on(struct shard *shard);
/* Once a second: who was waiting for an answer may be done by now. */
void farewell_again(struct shard *shard);

#endif
