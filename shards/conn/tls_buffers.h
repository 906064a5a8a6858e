/* SPDX-License-Identifier: MIT */
/* Buffers for what TLS connections have to send. They are bounded: when they run out, who needs one waits in line (a
 * handshake is refused), and who has held one without an end of its send for five seconds is cut, so that readers that
 * stop reading hold up no one else for longer. Whoever waits, or has a send in flight, is linked by conn_tls.wait. */
#ifndef RINGCAST_SHARDS_TLS_BUFFERS_H
#define RINGCAST_SHARDS_TLS_BUFFERS_H

#include "core/list.h"
#include "core/pool.h"

struct shard;

/* One shard's. */
struct tls_buffers {
    struct pool pool;
    struct list short_of; /* sessions that wait for a buffer */
    struct list sends;    /* sessions with a send in flight, the oldest first */
    bool ran_short;       /* somebody has asked for a buffer in vain since the last tidying */
};

/* Makes them ready; a shard gets no less than two of the longest sends need. */
void tls_buffers_init(struct tls_buffers *buffers, size_t bytes_max);
/* All buffers have been given back. */
void tls_buffers_destroy(struct tls_buffers *buffers);
/* A buffer for `bytes`, at most POOL_BYTES_MAX. False: there is no memory for it now; counted. */
bool tls_buffers_take(struct shard *shard, size_t bytes, struct buf *out);
/* Gives it back, if there is one, and wakes who waits longest. */
void tls_buffers_give(struct shard *shard, struct buf *buffer);
/* Memory has come back: who has waited longest tries again, and wakes the next unless it was in vain. */
void tls_buffers_resume(struct shard *shard);
/* Once a second: ends those who hold up others, lets memory go that nobody needs. */
void tls_buffers_tidy(struct shard *shard);

#endif
