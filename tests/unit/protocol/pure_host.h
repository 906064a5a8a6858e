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

#ifndef PURE_CONNS_MAX
#define PURE_CONNS_MAX 256
#endif
#define PURE_CLASSES_MAX 256
#ifndef PURE_TEXT_BYTES
#define PURE_TEXT_BYTES (1U << 20)
#endif
#define PURE_SCRATCH_BYTES (17U << 20)
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

/* The store: what survives pure_crash. */
struct pure_record {
    uint8_t table;
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};

/* An effect of the service that has not happened yet; its slices are owned. */
struct pure_effect {
    struct effect effect;
    bool ends_unit;
};

/* A request that waits for its EFFECT_REPLY. */
struct pure_asked {
    uint64_t ticket; /* 0: free */
    uint64_t number; /* of the connection; 0: not one */
    uint32_t tag;
};

struct pure_host {
    const struct dialect *dialect;
    void *settings;
    void *service;
    uint8_t *scratch;
    struct pure_record *records;
    size_t record_count;
    uint64_t writes; /* PUTs and DELETEs that happened */
    struct pure_effect *effects;
    size_t effect_count, effect_capacity;
    bool pumping;
    bool hold; /* effects wait for pure_release: nothing is on the disk yet */
    struct pure_asked asked[PURE_CONNS_MAX];
    uint64_t tickets;
    uint64_t answered;   /* ticket of the last reply to somebody who is no connection */
    int answered_status; /* and what it was */
    bool unheard;        /* what is published goes nowhere: a test looks at `published` */
    void (*published)(void *context, const struct event *event);
    void (*replied)(void *context, uint64_t ticket, int status, struct slice body);
    void *context;
    uint64_t now_ms;
    uint64_t numbers;
    struct pure_conn conns[PURE_CONNS_MAX];
    struct pure_quota quotas[64];
    uint32_t quota_count;
    struct pure_class classes[PURE_CLASSES_MAX];
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

static inline uint64_t pure_wall_ms(const struct pure_host *host)
{
    return PURE_WALL_MS + host->now_ms - PURE_START_MS;
}

static inline void pure_collect(struct pure_host *host);
static inline void pure_pump(struct pure_host *host);

/* Begins a life of the service from what the store has. */
static inline void pure_service_begin(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    const char *why = "";
    host->service = pure_memory(service->state_bytes);
    if (service->open(host->service, host->settings) != 0)
        abort();
    if (service->tables == NULL)
        return;
    for (uint8_t table = 0; service->tables[table].name != NULL; table++) {
        for (size_t i = 0; i < host->record_count && service->tables[table].indexed; i++) {
            const struct pure_record *record = &host->records[i];
            if (record->table == table && service->load(host->service, table, slice_of(record->key, record->key_bytes),
                                                        slice_of(record->value, record->value_bytes), &why) != 0) {
                fprintf(stderr, "load: %s\n", why);
                abort();
            }
        }
    }
    service->loaded(host->service, host->now_ms, pure_wall_ms(host));
    pure_collect(host);
    pure_pump(host);
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
    host->scratch = malloc(PURE_SCRATCH_BYTES);
    if (host->dialect->service != NULL)
        pure_service_begin(host);
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
        if (host->class_count == PURE_CLASSES_MAX)
            abort();
        class = &host->classes[host->class_count++];
        *class = (struct pure_class){.count = 0};
        memcpy(class->channel, member->channel, sizeof(class->channel));
        class->variant = pure_copy(member->variant, member->variant_bytes);
        class->variant_bytes = member->variant_bytes;
    }
    class->count += added ? 1 : UINT32_MAX;
    bool edge = added ? class->count == 1 : class->count == 0;
    if (edge && host->dialect->service != NULL && host->dialect->service->interest != NULL)
        host->dialect->service->interest(host->service, slice_text(class->channel),
                                         slice_of(class->variant, class->variant_bytes), added);
    if (class->count == 0) {
        free(class->variant);
        *class = host->classes[--host->class_count];
    }
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
    if (host->dialect->describe == NULL)
        return call;
    memset(host->counts, 0, sizeof(host->counts));
    call.recent_counts = host->counts;
    for (size_t i = 0; i < PURE_CONNS_MAX; i++) {
        if (!host->conns[i].open)
            continue;
        struct dialect_call one = pure_call_about(host, &host->conns[i], NULL);
        host->dialect->describe(&one, NULL, host->counts);
        call.sessions++;
    }
    return call;
}

static inline void pure_refused(struct pure_host *host, struct pure_conn *conn, enum quota_kind quota);
static inline void pure_counted(struct pure_host *host, struct pure_conn *conn, const struct action *action);
static inline void pure_request_of(struct pure_host *host, struct pure_conn *conn, const struct action *action);

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
            pure_request_of(host, conn, action);
            pure_actions_free(out); /* the last of its row */
            return;
        case ACTION_CENSUS:
            pure_counted(host, conn, action);
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

