/* SPDX-License-Identifier: MIT */
/* Owns what lies between a connection and its dialect: routing, limits, and the order of actions. It is the only file that
 * knows both. It never parses a message of a dialect and never writes to a socket. Called by conn_read (requests, messages),
 * conn (heartbeat, end) and mail (answers). */
#include "shards/session.h"

#include "core/check.h"
#include "core/log.h"
#include "protocol/extension.h"
#include "shards/forwarded.h"
#include "shards/shard.h"

#include <stdlib.h>

/* A row of actions that is being carried out. */
struct run {
    struct action *items;
    uint32_t count, next;
    const struct handshake *handshake; /* of an opening */
};

/* What is left of a row while it waits for an answer: one block with all the bytes that it needs. */
struct pending {
    struct run run;
    struct handshake handshake;
    struct action items[];
};

enum step {
    STEP_GO,
    STEP_WAIT_ANSWER,
    STEP_WAIT_ROOM,
    STEP_ENDED,
};

/* ---- names and places ---- */

static struct hash128 quota_name(const struct shard *shard, const struct conn *conn, enum quota_kind kind,
                                 struct slice name)
{
    static const char kinds[] = {
        [QUOTA_ADDRESS] = 'a', [QUOTA_KEY] = 'k', [QUOTA_ADDRESS_ATTEMPTS] = 'A', [QUOTA_KEY_ATTEMPTS] = 'K'};
    if (kind == QUOTA_ADDRESS || kind == QUOTA_ADDRESS_ATTEMPTS)
        name = slice_of(conn->session.client, sizeof conn->session.client);
    return shard_name(shard, kinds[kind], conn->dialect, name);
}

static void give_back_places(struct shard *shard, struct conn *conn)
{
    struct session *session = &conn->session;
    if (session->quotas & 1U << QUOTA_ADDRESS)
        quota_release(shard, quota_name(shard, conn, QUOTA_ADDRESS, slice_of(NULL, 0)));
    if (session->quotas & 1U << QUOTA_KEY)
        quota_release(shard, session->key_name);
    session->quotas = 0;
}

static void drop_pending(struct conn *conn)
{
    free(conn->session.pending);
    conn->session.pending = NULL;
}

static void count_session(struct shard *shard, uint8_t dialect, int change)
{
    uint64_t sessions = atomic_load_explicit(&shard->sessions[dialect], memory_order_relaxed);
    atomic_store_explicit(&shard->sessions[dialect], sessions + (uint64_t)(int64_t)change, memory_order_relaxed);
    stats_add(&shard->stats, STAT_SESSIONS, (uint64_t)(int64_t)change);
}

void session_leave(struct shard *shard, struct conn *conn)
{
    audience_leave_all(shard, conn);
    give_back_places(shard, conn);
    drop_pending(conn);
    if (conn->role == CONN_ROLE_SESSION && conn->state == CONN_OPEN)
        count_session(shard, conn->dialect, -1);
}

void session_end(struct shard *shard, struct conn *conn)
{
    struct session *session = &conn->session;
    (void)shard;
    check(session->memberships == 0 && session->quotas == 0 && session->pending == NULL);
    if (session->state == NULL)
        return;
    if (dialects[conn->dialect]->end != NULL)
        dialects[conn->dialect]->end(session->state);
    free(session->state);
    session->state = NULL;
}

/* ---- actions ---- */

/* What a dialect may know of a connection. */
static struct dialect_call call_about(const struct shard *shard, const struct conn *conn)
{
    return (struct dialect_call){
        .settings = shard->config->dialects[conn->dialect],
        .session = conn->session.state,
        .now_ms = shard->now_ms,
        .wall_ms = shard->wall_ms,
        .connection = conn_id(shard, conn),
        .received_wall_ms = shard->wall_ms - (shard->now_ms - conn->received_ms),
        .mounts = shard->listeners[conn->listener].mounts[conn->dialect],
    };
}

/* What all shards have counted of a dialect's sessions. */
static void sum_counts(struct shard *shard, uint8_t dialect, struct dialect_call *call)
{
    memset(shard->recent_counts, 0, sizeof shard->recent_counts);
    for (uint16_t i = 0; i < shard->count; i++) {
        struct shard *other = shard->all[i];
        call->sessions += atomic_load_explicit(&other->sessions[dialect], memory_order_relaxed);
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            shard->recent_counts[n] += atomic_load_explicit(&other->counts[dialect][n], memory_order_relaxed);
    }
    call->recent_counts = shard->recent_counts;
}

