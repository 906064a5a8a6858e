/* SPDX-License-Identifier: MIT */
/* Owns the order and the pace of the closes of a drain. It never decides when the stages of a stop come (process/server.c) nor
 * what is said in a close (the roles do). Called by shard_tick. */
#include "shards/turn/farewell.h"

#include "shards/note.h"
#include "shards/turn/shard_parts.h"

#define CLOSES_MAX 1024 /* a turn */
#define STEP_MS 10      /* between two lots */

static void close_one(struct shard *shard, struct conn *conn)
{
    if (shard->stage_seen == STAGE_STOP)
        conn_terminate(shard, conn, CLOSE_SHUTDOWN);
    else if (conn_role(conn)->operates)
        return; /* operators are answered to the end */
    else if (conn->state == CONN_OPEN)
        conn_close(shard, conn, CLOSE_SHUTDOWN, 0, NULL);
    else if (conn->state == CONN_HTTP && !conn->parked)
        conn_finish(shard, conn, CLOSE_SHUTDOWN);
}

/* Places of the order that are due by now, rounded up: the first one at once, all of them at the end of the time. */
static uint32_t count_due(const struct shard *shard, const struct farewell *farewell)
{
    uint32_t count = shuffle_count(&farewell->order);
    uint64_t passed_ms = shard->now_ms - farewell->begun_ms;
    if (passed_ms >= farewell->spread_ms)
        return count;
    return (uint32_t)(((unsigned __int128)count * passed_ms + farewell->spread_ms - 1) / farewell->spread_ms);
}

static void close_due(struct shard *shard, struct farewell *farewell)
{
    const struct slab *slab = &shard->conns->slab;
    uint32_t due = count_due(shard, farewell);
    for (uint32_t n = 0; n < CLOSES_MAX && farewell->place < due; n++) {
        uint32_t index = shuffle_at(&farewell->order, farewell->place++), cursor = index, found;
        struct conn *conn = index < slab->count_made ? slab_next(slab, &cursor, &found) : NULL;
        if (conn != NULL && found == index)
            close_one(shard, conn);
    }
    if (farewell->place < shuffle_count(&farewell->order))
        wheel_set(shard->wheel, &farewell->timer, shard->now_ms + (farewell->place < due ? 1 : STEP_MS));
}

static void close_rest(struct shard *shard, struct farewell *farewell)
{
    struct conn *conn;
    for (uint32_t n = 0; n < CLOSES_MAX; n++) {
        if ((conn = slab_next(&shard->conns->slab, &farewell->rest_at, NULL)) == NULL)
            return;
        close_one(shard, conn);
    }
}

void farewell_begin(struct shard *shard)
{
    struct farewell *farewell = &shard->turn->farewell;
    uint32_t slots = shard->conns->slab.count_made;
    shuffle_init(&farewell->order, slots > 0 ? slots : 1, shard->key.k0 ^ shard->number);
    farewell->begun_ms = shard->now_ms;
    farewell->spread_ms = atomic_load_explicit(&shard->farewell_ms, memory_order_relaxed);
    farewell->place = shard->stage_seen == STAGE_STOP ? shuffle_count(&farewell->order) : 0;
    farewell->rest_at = 0;
    wheel_cancel(shard->wheel, &farewell->timer);
}

void farewell_go_on(struct shard *shard)
{
    struct farewell *farewell = &shard->turn->farewell;
    if (farewell->place < shuffle_count(&farewell->order))
        close_due(shard, farewell);
    else
        close_rest(shard, farewell);
    stats_set(&shard->stats, STAT_DRAIN_LEFT, atomic_load_explicit(&shard->conns->clients, memory_order_relaxed));
}

void farewell_again(struct shard *shard)
{
    shard->turn->farewell.rest_at = 0;
}
