/* SPDX-License-Identifier: MIT */
/* Owns what lies between a connection and its dialect: routing, limits, and answers. With session_actions.c and
 * session_census.c it is all that knows both. It never parses a message of a dialect and never writes to a socket. Called by conn_read (requests, messages),
 * conn (heartbeat, end) and mail (answers). */
#include "shards/session_parts.h"

#include "core/check.h"
#include "core/log.h"
#include "protocol/extension.h"
#include "shards/forwarded.h"

#include <stdlib.h>

/* ---- names and places ---- */

struct hash128 session_quota_name(const struct shard *shard, const struct conn *conn, enum quota_kind kind,
                                  struct slice name)
{
    static const char kinds[] = {
        [QUOTA_ADDRESS] = 'a', [QUOTA_KEY] = 'k', [QUOTA_ADDRESS_ATTEMPTS] = 'A', [QUOTA_KEY_ATTEMPTS] = 'K'};
    if (kind == QUOTA_ADDRESS || kind == QUOTA_ADDRESS_ATTEMPTS)
        name = slice_of(conn->session.client, sizeof conn->session.client);
    return shard_name(shard, kinds[kind], conn->dialect, name);
}

void session_give_back_places(struct shard *shard, struct conn *conn)
{
    struct session *session = &conn->session;
    if (session->quotas & 1U << QUOTA_ADDRESS)
        quota_release(shard, session_quota_name(shard, conn, QUOTA_ADDRESS, slice_of(NULL, 0)));
    if (session->quotas & 1U << QUOTA_KEY)
        quota_release(shard, session->key_name);
    session->quotas = 0;
}

void session_count(struct shard *shard, uint8_t dialect, int change)
{
    uint64_t sessions = atomic_load_explicit(&shard->sessions[dialect], memory_order_relaxed);
    atomic_store_explicit(&shard->sessions[dialect], sessions + (uint64_t)(int64_t)change, memory_order_relaxed);
    stats_add(&shard->stats, STAT_SESSIONS, (uint64_t)(int64_t)change);
}

void session_leave(struct shard *shard, struct conn *conn)
{
    audience_leave_all(shard, conn);
    session_give_back_places(shard, conn);
    session_drop_pending(conn);
    if (conn->role == CONN_ROLE_SESSION && conn->state == CONN_OPEN)
        session_count(shard, conn->dialect, -1);
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
    if (session->state != &session->small)
        free(session->state);
    session->state = NULL;
}

/* ---- opening ---- */

static void refuse(struct shard *shard, struct conn *conn, int status, const char *why)
{
    uint8_t memory[256];
    struct buf content = buf_of(memory, sizeof memory);
    buf_put_text(&content, "{\"error\":\"");
    buf_put_text(&content, why);
    buf_put_text(&content, "\"}");
    const char *extra = status == 426   ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
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

/* Zeroed memory for the dialect; false when memory is out. A small one needs no block of its own. */
static bool make_state(struct session *session, size_t bytes)
{
    session->small = 0;
    if (bytes > sizeof session->small)
        session->state = calloc(1, bytes);
    else
        session->state = bytes > 0 ? &session->small : NULL;
    return bytes == 0 || session->state != NULL;
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
    struct ring_address peer = ring_peer(shard->ring, conn->socket);
    forwarded_client(shard->config->dialects[index], request, peer.bytes, conn->session.client);
    bool allowed = rest || origin_allowed(shard->config->dialects[index], request);
    if (!allowed && !dialect->checks_origin) {
        refuse(shard, conn, 403, "Origin not allowed");
        return;
    }
    if (!make_state(&conn->session, dialect->session_bytes)) {
        refuse(shard, conn, 503, "Out of memory");
        return;
    }
    struct dialect_call call = session_call_begin(shard, conn);
    call.origin_allowed = allowed;
    if (rest) {
        dialect->rest->request(&call, request, path);
        session_run_call(shard, conn, NULL);
        return;
    }
    conn->corked = true;
    conn->keep_alive = false; /* an upgrade that is refused ends the connection */
    dialect->open(&call, request, path);
    session_run_call(shard, conn, &handshake);
}

/* ---- messages ---- */

void session_on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message)
{
    if (shard->stage_seen != STAGE_RUN)
        return; /* about to be closed: nothing new begins */
    const struct dialect *dialect = dialects[conn->dialect];
    const struct dialect_settings *settings = shard_dialect_settings(shard, conn->dialect);
    conn->session.messages_in++;
    uint32_t count = bucket_count(&conn->session.messages, shard->now_ms, settings->messages_window_ms);
    bool over = settings->messages_max != 0 && count > settings->messages_max;
    if (over && dialect->over_limit == NULL) {
        conn_close(shard, conn, CLOSE_MESSAGE_RATE, 0, NULL);
        return;
    }
    struct dialect_call call = session_call_begin(shard, conn);
    if (over)
        dialect->over_limit(&call, opcode, message, count);
    else
        dialect->message(&call, opcode, message);
    session_run_call(shard, conn, NULL);
}

void session_heartbeat(struct shard *shard, struct conn *conn)
{
    struct dialect_call call = session_call_begin(shard, conn);
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
    for (uint32_t i = 0; i < settings->grants.count && !known; i++) {
        struct hash128 name = session_quota_name(shard, conn, QUOTA_KEY, settings->grants.items[i].key);
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
    session_drop_pending(conn);
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->refused(&call, kind);
    session_run_call(shard, conn, opening);
}

void session_on_acquired(struct shard *shard, const struct mail *mail)
{
    if (mail->quota == QUOTA_PEER) {
        conn_on_place(shard, mail);
        return;
    }
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
    session_drop_pending(conn);
    struct dialect_reply reply = {.tag = (uint32_t)parcel->ticket,
                                  .status = parcel->status,
                                  .body = slice_of(parcel->reply, parcel->reply_bytes),
                                  .counts = parcel->counts};
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->replied(&call, &reply);
    session_run_call(shard, conn, opening);
}

bool session_on_timer(struct shard *shard, struct conn *conn)
{
    if (conn->session.pending != NULL)
        return false;
    conn->session.timer_ms = 0;
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->timer(&call);
    session_run_call(shard, conn, NULL);
    return true;
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
