/* SPDX-License-Identifier: MIT */
/* Owns the making and the end of a shard: the block of its parts, their memory and their order. It never turns one.
 * Called by the server, the simulation, the harnesses and the meters. */
#include "shards/turn/shard_parts.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/ring.h"
#include "core/work.h"
#include "shards/config/settings.h"
#include "shards/turn/shard_tick.h"

#include <stdlib.h>

#define SECOND_MS 1000
#define OUTBOX_NODES_PER_CONNECTION 64

/* The block with every part in its place, zeroed but for what need not be. */
static struct shard *make_block(void)
{
    struct shard_parts *parts = aligned_alloc(64, (sizeof *parts + 63) & ~(size_t)63);
    if (parts == NULL)
        return NULL;
    memset(parts, 0, offsetof(struct shard_parts, flush));
    parts->flush.express = parts->flush.bulk = (struct flush_queue){0};
    parts->flush.outbox_pool = (struct outbox_pool){0};
    parts->flush.vectors_used = 0;
    parts->sessions.text = parts->text;
    parts->sessions.actions = &parts->actions;
    parts->tls.scratch = &parts->tls_scratch;
    struct shard *shard = &parts->shard;
    shard->work = &parts->work;
    shard->flight = &parts->flight;
    shard->wheel = &parts->wheel;
    shard->frames = parts->frames;
    shard->idle = &parts->idle;
    shard->mail = &parts->mail;
    shard->errands = &parts->errands;
    shard->quotas = &parts->quotas;
    shard->conns = &parts->conns;
    shard->listeners = &parts->listeners;
    shard->flush = &parts->flush;
    shard->answers = &parts->answers;
    shard->progress = &parts->progress;
    shard->tls = &parts->tls;
    shard->pins = &parts->pins;
    shard->codec = &parts->codec;
    shard->audiences = &parts->audiences;
    shard->channels = &parts->channels;
    shard->services = &parts->services;
    shard->depots = &parts->depots;
    shard->sessions = &parts->sessions;
    shard->publishers = &parts->publishers;
    shard->turn = &parts->turn;
    shard->scratch = parts->scratch;
    return shard;
}

static void init_lists(struct shard *shard)
{
    list_init(&shard->conns->starved);
    list_init(&shard->conns->parked);
    list_init(&shard->conns->yielded);
    list_init(&shard->conns->doomed);
    list_init(&shard->depots->waiting);
    list_init(&shard->publishers->acking);
}

static uint32_t connections_max(const struct shard_options *options)
{
    uint64_t share = options->config->server.connections_max / options->count;
    if (share > CONNECTIONS_PER_SHARD_MAX)
        share = CONNECTIONS_PER_SHARD_MAX;
    return share == 0 ? 1 : (uint32_t)share;
}

static bool flush_queue_init(struct flush_queue *queue, uint32_t capacity)
{
    *queue = (struct flush_queue){.places = calloc(capacity, sizeof *queue->places), .capacity = capacity};
    return queue->places != NULL;
}

static bool init_parts(struct shard *shard, const struct shard_options *options)
{
    uint32_t connections = connections_max(options);
    shard->publishers->memory = malloc(INGEST_TEXT_BYTES);
    shard->listeners->items = calloc(options->listener_count, sizeof *shard->listeners->items);
    if (shard->publishers->memory == NULL || shard->listeners->items == NULL)
        return false;
    memcpy(shard->listeners->items, options->listeners, options->listener_count * sizeof *shard->listeners->items);
    shard->listeners->count = options->listener_count;
    frame_memory_init(shard->frames, shard->number, shard->count,
                      options->config->server.frame_memory_bytes / shard->count);
    answers_init(shard, connections);
    outbox_pool_init(&shard->flush->outbox_pool,
                     connections > UINT32_MAX / 2 / OUTBOX_NODES_PER_CONNECTION
                         ? UINT32_MAX
                         : connections * OUTBOX_NODES_PER_CONNECTION + 4 * OUTBOX_SLICES_MAX,
                     shard->number, shard->idle);
    errands_init(shard->errands, shard->number);
    errands_settings(shard->errands, shard->config->ingest.outstanding_max,
                     shard->config->ingest.outstanding_bytes_max);
    quotas_init(shard->quotas, shard->key);
    return slab_init(&shard->conns->slab, sizeof(struct conn), connections) == 0 &&
           conn_tls_init(shard, options->ticket_secret, options->started_s) &&
           progress_init(shard->progress, connections) && flush_queue_init(&shard->flush->express, connections) &&
           flush_queue_init(&shard->flush->bulk, connections) && pins_init(shard->pins, shard->count) == 0 &&
           audiences_init(shard->audiences, shard->count) == 0 && channels_init(shard->channels, shard->key) == 0 &&
           mailbox_init(shard->mail, shard->count) == 0 && conn_tls_configure(shard);
}

struct shard *shard_create(const struct shard_options *options)
{
    struct shard *shard = make_block();
    if (shard == NULL)
        return NULL;
    shard->number = options->number;
    shard->count = options->count;
    shard->process = options->process;
    shard->all = options->all;
    shard->key = options->key;
    shard->ring = options->ring;
    shard->offload = options->offload;
    shard->depots->threads = options->depots;
    shard->config = options->config;
    atomic_store(&shard->config_next, options->config);
    atomic_store(&shard->config_seen, options->config);
    shard->now_ms = clock_monotonic_ns() / 1000000;
    shard->turn->last_ms = shard->now_ms;
    shard->wall_ms = clock_wall_ms();
    atomic_store(&shard->beat_ms, shard->now_ms);
    work_begin_turn(shard->work);
    init_lists(shard);
    wheel_init(shard->wheel, shard->now_ms);
    if (!init_parts(shard, options) || !service_host_begin(shard, options->storage)) {
        shard_destroy(shard);
        return NULL;
    }
    wheel_set(shard->wheel, &shard->turn->second, shard->now_ms + SECOND_MS);
    for (uint32_t i = 0; i < shard->listeners->count; i++)
        listener_arm(shard, &shard->listeners->items[i]);
    return shard;
}

void shard_destroy(struct shard *shard)
{
    service_host_destroy(shard);
    if (shard->conns->slab.object_bytes != 0) {
        channels_destroy(shard);
        audiences_destroy(shard->audiences, shard->count);
        slab_destroy(&shard->conns->slab);
        pins_destroy(shard->pins);
        quotas_destroy(shard->quotas);
    }
    if (shard->tls->tickets != NULL)
        conn_tls_destroy(shard);
    progress_destroy(shard->progress);
    codec_destroy(shard->codec);
    mailbox_destroy(shard->mail, shard->count);
    errands_destroy(shard->errands);
    outbox_pool_destroy(&shard->flush->outbox_pool);
    for (unsigned i = 0; i < FRAME_MEMORIES; i++)
        if (shard->frames[i].shards > 0)
            frame_memory_destroy(&shard->frames[i]);
    free(shard->flush->express.places);
    free(shard->flush->bulk.places);
    free(shard->listeners->items);
    free(shard->publishers->memory);
    free(shard);
}
