/* SPDX-License-Identifier: MIT */
/* Short ways to talk to the dialect emprops in memory, and to its hub without sessions. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_EMPROPS_HUB_TALK_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_EMPROPS_HUB_TALK_H

#include "protocol/dialects/emprops/hub.h"
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/json.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- over the dialect --------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static inline void say(struct pure_host *host, uint32_t conn, const char *format,
                                                             ...)
{
    static char text[65536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pure_send_text(host, conn, text);
}

/* The member of the text as it is written, strings without quotes; "" when it is not there. Good until 8 calls
 * later. */
static inline const char *member_of(const char *text, const char *name)
{
    static char values[8][4096];
    static unsigned at;
    char *value = values[at++ % 8];
    struct json_member found = {.name = name};
    value[0] = '\0';
    if (json_find_members(slice_text(text), JSON_DEPTH_MAX, false, &found, 1) == JSON_MEMBERS_OK &&
        found.token != JSON_ERROR) {
        struct slice shown = found.token == JSON_STRING || found.token == JSON_NUMBER ? found.raw : found.text;
        snprintf(value, sizeof values[0], "%.*s", (int)shown.bytes, (const char *)shown.data);
    }
    return value;
}

/* The next message must be of that type; its text. Pings of the server are passed over. */
static inline const char *take(struct pure_host *host, uint32_t conn, const char *type)
{
    const char *text;
    do {
        text = pure_take_text(host, conn);
    } while (strcmp(member_of(text, "type"), "ping") == 0 && strcmp(type, "ping") != 0);
    cr_assert_str_eq(member_of(text, "type"), type, "connection %u: %.300s", conn, text);
    return text;
}

static inline void take_none(struct pure_host *host, uint32_t conn)
{
    cr_assert_str_eq(pure_take_text(host, conn), "(nothing)");
}

static inline void come(struct pure_host *host, uint32_t conn)
{
    cr_assert_eq(pure_connect(host, conn, "/", ""), 101);
    take(host, conn, "connection_established");
}

static inline void come_client(struct pure_host *host, uint32_t conn, const char *id)
{
    come(host, conn);
    say(host, conn, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"%s\"}", id);
    take(host, conn, "client_registered");
}

static inline void come_worker(struct pure_host *host, uint32_t conn, const char *id, const char *more)
{
    come(host, conn);
    say(host, conn, "{\"type\":\"register_worker\",\"worker_id\":\"%s\",\"capabilities\":{\"services\":[]}%s}", id,
        more);
    take(host, conn, "worker_registered");
}

/* Submits and gives the id of the job, good until 256 submissions later. */
static inline const char *submit(struct pure_host *host, uint32_t conn, const char *more)
{
    static char ids[256][32];
    static unsigned at;
    char *id = ids[at++ % 256];
    say(host, conn, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}%s}", more);
    snprintf(id, sizeof ids[0], "%s", member_of(take(host, conn, "job_accepted"), "job_id"));
    return id;
}

static inline void claim(struct pure_host *host, uint32_t conn)
{
    say(host, conn, "{\"type\":\"claim_job\"}");
    take(host, conn, "job_assigned");
}

/* Claims and begins a job; the submitter's two messages are taken. */
static inline void begin_job(struct pure_host *host, uint32_t worker, uint32_t client, const char *job)
{
    claim(host, worker);
    say(host, worker, "{\"type\":\"update_job_progress\",\"job_id\":\"%s\",\"progress\":1}", job);
    take(host, client, "job_update");
    take(host, client, "job_update");
}

/* --- with the hub alone ------------------------------------------------------------------------------------------- */

/* A hub without sessions: requests in, effects counted. */
struct lone_hub {
    struct pure_host host; /* for its settings only */
    void *state;
    uint64_t now_ms;
    uint64_t puts, deletes, publishes, replies, fetches;
    char reply[4096]; /* of the last answer: its first message */
    char channel[64]; /* of the last publish */
};

