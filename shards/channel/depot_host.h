/* SPDX-License-Identifier: MIT */
/* A shard's side of depots (ACTION_DEPOT): requests on their way to a depot's thread and back. How many may be under way, and how many bytes,
 * is bounded by shard; connections that find no room wait, each with its one request unread. */
#ifndef RINGCAST_SHARDS_DEPOT_HOST_H
#define RINGCAST_SHARDS_DEPOT_HOST_H

#include "core/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct depot_thread;
struct errand;
struct shard;

#define DEPOT_BYTES_MAX                                                                                                \
    (64U << 20) /* of requests of one shard under way; a single longer one is taken when it is alone */

struct depot_host {
    struct depot_thread *const *threads; /* by dialect, NULL: it has none that is on; NULL: nobody has */
    struct list waiting;                 /* connections, until there is room */
    uint32_t outstanding;
    uint64_t bytes;
};

/* Whether another request may begin; and one has begun, with so many bytes, whose errand is on its way. */
bool depot_host_has_room(const struct shard *shard);
void depot_host_begin(struct shard *shard, size_t bytes);
/* The connection is parked; its actions go on when there is room. */
void depot_host_wait(struct shard *shard, struct conn *conn);
/* ERRAND_DEPOT: answered later; 503 at once where no depot runs. */
void depot_host_request(struct shard *shard, struct errand *errand);
/* A connection that has asked a depot has gone: the depot is told (DEPOT_LEFT) if there is room for that. If not, which is counted, what that
 * depot does about those who are silent has to do. */
void depot_host_left(struct shard *shard, uint8_t dialect, uint64_t connection);
/* Once a turn: answers what has been done. Whether there was anything. */
bool depot_host_take(struct shard *shard);
/* Whether every depot takes requests. Any shard. */
bool depot_host_all_up(const struct shard *shard);
/* Before the shard sleeps: whether something has been done meanwhile. */
bool depot_host_has_answers(const struct shard *shard);

#endif
