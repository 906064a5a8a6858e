/* SPDX-License-Identifier: MIT */
/* Making, turning and ending a shard, for its thread (process/server.c), the simulation, the harnesses and the meters:
 *
 *   shard_create ... while (shard_tick(shard, true)) ; ... shard_destroy */
#ifndef RINGCAST_SHARDS_SHARD_TICK_H
#define RINGCAST_SHARDS_SHARD_TICK_H

#include "shards/shard.h"

struct listener;
struct depot_thread;
struct offload;
struct storage;

/* What a shard is made from. */
struct shard_options {
    uint16_t number, count;
    const struct process_state *process; /* or NULL */
    struct shard *const *all;
    struct siphash_key key;
    uint8_t ticket_secret[32]; /* the same in all shards, and so is the time from which it counts */
    uint64_t started_s;
    struct ring *ring;                /* owned by the shard from now on */
    const struct config *config;      /* owned by the server */
    const struct listener *listeners; /* templates, copied; each socket already listening or RING_SOCKET_NONE */
    uint32_t listener_count;
    struct storage *storage;            /* for services that keep records; NULL: there is none */
    struct offload *offload;            /* for what computes long; NULL: that is done at once */
    struct depot_thread *const *depots; /* of each dialect, or NULL; NULL: there are none */
};

/* A shard on the heap, or NULL when memory is out. */
struct shard *shard_create(const struct shard_options *options);
/* After its last tick; all connections have ended. */
void shard_destroy(struct shard *shard);

/* One turn: completions, mail, timers, flush, then submit and wait. Waits at most until something is to be done, not at
 * all when `may_wait` is false. Each phase is bounded. False: the shard has stopped and is not to be ticked again. */
bool shard_tick(struct shard *shard, bool may_wait);

/* Asserts what holds for it and all its parts between two turns (shard_check.c). */
void shard_check(const struct shard *shard);

#endif
