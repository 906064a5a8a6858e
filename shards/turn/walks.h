/* SPDX-License-Identifier: MIT */
/* Walks: what goes over all connections, channels, keys or quotas of a shard, some of them a turn. Each keeps a cursor with what it walks over;
 * all share one phase's budget, and another one begins each turn. */
#ifndef RINGCAST_SHARDS_WALKS_H
#define RINGCAST_SHARDS_WALKS_H

#include <stdbool.h>
#include <stdint.h>

struct shard;

struct walks {
    uint32_t first; /* which walk is the first of this turn */
    /* a reload: */
    bool reloading;
    uint8_t step;
    uint32_t at; /* slot of the audience or connection that is next */
};

/* Takes over a configuration that the server has handed out: what concerns all at once, and begins the walk over all that live by it, at
 * whose end the server is told (shard.config_seen). */
void walks_follow_config(struct shard *shard);
/* Once a second: begins those that come round. */
void walks_begin_second(struct shard *shard);
/* The phase. */
void walks_run(struct shard *shard);
/* Whether some have not come to their end. */
bool walks_left(const struct shard *shard);

#endif
