/* SPDX-License-Identifier: MIT */
/* Owns the carrying out of a service's effects, and the disk (pure_service.h): records by table and key in one array.
 * It never fails a commit and never tears one: a unit is on the disk or it is not. Used by pure_host.c, pure_client.c
 * and by tests of services that remember. */
#include "tests/support/pure_service.h"

#include "core/check.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the disk ----------------------------------------------------------------------------------------------------- */

/* Below 0, 0 or above: where the record lies, seen from that table and key. */
static int pure_record_order(const struct pure_record *record, uint8_t table, struct slice key)
{
    if (record->table != table)
        return record->table < table ? -1 : 1;
    size_t common = record->key_bytes < key.bytes ? record->key_bytes : key.bytes;
    int order = common == 0 ? 0 : memcmp(record->key, key.data, common);
    if (order != 0)
        return order;
    return record->key_bytes == key.bytes ? 0 : record->key_bytes < key.bytes ? -1 : 1;
}

/* Where the record is, or would be. */
static size_t pure_record_at(const struct pure_host *host, uint8_t table, struct slice key, bool *found)
{
    size_t low = 0, high = host->record_count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = pure_record_order(&host->records[middle], table, key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void pure_record_remove(struct pure_host *host, size_t at)
{
    free(host->records[at].key);
    free(host->records[at].value);
    host->record_count--;
    memmove(&host->records[at], &host->records[at + 1], (host->record_count - at) * sizeof *host->records);
}

static void pure_record_insert(struct pure_host *host, size_t at, const struct effect *effect)
{
    host->records = pure_more(host->records, host->record_count + 1, sizeof *host->records);
    memmove(&host->records[at + 1], &host->records[at], (host->record_count - at) * sizeof *host->records);
    host->record_count++;
    host->records[at] = (struct pure_record){.table = effect->table,
                                             .key = pure_copy(effect->key.data, effect->key.bytes),
                                             .key_bytes = effect->key.bytes,
                                             .value = pure_copy(effect->body.data, effect->body.bytes),
                                             .value_bytes = effect->body.bytes};
}

static void pure_write(struct pure_host *host, const struct effect *effect)
{
    bool found;
    size_t at = pure_record_at(host, effect->table, effect->key, &found);
    host->writes++;
    if (found)
        pure_record_remove(host, at);
    if (effect->kind == EFFECT_PUT)
        pure_record_insert(host, at, effect);
}

void pure_records_free(struct pure_host *host)
{
    while (host->record_count > 0)
        pure_record_remove(host, host->record_count - 1);
    free(host->records);
    host->records = NULL;
}

/* --- units -------------------------------------------------------------------------------------------------------- */

static struct slice pure_slice_copy(struct slice from)
{
    return slice_of(pure_copy(from.data, from.bytes), from.bytes);
}

static void pure_effect_free(struct pure_effect *one)
{
    free((void *)(uintptr_t)one->effect.event.channel.data);
    free((void *)(uintptr_t)one->effect.event.payload.data);
    free((void *)(uintptr_t)one->effect.event.key.data);
    free((void *)(uintptr_t)one->effect.key.data);
    free((void *)(uintptr_t)one->effect.body.data);
}

/* What service.h allows. */
static void pure_check_effect(const struct service *service, const struct effect *effect)
{
    bool record = effect->kind == EFFECT_PUT || effect->kind == EFFECT_DELETE || effect->kind == EFFECT_FETCH;
    check(!record || (effect->key.bytes >= 1 && effect->key.bytes <= SERVICE_KEY_BYTES_MAX));
    check(effect->kind != EFFECT_PUT || effect->body.bytes <= SERVICE_VALUE_BYTES_MAX);
    check(effect->kind != EFFECT_RESTART); /* memory is never out here */
    for (uint8_t table = 0; record && table <= effect->table; table++)
        check(service->tables != NULL && service->tables[table].name != NULL);
}

static void pure_take_effect(struct pure_host *host, struct effect effect)
{
    if (host->effect_count == host->effect_capacity) {
        host->effect_capacity = host->effect_capacity * 2 + 16;
        host->effects = pure_more(host->effects, host->effect_capacity, sizeof *host->effects);
    }
    effect.event.channel = pure_slice_copy(effect.event.channel);
    effect.event.payload = pure_slice_copy(effect.event.payload);
    effect.event.key = pure_slice_copy(effect.event.key);
    effect.key = pure_slice_copy(effect.key);
    effect.body = pure_slice_copy(effect.body);
    host->effects[host->effect_count++] = (struct pure_effect){.effect = effect};
}

void pure_collect(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    struct buf scratch = buf_of(host->scratch, PURE_SCRATCH_BYTES);
    struct effect effect = {0};
    size_t before = host->effect_count;
    while (service->next(host->service, &scratch, &effect)) {
        check(!scratch.overflow);
        pure_check_effect(service, &effect);
        if (host->watch != NULL && host->watch->effect != NULL)
            host->watch->effect(host->watch->context, &effect);
        pure_take_effect(host, effect);
        buf_reset(&scratch);
        effect = (struct effect){0};
    }
    if (host->effect_count > before)
        host->effects[host->effect_count - 1].ends_unit = true;
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

/* A copy of exactly its size goes in, and is gone as soon as the service may not look at it any more. */
static void pure_fetch(struct pure_host *host, const struct effect *effect)
{
    bool found;
    size_t at = pure_record_at(host, effect->table, effect->key, &found);
    struct slice value = found ? slice_of(host->records[at].value, host->records[at].value_bytes) : slice_text("");
    uint8_t *copy = pure_exact(value);
    host->dialect->service->fetched(host->service, effect->ticket, found ? 200 : 404, slice_of(copy, value.bytes),
                                    host->now_ms, pure_wall_ms(host));
    pure_collect(host);
    free(copy);
}

/* The dialect of the connection goes on from the answer. */
static void pure_answer_conn(struct pure_host *host, struct pure_conn *conn, int status, struct slice body)
{
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    struct dialect_reply reply = {.tag = conn->asked_tag, .status = status, .body = body};
    conn->asked = 0;
    host->dialect->replied(&call, &reply);
    pure_apply(host, conn, out);
}

/* Whoever has asked may be gone. */
static void pure_answer(struct pure_host *host, uint64_t ticket, int status, struct slice body)
{
    if (host->watch != NULL && host->watch->answer != NULL)
        host->watch->answer(host->watch->context, status, body);
    for (uint32_t i = 0; i < host->conn_count; i++)
        if (host->conns[i].asked == ticket) {
            pure_answer_conn(host, &host->conns[i], status, body);
            return;
        }
    if (ticket != host->asked)
        return;
    host->asked = 0;
    host->answer_status = status;
    buf_put(host->answer, body);
}

static void pure_happen(struct pure_host *host, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PUBLISH:
        pure_publish(host, &effect->event);
        break;
    case EFFECT_REPLY:
        pure_answer(host, effect->ticket, effect->status, effect->body);
        break;
    case EFFECT_FETCH:
        pure_fetch(host, effect);
        break;
    case EFFECT_PUT:
    case EFFECT_DELETE: /* before all else of its unit: pure_commit */
    case EFFECT_RESTART:
        break;
    }
}

/* The transaction of the unit that begins there. */
static void pure_commit(struct pure_host *host, size_t from)
{
    for (size_t i = from; i < host->effect_count; i++) {
        const struct effect *effect = &host->effects[i].effect;
        if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_DELETE)
            pure_write(host, effect);
        if (host->effects[i].ends_unit)
            return;
    }
}

/* A service that remembers may have been told of a listener, which has no effects but by its timer. */
static void pure_timer_if_due(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    if (service->tables == NULL || service->due(host->service) > host->now_ms)
        return;
    service->timer(host->service, host->now_ms, pure_wall_ms(host));
    pure_collect(host);
}

void pure_pump(struct pure_host *host)
{
    bool begins = true;
    if (host->pumping || host->hold)
        return;
    host->pumping = true;
    for (size_t at = 0;;) {
        if (at == host->effect_count)
            pure_timer_if_due(host);
        if (at == host->effect_count)
            break;
        if (begins)
            pure_commit(host, at);
        struct pure_effect one = host->effects[at++]; /* the array may move */
        begins = one.ends_unit;
        pure_happen(host, &one.effect);
        pure_effect_free(&one);
    }
    host->effect_count = 0;
    host->pumping = false;
}

void pure_hold(struct pure_host *host, bool hold)
{
    host->hold = hold;
    pure_pump(host);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* With the ticket that the answer comes to. */
static void pure_request_service(struct pure_host *host, uint64_t ticket, uint32_t kind, struct slice body)
{
    uint8_t *copy = pure_exact(body); /* it is good until the last effect has been taken */
    struct service_request request = {.kind = kind,
                                      .body = slice_of(copy, body.bytes),
                                      .ticket = ticket,
                                      .now_ms = host->now_ms,
                                      .wall_ms = pure_wall_ms(host)};
    struct actions *spare = pure_actions(host); /* for its text: so much memory is dear to make */
    struct buf *reply = &spare->text;
    reply->capacity = PURE_SCRATCH_BYTES;
    int status = host->dialect->service->request(host->service, &request, reply);
    check(!reply->overflow && (status != SERVICE_LATER || host->dialect->service->tables != NULL));
    pure_collect(host);
    free(copy);
    pure_pump(host);
    if (status != SERVICE_LATER)
        pure_answer(host, ticket, status, buf_slice(reply));
    pure_actions_free(host, spare);
}

void pure_ask_from(struct pure_host *host, struct pure_conn *conn, uint32_t tag, uint32_t kind, struct slice body)
{
    check(conn->asked == 0); /* a session asks one thing at a time */
    conn->asked = ++host->tickets;
    conn->asked_tag = tag;
    pure_request_service(host, conn->asked, kind, body);
}

int pure_ask(struct pure_host *host, uint32_t kind, struct slice body, struct buf *reply)
{
    check(host->asked == 0 && !host->hold);
    host->asked = ++host->tickets;
    host->answer = reply;
    pure_request_service(host, host->asked, kind, body);
    check(host->asked == 0 && !reply->overflow); /* answered */
    return host->answer_status;
}

/* --- lives -------------------------------------------------------------------------------------------------------- */

static void pure_load(struct pure_host *host, uint8_t table)
{
    const char *why = "";
    for (size_t i = 0; i < host->record_count; i++) {
        const struct pure_record *record = &host->records[i];
        if (record->table != table)
            continue;
        if (host->dialect->service->load(host->service, table, slice_of(record->key, record->key_bytes),
                                         slice_of(record->value, record->value_bytes), &why) != 0) {
            fprintf(stderr, "%s: a record of table %u does not load: %s\n", host->dialect->name, table, why);
            abort();
        }
    }
}

void pure_service_begin(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    host->service = pure_memory(service->state_bytes);
    if (service->open(host->service, host->settings) != 0)
        abort();
    if (service->tables == NULL)
        return;
    for (uint8_t table = 0; service->tables[table].name != NULL; table++)
        if (service->tables[table].indexed)
            pure_load(host, table);
    service->loaded(host->service, host->now_ms, pure_wall_ms(host));
    pure_collect(host);
    pure_pump(host);
}

void pure_service_end(struct pure_host *host)
{
    while (host->effect_count > 0)
        pure_effect_free(&host->effects[--host->effect_count]);
    free(host->effects);
    host->effects = NULL;
    host->effect_capacity = 0;
    host->dialect->service->close(host->service);
    free(host->service);
    host->service = NULL;
}

void pure_crash(struct pure_host *host)
{
    for (uint32_t i = 0; i < host->conn_count; i++)
        if (host->conns[i].session != NULL)
            pure_end(host, &host->conns[i]);
    pure_service_end(host);
    host->hold = false;
    pure_service_begin(host);
    if (host->depot != NULL)
        pure_depot_life(host->depot, host->now_ms, pure_wall_ms(host));
}