static struct dialect_call call_begin(struct shard *shard, const struct conn *conn)
{
    struct dialect_call call = call_about(shard, conn);
    shard->actions.count = 0;
    shard->actions.overflow = false;
    shard->actions.text = buf_of(shard->text, sizeof shard->text);
    call.out = &shard->actions;
    if (dialects[conn->dialect]->describe != NULL)
        sum_counts(shard, conn->dialect, &call);
    return call;
}

/* The slices that an action refers to, for copying: at most 3. */
static unsigned action_slices(struct action *action, struct slice *slices[3])
{
    switch (action->kind) {
    case ACTION_RESPOND:
        slices[0] = &action->respond.content;
        return 1;
    case ACTION_SEND:
        slices[0] = &action->send.payload;
        return 1;
    case ACTION_SUBSCRIBE:
        slices[0] = &action->subscribe.channel;
        slices[1] = &action->subscribe.variant;
        return 2;
    case ACTION_UNSUBSCRIBE:
        slices[0] = &action->unsubscribe.channel;
        return 1;
    case ACTION_PUBLISH:
        slices[0] = &action->publish.channel;
        slices[1] = &action->publish.payload;
        slices[2] = &action->publish.key;
        return 3;
    case ACTION_ACQUIRE:
        slices[0] = &action->acquire.name;
        return 1;
    case ACTION_REQUEST:
        slices[0] = &action->request.body;
        return 1;
    case ACTION_ACCEPT:
    case ACTION_CENSUS:
    case ACTION_TIMER:
    case ACTION_CLOSE:
        break;
    }
    return 0;
}

/* Keeps the rest of a row until an answer comes. A row that is kept already only moves on. */
static bool keep_rest(struct conn *conn, const struct run *run)
{
    struct pending *held = conn->session.pending;
    if (held != NULL && run->items == held->items) {
        held->run.next = run->next;
        return true;
    }
    uint32_t count = run->count - run->next;
    size_t bytes = 0;
    struct slice *slices[3];
    for (uint32_t i = 0; i < count; i++)
        for (unsigned n = action_slices(&run->items[run->next + i], slices); n-- > 0;)
            bytes += slices[n]->bytes;
    struct pending *pending = malloc(sizeof *pending + count * sizeof *pending->items + bytes);
    if (pending == NULL)
        return false;
    struct buf text = buf_of(pending->items + count, bytes);
    for (uint32_t i = 0; i < count; i++) {
        pending->items[i] = run->items[run->next + i];
        for (unsigned n = action_slices(&pending->items[i], slices); n-- > 0;) {
            size_t from = text.used;
            buf_put(&text, *slices[n]);
            *slices[n] = buf_since(&text, from);
        }
    }
    pending->run = (struct run){.items = pending->items, .count = count};
    if (run->handshake != NULL) {
        pending->handshake = *run->handshake;
        pending->run.handshake = &pending->handshake;
    }
    drop_pending(conn);
    conn->session.pending = pending;
    return true;
}

static enum step do_accept(struct shard *shard, struct conn *conn, const struct handshake *handshake)
{
    uint8_t memory[HANDSHAKE_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory);
    check(handshake != NULL && conn->state == CONN_HTTP);
    handshake_write(&out, handshake);
    check(!out.overflow);
    if (!conn_send_bytes(shard, conn, buf_slice(&out)))
        return STEP_ENDED;
    conn_upgrade(shard, conn, CONN_ROLE_SESSION);
    conn->deflate = deflate_class(&handshake->deflate);
    count_session(shard, conn->dialect, 1);
    return STEP_GO;
}

