/* SPDX-License-Identifier: MIT */
/* What the turn keeps of its own. */
#ifndef RINGCAST_SHARDS_TURN_H
#define RINGCAST_SHARDS_TURN_H

#include "core/bucket.h"
#include "core/wheel.h"
#include "shards/turn/spin.h"
#include "shards/turn/walks.h"

#define TURN_BUCKETS 9

struct turn {
    uint64_t began_ns;
    uint64_t waited_ns;             /* when the wait at its end began; 0: there was none */
    struct bucket long_lines;       /* log lines about turns that took too long */
    struct spin spin;               /* before sleeping */
    struct wheel_timer second;      /* once-a-second work */
    uint64_t by_time[TURN_BUCKETS]; /* turns that took no longer than a bucket says and longer than the one before */
    uint64_t sum_ns;                /* of all of them */
    uint64_t last_ms;               /* when the last turn began */
    uint32_t farewell_at;           /* slot cursor of the paced farewell */
    struct walks walks;
};

#endif
