/* SPDX-License-Identifier: MIT */
/* Owns the units of services that keep records: copies of what they yield, and the requests to storage that are made
 * of it. It posts nothing and says nothing. Called by service_life. */
#include "shards/channel/service_unit.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "shards/storage/storage.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(DIALECTS_MAX <= STORAGE_STREAMS_MAX, "a stream each");
_Static_assert(SERVICE_KEY_BYTES_MAX <= STORE_KEY_BYTES_MAX && SERVICE_VALUE_BYTES_MAX <= STORE_VALUE_BYTES_MAX,
               "what a service may keep a store takes");

struct storage_request *service_request_make(const struct service_stream *stream, int kind, uint8_t table)
{
    struct storage_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    request->kind = (enum storage_kind)kind;
    request->table = (uint8_t)(stream->table_first + table);
    request->stream = stream->number;
    request->life = stream->life;
    return request;
}

void service_request_free(struct storage_request *request)
{
    if (request == NULL)
        return;
    unit_release(&request->unit);
    free(request);
}

static void held_free(struct service_stream *stream, struct held *held)
{
    stream->held_bytes -= held->bytes;
    free(held);
}

void service_unit_free(struct service_stream *stream, struct service_unit *unit)
{
    if (list_linked(&unit->node))
        list_remove(&unit->node);
    while (unit->first != NULL) {
        struct held *held = unit->first;
        unit->first = held->next;
        held_free(stream, held);
    }
    if (!unit->posted)
        service_request_free(unit->request); /* else it comes home */
    free(unit);
}

/* Copies an effect behind what the unit has to say. 0 or -ENOMEM. */
static int hold(struct service_stream *stream, struct service_unit *unit, const struct effect *effect)
{
    const struct event *event = &effect->event;
    size_t bytes = sizeof(struct held) + event->channel.bytes + event->payload.bytes + event->key.bytes +
                   effect->key.bytes + effect->body.bytes;
    struct held *held = malloc(bytes);
    if (held == NULL)
        return -ENOMEM;
    struct buf text = buf_of(held->data, bytes - sizeof *held);
    *held = (struct held){.effect = *effect, .bytes = bytes};
    struct slice *slices[] = {&held->effect.event.channel, &held->effect.event.payload, &held->effect.event.key,
                              &held->effect.key, &held->effect.body};
    for (unsigned i = 0; i < sizeof slices / sizeof slices[0]; i++) {
        size_t from = text.used;
        buf_put(&text, *slices[i]);
        *slices[i] = buf_since(&text, from);
    }
    check(!text.overflow);
    if (unit->last == NULL)
        unit->first = held;
    else
        unit->last->next = held;
    unit->last = held;
    stream->held_bytes += bytes;
    return 0;
}

/* Adds a record to what the unit wants kept. 0 or -ENOMEM. */
static int keep(struct service_stream *stream, struct service_unit *unit, const struct effect *effect)
{
    if (unit->request == NULL && (unit->request = service_request_make(stream, STORAGE_COMMIT, 0)) == NULL)
        return -ENOMEM;
    uint8_t table = (uint8_t)(stream->table_first + effect->table);
    int error = effect->kind == EFFECT_PUT ? unit_put(&unit->request->unit, table, effect->key, effect->body)
                                           : unit_delete(&unit->request->unit, table, effect->key);
    check(error == 0 || error == -ENOMEM);
    unit->request->owner = unit;
    return error;
}

int service_unit_take(struct service_stream *stream, struct service_unit *unit, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PUT:
    case EFFECT_DELETE:
        return keep(stream, unit, effect);
    case EFFECT_PUBLISH:
    case EFFECT_REPLY:
    case EFFECT_FETCH:
        return hold(stream, unit, effect);
    case EFFECT_RESTART:
        break;
    }
    return -ENOMEM;
}

void service_unit_said(struct service_stream *stream, struct service_unit *unit)
{
    struct held *held = unit->first;
    unit->first = held->next;
    if (unit->first == NULL)
        unit->last = NULL;
    held_free(stream, held);
}