static enum step do_subscribe(struct shard *shard, struct conn *conn, const struct action *action)
{
    check_op(conn->state, ==, CONN_OPEN);
    struct slice channel = action->subscribe.channel, variant = action->subscribe.variant;
    struct parcel *parcel = parcel_make(&shard->parcels, PARCEL_SUBSCRIBE, channel.bytes + variant.bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->conn = conn_handle(conn);
    parcel->event.channel = parcel_put(parcel, channel);
    parcel->variant = parcel_put(parcel, variant);
    parcel->encoding = conn->deflate;
    parcel->history_max = action->subscribe.history_max;
    shard_ask(shard, parcel, channel_home(shard, conn->dialect, channel));
    return STEP_WAIT_ANSWER;
}

static enum step do_publish(struct shard *shard, struct conn *conn, const struct event *event)
{
    if (!shard_has_room(shard))
        return STEP_WAIT_ROOM;
    struct parcel *parcel =
        parcel_make(&shard->parcels, PARCEL_PUBLISH, event->channel.bytes + event->payload.bytes + event->key.bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->event = *event;
    parcel->event.channel = parcel_put(parcel, event->channel);
    parcel->event.payload = parcel_put(parcel, event->payload);
    parcel->event.key = parcel_put(parcel, event->key);
    shard_ask(shard, parcel, channel_home(shard, conn->dialect, event->channel));
    return STEP_GO;
}

static enum step do_acquire(struct shard *shard, struct conn *conn, const struct action *action)
{
    struct hash128 name = quota_name(shard, conn, action->acquire.quota, action->acquire.name);
    quota_acquire(shard, conn_handle(conn), name, action->acquire.quota, action->acquire.limit, action->acquire.window_ms);
    return STEP_WAIT_ANSWER;
}

/* A question whose answer goes to dialect.replied. */
static enum step ask_for(struct shard *shard, struct conn *conn, enum parcel_kind kind, const struct action *action)
{
    bool census = kind == PARCEL_CENSUS;
    struct slice body = census ? slice_of(NULL, 0) : action->request.body;
    size_t counts_bytes = census ? CENSUS_COUNTS * sizeof(uint64_t) : 0;
    struct parcel *parcel = parcel_make(&shard->parcels, kind, body.bytes + counts_bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->conn = conn_handle(conn);
    parcel->for_session = true;
    parcel->ticket = census ? action->census.tag : action->request.tag;
    if (census) {
        parcel->status = 200;
        parcel->counts = (uint64_t *)(void *)parcel->data;
        memset(parcel->counts, 0, counts_bytes);
        parcel->used = counts_bytes;
        shard_ask(shard, parcel, 0);
    } else {
        parcel->request_kind = action->request.kind;
        parcel->body = parcel_put(parcel, body);
        shard_ask(shard, parcel, channel_home(shard, conn->dialect, slice_of(NULL, 0)));
    }
    return STEP_WAIT_ANSWER;
}

static enum step do_action(struct shard *shard, struct conn *conn, const struct run *run, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        conn_respond(shard, conn, action->respond.status, action->respond.content_type, action->respond.extra,
                     action->respond.content);
        return conn->state == CONN_HTTP ? STEP_GO : STEP_ENDED;
    case ACTION_ACCEPT:
        return do_accept(shard, conn, run->handshake);
    case ACTION_SEND:
        return conn_send_message(shard, conn, action->send.opcode, action->send.payload) ? STEP_GO : STEP_ENDED;
    case ACTION_SUBSCRIBE:
        return do_subscribe(shard, conn, action);
    case ACTION_UNSUBSCRIBE:
        audience_leave(shard, conn, channel_id(shard, conn->dialect, action->unsubscribe.channel));
        return STEP_GO;
    case ACTION_PUBLISH:
        return do_publish(shard, conn, &action->publish);
    case ACTION_ACQUIRE:
        return do_acquire(shard, conn, action);
    case ACTION_REQUEST:
        return ask_for(shard, conn, PARCEL_REQUEST, action);
    case ACTION_CENSUS:
        return ask_for(shard, conn, PARCEL_CENSUS, action);
    case ACTION_TIMER:
        conn->session.timer_ms = action->timer.after_ms == 0 ? 0 : shard->now_ms + action->timer.after_ms;
        conn_set_timer(shard, conn);
        return STEP_GO;
    case ACTION_CLOSE:
        conn_close(shard, conn, CLOSE_DIALECT, action->close.code, action->close.reason);
        return STEP_ENDED;
    }
    check(false);
    return STEP_ENDED;
}

/* Carries out a row until it is done or has to wait. */
static void run_actions(struct shard *shard, struct conn *conn, struct run run)
{
    while (run.next < run.count) {
        struct action *action = &run.items[run.next];
        enum step step = do_action(shard, conn, &run, action);
        if (step == STEP_ENDED)
            return;
        if (step != STEP_WAIT_ROOM)
            run.next++;
        if (step == STEP_GO)
            continue;
        if (!keep_rest(conn, &run)) {
            conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
            return;
        }
        conn_park(shard, conn);
        if (step == STEP_WAIT_ROOM)
            conn_wait_for_room(shard, conn);
        return;
    }
    drop_pending(conn);
    if (conn->state == CONN_HTTP)
        give_back_places(shard, conn); /* answered by a response: the next request asks for its own */
    if (conn->corked) {
        conn->corked = false;
        conn_mark_dirty(shard, conn, false);
    }
    if (conn->parked)
        conn_unpark(shard, conn);
}

static void run_call(struct shard *shard, struct conn *conn, const struct handshake *handshake)
{
    struct actions *actions = &shard->actions;
    if (actions->overflow || actions->text.overflow) {
        conn_close(shard, conn, CLOSE_INTERNAL, 0, NULL);
        return;
    }
    run_actions(shard, conn, (struct run){.items = actions->items, .count = actions->count, .handshake = handshake});
}

void session_resume(struct shard *shard, struct conn *conn)
{
    if (conn->session.pending != NULL)
        run_actions(shard, conn, conn->session.pending->run);
}

/* ---- opening ---- */

static void refuse(struct shard *shard, struct conn *conn, int status, const char *why)
{
    uint8_t memory[256];
    struct buf content = buf_of(memory, sizeof memory);
    buf_put_text(&content, "{\"error\":\"");
    buf_put_text(&content, why);
    buf_put_text(&content, "\"}");
    const char *extra = status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        : status == 405 ? "Allow: GET\r\n"
                                        : "";
    conn_respond(shard, conn, status, "application/json", extra, buf_slice(&content));
}

/* The dialect of the listener that owns the path, or -1; *path loses the dialect's prefix. */
static int route(struct shard *shard, const struct conn *conn, struct slice *path)
{
    const struct listener *listener = &shard->listeners[conn->listener];
    for (uint32_t i = 0; i < shard->config->dialect_count; i++) {
        if (!(listener->dialects & 1U << i))
            continue;
        const void *settings = shard->config->dialects[i];
        struct slice prefix = slice_text(shard_dialect_settings(shard, (uint8_t)i)->prefix);
        if (!slice_starts(*path, prefix))
            continue;
        struct slice rest = slice_skip(*path, prefix.bytes);
        if (dialects[i]->route(settings, rest) == DIALECT_PATH_NONE)
            continue;
        *path = rest;
        return (int)i;
    }
    return -1;
}

static bool origin_allowed(const struct dialect_settings *settings, const struct http1_request *request)
{
    struct slice origin = http1_header(request, "Origin");
    if (!settings->origin_check || origin.data == NULL)
        return true;
    return handshake_origin_allowed(origin, request->host, (const char *const *)settings->origins.items,
                                    settings->origins.count);
}

void session_on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    struct slice path = request->path;
    struct handshake handshake;
    const char *why = "";
    bool has_body = request->chunked || request->content_length > 0;
    conn->keep_alive = conn->keep_alive && !has_body; /* a body that nobody reads ends the connection */
    int index = route(shard, conn, &path);
    if (index < 0) {
        refuse(shard, conn, 404, "Not found");
        return;
    }
    const struct dialect *dialect = dialects[index];
    bool rest = dialect->route(shard->config->dialects[index], path) == DIALECT_PATH_REST;
    int status = rest ? 0 : handshake_check(request, &handshake, &why);
    if (status != 0) {
        refuse(shard, conn, status, why);
        return;
    }
    const struct extension_settings windows = {DEFLATE_WINDOW_BITS_MAX, DEFLATE_WINDOW_BITS_MAX};
    if (!rest && shard_dialect_settings(shard, (uint8_t)index)->compression)
        extension_negotiate(request, &windows, &handshake.deflate);
    session_end(shard, conn); /* of an earlier request that was answered with a response */
    conn->dialect = (uint8_t)index;
    forwarded_client(shard->config->dialects[index], request, conn->peer.bytes, conn->session.client);
    bool allowed = rest || origin_allowed(shard->config->dialects[index], request);
    if (!allowed && !dialect->checks_origin) {
        refuse(shard, conn, 403, "Origin not allowed");
        return;
    }
    if (dialect->session_bytes > 0 && (conn->session.state = calloc(1, dialect->session_bytes)) == NULL) {
        refuse(shard, conn, 503, "Out of memory");
        return;
    }
    struct dialect_call call = call_begin(shard, conn);
    call.origin_allowed = allowed;
    if (rest) {
        dialect->rest(&call, request, path);
        run_call(shard, conn, NULL);
        return;
    }
    conn->corked = true;
    conn->keep_alive = false; /* an upgrade that is refused ends the connection */
    dialect->open(&call, request, path);
    run_call(shard, conn, &handshake);
}

/* ---- messages ---- */

void session_on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message)
{
    if (shard->stage_seen != STAGE_RUN)
        return; /* about to be closed: nothing new begins */
    const struct dialect *dialect = dialects[conn->dialect];
    const struct dialect_settings *settings = shard_dialect_settings(shard, conn->dialect);
    uint32_t count = bucket_count(&conn->session.messages, shard->now_ms, settings->messages_window_ms);
    bool over = settings->messages_max != 0 && count > settings->messages_max;
    if (over && dialect->over_limit == NULL) {
        conn_close(shard, conn, CLOSE_MESSAGE_RATE, 0, NULL);
        return;
    }
    struct dialect_call call = call_begin(shard, conn);
    if (over)
        dialect->over_limit(&call, opcode, message, count);
    else
        dialect->message(&call, opcode, message);
    run_call(shard, conn, NULL);
}

