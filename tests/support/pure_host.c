/* SPDX-License-Identifier: MIT */
/* Owns the carrying out of a dialect's actions in memory (pure_host.h). It never opens a socket, reads a clock or
 * judges what a dialect says: that is for the test, or for whoever watches. Used by unit tests, transcripts and
 * fuzz/dialect.c. */
#include "tests/support/pure_host.h"

#include "core/check.h"
#include "tests/support/pure_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the host ----------------------------------------------------------------------------------------------------- */

void pure_init_for(struct pure_host *host, const struct dialect *dialect, uint32_t conn_count)
{
    memset(host, 0, sizeof *host);
    host->dialect = dialect;
    host->settings = pure_settings(dialect);
    host->conns = pure_memory(conn_count * sizeof *host->conns);
    host->conn_count = conn_count;
    host->content = pure_memory(0);
    host->scratch = pure_memory(PURE_SCRATCH_BYTES);
    host->now_ms = PURE_START_MS;
    host->mounts = 1;
}

void pure_init(struct pure_host *host, const char *dialect)
{
    pure_init_for(host, pure_dialect(dialect), PURE_CONNS_MAX);
}

int pure_set(struct pure_host *host, const char *name, const char *value)
{
    int error = pure_option(host->dialect, host->settings, slice_text(name), slice_text(value));
    if (error == -ENOENT) {
        fprintf(stderr, "no option %s\n", name);
        abort();
    }
    return error;
}

void pure_start(struct pure_host *host)
{
    pure_keys(host->settings);
    if (host->dialect->service != NULL)
        pure_service_begin(host);
    if (host->dialect->depot == NULL || host->dialect->depot->root(host->settings)[0] == '\0')
        return;
    host->depot = pure_memory(sizeof *host->depot);
    pure_depot_init(host->depot, host->dialect->depot, 1);
    pure_depot_life(host->depot, host->now_ms, pure_wall_ms(host));
}

void pure_reload(struct pure_host *host, void *settings)
{
    void *old = host->settings;
    host->settings = settings;
    if (host->service != NULL) {
        host->dialect->service->settings(host->service, settings);
        pure_collect(host);
        pure_pump(host);
    }
    pure_settings_free(host->dialect, old);
}

