/* SPDX-License-Identifier: MIT */
/* Owns the operator's pages: health and metrics. It changes nothing and reads other shards only through statistics. Called by
 * conn_read through its role (requests on the admin listener). */
#include "core/check.h"
#include "core/clock.h"
#include "protocol/http1.h"
#include "shards/process/server.h"
#include "shards/shard.h"

#include <stdlib.h>

/* A shard whose last tick is older is stuck: it ticks at least once a second. */
#define ALIVE_MS 5000

static bool all_alive(const struct shard *shard)
{
    for (uint16_t i = 0; i < shard->count; i++) {
        uint64_t beat = atomic_load_explicit(&shard->all[i]->beat_ms, memory_order_relaxed);
        if (beat + ALIVE_MS < shard->now_ms)
            return false;
    }
    return true;
}

static void respond_state(struct shard *shard, struct conn *conn, bool good, const char *otherwise)
{
    const char *content = good ? "{\"status\":\"ok\"}" : otherwise;
    conn_respond(shard, conn, good ? 200 : 503, "application/json", "Cache-Control: no-store\r\n", slice_text(content));
}

static void respond_metrics(struct shard *shard, struct conn *conn)
{
    const struct stats *all[SHARDS_MAX];
    struct buf out = buf_of(shard->scratch, sizeof shard->scratch);
    for (uint16_t i = 0; i < shard->count; i++)
        all[i] = &shard->all[i]->stats;
    stats_print(all, shard->count, &out);
    if (shard->server != NULL)
        server_print_metrics(shard->server, &out);
    check(!out.overflow);
    conn_respond(shard, conn, 200, "text/plain; version=0.0.4; charset=utf-8", "", buf_slice(&out));
}

/* role.request */
static void on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    if (request->chunked || request->content_length > 0)
        conn->keep_alive = false;
    if (!slice_is(request->method, "GET") && !slice_is(request->method, "HEAD"))
        conn_refuse(shard, conn, 405, "Allow: GET, HEAD\r\n", "Method not allowed");
    else if (slice_is(request->path, "/health/live"))
        respond_state(shard, conn, all_alive(shard), "{\"status\":\"stuck\"}");
    else if (slice_is(request->path, "/health/ready") || slice_is(request->path, "/health"))
        respond_state(shard, conn, shard->stage_seen == STAGE_RUN, "{\"status\":\"draining\"}");
    else if (slice_is(request->path, "/healthz"))
        respond_state(shard, conn, true, "");
    else if (slice_is(request->path, "/metrics"))
        respond_metrics(shard, conn);
    else
        conn_refuse(shard, conn, 404, "", "Not found");
}

const struct conn_role operator_role = {
    .request = on_request,
    .operates = true,
};
