/* SPDX-License-Identifier: MIT */
/* Owns the search for sends that do not move, in rounds over all connections. It never touches what is sent and knows
 * no other deadline. Called by the shard in each turn. */
#include "shards/conn/progress.h"

#include "core/stats.h"
#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/shard.h"

#include <stdlib.h>

#define LOOKED_AT_MAX 1024 /* connections a turn */
#define ROUNDS 8           /* in the shortest send_timeout: how late a send is found out at most */
#define ROUND_MS_MIN 100
#define BYTES_PER_SECOND_MIN 16384

bool progress_init(struct progress *progress, uint32_t connections_max)
{
    *progress = (struct progress){.seen = calloc(connections_max, sizeof *progress->seen)};
    return progress->seen != NULL;
}

void progress_destroy(struct progress *progress)
{
    free(progress->seen);
    progress->seen = NULL;
}

static uint64_t bytes_of_send(const struct conn *conn)
{
    return conn->tls != NULL ? conn->tls->sending.used : conn->outbox.inflight.bytes;
}

/* What ends has deadlines of its own. */
static bool is_watched(const struct conn *conn)
{
    return conn->sending && (conn->state == CONN_HTTP || conn->state == CONN_OPEN);
}

/* A WebSocket whose peer may be silent for longer may also leave unread for as long: what waits for it is bounded, and on a channel
 * that conflates it is promised the newest when it comes back (C-57, K-15). */
static uint64_t timeout_of(const struct shard *shard, const struct conn *conn)
{
    uint64_t timeout_ms = shard->config->server.send_timeout_ms;
    uint64_t for_bytes_ms = bytes_of_send(conn) * 1000 / BYTES_PER_SECOND_MIN;
    if (conn->state != CONN_OPEN)
        return timeout_ms == 0 ? UINT64_MAX : timeout_ms + for_bytes_ms;
    struct role_limits limits = conn_role(conn)->limits(shard, conn);
    if (limits.send_timeout_ms != 0)
        return limits.send_timeout_ms; /* N-12 */
    if (timeout_ms == 0)
        return UINT64_MAX;
    return (limits.idle_timeout_ms > timeout_ms ? limits.idle_timeout_ms : timeout_ms) + for_bytes_ms;
}

/* The shortest that anybody has; 0: nobody has one. */
static uint64_t shortest(const struct config *config)
{
    uint64_t least_ms = config->server.send_timeout_ms;
    for (uint8_t i = 0; i < config->dialect_count; i++) {
        uint64_t own_ms = config_dialect(config, i)->send_timeout_ms;
        if (own_ms != 0 && (least_ms == 0 || own_ms < least_ms))
            least_ms = own_ms;
    }
    return least_ms;
}

static void look_at(struct shard *shard, struct conn *conn)
{
    struct sighting *seen = &shard->progress->seen[conn->index];
    uint32_t now_ms = (uint32_t)shard->now_ms;
    if (seen->generation != conn->generation || seen->bytes_out != conn->bytes_out || seen->since_ms == 0) {
        *seen = (struct sighting){.bytes_out = conn->bytes_out, .generation = conn->generation, .since_ms = now_ms | 1};
        return;
    }
    uint64_t allowed = timeout_of(shard, conn);
    if ((int32_t)(now_ms - seen->since_ms) >= 0 && now_ms - seen->since_ms >= allowed)
        conn_terminate(shard, conn, CLOSE_SEND_TIMEOUT);
}

void progress_go_on(struct shard *shard)
{
    struct progress *progress = shard->progress;
    if (!progress->walking && shard->now_ms < progress->next_ms)
        return;
    if (!progress->walking) {
        uint64_t timeout_ms = shortest(shard->config);
        progress->next_ms = shard->now_ms + 1000;
        if (timeout_ms == 0)
            return;
        progress->walking = true;
        progress->at = 0;
        progress->next_ms = shard->now_ms + (timeout_ms / ROUNDS > ROUND_MS_MIN ? timeout_ms / ROUNDS : ROUND_MS_MIN);
    }
    struct conn *conn;
    for (uint32_t n = 0; n < LOOKED_AT_MAX; n++) {
        if ((conn = slab_next(&shard->conns->slab, &progress->at, NULL)) == NULL) {
            progress->walking = false;
            return;
        }
        if (is_watched(conn))
            look_at(shard, conn);
    }
}

void progress_absent(struct shard *shard, uint64_t ms)
{
    uint32_t cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;)
        if (is_watched(conn) && shard->progress->seen[conn->index].since_ms != 0)
            shard->progress->seen[conn->index].since_ms += (uint32_t)ms;
}
