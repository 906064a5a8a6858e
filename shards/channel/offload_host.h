/* SPDX-License-Identifier: MIT */
/* What a session wants computed long (ACTION_WORK): on its way to the offload thread and back. */
#ifndef RINGCAST_SHARDS_OFFLOAD_HOST_H
#define RINGCAST_SHARDS_OFFLOAD_HOST_H

#include <stdbool.h>

struct errand;
struct shard;

/* ERRAND_WORK: dialect.work gets the body. Answered later; 503 at once when too many are under way. The body is
 * wiped. */
void offload_host_work(struct shard *shard, struct errand *errand);
/* Once a turn: answers what has been done. Whether there was anything. */
bool offload_host_take(struct shard *shard);
/* Before the shard sleeps: whether something has been done meanwhile. */
bool offload_host_has_answers(const struct shard *shard);

#endif
