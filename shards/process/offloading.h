/* SPDX-License-Identifier: MIT */
/* The thread for long work of a server: whether one is needed, and how a shard is woken for an answer. */
#ifndef RINGCAST_SHARDS_OFFLOADING_H
#define RINGCAST_SHARDS_OFFLOADING_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct offload;
struct shard;

/* *out is NULL when no dialect that is served has long work. `shards` need not be made yet, and stay where they are. False:
 * memory is out. */
bool offloading_open(const struct config *config, struct shard *const *shards, uint16_t count, struct offload **out);
/* Ends the thread, if it `runs`, and lets go what nobody waits for any more. NULL: nothing to do. */
void offloading_close(struct offload *offload, bool runs);

#endif
