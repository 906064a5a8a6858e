/* SPDX-License-Identifier: MIT */
/* Whole shards for meters: sockets that are established already become their connections and subscribers of one channel
 * of `plain`, to which the meter publishes. The calling thread is the shard's. */
#ifndef RINGCAST_METER_SHARD_H
#define RINGCAST_METER_SHARD_H

#include "core/ring.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

struct meter_shard {
    struct config *config; /* of the first one: of all */
    struct ring *ring;
    struct shard *shard;
    uint16_t home;      /* shard at which the channel lives */
    struct shard **all; /* of the first one: the row that all look into */
};

/* What a peer sends to become a subscriber. */
extern const char meter_request[];

/* For at most `conns` connections. `sets`: "key=value" settings, NULL-terminated, or NULL. 0 or -errno;
 * meter_shard_close in any case. */
int meter_shard_open(struct meter_shard *meter, uint32_t conns, const char *const *sets);
void meter_shard_close(struct meter_shard *meter);
/* Several that post to each other, each for at most `conns` connections; to be closed together. */
int meter_shards_open(struct meter_shard *meters, uint16_t count, uint32_t conns, const char *const *sets);
void meter_shards_close(struct meter_shard *meters, uint16_t count);
/* Takes a descriptor over, as if it had been accepted from the n-th peer. 0 or -errno. */
int meter_shard_adopt(struct meter_shard *meter, int descriptor, uint32_t n);
/* Turns until a counter has come to `wanted`. 0 or -ETIME. */
int meter_shard_await(struct meter_shard *meter, enum stat_id stat, uint64_t wanted);
/* Publishes one message; the next turns deliver it. 0 or -ENOMEM. */
int meter_shard_publish(struct meter_shard *meter, struct slice payload);

#endif