/* --- the service and its store ------------------------------------------------------------------------------------ */

static inline struct slice pure_slice_copy(struct slice from)
{
    return slice_of(pure_copy(from.data, from.bytes), from.bytes);
}

static inline void pure_effect_free(struct pure_effect *one)
{
    free((void *)(uintptr_t)one->effect.event.channel.data);
    free((void *)(uintptr_t)one->effect.event.payload.data);
    free((void *)(uintptr_t)one->effect.event.key.data);
    free((void *)(uintptr_t)one->effect.key.data);
    free((void *)(uintptr_t)one->effect.body.data);
}

/* Takes what the last call of the service has led to: one unit. */
static inline void pure_collect(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    struct buf scratch = buf_of(host->scratch, PURE_SCRATCH_BYTES);
    struct effect effect;
    size_t before = host->effect_count;
    while (buf_reset(&scratch), effect = (struct effect){0}, service->next(host->service, &scratch, &effect)) {
        if (scratch.overflow || (effect.kind != EFFECT_PUBLISH && service->tables == NULL))
            abort();
        if (host->effect_count == host->effect_capacity) {
            host->effect_capacity = host->effect_capacity * 2 + 16;
            host->effects = realloc(host->effects, host->effect_capacity * sizeof(*host->effects));
            if (host->effects == NULL)
                abort();
        }
        effect.event.channel = pure_slice_copy(effect.event.channel);
        effect.event.payload = pure_slice_copy(effect.event.payload);
        effect.event.key = pure_slice_copy(effect.event.key);
        effect.key = pure_slice_copy(effect.key);
        effect.body = pure_slice_copy(effect.body);
        host->effects[host->effect_count++] = (struct pure_effect){.effect = effect};
    }
    if (host->effect_count > before)
        host->effects[host->effect_count - 1].ends_unit = true;
}

/* Where the record is, or would be; the records lie by table and key. */
static inline size_t pure_record_at(const struct pure_host *host, uint8_t table, struct slice key, bool *found)
{
    size_t low = 0, high = host->record_count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct pure_record *record = &host->records[middle];
        size_t common = record->key_bytes < key.bytes ? record->key_bytes : key.bytes;
        int order = record->table != table ? (int)record->table - (int)table : memcmp(record->key, key.data, common);
        if (order == 0 && record->key_bytes == key.bytes) {
            *found = true;
            return middle;
        }
        if (order < 0 || (order == 0 && record->key_bytes < key.bytes))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline void pure_write(struct pure_host *host, const struct effect *effect)
{
    bool found;
    size_t at = pure_record_at(host, effect->table, effect->key, &found);
    host->writes++;
    if (effect->key.bytes > SERVICE_KEY_BYTES_MAX || effect->body.bytes > SERVICE_VALUE_BYTES_MAX)
        abort();
    if (found) {
        free(host->records[at].key);
        free(host->records[at].value);
        memmove(&host->records[at], &host->records[at + 1], (--host->record_count - at) * sizeof(*host->records));
    }
    if (effect->kind == EFFECT_DELETE)
        return;
    host->records = realloc(host->records, (host->record_count + 1) * sizeof(*host->records));
    if (host->records == NULL)
        abort();
    memmove(&host->records[at + 1], &host->records[at], (host->record_count++ - at) * sizeof(*host->records));
    host->records[at] = (struct pure_record){.table = effect->table,
                                             .key = pure_copy(effect->key.data, effect->key.bytes),
                                             .key_bytes = effect->key.bytes,
                                             .value = pure_copy(effect->body.data, effect->body.bytes),
                                             .value_bytes = effect->body.bytes};
}

static inline void pure_fetch(struct pure_host *host, const struct effect *effect)
{
    bool found;
    size_t at = pure_record_at(host, effect->table, effect->key, &found);
    struct slice value = found ? slice_of(host->records[at].value, host->records[at].value_bytes) : slice_text("");
    host->dialect->service->fetched(host->service, effect->ticket, found ? 200 : 404, value, host->now_ms,
                                    pure_wall_ms(host));
    pure_collect(host);
}

/* The answer has come: the dialect of the connection goes on, if it is still there. */
static inline void pure_answer(struct pure_host *host, uint64_t ticket, int status, struct slice body)
{
    if (host->replied != NULL)
        host->replied(host->context, ticket, status, body);
    for (size_t i = 0; i < PURE_CONNS_MAX; i++) {
        struct pure_asked asked = host->asked[i];
        if (asked.ticket != ticket)
            continue;
        host->asked[i].ticket = 0;
        for (size_t n = 0; n < PURE_CONNS_MAX; n++) {
            struct pure_conn *conn = &host->conns[n];
            if (conn->number != asked.number || conn->session == NULL)
                continue;
            struct actions *out = pure_actions();
            struct dialect_call call = pure_call(host, conn, out);
            struct dialect_reply reply = {.tag = asked.tag, .status = status, .body = body};
            host->dialect->replied(&call, &reply);
            pure_apply(host, conn, out);
        }
        return;
    }
    host->answered = ticket;
    host->answered_status = status;
    pure_name(host->reply, sizeof(host->reply), body);
}

static inline void pure_happen(struct pure_host *host, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PUBLISH:
        if (host->published != NULL)
            host->published(host->context, &effect->event);
        if (!host->unheard)
            pure_publish(host, &effect->event);
        break;
    case EFFECT_REPLY:
        pure_answer(host, effect->ticket, effect->status, effect->body);
        break;
    case EFFECT_PUT:
    case EFFECT_DELETE: /* before all else of its unit: pure_commit */
        break;
    case EFFECT_FETCH:
        pure_fetch(host, effect);
        break;
    case EFFECT_RESTART:
        abort();
    }
}