void session_heartbeat(struct shard *shard, struct conn *conn)
{
    struct dialect_call call = call_begin(shard, conn);
    dialects[conn->dialect]->heartbeat(&call);
    /* Sent at once, past a row of actions that waits: a heartbeat answers nothing. */
    for (uint32_t i = 0; i < shard->actions.count && conn->state == CONN_OPEN; i++) {
        check_op(shard->actions.items[i].kind, ==, ACTION_SEND);
        conn_send_message(shard, conn, shard->actions.items[i].send.opcode, shard->actions.items[i].send.payload);
    }
}

void session_revoke(struct shard *shard, struct conn *conn)
{
    if (conn->role != CONN_ROLE_SESSION || conn->state != CONN_OPEN || !(conn->session.quotas & 1U << QUOTA_KEY))
        return;
    const struct dialect_settings *settings = shard_dialect_settings(shard, conn->dialect);
    bool known = !settings->close_on_revoke;
    for (uint32_t i = 0; i < settings->key_list.count && !known; i++) {
        struct hash128 name = quota_name(shard, conn, QUOTA_KEY, settings->key_list.keys[i]);
        known = name.low == conn->session.key_name.low && name.high == conn->session.key_name.high;
    }
    if (!known)
        conn_close(shard, conn, CLOSE_REVOKED, 0, NULL);
}

