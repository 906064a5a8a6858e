/* SPDX-License-Identifier: MIT */
/* The depots of a server: one thread for each dialect that keeps files and is served. */
#ifndef RINGCAST_SHARDS_DEPOTS_H
#define RINGCAST_SHARDS_DEPOTS_H

#include "core/buf.h"
#include "core/limits.h"

struct config;
struct depot_thread;
struct shard;

struct depots {
    struct depot_thread *threads[DIALECTS_MAX]; /* NULL: that dialect has none */
    bool running;
};

/* Opens what they keep. `shards` need not be made yet, and stay where they are. False: a line in `why`. */
bool depots_open(struct depots *depots, const struct config *config, struct shard *const *shards, uint16_t count,
                 struct buf *why);
/* False: a thread cannot be started; a line in `why`. */
bool depots_start(struct depots *depots, struct buf *why);
/* Finishes what is under way, and ends the threads; the shards turn no more. */
void depots_close(struct depots *depots);

#endif
