/* SPDX-License-Identifier: MIT */
/* A session: a connection that speaks a dialect (the role session_role). It counts messages against the limits, calls
 * the dialect, and carries out its actions in order, waiting where an action has to ask a home. */
#ifndef RINGCAST_SHARDS_SESSION_H
#define RINGCAST_SHARDS_SESSION_H

#include "core/limits.h"

#include <stdatomic.h>
#include <stdint.h>

struct actions;
struct errand;
struct shard;

/* A shard's. */
struct sessions {
    /* of each dialect, read by all shards */
    _Atomic uint64_t open[DIALECTS_MAX];
    _Atomic uint64_t counts[DIALECTS_MAX][CENSUS_COUNTS]; /* once a second, of dialects with a census */
    /* scratch memory of one call of a dialect */
    struct actions *actions;
    uint64_t recent_counts[CENSUS_COUNTS]; /* summed over the shards */
    uint8_t *text;                         /* SCRATCH_BYTES, for what the actions refer to */
    /* those that are being closed because the service of their dialect has begun a new life */
    uint32_t closing;    /* bit i: of dialects[i] */
    uint32_t closing_at; /* cursor */
};

/* An answered ERRAND_SUBSCRIBE. */
void session_on_subscribed(struct shard *shard, struct errand *errand);
/* The answer to an ACTION_REQUEST or ACTION_CENSUS. */
void session_on_reply(struct shard *shard, struct errand *errand);
/* ERRAND_CENSUS: appends this shard's sessions of the errand's dialect. */
void session_describe_all(struct shard *shard, struct errand *errand);
/* Each turn: goes on closing the sessions of dialects whose service has begun a new life. */
void session_close_some(struct shard *shard);
/* Once a second: what the sessions of each dialect count up to, for dialect_call.recent_counts. */
void session_count_all(struct shard *shard);

#endif
