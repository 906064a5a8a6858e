/* SPDX-License-Identifier: MIT */
/* Owns the pooled buffers of a shard's TLS connections: who gets one, who waits for one, and who is cut for holding one
 * that others need. It never looks into a buffer. Called by conn_tls and, once a second, by the shard. */
#include "core/list.h"
#include "core/stats.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/shard.h"

/* Of each shard: the longest send, and short ones beside it. With less it would wait for ever. */
#define BYTES_MIN (2 * POOL_BYTES_MAX)
/* A send that has not ended for so long is to a peer that does not read. */
#define STALL_MS 5000

void tls_buffers_init(struct tls_buffers *buffers, size_t bytes_max)
{
    pool_init(&buffers->pool, bytes_max < BYTES_MIN ? BYTES_MIN : bytes_max);
    list_init(&buffers->short_of);
    list_init(&buffers->sends);
}

void tls_buffers_destroy(struct tls_buffers *buffers)
{
    pool_destroy(&buffers->pool);
}

void tls_buffers_resume(struct shard *shard)
{
    struct list_node *node = list_pop_front(&shard->tls->buffers.short_of);
    if (node == NULL)
        return;
    struct conn_tls *tls = list_entry(node, struct conn_tls, wait);
    tls->woken = true;
    conn_mark_dirty(shard, tls->conn, true);
}

bool tls_buffers_take(struct shard *shard, size_t bytes, struct buf *out)
{
    if (pool_take(&shard->tls->buffers.pool, bytes, out))
        return true;
    shard->tls->buffers.ran_short = true;
    stats_add(&shard->stats, STAT_TLS_BUFFERS_SHORT, 1);
    return false;
}

void tls_buffers_give(struct shard *shard, struct buf *buffer)
{
    if (buffer->data == NULL)
        return;
    pool_give(&shard->tls->buffers.pool, buffer);
    tls_buffers_resume(shard);
}

/* Ends those who hold buffers that others need. */
static void cut_stalled(struct shard *shard)
{
    const struct list *sends = &shard->tls->buffers.sends;
    for (struct list_node *node = list_first(sends), *next; node != NULL; node = next) {
        const struct conn_tls *tls = list_entry(node, struct conn_tls, wait);
        next = list_next(sends, node);
        if (shard->now_ms - tls->begun_ms < STALL_MS)
            break;
        if (tls->conn->state != CONN_DYING) {
            stats_add(&shard->stats, STAT_SLOW_CUT, 1);
            conn_terminate(shard, tls->conn, CLOSE_SLOW);
        }
    }
}

void tls_buffers_tidy(struct shard *shard)
{
    struct tls_buffers *buffers = &shard->tls->buffers;
    if (buffers->ran_short || !list_empty(&buffers->short_of))
        cut_stalled(shard);
    buffers->ran_short = false;
    pool_trim(&buffers->pool);
    stats_set(&shard->stats, STAT_TLS_BUFFER_BYTES, buffers->pool.bytes);
}