void pure_close(struct pure_host *host)
{
    for (uint32_t i = 0; i < host->conn_count; i++) {
        struct pure_conn *conn = &host->conns[i];
        if (conn->session != NULL)
            pure_end(host, conn);
        for (size_t k = 0; k < conn->inbox_count; k++)
            free(conn->inbox[k].data);
        free(conn->inbox);
    }
    free(host->conns);
    free(host->quotas);
    free(host->classes);
    for (size_t i = 0; i < host->retained_count; i++)
        free(host->retained[i].message.data);
    free(host->retained);
    if (host->service != NULL)
        pure_service_end(host);
    if (host->depot != NULL)
        pure_depot_free(host->depot);
    free(host->depot);
    pure_records_free(host);
    pure_settings_free(host->dialect, host->settings);
    while (host->spare_count > 0) {
        free(host->spare[--host->spare_count]->text.data);
        free(host->spare[host->spare_count]);
    }
    free(host->content);
    free(host->scratch);
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

static struct pure_class *pure_class_of(struct pure_host *host, const struct pure_member *member)
{
    struct slice variant = slice_of(member->variant, member->variant_bytes);
    for (uint32_t i = 0; i < host->class_count; i++)
        if (strcmp(host->classes[i].channel, member->channel) == 0 &&
            slice_equal(slice_of(host->classes[i].variant, host->classes[i].variant_bytes), variant))
            return &host->classes[i];
    host->classes = pure_more(host->classes, host->class_count + 1, sizeof *host->classes);
    struct pure_class *class = &host->classes[host->class_count++];
    memcpy(class->channel, member->channel, sizeof class->channel);
    class->variant = pure_copy(variant.data, variant.bytes);
    class->variant_bytes = variant.bytes;
    class->count = 0;
    return class;
}

/* The service hears of the first and of the last member of a class. */
static void pure_interest(struct pure_host *host, const struct pure_member *member, bool added)
{
    struct pure_class *class = pure_class_of(host, member);
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

static void pure_leave(struct pure_host *host, struct pure_conn *conn, uint32_t index)
{
    pure_interest(host, &conn->members[index], false);
    free(conn->members[index].variant);
    conn->members[index] = conn->members[--conn->member_count];
}

static void pure_deliver(struct pure_conn *conn, enum ws_opcode opcode, struct slice payload)
{
    conn->inbox = pure_more(conn->inbox, conn->inbox_count + 1, sizeof *conn->inbox);
    conn->inbox[conn->inbox_count++] =
        (struct pure_message){.opcode = opcode, .data = pure_copy(payload.data, payload.bytes), .bytes = payload.bytes};
}

static struct pure_member *pure_membership(struct pure_conn *conn, struct slice channel)
{
    for (uint32_t i = 0; i < conn->member_count; i++)
        if (slice_is(channel, conn->members[i].channel))
            return &conn->members[i];
    return NULL;
}

static bool pure_matches(const struct pure_host *host, const struct pure_member *member, const struct event *event)
{
    return host->dialect->matches == NULL ||
           host->dialect->matches(slice_of(member->variant, member->variant_bytes), event);
}

static void pure_retain(struct pure_host *host, const struct event *event)
{
    struct channel_traits traits;
    host->dialect->traits(host->settings, event->channel, &traits);
    if (traits.retain_count == 0)
        return;
    host->retained = pure_more(host->retained, host->retained_count + 1, sizeof *host->retained);
    struct pure_retained *added = &host->retained[host->retained_count++];
    *added = (struct pure_retained){.at_ms = host->now_ms};
    pure_name(added->channel, sizeof added->channel, event->channel);
    added->message = (struct pure_message){event->opcode, pure_copy(event->payload.data, event->payload.bytes),
                                           event->payload.bytes};
}

/* Sends the newest `count` retained messages of the channel, oldest first. */
static void pure_send_history(struct pure_host *host, struct pure_conn *conn, struct slice channel, uint32_t count)
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

const struct pure_message *pure_newest(const struct pure_host *host, struct slice channel)
{
    for (size_t i = host->retained_count; i-- > 0;)
        if (slice_is(channel, host->retained[i].channel))
            return &host->retained[i].message;
    return NULL;
}

static void pure_close_conn(struct pure_host *host, struct pure_conn *conn, uint16_t code, const char *reason);

void pure_publish(struct pure_host *host, const struct event *event)
{
    if (host->watch != NULL && host->watch->event != NULL)
        host->watch->event(host->watch->context, event);
    if (host->dialect->traits != NULL)
        pure_retain(host, event);
    for (uint32_t i = 0; i < host->conn_count; i++) {
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

static void pure_join(struct pure_host *host, struct pure_conn *conn, struct slice channel, struct slice variant,
                      uint32_t history_max)
{
    struct pure_member *member = pure_membership(conn, channel);
    bool fresh = member == NULL;
    if (!fresh)
        pure_leave(host, conn, (uint32_t)(member - conn->members));
    if (conn->member_count == SUBSCRIPTIONS_PER_CONNECTION_MAX)
        abort();
    member = &conn->members[conn->member_count++];
    pure_name(member->channel, sizeof member->channel, channel);
    member->variant = pure_copy(variant.data, variant.bytes);
    member->variant_bytes = variant.bytes;
    host->subscribes++;
    pure_interest(host, member, true);
    if (fresh && history_max > 0)
        pure_send_history(host, conn, channel, history_max);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

/* Its dialect's depot is told. */
static void pure_left(struct pure_host *host, const struct pure_conn *conn)
{
    struct buf reply = buf_of(NULL, 0);
    pure_depot_ask(host->depot, DEPOT_LEFT, conn->number, slice_of(NULL, 0), slice_of(NULL, 0), host->now_ms,
                   pure_wall_ms(host), &reply);
}

void pure_end(struct pure_host *host, struct pure_conn *conn)
{
    conn->open = false;
    while (conn->member_count > 0)
        pure_leave(host, conn, conn->member_count - 1);
    while (conn->held_count > 0)
        host->quotas[conn->held[--conn->held_count]].count--;
    if (host->depot != NULL && conn->session != NULL)
        pure_left(host, conn);
    if (host->dialect->end != NULL && conn->session != NULL)
        host->dialect->end(conn->session);
    free(conn->session);
    conn->session = NULL;
    conn->asked = 0; /* nobody waits for the answer */
}

static void pure_close_conn(struct pure_host *host, struct pure_conn *conn, uint16_t code, const char *reason)
{
    conn->close_code = code;
    conn->close_reason = reason;
    pure_end(host, conn);
}

static bool pure_acquire(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    bool asks = action->acquire.quota == QUOTA_ADDRESS_LEFT;
    enum quota_kind kind = asks ? QUOTA_ADDRESS_ATTEMPTS : action->acquire.quota;
    struct pure_quota *quota = NULL;
    for (uint32_t i = 0; i < host->quota_count; i++)
        if (host->quotas[i].kind == kind && slice_is(action->acquire.name, host->quotas[i].name))
            quota = &host->quotas[i];
    if (quota == NULL) {
        host->quotas = pure_more(host->quotas, host->quota_count + 1, sizeof *host->quotas);
        quota = &host->quotas[host->quota_count++];
        *quota = (struct pure_quota){.kind = kind};
        pure_name(quota->name, sizeof quota->name, action->acquire.name);
    }
    uint32_t limit = action->acquire.limit;
    if (host->watch != NULL && host->watch->refuse != NULL && host->watch->refuse(host->watch->context, action))
        return false;
    if (asks)
        return limit == 0 || bucket_held(&quota->window, host->now_ms, action->acquire.window_ms) < limit;
    if (kind == QUOTA_ADDRESS_ATTEMPTS || kind == QUOTA_KEY_ATTEMPTS)
        return bucket_count(&quota->window, host->now_ms, action->acquire.window_ms) <= limit || limit == 0;
    if (limit > 0 && quota->count >= limit)
        return false;
    if (conn->held_count == PURE_HELD_MAX)
        abort();
    quota->count++;
    conn->held[conn->held_count++] = (uint32_t)(quota - host->quotas);
    return true;
}

struct actions *pure_actions(struct pure_host *host)
{
    struct actions *out;
    if (host->spare_count > 0) {
        out = host->spare[--host->spare_count];
        out->text = buf_of(out->text.data, PURE_TEXT_BYTES);
        out->count = 0;
        out->overflow = false;
        return out;
    }
    out = pure_memory(sizeof *out);
    out->text = buf_of(pure_memory(PURE_SCRATCH_BYTES), PURE_TEXT_BYTES); /* some are used for a service's reply */
    return out;
}

void pure_actions_free(struct pure_host *host, struct actions *out)
{
    if (host->spare_count < PURE_SPARE_MAX) {
        host->spare[host->spare_count++] = out;
        return;
    }
    free(out->text.data);
    free(out);
}

uint64_t pure_wall_ms(const struct pure_host *host)
{
    return PURE_WALL_MS + host->now_ms - PURE_START_MS;
}

static struct dialect_call pure_call_about(const struct pure_host *host, struct pure_conn *conn, struct actions *out)
{
    return (struct dialect_call){.settings = host->settings,
                                 .session = conn->session,
                                 .now_ms = host->now_ms,
                                 .wall_ms = pure_wall_ms(host),
                                 .connection = conn->number,
                                 .received_wall_ms = pure_wall_ms(host),
                                 .secure = host->secure,
                                 .mounts = host->mounts,
                                 .out = out};
}

/* With counts that are always of this moment. */
struct dialect_call pure_call(struct pure_host *host, struct pure_conn *conn, struct actions *out)
{
    struct dialect_call call = pure_call_about(host, conn, out);
    if (host->dialect->census == NULL)
        return call;
    memset(host->counts, 0, sizeof host->counts);
    call.recent_counts = host->counts;
    for (uint32_t i = 0; i < host->conn_count; i++) {
        if (!host->conns[i].open)
            continue;
        struct dialect_call one = pure_call_about(host, &host->conns[i], NULL);
        host->dialect->census->describe(&one, NULL, host->counts);
        call.sessions++;
    }
    return call;
}

static void pure_refused(struct pure_host *host, struct pure_conn *conn, enum quota_kind quota);
static void pure_counted(struct pure_host *host, struct pure_conn *conn, const struct action *action);
static void pure_work(struct pure_host *host, struct pure_conn *conn, const struct action *action);
static void pure_at_depot(struct pure_host *host, struct pure_conn *conn, const struct action *action);

/* The header lines of a response beyond Content-Type and Content-Length, as the writer has them. */
static struct slice duties(const struct http1_answer *answer)
{
    static uint8_t memory[1024];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, answer, &(struct http1_manner){.keep_alive = true, .head_only = true, .minor_version = 1});
    check(!out.overflow);
    struct slice head = slice_of(memory, out.used - 2), line, rest = {0};
    while (head.bytes > 0) {
        const uint8_t *end = memchr(head.data, '\n', head.bytes);
        line = slice_of(head.data, (size_t)(end - head.data) + 1);
        head = slice_skip(head, line.bytes);
        if (!slice_starts(line, slice_text("HTTP/1.1 ")) && !slice_starts(line, slice_text("Content-")))
            rest = rest.data == NULL ? slice_of(line.data, line.bytes + head.bytes) : rest;
    }
    return rest.data == NULL ? slice_text("") : rest;
}

static void pure_respond(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    conn->refused_status = action->respond.status;
    host->content_type = action->respond.content_type;
    free(host->content);
    host->content = pure_copy(action->respond.content.data, action->respond.content.bytes);
    pure_name(conn->refused_content, sizeof conn->refused_content,
              slice_of(host->content, strnlen(host->content, sizeof conn->refused_content - 1)));
    pure_name(conn->refused_extra, sizeof conn->refused_extra, duties(&action->respond));
}

/* One action. False: the rest of its row is dropped. */
static bool pure_do(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        pure_respond(host, conn, action);
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
        if (pure_acquire(host, conn, action))
            break;
        pure_refused(host, conn, action->acquire.quota);
        return false;
    case ACTION_REQUEST: /* the last of its row */
        pure_ask_from(host, conn, action->request.tag, action->request.kind, action->request.body);
        return false;
    case ACTION_CENSUS: /* likewise */
        pure_counted(host, conn, action);
        return false;
    case ACTION_WORK: /* likewise; at once */
        pure_work(host, conn, action);
        return false;
    case ACTION_DEPOT: /* likewise; at once */
        pure_at_depot(host, conn, action);
        return false;
    case ACTION_UNCOUNT:
        bucket_take_back(&conn->window);
        break;
    case ACTION_TIMER:
        conn->timer_ms = action->timer.after_ms == 0 ? 0 : host->now_ms + action->timer.after_ms;
        break;
    case ACTION_CLOSE:
        pure_close_conn(host, conn, action->close.code, action->close.reason);
        break;
    }
    return true;
}

static void pure_overflow(struct pure_host *host, struct pure_conn *conn)
{
    if (conn->open) {
        pure_close_conn(host, conn, WS_CLOSE_INTERNAL, "overflow");
    } else {
        conn->refused_status = 500;
        pure_end(host, conn);
    }
}

void pure_apply(struct pure_host *host, struct pure_conn *conn, struct actions *out)
{
    const struct pure_watch *watch = host->watch;
    bool goes_on = !out->overflow && !out->text.overflow;
    if (!goes_on)
        pure_overflow(host, conn);
    for (uint32_t i = 0; goes_on && i < out->count; i++) {
        if (watch != NULL && watch->action != NULL)
            watch->action(watch->context, conn, out, i);
        goes_on = pure_do(host, conn, &out->items[i]);
    }
    pure_actions_free(host, out);
}

static void pure_refused(struct pure_host *host, struct pure_conn *conn, enum quota_kind quota)
{
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->refused(&call, quota);
    pure_apply(host, conn, out);
}

/* What `describe` says of all sessions. */
static void pure_census(struct pure_host *host, struct buf *out, uint64_t *counts)
{
    for (uint32_t i = 0; i < host->conn_count; i++) {
        if (!host->conns[i].open)
            continue;
        struct dialect_call call = pure_call_about(host, &host->conns[i], NULL);
        if (out->used > 0)
            buf_put_byte(out, ',');
        host->dialect->census->describe(&call, out, counts);
    }
    if (host->watch != NULL && host->watch->census != NULL)
        host->watch->census(host->watch->context, buf_slice(out));
}

/* Does what takes long here and now, and lets the dialect go on from it. */
static void pure_work(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    struct actions *out = pure_actions(host);
    uint8_t memory[WORK_REPLY_BYTES_MAX];
    struct buf reply = buf_of(memory, sizeof memory);
    struct slice body = action->request.body;
    uint8_t *copy = pure_memory(body.bytes + 1);
    memcpy(copy, body.data, body.bytes);
    int status = host->dialect->work(action->request.kind, (struct span){copy, body.bytes}, &reply);
    check(!reply.overflow);
    struct dialect_reply answer = {.tag = action->request.tag, .status = status, .body = buf_slice(&reply)};
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->replied(&call, &answer);
    pure_apply(host, conn, out);
    free(copy);
}

/* Lets the depot do it here and now, and the dialect go on from it. */
static void pure_at_depot(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    struct actions *out = pure_actions(host);
    uint8_t *memory = pure_memory(DEPOT_REPLY_BYTES_MAX);
    struct buf reply = buf_of(memory, DEPOT_REPLY_BYTES_MAX);
    pure_depot_ask(host->depot, action->depot.kind, conn->number, action->depot.head, action->depot.body, host->now_ms,
                   pure_wall_ms(host), &reply);
    struct dialect_reply answer = {.tag = action->depot.tag, .status = 200, .body = buf_slice(&reply)};
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->replied(&call, &answer);
    pure_apply(host, conn, out);
    free(memory);
}

/* Gets the answer to a CENSUS and lets the dialect go on from it. */
static void pure_counted(struct pure_host *host, struct pure_conn *conn, const struct action *action)
{
    struct actions *out = pure_actions(host);
    struct buf body = buf_of(pure_memory(PURE_BODY_BYTES), PURE_BODY_BYTES);
    uint64_t counts[CENSUS_COUNTS] = {0};
    pure_census(host, &body, counts);
    struct dialect_reply reply = {.tag = action->census.tag, .status = 200, .body = buf_slice(&body), .counts = counts};
    struct dialect_call call = pure_call(host, conn, out);
    host->dialect->replied(&call, &reply);
    pure_apply(host, conn, out);
    free(body.data);
}
