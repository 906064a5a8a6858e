/* SPDX-License-Identifier: MIT */
/* Places that must be exact over all shards: connections and attempts per address and per key. Each name (a keyed hash,
 * so no secret is stored) is counted at its home; a shard asks by mail and is answered by mail. */
#ifndef RINGCAST_SHARDS_QUOTA_H
#define RINGCAST_SHARDS_QUOTA_H

#include "core/bucket.h"
#include "core/map.h"
#include "core/slab.h"

struct shard;
struct mail;

/* A kind of the server's own, beside those of the dialects: connections of one peer, counted from accept on. */
#define QUOTA_PEER 5

struct quota {
    struct hash128 name; /* key in the map; the kind is part of it */
    uint32_t held;
    struct bucket attempts;
    uint64_t window_ms;
};

struct quotas {
    struct map map;
    size_t sweep; /* cursor */
    size_t left;  /* entries still to be looked at in this second */
};

void quotas_init(struct quotas *quotas, struct siphash_key key);
void quotas_destroy(struct quotas *quotas);

/* Pure core, for the home: whether a place is granted at `now_ms`. ATTEMPTS kinds are counted whether granted or
 * not. */
bool quota_take(struct quotas *quotas, struct hash128 name, uint8_t kind, uint32_t limit, uint64_t window_ms,
                uint64_t now_ms);
void quota_give(struct quotas *quotas, struct hash128 name);
/* Forgets names that hold nothing and whose window is over. Looks at `budget` entries at most, going on where it
 * stopped. */
void quota_sweep(struct quotas *quotas, uint32_t budget, uint64_t now_ms);

/* Once a second a round over an eighth of them begins; each turn goes on with some. */
void quotas_begin_sweep(struct quotas *quotas);
void quotas_sweep(struct shard *shard);

/* Asserts what holds for all names counted here (quota.c says what). */
void quotas_check(const struct quotas *quotas);

/* Asks the home; MAIL_ACQUIRED comes back with `conn`. */
void quota_acquire(struct shard *shard, struct handle conn, struct hash128 name, uint8_t kind, uint32_t limit,
                   uint64_t window_ms);
void quota_release(struct shard *shard, struct hash128 name);

#endif