static inline void lone_drain(struct lone_hub *hub)
{
    struct effect effect;
    struct buf scratch = buf_of(NULL, 0);
    while (effect = (struct effect){0}, emprops_hub.next(hub->state, &scratch, &effect)) {
        struct slice body = effect.body, first, second;
        enum hub_item item;
        hub->puts += effect.kind == EFFECT_PUT;
        hub->deletes += effect.kind == EFFECT_DELETE;
        hub->publishes += effect.kind == EFFECT_PUBLISH;
        hub->replies += effect.kind == EFFECT_REPLY;
        hub->fetches += effect.kind == EFFECT_FETCH;
        cr_assert_neq(effect.kind, EFFECT_RESTART);
        if (effect.kind == EFFECT_PUBLISH)
            snprintf(hub->channel, sizeof hub->channel, "%.*s", (int)effect.event.channel.bytes,
                     (const char *)effect.event.channel.data);
        if (effect.kind != EFFECT_REPLY)
            continue;
        hub->reply[0] = '\0';
        while (hub_next_item(&body, &item, &first, &second))
            if (item == HUB_SEND && hub->reply[0] == '\0')
                snprintf(hub->reply, sizeof hub->reply, "%.*s", (int)first.bytes, (const char *)first.data);
    }
}

static inline void lone_begin(struct lone_hub *hub)
{
    memset(hub, 0, sizeof *hub);
    pure_init(&hub->host, "emprops");
    hub->now_ms = 1000;
    hub->state = pure_memory(emprops_hub.state_bytes);
    cr_assert_eq(emprops_hub.open(hub->state, hub->host.settings), 0);
    emprops_hub.loaded(hub->state, hub->now_ms, PURE_WALL_MS);
    lone_drain(hub);
}

static inline void lone_end(struct lone_hub *hub)
{
    emprops_hub.close(hub->state);
    free(hub->state);
    pure_close(&hub->host);
}

static inline void lone_ask(struct lone_hub *hub, enum hub_request kind, uint64_t connection, struct buf *fields)
{
    struct buf nothing = buf_of(NULL, 0);
    hub_put_number(fields, FIELD_SESSION, connection);
    hub_put_number(fields, FIELD_RIGHTS, 31);
    cr_assert_not(fields->overflow);
    struct service_request request = {.kind = kind,
                                      .body = buf_slice(fields),
                                      .ticket = 1,
                                      .now_ms = hub->now_ms,
                                      .wall_ms = PURE_WALL_MS + hub->now_ms};
    cr_assert_eq(emprops_hub.request(hub->state, &request, &nothing), SERVICE_LATER);
    lone_drain(hub);
}

static inline void lone_interest(struct lone_hub *hub, uint64_t connection, bool added)
{
    uint8_t memory[32];
    struct buf channel = buf_of(memory, sizeof memory);
    hub_put_session_channel(&channel, connection);
    emprops_hub.interest(hub->state, buf_slice(&channel), slice_text(""), added);
}

/* A worker with one service; its session is its number. */
static inline void lone_worker(struct lone_hub *hub, uint64_t number, const char *service, bool listens)
{
    uint8_t memory[1024], list[64];
    char id[32], json[64];
    struct buf fields = buf_of(memory, sizeof memory), services = buf_of(list, sizeof list);
    snprintf(id, sizeof id, "w%llu", (unsigned long long)number);
    snprintf(json, sizeof json, "[\"%s\"]", service);
    cr_assert_null(requirements_put_list(slice_text(json), &services));
    hub_put_field(&fields, FIELD_WORKER_ID, slice_text(id));
    hub_put_field(&fields, FIELD_SERVICES, buf_slice(&services));
    if (listens)
        hub_put_field(&fields, FIELD_LISTENS, slice_text("1"));
    lone_interest(hub, number, true);
    lone_ask(hub, HUB_REGISTER_WORKER, number, &fields);
}

static inline void lone_submit(struct lone_hub *hub, const char *kind, uint64_t priority, const char *service,
                               struct slice payload)
{
    static uint8_t memory[1 << 20];
    uint8_t form[256];
    char json[128];
    struct buf fields = buf_of(memory, sizeof memory), needs = buf_of(form, sizeof form);
    const char *field;
    struct slice value;
    snprintf(json, sizeof json, "{\"service_type\":\"%s\"}", service);
    cr_assert_null(requirements_put_needs(slice_text(json), &needs, &field, &value));
    hub_put_field(&fields, FIELD_JOB_TYPE, slice_text(kind));
    hub_put_number(&fields, FIELD_PRIORITY, priority);
    hub_put_field(&fields, FIELD_REQUIREMENTS, slice_text(json));
    hub_put_field(&fields, FIELD_NEEDS, buf_slice(&needs));
    hub_put_field(&fields, FIELD_PAYLOAD, payload);
    lone_ask(hub, HUB_SUBMIT, 1, &fields);
}

static inline void lone_claim(struct lone_hub *hub, uint64_t worker)
{
    uint8_t memory[256];
    struct buf fields = buf_of(memory, sizeof memory);
    lone_ask(hub, HUB_CLAIM, worker, &fields);
}

#endif
