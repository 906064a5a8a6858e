/* SPDX-License-Identifier: MIT */
/* Owns the order of the walks, and the one of a reload. It never knows what is done at a place of a walk: the parts do, and keep their cursors.
 * Called by shard_tick. */
#include "shards/turn/walks.h"

#include "core/work.h"
#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/note.h"
#include "shards/turn/shard_parts.h"

/* ---- a reload ---- */

enum step { STEP_KEYS, STEP_AUDIENCES, STEP_CHANNELS, STEP_CONNECTIONS, STEPS };

void walks_follow_config(struct shard *shard)
{
    const struct config *next = atomic_load_explicit(&shard->config_next, memory_order_acquire);
    if (next == shard->config)
        return;
    shard->config = next;
    shard_note(shard, FLIGHT_RELOAD, shard->number, shard->conns->slab.count_live, 0);
    errands_settings(shard->errands, next->ingest.outstanding_max, next->ingest.outstanding_bytes_max);
    conn_tls_configure(shard);
    service_host_settings(shard);
    session_reload_begin(shard);
    shard->turn->walks.reloading = true;
    shard->turn->walks.step = STEP_KEYS;
    shard->turn->walks.at = 0;
}

static bool walk_audiences(struct shard *shard, uint32_t *at)
{
    struct audience *audience = NULL;
    while (work_left(shard->work) && (audience = slab_next(&shard->audiences->slab, at, NULL)) != NULL) {
        work_spend(shard->work, WORK_LOOK, 1);
        audience->outbox_bytes_max = config_dialect(shard->config, audience->dialect)->outbox_bytes_max;
    }
    return audience == NULL && work_left(shard->work);
}

static bool walk_connections(struct shard *shard, uint32_t *at)
{
    struct conn *conn = NULL;
    while (work_left(shard->work) && (conn = slab_next(&shard->conns->slab, at, NULL)) != NULL) {
        work_spend(shard->work, WORK_ASK, 1);
        conn_settings(shard, conn);
    }
    return conn == NULL && work_left(shard->work);
}

/* Whether the step has come to its end. */
static bool take_step(struct shard *shard, struct walks *walks)
{
    switch ((enum step)walks->step) {
    case STEP_KEYS:
        return session_reload_keys(shard);
    case STEP_AUDIENCES:
        return walk_audiences(shard, &walks->at);
    case STEP_CHANNELS:
        return channels_settings(shard);
    case STEP_CONNECTIONS:
        return walk_connections(shard, &walks->at);
    case STEPS:
        break;
    }
    return false;
}

static void reload(struct shard *shard)
{
    struct walks *walks = &shard->turn->walks;
    while (walks->reloading && take_step(shard, walks)) {
        walks->at = 0;
        if (++walks->step < STEPS)
            continue;
        walks->reloading = false;
        session_reload_end(shard);
        stats_add(&shard->stats, STAT_RELOADS, 1);
        atomic_store_explicit(&shard->config_seen, shard->config, memory_order_release);
    }
}

/* ---- all of them ---- */

static void (*const walks[])(struct shard *shard) = {
    reload, conn_cut_go_on, errands_go_on, session_count_go_on, quotas_sweep, channels_sweep,
};
#define WALKS (sizeof walks / sizeof walks[0])

void walks_begin_second(struct shard *shard)
{
    channels_begin_sweep(shard);
    quotas_begin_sweep(shard->quotas);
    session_count_begin(shard);
}

void walks_run(struct shard *shard)
{
    if (!walks_left(shard) && shard->channels->sweep_left == 0)
        return;
    uint32_t first = shard->turn->walks.first++;
    work_begin_phase(shard->work, PHASE_WALKS);
    for (uint32_t i = 0; i < WALKS && work_left(shard->work); i++)
        walks[(first + i) % WALKS](shard);
}

bool walks_left(const struct shard *shard)
{
    return shard->turn->walks.reloading || shard->conns->cut_count > 0 || !list_empty(&shard->errands->tours) ||
           shard->sessions->counting || shard->quotas->left > 0;
}
