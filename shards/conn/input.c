/* SPDX-License-Identifier: MIT */
/* Owns the budget of incomplete input and the choice of who ends when it is used up. It never holds a byte and never
 * reads one. Called by conn_read and by roles that gather bodies, whenever they grow. */
#include "shards/conn/input.h"

#include "core/limits.h"
#include "core/stats.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/shard.h"

#define BYTES_MIN (2U * WS_MESSAGE_BYTES_MAX) /* of a shard: the longest message, in memory that has just doubled */
#define LOOKED_AT_MAX 4096                    /* connections, in one search */

static size_t bytes_max(const struct shard *shard)
{
    size_t share = shard->config->server.input_memory_bytes / shard->count;
    if (shard->conns->input.bytes_max != 0)
        return shard->conns->input.bytes_max;
    return share < BYTES_MIN ? BYTES_MIN : share;
}

static size_t held_by(const struct conn *conn)
{
    const struct conn_input *input = conn->input;
    size_t held = input == NULL ? 0 : sizeof *input + input->capacity + input->stash_capacity;
    return held + (conn_role(conn)->held == NULL ? 0 : conn_role(conn)->held(conn));
}

/* What it holds, times the seconds for which nothing has come. */
static uint64_t claim_against(const struct shard *shard, const struct conn *conn)
{
    return held_by(conn) * (1 + (shard->now_ms - conn->received_ms) / 1000);
}

/* Of the connections that come next, and hold no less than the mean of all, the one that holds most for the longest;
 * NULL: none. */
static struct conn *largest_holder(struct shard *shard)
{
    struct conns *conns = shard->conns;
    struct conn *largest = NULL;
    size_t mean = conns->input_bytes / (conns->slab.count_live + 1);
    uint64_t most = 0;
    for (uint32_t n = 0, wraps = 0; n < LOOKED_AT_MAX && n < conns->slab.count_live && wraps < 2; n++) {
        struct conn *conn = slab_next(&conns->slab, &conns->input.at, NULL);
        if (conn == NULL) {
            conns->input.at = 0;
            wraps++;
            continue;
        }
        if (conn->state == CONN_DYING || held_by(conn) < mean || claim_against(shard, conn) <= most)
            continue;
        largest = conn;
        most = claim_against(shard, conn);
    }
    return largest;
}

static void make_room(struct shard *shard, size_t bytes)
{
    struct conns *conns = shard->conns;
    if (conns->input_bytes <= bytes_max(shard))
        conns->input.mark = bytes_max(shard);
    if (conns->input_bytes + bytes <= conns->input.mark)
        return;
    conns->input.mark = conns->input_bytes + bytes;
    struct conn *holder = largest_holder(shard);
    if (holder == NULL)
        return;
    conns->input.mark += held_by(holder);
    stats_add(&shard->stats, STAT_INPUT_CUT, 1);
    conn_terminate(shard, holder, CLOSE_OVERLOAD);
}

bool input_take(struct shard *shard, struct conn *conn, size_t bytes)
{
    make_room(shard, bytes);
    if (shard->conns->input_bytes + bytes > 2 * bytes_max(shard))
        conn_terminate(shard, conn, CLOSE_MEMORY);
    if (conn->state == CONN_DYING)
        return false;
    shard->conns->input_bytes += bytes;
    return true;
}

void input_give(struct shard *shard, size_t bytes)
{
    shard->conns->input_bytes -= bytes;
}