/* ---- answers ---- */

/* Whether the connection still waits for the answer to a row of actions. */
static bool waits(const struct conn *conn)
{
    return conn != NULL && conn->session.pending != NULL && (conn->state == CONN_HTTP || conn->state == CONN_OPEN);
}

static void refused(struct shard *shard, struct conn *conn, enum quota_kind kind)
{
    struct handshake handshake = conn->session.pending->handshake;
    const struct handshake *opening = conn->session.pending->run.handshake == NULL ? NULL : &handshake;
    drop_pending(conn);
    struct dialect_call call = call_begin(shard, conn);
    dialects[conn->dialect]->refused(&call, kind);
    run_call(shard, conn, opening);
}

void session_on_acquired(struct shard *shard, const struct mail *mail)
{
    struct conn *conn = conn_get(shard, mail->acquire.conn);
    enum quota_kind kind = (enum quota_kind)mail->quota;
    bool place = kind == QUOTA_ADDRESS || kind == QUOTA_KEY;
    if (!waits(conn)) {
        if (mail->granted && place)
            quota_release(shard, mail->acquire.name);
        return;
    }
    if (!mail->granted) {
        stats_add(&shard->stats, STAT_QUOTA_REFUSED, 1);
        stats_add(&shard->stats, STAT_REFUSED_QUOTA, 1);
        refused(shard, conn, kind);
        return;
    }
    if (place) {
        conn->session.quotas |= (uint8_t)(1U << kind);
        if (kind == QUOTA_KEY)
            conn->session.key_name = mail->acquire.name;
    }
    session_resume(shard, conn);
}

