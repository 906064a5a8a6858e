/* SPDX-License-Identifier: MIT */
/* Owns who may publish what, and the way of one object from its text to its home. It never interprets an object (the
 * dialect does) and never answers a publisher. Called by ingest_http.c and publisher.c. */
#include "shards/publish/ingest.h"

#include "core/buf.h"
#include "core/limits.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "protocol/token.h"
#include "shards/channel/channel.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/listener.h"
#include "shards/mail/errand.h"
#include "shards/shard.h"

/* --- who may ------------------------------------------------------------------------------------------------------ */

/* In an entry, what stands before the name of a certificate: a word that no request can bring. */
#define CERTIFICATE "certificate:"

/* The key that a request brings, or what its connection's certificate stands for; without data: neither. */
static struct slice credential(const struct conn *conn, const struct http1_request *request, struct buf *memory)
{
    struct slice given;
    if (token_header(request, "X-Ingest-Key", &given))
        return slice_starts(given, slice_text(CERTIFICATE)) ? slice_of(NULL, 0) : given;
    struct slice name = conn_tls_common_name(conn);
    if (name.bytes == 0)
        return slice_of(NULL, 0);
    buf_put_text(memory, CERTIFICATE);
    buf_put(memory, name);
    return memory->overflow ? slice_of(NULL, 0) : buf_slice(memory);
}

int ingest_key(const struct shard *shard, const struct conn *conn, const struct http1_request *request)
{
    uint8_t text[KEY_BYTES_MAX];
    struct buf memory = buf_of(text, sizeof text);
    return grant_find(&shard->config->ingest.grants, credential(conn, request, &memory));
}

struct hash128 ingest_key_name(const struct shard *shard, uint32_t key)
{
    return siphash128(&shard->key, shard->config->ingest.grants.items[key].key);
}

int ingest_key_named(const struct shard *shard, struct hash128 name)
{
    for (uint32_t i = 0; i < shard->config->ingest.grants.count; i++) {
        struct hash128 other = ingest_key_name(shard, i);
        if (other.low == name.low && other.high == name.high)
            return (int)i;
    }
    return -1;
}

bool ingest_permitted(const struct shard *shard, uint32_t key, const struct dialect *dialect, struct slice topic)
{
    const struct grant_list *grants = &shard->config->ingest.grants;
    uint8_t memory[CHANNEL_NAME_BYTES_MAX + 64];
    struct buf name = buf_of(memory, sizeof memory);
    buf_put_text(&name, dialect->name);
    buf_put_byte(&name, '/');
    buf_put(&name, topic);
    /* a reload may have taken the key away */
    return key < grants->count && !name.overflow && grant_covers(&grants->items[key], buf_slice(&name));
}

static bool is_mounted(const struct shard *shard, uint32_t dialect)
{
    for (uint32_t i = 0; i < shard->listeners->count; i++)
        if (shard->listeners->items[i].dialects & 1U << dialect)
            return true;
    return false;
}

int ingest_dialect(const struct shard *shard, struct slice name)
{
    for (uint32_t i = 0; i < shard->config->dialect_count; i++)
        if (dialects[i]->ingest != NULL && slice_is(name, dialects[i]->name) && is_mounted(shard, i))
            return (int)i;
    return -1;
}

/* --- one object --------------------------------------------------------------------------------------------------- */

/* What an object or a question turned into, as an errand; NULL when memory is out. */
static struct errand *errand_of(struct shard *shard, const struct ingest_call *call)
{
    const struct event *event = &call->event;
    struct errand_pool *pool = &shard->errands->pool;
    struct errand *errand;
    if (call->kind == INGEST_PUBLISH) {
        errand = errand_make(pool, ERRAND_PUBLISH, event->channel.bytes + event->payload.bytes + event->key.bytes);
        if (errand == NULL)
            return NULL;
        errand->publish.event = *event;
        errand->publish.event.channel = errand_put(errand, event->channel);
        errand->publish.event.payload = errand_put(errand, event->payload);
        errand->publish.event.key = errand_put(errand, event->key);
    } else if (call->kind == INGEST_REQUEST) {
        errand = errand_make(pool, ERRAND_SUBMIT, call->body.bytes);
        if (errand == NULL)
            return NULL;
        errand->request.kind = call->request_kind;
        errand->request.body = errand_put(errand, call->body);
    } else {
        errand = errand_make(pool, ERRAND_NEWEST, event->channel.bytes);
        if (errand != NULL)
            errand->newest.channel = errand_put(errand, event->channel);
    }
    return errand;
}

static uint16_t destination(const struct shard *shard, uint8_t dialect, const struct ingest_call *call)
{
    /* A dialect with a service has a home_key, so any channel name leads to the service's home. */
    return channel_home(shard, dialect, call->event.channel);
}