/* The transaction of the unit that begins at `from`. */
static inline void pure_commit(struct pure_host *host, size_t from)
{
    for (size_t i = from; i < host->effect_count; i++) {
        const struct effect *effect = &host->effects[i].effect;
        if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_DELETE)
            pure_write(host, effect);
        if (host->effects[i].ends_unit)
            return;
    }
}

/* Lets all effects happen, and what follows from them. */
static inline void pure_pump(struct pure_host *host)
{
    const struct service *service = host->dialect->service;
    if (host->pumping || host->hold)
        return;
    host->pumping = true;
    bool begins = true;
    for (size_t at = 0;;) {
        if (at == host->effect_count && service->tables != NULL && service->due(host->service) <= host->now_ms) {
            service->timer(host->service, host->now_ms, pure_wall_ms(host));
            pure_collect(host);
        }
        if (at == host->effect_count)
            break;
        if (begins)
            pure_commit(host, at);
        begins = host->effects[at].ends_unit;
        struct pure_effect one = host->effects[at++];
        pure_happen(host, &one.effect);
        pure_effect_free(&one);
    }
    host->effect_count = 0;
    host->pumping = false;
}

/* Commits are held back from now on, or (false) all of them happen. */
static inline void pure_hold(struct pure_host *host, bool hold)
{
    host->hold = hold;
    pure_pump(host);
}

static inline void pure_drop_effects(struct pure_host *host)
{
    for (size_t i = 0; i < host->effect_count; i++)
        pure_effect_free(&host->effects[i]);
    host->effect_count = 0;
    memset(host->asked, 0, sizeof(host->asked));
}

static inline uint64_t pure_ask_from(struct pure_host *host, uint64_t number, uint32_t tag, uint32_t kind,
                                     struct slice body)
{
    struct service_request request = {
        .kind = kind, .body = body, .ticket = ++host->tickets, .now_ms = host->now_ms, .wall_ms = pure_wall_ms(host)};
    struct buf reply = buf_of(pure_memory(PURE_TEXT_BYTES), PURE_TEXT_BYTES);
    size_t place = 0;
    while (number != 0 && host->asked[place].ticket != 0)
        place++;
    if (number != 0)
        host->asked[place] = (struct pure_asked){request.ticket, number, tag};
    int status = host->dialect->service->request(host->service, &request, &reply);
    pure_collect(host);
    pure_pump(host);
    if (status != SERVICE_LATER)
        pure_answer(host, request.ticket, status, buf_slice(&reply));
    free(reply.data);
    return request.ticket;
}

/* Passes a request to the service and publishes what follows. Its HTTP status. */
static inline int pure_ask(struct pure_host *host, uint32_t kind, struct slice body, struct buf *reply)
{
    uint64_t ticket = pure_ask_from(host, 0, 0, kind, body);
    if (host->answered != ticket)
        abort(); /* held back */
    buf_reset(reply);
    buf_put_text(reply, host->reply);
    return host->answered_status;
}

static inline void pure_request_of(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    pure_ask_from(host, conn->number, action->request.tag, action->request.kind, action->request.body);
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
        host->dialect->describe(&call, out, counts);
    }
}

/* Gets the answer to a CENSUS and lets the dialect go on from it. */
static inline void pure_counted(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    struct actions *out = pure_actions();
    struct buf body = buf_of(pure_memory(PURE_TEXT_BYTES), PURE_TEXT_BYTES);
    uint64_t counts[CENSUS_COUNTS] = {0};
    pure_census(host, &body, counts);
    struct dialect_reply reply = {.status = 200, .tag = action->census.tag, .counts = counts, .body = buf_slice(&body)};
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->replied(&call, &reply);
    pure_apply(host, conn, out);
    free(body.data);
}

#endif
