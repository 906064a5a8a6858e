/* SPDX-License-Identifier: MIT */
/* Owns the assertion of what holds for a whole shard between two turns. It never changes anything and never looks at
 * another shard. Called by the simulation every few steps, by unit tests after every turn, and by the fuzz harness of
 * the server.
 *
 *   parts     conn_check, frame_check, pins_check, channels_check, audiences_check and quotas_check hold.
 *   queues    a connection is marked dirty exactly when one of the two flush queues names it, once.
 *   waiting   a connection waits in at most one list, and in `doomed` only inside a delivery.
 *   accounts  messages x receivers: expected = delivered + dropped + in flight; and in flight is what outboxes hold.
 *   tls       handshakes, buffers and waiting sessions are what a count of the connections finds (conn_tls.h).
 *   gauges    connections, sessions, subscriptions, channels and classes are what a count finds. */
#include "core/check.h"
#include "core/work.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

struct census {
    uint64_t messages, memberships, sessions;
    uint32_t dirty, waiting;
    uint32_t handshaking, buffers, sends, short_of;
};

static uint64_t stat(const struct shard *shard, enum stat_id id)
{
    return stats_get(&shard->stats, id);
}

static void count_tls(const struct conn *conn, struct census *census)
{
    const struct conn_tls *tls = conn->tls;
    census->handshaking += list_linked(&tls->unfinished);
    census->buffers += tls->waiting.data != NULL;
    census->buffers += tls->sending.data != NULL;
    census->sends += conn->sending;
    census->short_of += list_linked(&tls->wait) && !conn->sending;
}

static void check_connections(const struct shard *shard, struct census *census)
{
    uint32_t cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;) {
        conn_check(shard, conn);
        census->messages += conn->outbox.all.messages;
        census->memberships += conn->session.memberships;
        census->sessions += conn->state == CONN_OPEN && conn->role == ROLE_SESSION;
        census->dirty += conn->dirty;
        census->waiting += list_linked(&conn->wait);
        if (conn->tls != NULL)
            count_tls(conn, census);
    }
}

static void check_queue(const struct flush_queue *queue)
{
    check_op(queue->count, <=, queue->capacity);
    check(queue->head == 0 || queue->count > 0);
    for (uint32_t i = 0; i < queue->count; i++) {
        const struct conn *conn = queue->places[(queue->head + i) % queue->capacity];
        check(conn != NULL && conn->dirty);
    }
}

static uint32_t list_count(const struct list *list)
{
    uint32_t count = 0;
    for (const struct list_node *node = list_first(list); node != NULL; node = list_next(list, node))
        count++;
    return count;
}

static void check_accounts(const struct shard *shard, const struct census *census)
{
    uint64_t dropped =
        stat(shard, STAT_DROPPED_SLOW) + stat(shard, STAT_DROPPED_CONFLATED) + stat(shard, STAT_DROPPED_CLOSED);
    check_op(stat(shard, STAT_EXPECTED), ==, stat(shard, STAT_DELIVERED) + dropped + stat(shard, STAT_IN_FLIGHT));
    check_op(stat(shard, STAT_IN_FLIGHT), ==, census->messages);
    check_op(stat(shard, STAT_CONNECTIONS), ==, shard->conns->slab.count_live);
    check_op(stat(shard, STAT_SESSIONS), ==, census->sessions);
    check_op(stat(shard, STAT_SUBSCRIPTIONS), ==, census->memberships);
    check_op(stat(shard, STAT_CHANNELS), ==, shard->channels->map.count);
    check_op(stat(shard, STAT_CLASSES), ==, shard->channels->classes.count_live);
}

static void check_tls(const struct tls_side *side, const struct census *census)
{
    check_op(side->handshaking, ==, census->handshaking);
    check_op(side->buffers.pool.taken, ==, census->buffers);
    check_op(list_count(&side->buffers.sends), ==, census->sends);
    check_op(list_count(&side->buffers.short_of), ==, census->short_of);
}

void shard_check(const struct shard *shard)
{
    struct census census = {0};
    check_connections(shard, &census);
    check_queue(&shard->flush->express);
    check_queue(&shard->flush->bulk);
    check_op(census.dirty, ==, shard->flush->express.count + shard->flush->bulk.count);
    check(list_empty(&shard->conns->doomed));
    check_op(census.waiting, ==,
             list_count(&shard->conns->starved) + list_count(&shard->conns->parked) +
                 list_count(&shard->conns->yielded) + list_count(&shard->depots->waiting));
    check_accounts(shard, &census);
    check_tls(shard->tls, &census);
    for (unsigned i = 0; i < FRAME_MEMORIES; i++)
        frame_check(&shard->frames[i]);
    pins_check(shard);
    channels_check(shard);
    audiences_check(shard);
    quotas_check(shard->quotas);
}
