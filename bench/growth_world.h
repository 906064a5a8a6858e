/* SPDX-License-Identifier: MIT */
/* Several whole shards that turn in one thread, over a kernel that costs nothing (null_kernel.c): what they cost each
 * other and what grows with their channels can be counted without threads, sockets or a machine of that size. */
#ifndef RINGCAST_GROWTH_WORLD_H
#define RINGCAST_GROWTH_WORLD_H

#include "core/ring.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

/* Where every connection listens from its first request on (meter_request). */
#define GROWTH_COMMON "c"

struct growth_world {
    struct config *config;
    struct ring *rings[SHARDS_MAX];
    struct shard *shards[SHARDS_MAX];
    uint16_t count;
    uint32_t connected; /* on all shards */
};

/* Each shard may have so many connections. `retain`: messages that each channel keeps. 0 or -errno. The world must stay
 * where it is, and ends with the process: to close a million channels in order would take longer than all that is
 * measured. */
int growth_world_open(struct growth_world *world, uint16_t shards, uint32_t conns_max, uint32_t retain);

/* `count` more connections on one shard, all of them listeners of GROWTH_COMMON; the n-th ever made there has slot n. 0
 * or -errno. */
int growth_world_connect(struct growth_world *world, uint16_t shard, uint32_t count);
/* The home of a channel. */
uint16_t growth_world_home(const struct growth_world *world, struct slice channel);

/* What a dialect's row of actions would do for the connection in that slot; the next turns go on with it. */
struct conn *growth_conn(struct growth_world *world, uint16_t shard, uint32_t slot);
void growth_subscribe(struct shard *shard, struct conn *conn, const struct slice *channels, uint32_t count);
void growth_unsubscribe(struct shard *shard, struct conn *conn, struct slice channel);
/* Asks the home, which is this shard, to publish. */
void growth_publish(struct shard *home, struct slice channel, struct slice payload);

/* The sum over all shards. */
uint64_t growth_sum(const struct growth_world *world, enum stat_id stat);
/* Every shard takes turns until that sum has come to `wanted`; ends the program when it does not. */
void growth_await(struct growth_world *world, enum stat_id stat, uint64_t wanted);

#endif
