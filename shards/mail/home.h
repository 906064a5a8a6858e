/* SPDX-License-Identifier: MIT */
/* Where things with an identity live that must be exact over all shards: a channel, a service, a counter. Each has a
 * name, a keyed hash, and the name has one home, the same as every shard sees it. */
#ifndef RINGCAST_SHARDS_HOME_H
#define RINGCAST_SHARDS_HOME_H

#include "core/bytes.h"
#include "core/siphash.h"

struct shard;

/* The name of something: its kind (a letter), a dialect, and bytes. */
struct hash128 home_name(const struct shard *shard, char kind, uint8_t dialect, struct slice bytes);
/* The shard that is its home. */
uint16_t home_of(const struct shard *shard, struct hash128 name);

#endif