static struct ingest_call call_begin(struct shard *shard, uint8_t dialect)
{
    shard->publishers->text = buf_of(shard->publishers->memory, INGEST_TEXT_BYTES);
    return (struct ingest_call){.settings = shard->config->dialects[dialect],
                                .wall_ms = shard->wall_ms,
                                .text = &shard->publishers->text,
                                .field = "",
                                .message = ""};
}

static int ask(struct shard *shard, const struct conn *conn, uint8_t dialect, const struct ingest_call *call,
               uint64_t ticket, struct ingest_refusal *refusal)
{
    struct errand *errand = errand_of(shard, call);
    if (errand == NULL) {
        *refusal = (struct ingest_refusal){.field = "", .message = "Out of memory; try again later"};
        return 429;
    }
    errand->dialect = dialect;
    errand->conn = conn_handle(conn);
    errand->ticket = ticket;
    errand_ask(shard, errand, destination(shard, dialect, call));
    return 0;
}

int ingest_submit(struct shard *shard, const struct conn *conn, const struct ingest_object *object, uint64_t ticket,
                  struct ingest_refusal *refusal)
{
    if (shard->stage_seen != STAGE_RUN) {
        *refusal = (struct ingest_refusal){.field = "", .message = "The server is stopping"};
        return 503;
    }
    struct ingest_call call = call_begin(shard, object->dialect);
    call.binary = object->binary;
    call.json = object->json;
    call.source = object->source;
    call.merge = object->merge;
    int status = dialects[object->dialect]->ingest->take(&call, object->topic, object->body);
    *refusal = (struct ingest_refusal){.field = call.field, .message = call.message};
    if (status == 0 && call.text->overflow) {
        *refusal = (struct ingest_refusal){.field = "", .message = "Object too large"};
        status = 413;
    }
    if (status == 0)
        status = ask(shard, conn, object->dialect, &call, ticket, refusal);
    stats_add(&shard->stats, status == 0 ? STAT_INGEST_ACCEPTED : STAT_INGEST_REFUSED, 1);
    return status;
}

/* --- publishers that are asked ------------------------------------------------------------------------------------ */

static int too_large(const struct ingest_call *call, int status, struct ingest_refusal *refusal)
{
    *refusal = (struct ingest_refusal){.field = call->field, .message = call->message};
    if (status != 0 || !call->text->overflow)
        return status;
    *refusal = (struct ingest_refusal){.field = "", .message = "Object too large"};
    return 413;
}

static int no_memory(struct ingest_refusal *refusal)
{
    *refusal = (struct ingest_refusal){.field = "", .message = "Out of memory; try again later"};
    return 429;
}

int ingest_serve(struct shard *shard, const struct conn *conn, uint8_t dialect, struct slice message,
                 struct ingest_refusal *refusal)
{
    struct ingest_call call = call_begin(shard, dialect);
    int status = too_large(&call, dialects[dialect]->ingest->serve(&call, message), refusal);
    if (status != 0)
        return status;
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_SERVE,
                                        call.event.channel.bytes + call.event.key.bytes + call.body.bytes);
    if (errand == NULL)
        return no_memory(refusal);
    errand->dialect = dialect;
    errand->conn = conn_handle(conn);
    errand->subscribe.channel = errand_put(errand, call.event.channel);
    errand->subscribe.variant = errand_put(errand, call.event.key);
    errand->subscribe.confirm = errand_put(errand, call.body);
    errand_ask(shard, errand, channel_home(shard, dialect, call.event.channel));
    return 0;
}

int ingest_results(struct shard *shard, uint8_t dialect, struct slice message, struct slice channel,
                   struct ingest_refusal *refusal)
{
    struct ingest_call call = call_begin(shard, dialect);
    call.source = channel;
    int status = too_large(&call, dialects[dialect]->ingest->results(&call, message), refusal);
    struct errand *errand = status == 0 ? errand_of(shard, &call) : NULL;
    stats_add(&shard->stats, errand != NULL ? STAT_INGEST_ACCEPTED : STAT_INGEST_REFUSED, 1);
    if (errand == NULL)
        return status != 0 ? status : no_memory(refusal);
    errand->dialect = dialect;
    errand_ask(shard, errand, destination(shard, dialect, &call));
    return 0;
}

int ingest_query(struct shard *shard, const struct conn *conn, uint8_t dialect, struct slice topic,
                 struct ingest_refusal *refusal)
{
    struct ingest_call call = call_begin(shard, dialect);
    int status = dialects[dialect]->ingest->read == NULL ? 404 : dialects[dialect]->ingest->read(&call, topic);
    *refusal = (struct ingest_refusal){.field = "", .message = "Unknown topic"};
    return status != 0 ? status : ask(shard, conn, dialect, &call, 0, refusal);
}
