/* SPDX-License-Identifier: MIT */
/* A dialect without a server: one struct that carries its actions out in memory, in order, with channels, filter
 * classes, quotas, retained messages, timers, the dialect's service and a clock that only moves when told. It is the
 * model of what a session and a service host do, in the plainest form; time outs, pings and slow readers are theirs
 * alone. */
#ifndef RINGCAST_TESTS_PURE_HOST_H
#define RINGCAST_TESTS_PURE_HOST_H

#include "core/bucket.h"
#include "protocol/dialect.h"
#include "protocol/handshake.h"

#include <stdio.h>
#include <stdlib.h>

#define PURE_CONNS_MAX 256
#define PURE_TEXT_BYTES (1U << 20)
#define PURE_START_MS 1000000                /* the monotonic clock at the beginning, */
#define PURE_WALL_MS UINT64_C(1706013296000) /* and the other: 2024-01-23T12:34:56Z */

struct pure_message {
    enum ws_opcode opcode;
    uint8_t *data;
    size_t bytes;
};

struct pure_member {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    uint8_t *variant;
    size_t variant_bytes;
};

struct pure_conn {
    bool open; /* a 101 was sent and no close */
    uint16_t close_code;
    const char *close_reason;
    int refused_status;        /* of a RESPOND */
    char refused_content[256]; /* its beginning; all of the last one is in host->content */
    char refused_extra[512];
    void *session;
    uint64_t number;
    uint64_t heartbeat_ms; /* when the next one is due */
    uint64_t timer_ms;     /* when the dialect's timer expires; 0: not set */
    struct bucket window;
    struct pure_member members[SUBSCRIPTIONS_PER_CONNECTION_MAX];
    uint32_t member_count;
    struct pure_message *inbox;
    size_t inbox_count, inbox_read;
    uint32_t held[64]; /* indices of quotas */
    uint32_t held_count;
};

struct pure_quota {
    enum quota_kind kind;
    char name[KEY_BYTES_MAX + 1];
    uint32_t count;
    struct bucket window;
};

struct pure_class {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    uint8_t *variant;
    size_t variant_bytes;
    uint32_t count;
};

struct pure_retained {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    struct pure_message message;
    uint64_t at_ms;
};

struct pure_host {
    const struct dialect *dialect;
    void *settings;
    void *service;
    uint64_t now_ms;
    uint64_t numbers;
    struct pure_conn conns[PURE_CONNS_MAX];
    struct pure_quota quotas[64];
    uint32_t quota_count;
    struct pure_class classes[PURE_CONNS_MAX];
    uint32_t class_count;
    struct pure_retained *retained;
    size_t retained_count;
    uint32_t mounts;     /* of all connections; the settings' own addresses count for nothing here */
    uint32_t subscribes; /* SUBSCRIBE actions carried out */
    char reply[65536];   /* of the last read, or the message of the last refused ingest */
    char field[64];
    const char *content_type; /* of the last RESPOND */
    char content[1 << 19];
    const char *source; /* X-Source of what is ingested; NULL: none */
    bool merge;         /* ingested with merge=1 */
    uint64_t counts[CENSUS_COUNTS];
};

/* Zeroed, and one zero more, so that texts end. */
static inline void *pure_memory(size_t bytes)
{
    void *memory = calloc(1, bytes + 1);
    if (memory == NULL)
        abort();
    return memory;
}