void session_on_reply(struct shard *shard, const struct parcel *parcel)
{
    struct conn *conn = conn_get(shard, parcel->conn);
    if (!waits(conn))
        return;
    struct handshake handshake = conn->session.pending->handshake;
    const struct handshake *opening = conn->session.pending->run.handshake == NULL ? NULL : &handshake;
    drop_pending(conn);
    struct dialect_reply reply = {.tag = (uint32_t)parcel->ticket,
                                  .status = parcel->status,
                                  .body = slice_of(parcel->reply, parcel->reply_bytes),
                                  .counts = parcel->counts};
    struct dialect_call call = call_begin(shard, conn);
    dialects[conn->dialect]->replied(&call, &reply);
    run_call(shard, conn, opening);
}

bool session_on_timer(struct shard *shard, struct conn *conn)
{
    if (conn->session.pending != NULL)
        return false;
    conn->session.timer_ms = 0;
    struct dialect_call call = call_begin(shard, conn);
    dialects[conn->dialect]->timer(&call);
    run_call(shard, conn, NULL);
    return true;
}

/* Appends one piece to the reply of a parcel; false when memory is out. */
static bool append_reply(struct parcel *parcel, struct slice piece, size_t *capacity)
{
    size_t comma = parcel->reply_bytes > 0 ? 1 : 0;
    size_t wanted = parcel->reply_bytes + comma + piece.bytes;
    if (wanted > *capacity) {
        *capacity = wanted * 2;
        uint8_t *grown = realloc(parcel->reply, *capacity);
        if (grown == NULL)
            return false;
        parcel->reply = grown;
    }
    if (comma)
        parcel->reply[parcel->reply_bytes] = ',';
    memcpy(parcel->reply + parcel->reply_bytes + comma, piece.data, piece.bytes);
    parcel->reply_bytes = wanted;
    return true;
}

void session_describe_all(struct shard *shard, struct parcel *parcel)
{
    const struct dialect *dialect = dialects[parcel->dialect];
    size_t capacity = parcel->reply_bytes;
    uint32_t cursor = 0;
    for (struct conn *conn; parcel->status == 200 && (conn = slab_next(&shard->conns, &cursor, NULL)) != NULL;) {
        if (conn->state != CONN_OPEN || conn->role != CONN_ROLE_SESSION || conn->dialect != parcel->dialect)
            continue;
        struct dialect_call call = call_about(shard, conn);
        struct buf out = buf_of(shard->scratch, sizeof shard->scratch);
        dialect->describe(&call, &out, parcel->counts);
        check(!out.overflow);
        if (!append_reply(parcel, buf_slice(&out), &capacity))
            parcel->status = 503;
    }
}

void session_count_all(struct shard *shard)
{
    for (uint8_t d = 0; d < shard->config->dialect_count; d++) {
        uint64_t counts[CENSUS_COUNTS] = {0};
        uint32_t cursor = 0;
        if (dialects[d]->describe == NULL)
            continue;
        for (struct conn *conn; (conn = slab_next(&shard->conns, &cursor, NULL)) != NULL;) {
            if (conn->state != CONN_OPEN || conn->role != CONN_ROLE_SESSION || conn->dialect != d)
                continue;
            struct dialect_call call = call_about(shard, conn);
            dialects[d]->describe(&call, NULL, counts);
        }
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            atomic_store_explicit(&shard->counts[d][n], counts[n], memory_order_relaxed);
    }
}

static void release_frames(struct shard *shard, const struct parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->frame_count; i++)
        frame_release(&shard->idle, parcel->frames[i].segment, shard->number, 1);
}

void session_on_subscribed(struct shard *shard, struct parcel *parcel)
{
    struct conn *conn = conn_get(shard, parcel->conn);
    for (uint32_t i = 0; i < parcel->frame_count; i++)
        mail_take_over(shard, parcel->frames[i].segment);
    if (!waits(conn)) {
        struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .unsubscribe = {.class_index = parcel->class_index}};
        if (parcel->status == 200)
            mail_post(shard, parcel->home, mail);
    } else if (parcel->status != 200) {
        conn_close(shard, conn, CLOSE_OVERLOAD, 0, NULL);
    } else if (!audience_join(shard, conn, parcel)) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
    } else if (conn->state == CONN_OPEN) {
        session_resume(shard, conn);
    }
    release_frames(shard, parcel);
}
