/* SPDX-License-Identifier: MIT */
/* The deadline of sends that do not move. A send ends when the peer's side has taken all of it; one that has not ended
 * for `send_timeout`, and a second more for each 16 KiB of it, ends its connection. Nothing is noted when a send
 * begins: a walk over all connections, some in each turn, sees the same send again. */
#ifndef RINGCAST_SHARDS_PROGRESS_H
#define RINGCAST_SHARDS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shard;

/* A send that was seen: the connection's, with what had been sent before it. */
struct sighting {
    uint64_t bytes_out;
    uint32_t generation;
    uint32_t since_ms;
};

/* One shard's. */
struct progress {
    struct sighting *seen; /* [slot of the connection]; pages that no stalled send has touched take no memory */
    uint32_t at;
    bool walking;
    uint64_t next_ms; /* round */
};

bool progress_init(struct progress *progress, uint32_t connections_max);
void progress_destroy(struct progress *progress);
/* Each turn: goes on with the round, and begins the next one when it is time. */
void progress_go_on(struct shard *shard);
/* The shard had no turn for so long, and so nobody's sends could end. */
void progress_absent(struct shard *shard, uint64_t ms);

#endif
