/* SPDX-License-Identifier: MIT */
/* Owns the states of the services whose home is this shard. It never knows what a service does: it carries requests
 * in and lets happen what comes out. Called by the table of errands (requests), channel (interest), shard_tick and a
 * reload. */
#include "shards/channel/service_host.h"

#include "core/check.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "protocol/service.h"
#include "shards/channel/channel.h"
#include "shards/channel/service_life.h"
#include "shards/config/settings.h"
#include "shards/mail/errand.h"
#include "shards/shard.h"

#include <stdlib.h>

static bool keeps_records(uint8_t dialect)
{
    return dialects[dialect]->service->tables != NULL;
}

/* --- for both kinds ----------------------------------------------------------------------------------------------- */

void service_set_timer(struct shard *shard, uint8_t dialect)
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

bool service_publish(struct shard *shard, uint8_t dialect, const struct event *event)
{
    struct channel *channel = channel_find(shard, dialect, event->channel);
    uint32_t receivers;
    if (channel == NULL) {
        stats_add(&shard->stats, STAT_PUBLISHED, 1);
        return true;
    }
    if (fanout_publish(shard, channel, event, &receivers) == 202)
        return true;
    close_listeners(shard, channel, event);
    return false;
}

void service_fill(struct errand *errand, int status, struct slice reply)
{
    errand->status = status;
    if (reply.bytes == 0)
        return;
    errand->reply = malloc(reply.bytes);
    if (errand->reply != NULL) {
        memcpy(errand->reply, reply.data, reply.bytes);
        errand->reply_bytes = reply.bytes;
    } else if (status == 200) {
        errand->status = 503; /* no content is not the content that there is */
    }
}

/* A session's answer has its place in the deliveries: behind what was published before it, which is mailed first, and
 * before what comes after it. A publisher's leaves when what was published in this turn is in all mailboxes. */
void service_answer(struct shard *shard, struct errand *errand)
{
    if (errand->kind == ERRAND_REQUEST) {
        fanout_flush(shard);
        errand_answer(shard, errand);
    } else {
        errand_answer_behind(shard, errand);
    }
}

/* --- services that answer at once --------------------------------------------------------------------------------- */

static void *service_state(struct shard *shard, uint8_t dialect)
{
    struct service_host *host = shard->services;
    const struct service *service = dialects[dialect]->service;
    if (host->states[dialect] != NULL || keeps_records(dialect))
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
    service_set_timer(shard, dialect);
    return state;
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
        complete &= service_publish(shard, dialect, &event);
    }
    return complete;
}

static void ask(struct shard *shard, struct errand *errand)
{
    void *state = service_state(shard, errand->dialect);
    errand->status = 503;
    if (state == NULL)
        return;
    const struct service *service = dialects[errand->dialect]->service;
    struct service_request request = {
        .kind = errand->request.kind, .body = errand->request.body, .now_ms = shard->now_ms, .wall_ms = shard->wall_ms};
    struct buf reply = buf_of(shard->services->scratch, SERVICE_SCRATCH_BYTES);
    int status = service->request(state, &request, &reply);
    check(!reply.overflow);
    service_fill(errand, status, buf_slice(&reply));
    if (!publish_events(shard, errand->dialect, state))
        errand->status = 429;
    service_set_timer(shard, errand->dialect);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

bool service_host_begin(struct shard *shard, struct storage *storage)
{
    shard->services->storage = storage;
    return service_lives_begin(shard);
}

void service_host_destroy(struct shard *shard)
{
    struct service_host *host = shard->services;
    service_lives_destroy(shard);
    for (uint32_t i = 0; i < DIALECTS_MAX; i++) {
        if (host->states[i] == NULL)
            continue;
        dialects[i]->service->close(host->states[i]);
        free(host->states[i]);
    }
    free(host->scratch);
    free(host->reply);
}

void service_host_request(struct shard *shard, struct errand *errand)
{
    struct service_life *life = shard->services->lives[errand->dialect];
    if (life != NULL) {
        service_life_request(shard, life, errand);
        return;
    }
    ask(shard, errand);
    service_answer(shard, errand);
}

bool service_host_interest(struct shard *shard, uint8_t dialect, struct slice channel, struct slice variant, bool added)
{
    const struct service *service = dialects[dialect]->service;
    if (service == NULL || service->interest == NULL)
        return true;
    void *state = service_state(shard, dialect);
    if (state == NULL)
        return keeps_records(dialect); /* its next life is told when it begins */
    service->interest(state, channel, variant, added);
    service_set_timer(shard, dialect);
    return true;
}

bool service_host_on_timer(struct shard *shard, struct wheel_timer *timer)
{
    struct service_host *host = shard->services;
    if (timer < host->timers || timer >= host->timers + DIALECTS_MAX)
        return false;
    uint8_t dialect = (uint8_t)(timer - host->timers);
    if (host->lives[dialect] != NULL) {
        service_life_timer(shard, host->lives[dialect]);
        return true;
    }
    dialects[dialect]->service->timer(host->states[dialect], shard->now_ms, shard->wall_ms);
    publish_events(shard, dialect, host->states[dialect]);
    service_set_timer(shard, dialect);
    return true;
}

void service_host_settings(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->config->dialect_count; i++) {
        if (shard->services->states[i] != NULL) {
            dialects[i]->service->settings(shard->services->states[i], shard->config->dialects[i]);
            service_set_timer(shard, (uint8_t)i);
        }
    }
}
