/* SPDX-License-Identifier: MIT */
/* How long turns take: a histogram in the metrics, and of those beyond 10 ms a note in the flight recorder and a line in the log. */
#ifndef RINGCAST_SHARDS_TURN_TIME_H
#define RINGCAST_SHARDS_TURN_TIME_H

#include "core/bucket.h"

struct shard;

#define TURN_LONG_NS 10000000U
#define TURN_BUCKETS 9

/* One shard's. */
struct turn_time {
    struct bucket long_lines;       /* log lines about turns that took too long */
    uint64_t by_time[TURN_BUCKETS]; /* turns that took no longer than a bucket says and longer than the one before */
    uint64_t sum_ns;                /* of all of them */
};

/* The last turn has taken so long; shard.work still is its. */
void turn_time_note(struct shard *shard, struct turn_time *times, uint64_t ns);

/* Once a second: what the page of metrics shows. */
void turn_time_gauges(struct shard *shard, const struct turn_time *times);

#endif
