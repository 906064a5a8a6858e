/* SPDX-License-Identifier: MIT */
/* Owns the waking of a shard by a thread beside the shards: only one that sleeps costs a system call. Called by storage,
 * offload and depots through the functions that they were given. */
#include "shards/process/bell.h"

#include "core/ring.h"
#include "shards/mail/mail.h"
#include "shards/shard.h"

void bell_ring(void *user, uint16_t origin)
{
    struct shard *const *shards = user;
    if (atomic_load_explicit(&shards[origin]->mail->asleep, memory_order_relaxed))
        ring_wake(shards[origin]->ring);
}