static inline void *pure_copy(const void *data, size_t bytes)
{
    void *copy = pure_memory(bytes);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

static inline void pure_name(char *out, size_t size, struct slice name)
{
    if (name.bytes >= size)
        abort();
    if (name.bytes > 0)
        memcpy(out, name.data, name.bytes);
    out[name.bytes] = '\0';
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

static inline const struct dialect *pure_dialect(const char *name)
{
    for (size_t i = 0; dialects[i] != NULL; i++)
        if (strcmp(dialects[i]->name, name) == 0)
            return dialects[i];
    fprintf(stderr, "no dialect %s\n", name);
    abort();
}

/* Sets one option of the dialect, as the configuration would. 0 or -EINVAL. */
static inline int pure_set(struct pure_host *host, const char *name, const char *value)
{
    char memory[512];
    struct buf why = buf_of(memory, sizeof(memory));
    const struct option *row = option_find(dialect_common_options, slice_text(name), NULL);
    if (row == NULL)
        row = option_find(host->dialect->options, slice_text(name), NULL);
    if (row == NULL) {
        fprintf(stderr, "no option %s\n", name);
        abort();
    }
    return option_set(host->settings, row, slice_text(value), &why);
}

static inline void pure_init(struct pure_host *host, const char *dialect)
{
    memset(host, 0, sizeof(*host));
    host->dialect = pure_dialect(dialect);
    host->settings = pure_memory(host->dialect->settings_bytes);
    if (option_defaults(host->settings, dialect_common_options) != 0 ||
        option_defaults(host->settings, host->dialect->options) != 0)
        abort();
    for (const struct dialect_default *row = host->dialect->defaults; row->name != NULL; row++)
        if (pure_set(host, row->name, row->value) != 0)
            abort();
    host->now_ms = PURE_START_MS;
    host->mounts = 1;
}

/* After the options: the key list, and the service. */
static inline void pure_start(struct pure_host *host)
{
    struct dialect_settings *common = host->settings;
    common->key_list.count = common->keys.count;
    common->key_list.keys = pure_memory(2 * common->keys.count * sizeof(struct slice));
    common->key_list.words = common->key_list.keys + common->keys.count;
    for (uint32_t i = 0; i < common->keys.count; i++) {
        common->key_list.words[i] = slice_text(common->keys.items[i]);
        common->key_list.keys[i] = token_next_word(&common->key_list.words[i]);
    }
    if (host->dialect->service != NULL) {
        host->service = pure_memory(host->dialect->service->state_bytes);
        if (host->dialect->service->open(host->service, host->settings) != 0)
            abort();
    }
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

static inline void pure_interest(struct pure_host *host, const struct pure_member *member, bool added)
{
    struct pure_class *class = NULL;
    for (uint32_t i = 0; i < host->class_count && class == NULL; i++)
        if (strcmp(host->classes[i].channel, member->channel) == 0 &&
            slice_equal(slice_of(host->classes[i].variant, host->classes[i].variant_bytes),
                        slice_of(member->variant, member->variant_bytes)))
            class = &host->classes[i];
    if (class == NULL) {
        if (host->class_count == PURE_CONNS_MAX)
            abort();
        class = &host->classes[host->class_count++];
        memcpy(class->channel, member->channel, sizeof(class->channel));
        class->variant = pure_copy(member->variant, member->variant_bytes);
        class->variant_bytes = member->variant_bytes;
    }
    class->count += added ? 1 : UINT32_MAX;
    bool edge = added ? class->count == 1 : class->count == 0;
    if (edge && host->dialect->service != NULL && host->dialect->service->interest != NULL)
        host->dialect->service->interest(host->service, slice_text(class->channel),
                                         slice_of(class->variant, class->variant_bytes), added);
}

static inline void pure_leave(struct pure_host *host, struct pure_conn *conn, uint32_t index)
{
    pure_interest(host, &conn->members[index], false);
    free(conn->members[index].variant);
    conn->members[index] = conn->members[--conn->member_count];
}

static inline void pure_deliver(struct pure_conn *conn, enum ws_opcode opcode, struct slice payload)
{
    conn->inbox = realloc(conn->inbox, (conn->inbox_count + 1) * sizeof(*conn->inbox));
    if (conn->inbox == NULL)
        abort();
    conn->inbox[conn->inbox_count++] =
        (struct pure_message){.opcode = opcode, .data = pure_copy(payload.data, payload.bytes), .bytes = payload.bytes};
}

static inline struct pure_member *pure_membership(struct pure_conn *conn, struct slice channel)
{
    for (uint32_t i = 0; i < conn->member_count; i++)
        if (slice_is(channel, conn->members[i].channel))
            return &conn->members[i];
    return NULL;
}

static inline bool pure_matches(const struct pure_host *host, const struct pure_member *member,
                                const struct event *event)
{
    return host->dialect->matches == NULL ||
           host->dialect->matches(slice_of(member->variant, member->variant_bytes), event);
}

static inline void pure_retain(struct pure_host *host, const struct event *event)
{
    struct channel_traits traits;
    host->dialect->traits(host->settings, event->channel, &traits);
    if (traits.retain_count == 0)
        return;
    host->retained = realloc(host->retained, (host->retained_count + 1) * sizeof(*host->retained));
    if (host->retained == NULL)
        abort();
    struct pure_retained *added = &host->retained[host->retained_count++];
    *added = (struct pure_retained){.at_ms = host->now_ms};
    pure_name(added->channel, sizeof(added->channel), event->channel);
    added->message = (struct pure_message){event->opcode, pure_copy(event->payload.data, event->payload.bytes),
                                           event->payload.bytes};
}

/* Sends the newest `count` retained messages of the channel, oldest first. */
static inline void pure_send_history(struct pure_host *host, struct pure_conn *conn, struct slice channel,
                                     uint32_t count)
{
    struct channel_traits traits;
    host->dialect->traits(host->settings, channel, &traits);
    uint32_t take = count < traits.retain_count ? count : traits.retain_count, found = 0;
    size_t at = host->retained_count;
    while (at > 0 && found < take)
        if (slice_is(channel, host->retained[--at].channel))
            found++;
    for (; found > 0 && at < host->retained_count; at++) {
        const struct pure_retained *old = &host->retained[at];
        bool fresh = traits.retain_age_ms == 0 || host->now_ms - old->at_ms < traits.retain_age_ms;
        if (slice_is(channel, old->channel) && fresh)
            pure_deliver(conn, old->message.opcode, slice_of(old->message.data, old->message.bytes));
    }
}

static inline void pure_close_conn(struct pure_host *host, struct pure_conn *conn, uint16_t code, const char *reason);

static inline void pure_publish(struct pure_host *host, const struct event *event)
{
    if (host->dialect->traits != NULL)
        pure_retain(host, event);
    for (size_t i = 0; i < PURE_CONNS_MAX; i++) {
        struct pure_conn *conn = &host->conns[i];
        const struct pure_member *member = conn->open ? pure_membership(conn, event->channel) : NULL;
        if (member == NULL || !pure_matches(host, member, event))
            continue;
        if (event->payload.bytes > 0 || event->close_code == 0)
            pure_deliver(conn, event->opcode, event->payload);
        if (event->close_code != 0)
            pure_close_conn(host, conn, event->close_code, event->close_reason);
    }
}

static inline void pure_join(struct pure_host *host, struct pure_conn *conn, struct slice channel, struct slice variant,
                             uint32_t history_max)
{
    struct pure_member *member = pure_membership(conn, channel);
    bool fresh = member == NULL;
    if (!fresh)
        pure_leave(host, conn, (uint32_t)(member - conn->members));
    if (conn->member_count == SUBSCRIPTIONS_PER_CONNECTION_MAX)
        abort();
    member = &conn->members[conn->member_count++];
    pure_name(member->channel, sizeof(member->channel), channel);
    member->variant = pure_copy(variant.data, variant.bytes);
    member->variant_bytes = variant.bytes;
    host->subscribes++;
    pure_interest(host, member, true);
    if (fresh && history_max > 0)
        pure_send_history(host, conn, channel, history_max);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static inline void pure_end(struct pure_host *host, struct pure_conn *conn)
{
    conn->open = false;
    while (conn->member_count > 0)
        pure_leave(host, conn, conn->member_count - 1);
    while (conn->held_count > 0)
        host->quotas[conn->held[--conn->held_count]].count--;
    if (host->dialect->end != NULL && conn->session != NULL)
        host->dialect->end(conn->session);
    free(conn->session);
    conn->session = NULL;
}

static inline void pure_close_conn(struct pure_host *host, struct pure_conn *conn, uint16_t code, const char *reason)
{
    conn->close_code = code;
    conn->close_reason = reason;
    pure_end(host, conn);
}

static inline bool pure_acquire(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    enum quota_kind kind = action->acquire.quota;
    struct pure_quota *quota = NULL;
    for (uint32_t i = 0; i < host->quota_count; i++)
        if (host->quotas[i].kind == kind && slice_is(action->acquire.name, host->quotas[i].name))
            quota = &host->quotas[i];
    if (quota == NULL) {
        quota = &host->quotas[host->quota_count++];
        quota->kind = kind;
        pure_name(quota->name, sizeof(quota->name), action->acquire.name);
    }
    uint32_t limit = action->acquire.limit;
    if (kind == QUOTA_ADDRESS_ATTEMPTS || kind == QUOTA_KEY_ATTEMPTS)
        return bucket_count(&quota->window, host->now_ms, action->acquire.window_ms) <= limit || limit == 0;
    if (limit > 0 && quota->count >= limit)
        return false;
    quota->count++;
    conn->held[conn->held_count++] = (uint32_t)(quota - host->quotas);
    return true;
}

static inline struct actions *pure_actions(void)
{
    struct actions *out = pure_memory(sizeof(*out));
    out->text = buf_of(pure_memory(PURE_TEXT_BYTES), PURE_TEXT_BYTES);
    return out;
}

static inline void pure_actions_free(struct actions *out)
{
    free(out->text.data);
    free(out);
}

static inline uint64_t pure_wall_ms(const struct pure_host *host)
{
    return PURE_WALL_MS + host->now_ms - PURE_START_MS;
}

static inline struct dialect_call pure_call_about(const struct pure_host *host, struct pure_conn *conn,
                                                  struct actions *out)
{
    return (struct dialect_call){.settings = host->settings,
                                 .session = conn->session,
                                 .now_ms = host->now_ms,
                                 .wall_ms = pure_wall_ms(host),
                                 .connection = conn->number,
                                 .received_wall_ms = pure_wall_ms(host),
                                 .mounts = host->mounts,
                                 .out = out};
}

/* With counts that are always of this moment. */
static inline struct dialect_call pure_call(struct pure_host *host, struct pure_conn *conn, struct actions *out)
{
    struct dialect_call call = pure_call_about(host, conn, out);
    if (host->dialect->census == NULL)
        return call;
    memset(host->counts, 0, sizeof(host->counts));
    call.recent_counts = host->counts;
    for (size_t i = 0; i < PURE_CONNS_MAX; i++) {
        if (!host->conns[i].open)
            continue;
        struct dialect_call one = pure_call_about(host, &host->conns[i], NULL);
        host->dialect->census->describe(&one, NULL, host->counts);
        call.sessions++;
    }
    return call;
}

static inline void pure_refused(struct pure_host *host, struct pure_conn *conn, enum quota_kind quota);
static inline void pure_replied(struct pure_host *host, struct pure_conn *conn, const struct action *action);

/* In order; what follows a refused ACQUIRE is dropped. Frees the list. */
static inline void pure_apply(struct pure_host *host, struct pure_conn *conn, struct actions *out)
{
    if (out->overflow || out->text.overflow)
        abort();
    for (uint32_t i = 0; i < out->count; i++) {
        const struct action *action = &out->items[i];
        switch (action->kind) {
        case ACTION_RESPOND:
            conn->refused_status = action->respond.status;
            host->content_type = action->respond.content_type;
            pure_name(host->content, sizeof(host->content), action->respond.content);
            pure_name(conn->refused_content, sizeof(conn->refused_content),
                      slice_of(host->content, strnlen(host->content, sizeof(conn->refused_content) - 1)));
            pure_name(conn->refused_extra, sizeof(conn->refused_extra), slice_text(action->respond.extra));
            break;
        case ACTION_ACCEPT:
            conn->open = true;
            conn->heartbeat_ms = host->now_ms + host->dialect->heartbeat_ms;
            break;
        case ACTION_SEND:
            if (!conn->open)
                abort(); /* before ACCEPT or behind CLOSE */
            pure_deliver(conn, action->send.opcode, action->send.payload);
            break;
        case ACTION_SUBSCRIBE:
            pure_join(host, conn, action->subscribe.channel, action->subscribe.variant, action->subscribe.history_max);
            break;
        case ACTION_UNSUBSCRIBE: {
            struct pure_member *member = pure_membership(conn, action->unsubscribe.channel);
            if (member != NULL)
                pure_leave(host, conn, (uint32_t)(member - conn->members));
            break;
        }
        case ACTION_PUBLISH:
            pure_publish(host, &action->publish);
            break;
        case ACTION_ACQUIRE:
            if (!pure_acquire(host, conn, action)) {
                enum quota_kind quota = action->acquire.quota;
                pure_actions_free(out);
                pure_refused(host, conn, quota);
                return;
            }
            break;
        case ACTION_REQUEST:
        case ACTION_CENSUS:
            pure_replied(host, conn, action);
            if (conn->session == NULL) { /* which has ended it */
                pure_actions_free(out);
                return;
            }
            break;
        case ACTION_TIMER:
            conn->timer_ms = action->timer.after_ms == 0 ? 0 : host->now_ms + action->timer.after_ms;
            break;
        case ACTION_CLOSE:
            pure_close_conn(host, conn, action->close.code, action->close.reason);
            break;
        }
    }
    pure_actions_free(out);
}

static inline void pure_refused(struct pure_host *host, struct pure_conn *conn, enum quota_kind quota)
{
    struct actions *out = pure_actions();
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->refused(&call, quota);
    pure_apply(host, conn, out);
}

/* Events that the service has to give. */
static inline void pure_drain(struct pure_host *host)
{
    static uint8_t scratch_memory[65536];
    struct buf scratch = buf_of(scratch_memory, sizeof(scratch_memory));
    struct event event;
    while (host->dialect->service->next(host->service, &scratch, &event))
        pure_publish(host, &event);
}

/* Passes a request to the service and publishes what follows. Its HTTP status. */
static inline int pure_ask(struct pure_host *host, uint32_t kind, struct slice body, struct buf *reply)
{
    struct service_request request = {
        .kind = kind, .body = body, .now_ms = host->now_ms, .wall_ms = pure_wall_ms(host)};
    int status = host->dialect->service->request(host->service, &request, reply);
    pure_drain(host);
    return status;
}

/* What `describe` says of all sessions. */
static inline void pure_census(struct pure_host *host, struct buf *out, uint64_t *counts)
{
    for (size_t i = 0; i < PURE_CONNS_MAX; i++) {
        if (!host->conns[i].open)
            continue;
        struct dialect_call call = pure_call_about(host, &host->conns[i], NULL);
        if (out->used > 0)
            buf_put_byte(out, ',');
        host->dialect->census->describe(&call, out, counts);
    }
}

/* Gets the answer to a REQUEST or CENSUS and lets the dialect go on from it. */
static inline void pure_replied(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    struct actions *out = pure_actions();
    struct buf body = buf_of(pure_memory(PURE_TEXT_BYTES), PURE_TEXT_BYTES);
    uint64_t counts[CENSUS_COUNTS] = {0};
    struct dialect_reply reply = {.status = 200};
    if (action->kind == ACTION_CENSUS) {
        pure_census(host, &body, counts);
        reply.tag = action->census.tag;
        reply.counts = counts;
    } else {
        reply.status = pure_ask(host, action->request.kind, action->request.body, &body);
        reply.tag = action->request.tag;
    }
    if (conn->session != NULL) { /* an event may have closed it */
        struct dialect_call call = pure_call(host, conn, out);
        reply.body = buf_slice(&body);
        host->dialect->replied(&call, &reply);
    }
    pure_apply(host, conn, out);
    free(body.data);
}

#endif
