/* SPDX-License-Identifier: MIT */
/* A session: a connection that speaks a dialect (the role session_role). It counts messages against the limits, calls
 * the dialect, and carries out its actions in order, waiting where an action has to ask a home. */
#ifndef RINGCAST_SHARDS_SESSION_H
#define RINGCAST_SHARDS_SESSION_H

#include "core/limits.h"

#include "core/map.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct actions;
struct errand;
struct shard;

/* A shard's. */
struct sessions {
    /* of each dialect, read by all shards */
    _Atomic uint64_t open[DIALECTS_MAX];
    _Atomic uint64_t counts[DIALECTS_MAX][CENSUS_COUNTS]; /* once a second, of dialects with a census */
    /* the count of this second, as far as it has come */
    uint64_t counted[DIALECTS_MAX][CENSUS_COUNTS];
    uint32_t count_at;
    bool counting;
    /* a reload: the names of the keys that there are now (session_reload.c) */
    struct map names;
    struct hash128 *name_memory;
    uint32_t name_count, name_at;
    uint8_t name_dialect;
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
/* The answer to an ACTION_REQUEST, ACTION_CENSUS or ACTION_WORK. */
void session_on_reply(struct shard *shard, struct errand *errand);
/* ERRAND_CENSUS: appends this shard's sessions of the errand's dialect, as many as the phase has work left for; the next call goes on,
 * until errand.census.walked. */
void session_describe_all(struct shard *shard, struct errand *errand);
/* Once a second: what the sessions of each dialect count up to, for dialect_call.recent_counts. Begins a walk, goes on with it. */
void session_count_begin(struct shard *shard);
void session_count_go_on(struct shard *shard);
/* After a reload, before the sessions are asked again (role.reload): names the keys of all dialects, so that each session costs a look-up
 * however many keys there are. False: not all of them yet. */
void session_reload_begin(struct shard *shard);
bool session_reload_keys(struct shard *shard);
void session_reload_end(struct shard *shard);
/* Each turn: goes on closing the sessions of dialects whose service has begun a new life. */
void session_close_some(struct shard *shard);

#endif
