/* SPDX-License-Identifier: MIT */
/* Owns the states of the services whose home is this shard. It never knows what a service does: it carries requests in and
 * publishes the events that come out. Called by home (requests), channel (interest) and a reload. */
#include "shards/channel/service_host.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/stats.h"
#include "core/wheel.h"
#include "protocol/dialect.h"
#include "protocol/service.h"
#include "shards/channel/channel.h"
#include "shards/config/settings.h"
#include "shards/mail/errand.h"
#include "shards/shard.h"

#include <stdlib.h>

/* An event or reply holds at most one ingested object and its wrapping. Untouched pages of it cost nothing. */
#define SERVICE_SCRATCH_BYTES (INGEST_BODY_BYTES_MAX + (64U << 10))

/* After each call of a service: when it wants to be called next. */
static void set_timer(struct shard *shard, uint8_t dialect)
{
    const struct service *service = dialects[dialect]->service;
    if (service->due == NULL)
        return;
    uint64_t due_ms = service->due(shard->services->states[dialect]);
    if (due_ms == UINT64_MAX)
        wheel_cancel(shard->wheel, &shard->services->timers[dialect]);
    else
        wheel_set(shard->wheel, &shard->services->timers[dialect], due_ms);
}

static void *service_state(struct shard *shard, uint8_t dialect)
{
    struct service_host *host = shard->services;
    const struct service *service = dialects[dialect]->service;
    if (host->states[dialect] != NULL)
        return host->states[dialect];
    if (host->scratch == NULL && (host->scratch = malloc(SERVICE_SCRATCH_BYTES)) == NULL)
        return NULL;
    void *state = calloc(1, service->state_bytes);
    if (state == NULL)
        return NULL;
    if (service->open(state, shard->config->dialects[dialect]) != 0) {
        free(state);
        return NULL;
    }
    host->states[dialect] = state;
    set_timer(shard, dialect);
    return state;
}

/* A message for the channel found no frame memory: those who miss it are told by a close. */
static void close_listeners(struct shard *shard, struct channel *channel, const struct event *event)
{
    struct event close = *event;
    uint32_t receivers;
    close.payload = slice_of(NULL, 0);
    close.close_code = WS_CLOSE_TRY_LATER;
    close.close_reason = "try again later";
    fanout_publish(shard, channel, &close, &receivers);
}

/* Publishes all that the service yields; false when frame memory was exhausted on the way. */
static bool publish_events(struct shard *shard, uint8_t dialect, void *state)
{
    const struct service *service = dialects[dialect]->service;
    struct buf scratch = buf_of(shard->services->scratch, SERVICE_SCRATCH_BYTES);
    struct event event;
    bool complete = true;
    while (buf_reset(&scratch), service_next_event(service, state, &scratch, &event)) {
        check(!scratch.overflow);
        struct channel *channel = channel_find(shard, dialect, event.channel);
        uint32_t receivers;
        if (channel == NULL) {
            stats_add(&shard->stats, STAT_PUBLISHED, 1);
        } else if (fanout_publish(shard, channel, &event, &receivers) != 202) {
            close_listeners(shard, channel, &event);
            complete = false;
        }
    }
    return complete;
}

void service_host_request(struct shard *shard, struct errand *errand)
{
    errand->status = 503;
    void *state = service_state(shard, errand->dialect);
    if (state == NULL)
        return;
    const struct service *service = dialects[errand->dialect]->service;
    struct service_request request = {
        .kind = errand->request.kind, .body = errand->request.body, .now_ms = shard->now_ms, .wall_ms = shard->wall_ms};
    struct buf reply = buf_of(shard->services->scratch, SERVICE_SCRATCH_BYTES);
    errand->status = service->request(state, &request, &reply);
    check(!reply.overflow);
    if (reply.used > 0)
        errand->reply = malloc(reply.used);
    if (errand->reply != NULL) {
        memcpy(errand->reply, reply.data, reply.used);
        errand->reply_bytes = reply.used;
    } else if (errand->status == 200) {
        errand->status = 503; /* no content is not the content that there is */
    }
    if (!publish_events(shard, errand->dialect, state))
        errand->status = 429;
    set_timer(shard, errand->dialect);
}

bool service_host_on_timer(struct shard *shard, struct wheel_timer *timer)
{
    struct service_host *host = shard->services;
    if (timer < host->timers || timer >= host->timers + DIALECTS_MAX)
        return false;
    uint8_t dialect = (uint8_t)(timer - host->timers);
    dialects[dialect]->service->timer(host->states[dialect], shard->now_ms, shard->wall_ms);
    publish_events(shard, dialect, host->states[dialect]);
    set_timer(shard, dialect);
    return true;
}

bool service_host_interest(struct shard *shard, uint8_t dialect, struct slice channel, struct slice variant, bool added)
{
    const struct service *service = dialects[dialect]->service;
    if (service == NULL || service->interest == NULL)
        return true;
    void *state = service_state(shard, dialect);
    if (state == NULL)
        return false;
    service->interest(state, channel, variant, added);
    set_timer(shard, dialect);
    return true;
}

void service_host_settings(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->config->dialect_count; i++) {
        if (shard->services->states[i] != NULL) {
            dialects[i]->service->settings(shard->services->states[i], shard->config->dialects[i]);
            set_timer(shard, (uint8_t)i);
        }
    }
}

void service_host_destroy(struct shard *shard)
{
    for (uint32_t i = 0; i < DIALECTS_MAX; i++) {
        if (shard->services->states[i] == NULL)
            continue;
        dialects[i]->service->close(shard->services->states[i]);
        free(shard->services->states[i]);
    }
    free(shard->services->scratch);
}
