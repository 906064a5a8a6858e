/* SPDX-License-Identifier: MIT */
/* The storage of a server: one thread and one store for all dialects that keep records. */
#ifndef RINGCAST_SHARDS_KEEPING_H
#define RINGCAST_SHARDS_KEEPING_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct config;
struct shard;
struct storage;

/* Opens the store that the configuration names and makes storage with a port for each shard, which `shards` names by
 * the time that anything is posted. True with *out NULL when no dialect that is on keeps records; false with one line
 * in `why`. */
bool keeping_open(const struct config *config, struct shard *const *shards, uint16_t count, struct storage **out,
                  struct buf *why);
/* All shards have been made. 0 or -errno. */
int keeping_start(struct storage *storage);
/* The shards have ended; their requests are kept and answered, then the thread ends. Waits for the disk. */
void keeping_stop(struct storage *storage);
/* The shards are gone: closes the store. */
void keeping_close(struct storage *storage);

#endif
