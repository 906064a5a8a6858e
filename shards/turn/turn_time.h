/* SPDX-License-Identifier: MIT */
/* How long turns take: a histogram in the metrics, and of those beyond 10 ms a note in the flight recorder and a line in the log. */
#ifndef RINGCAST_SHARDS_TURN_TIME_H
#define RINGCAST_SHARDS_TURN_TIME_H

#include <stdint.h>

struct shard;

#define TURN_LONG_NS 10000000U

/* The last turn has taken so long; shard.work still is its. */
void turn_time_note(struct shard *shard, uint64_t ns);

/* Once a second: what the page of metrics shows. */
void turn_time_gauges(struct shard *shard);

#endif
