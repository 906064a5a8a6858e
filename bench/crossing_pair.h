/* SPDX-License-Identifier: MIT */
/* Two shards with subscribers of one channel on both, over a kernel that costs nothing, and what a publish to the
 * channel costs them together: by the shard at which the channel lives, or by the other one. */
#ifndef RINGCAST_CROSSING_PAIR_H
#define RINGCAST_CROSSING_PAIR_H

#include <stdbool.h>
#include <stdint.h>

struct crossing_pair;

struct crossing_load {
    bool threads;     /* each shard has a thread and a core of its own, and both look for work all the time */
    bool elsewhere;   /* who publishes is not the channel's home */
    uint32_t window;  /* messages at once; the next ones when both shards have delivered these */
    uint64_t windows; /* how often */
    uint32_t bytes;   /* of a payload; CROSSING_BYTES_MAX at most */
};

#define CROSSING_BYTES_MAX 65536

/* What both shards have done for all messages. */
struct crossing_cost {
    uint64_t cpu_ns; /* publishing, and all turns that had something to do */
    uint64_t turns;  /* these */
};

/* `subscribers` on each shard. 0 or -errno; nothing is left to close after a failure. */
int crossing_open(struct crossing_pair **out, uint32_t subscribers);
/* One run. 0 or -errno. */
int crossing_run(struct crossing_pair *pair, const struct crossing_load *load, struct crossing_cost *cost);
void crossing_close(struct crossing_pair *pair);

#endif
