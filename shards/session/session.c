/* SPDX-License-Identifier: MIT */
/* Owns what lies between a connection and its dialect: routing, limits, and answers. With session_actions.c and
 * session_census.c it is all that knows both. It never parses a message of a dialect and never writes to a socket.
 * Called by the connection's files through its role, and by mail (answers). */
#include "shards/session/session.h"

#include "core/bucket.h"
#include "core/check.h"
#include "core/frame.h"
#include "core/ring.h"
#include "core/stats.h"
#include "protocol/action.h"
#include "protocol/deflate.h"
#include "protocol/dialect.h"
#include "protocol/extension.h"
#include "protocol/handshake.h"
#include "protocol/http1.h"
#include "shards/channel/audience.h"
#include "shards/channel/depot_host.h"
#include "shards/config/forwarded.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/listener.h"
#include "shards/conn/outbox.h"
#include "shards/mail/errand.h"
#include "shards/mail/home.h"
#include "shards/mail/mail.h"
#include "shards/mail/quota.h"
#include "shards/session/session_parts.h"
#include "shards/shard.h"

#include <stdlib.h>

#define TIMER_RETRY_MS 20

/* --- names and places --------------------------------------------------------------------------------------------- */

struct hash128 session_quota_name(const struct shard *shard, const struct conn *conn, enum quota_kind kind,
                                  struct slice name)
{
    static const char kinds[] = {[QUOTA_ADDRESS] = 'a',
                                 [QUOTA_KEY] = 'k',
                                 [QUOTA_ADDRESS_ATTEMPTS] = 'A',
                                 [QUOTA_KEY_ATTEMPTS] = 'K',
                                 [QUOTA_ADDRESS_LEFT] = 'A'};
    if (kind == QUOTA_ADDRESS || kind == QUOTA_ADDRESS_ATTEMPTS || kind == QUOTA_ADDRESS_LEFT)
        name = slice_of(conn->session.client, sizeof conn->session.client);
    return home_name(shard, kinds[kind], conn->dialect, name);
}

struct hash128 session_key_name(const struct shard *shard, uint8_t dialect, struct slice key)
{
    return home_name(shard, 'k', dialect, key);
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
    uint64_t sessions = atomic_load_explicit(&shard->sessions->open[dialect], memory_order_relaxed);
    atomic_store_explicit(&shard->sessions->open[dialect], sessions + (uint64_t)(int64_t)change, memory_order_relaxed);
    stats_add(&shard->stats, STAT_SESSIONS, (uint64_t)(int64_t)change);
}

/* Sends what a call has appended, SENDs only, at once, past a row of actions that waits: it answers nothing. */
static void send_all(struct shard *shard, struct conn *conn)
{
    const struct actions *actions = shard->sessions->actions;
    for (uint32_t i = 0; i < actions->count && conn->state == CONN_OPEN; i++) {
        check_op(actions->items[i].kind, ==, ACTION_SEND);
        conn_send_message(shard, conn, actions->items[i].send.opcode, actions->items[i].send.payload);
    }
}

/* What a dialect has to say before some closes. */
static void say_last_words(struct shard *shard, struct conn *conn, enum close_reason why)
{
    const struct dialect *dialect = dialects[conn->dialect];
    void (*words)(struct dialect_call *) = why == CLOSE_TOO_BIG    ? dialect->too_big
                                           : why == CLOSE_SHUTDOWN ? dialect->farewell
                                                                   : NULL;
    if (words == NULL)
        return;
    struct dialect_call call = session_call_begin(shard, conn);
    words(&call);
    send_all(shard, conn);
}

/* role.leave: it stops being a listener and gives its places back. */
static void leave(struct shard *shard, struct conn *conn, uint8_t why)
{
    if (conn->state == CONN_OPEN)
        say_last_words(shard, conn, (enum close_reason)why);
    session_body_drop(shard, conn);
    audience_leave_all(shard, conn);
    session_give_back_places(shard, conn);
    session_drop_pending(conn);
    if (conn->session.at_depot)
        depot_host_left(shard, conn->dialect, conn_id(shard, conn));
    conn->session.at_depot = false;
    if (conn->state == CONN_OPEN)
        session_count(shard, conn->dialect, -1);
}

/* role.end: the dialect's state goes. */
static void end(struct shard *shard, struct conn *conn)
{
    struct session *session = &conn->session;
    session_body_drop(shard, conn);
    check(session->memberships == 0 && session->quotas == 0 && session->pending == NULL);
    if (conn->user == NULL)
        return;
    if (dialects[conn->dialect]->end != NULL)
        dialects[conn->dialect]->end(conn->user);
    if (conn->user != &session->small)
        free(conn->user);
    conn->user = NULL;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* The dialect of the listener that owns the path, or -1; *path loses the dialect's prefix. */
static int route(struct shard *shard, const struct conn *conn, struct slice *path)
{
    const struct listener *listener = &shard->listeners->items[conn->listener];
    for (uint32_t i = 0; i < shard->config->dialect_count; i++) {
        if (!(listener->dialects & 1U << i))
            continue;
        const void *settings = shard->config->dialects[i];
        struct slice prefix = slice_text(config_dialect(shard->config, (uint8_t)i)->prefix);
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

/* That Origin and Host are the same says nothing of a name that was made to point at a loopback address: there the
 * Host has to be a known one. Elsewhere, and behind a proxy that asks for a name in `hosts`, it is. */
static bool origin_allowed(const struct shard *shard, const struct conn *conn, const struct dialect_settings *settings,
                           const struct http1_request *request)
{
    struct slice origin = http1_header(request, "Origin");
    if (!settings->origin_check || origin.data == NULL)
        return true;
    struct slice host = listener_serves_host(shard, conn->listener, request->host) ? request->host : slice_of(NULL, 0);
    return handshake_origin_allowed(origin, host, (const char *const *)settings->origins.items,
                                    settings->origins.count);
}

/* Zeroed memory for the dialect; false when memory is out. A small one needs no block of its own. */
static bool make_state(struct conn *conn, size_t bytes)
{
    conn->session.small = 0;
    if (bytes > sizeof conn->session.small)
        conn->user = calloc(1, bytes);
    else
        conn->user = bytes > 0 ? &conn->session.small : NULL;
    return bytes == 0 || conn->user != NULL;
}

/* role.request: routes it, checks the upgrade, opens the session or refuses. */
static void on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    struct slice path = request->path;
    struct handshake handshake;
    const char *why = "";
    bool has_body = request->chunked || request->content_length > 0;
    bool keep_alive = conn->keep_alive;
    conn->keep_alive = keep_alive && !has_body; /* a body that nobody reads ends the connection */
    int index = route(shard, conn, &path);
    if (index < 0) {
        conn_refuse(shard, conn, 404, "Not found");
        return;
    }
    const struct dialect *dialect = dialects[index];
    bool rest = dialect->route(shard->config->dialects[index], path) == DIALECT_PATH_REST;
    int status = rest ? handshake_check_origin(request, &why) : handshake_check(request, &handshake, &why);
    if (status == 405) {
        conn_refuse_method(shard, conn, "GET");
        return;
    }
    if (status != 0) {
        conn_refuse(shard, conn, status, why);
        return;
    }
    const struct extension_settings windows = {DEFLATE_WINDOW_BITS_MAX, DEFLATE_WINDOW_BITS_MAX};
    if (!rest && config_dialect(shard->config, (uint8_t)index)->compression)
        extension_negotiate(request, &windows, &handshake.deflate);
    end(shard, conn); /* of an earlier request that was answered with a response */
    conn->dialect = (uint8_t)index;
    struct ring_address peer = ring_peer(shard->ring, conn->socket);
    forwarded_client(shard->config->dialects[index], request, peer.bytes, conn->session.client);
    bool allowed = origin_allowed(shard, conn, shard->config->dialects[index], request);
    if (!allowed && !rest && !dialect->checks_origin) {
        conn_refuse_origin(shard, conn);
        return;
    }
    if (!make_state(conn, dialect->session_bytes)) {
        conn_refuse(shard, conn, 503, "Out of memory");
        return;
    }
    struct dialect_call call = session_call_begin(shard, conn);
    call.origin_allowed = allowed;
    if (rest) {
        dialect->rest->request(&call, request, path);
        bool goes_on = call.out->count == 0 && dialect->rest->content != NULL; /* with its content */
        conn->keep_alive = goes_on ? keep_alive : conn->keep_alive;
        if (goes_on)
            session_body_begin(shard, conn, request);
        else
            session_run_call(shard, conn, NULL);
        return;
    }
    conn->corked = true;
    conn->keep_alive = false; /* an upgrade that is refused ends the connection */
    dialect->open(&call, request, path);
    session_run_call(shard, conn, &handshake);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* Beyond messages_max so many of a window are read for the answer (it may echo an id), and the one at twice the limit, where a dialect may
 * end its patience: of others the dialect is told that they came. */
#define OVER_LIMIT_READ 8

static bool reads_over_limit(const struct dialect_settings *settings, uint64_t count)
{
    return count - settings->messages_max <= OVER_LIMIT_READ || count == 2 * settings->messages_max;
}

static bool is_over(const struct dialect_settings *settings, const struct conn *conn)
{
    return settings->messages_max != 0 && conn->session.messages.count > settings->messages_max;
}

/* role.wanted: counts a message when its header is there, and decides once for all of it. */
static bool is_wanted(struct shard *shard, struct conn *conn, bool first)
{
    struct session *session = &conn->session;
    const struct dialect_settings *settings = config_dialect(shard->config, conn->dialect);
    if (!first)
        return !session->unread;
    session->unread = shard->stage_seen != STAGE_RUN; /* about to be closed: nothing new begins */
    if (session->unread)
        return false;
    session->messages_in++;
    uint32_t count = bucket_count(&session->messages, shard->now_ms, settings->messages_window_ms);
    if (!is_over(settings, conn))
        return true;
    if (dialects[conn->dialect]->over_limit == NULL)
        conn_close(shard, conn, CLOSE_MESSAGE_RATE, 0, NULL);
    session->unread = conn->state != CONN_OPEN || !reads_over_limit(settings, count);
    return !session->unread;
}

/* role.message */
static void on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message)
{
    if (shard->stage_seen != STAGE_RUN)
        return; /* about to be closed: nothing new begins */
    const struct dialect *dialect = dialects[conn->dialect];
    const struct dialect_settings *settings = config_dialect(shard->config, conn->dialect);
    bool over = (is_over(settings, conn) || conn->session.unread) && dialect->over_limit != NULL;
    struct dialect_call call = session_call_begin(shard, conn);
    if (over)
        dialect->over_limit(&call, opcode, message, conn->session.messages.count);
    else
        dialect->message(&call, opcode, message);
    session_run_call(shard, conn, NULL);
}

static void heartbeat(struct shard *shard, struct conn *conn)
{
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->heartbeat(&call);
    send_all(shard, conn);
}

/* role.reload: closes a session whose key is no longer configured, unless close_on_revoke is off. */
static void revoke(struct shard *shard, struct conn *conn)
{
    if (!(conn->session.quotas & 1U << QUOTA_KEY))
        return;
    const struct dialect_settings *settings = config_dialect(shard->config, conn->dialect);
    if (settings->close_on_revoke && !session_reload_knows(shard, conn->session.key_name))
        conn_close(shard, conn, CLOSE_REVOKED, 0, NULL);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

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

void session_on_reply(struct shard *shard, struct errand *errand)
{
    struct conn *conn = conn_get(shard, errand->conn);
    if (!waits(conn))
        return;
    struct handshake handshake = conn->session.pending->handshake;
    const struct handshake *opening = conn->session.pending->run.handshake == NULL ? NULL : &handshake;
    session_drop_pending(conn);
    struct dialect_reply reply = {.tag = (uint32_t)errand->ticket,
                                  .status = errand->status,
                                  .body = slice_of(errand->reply, errand->reply_bytes),
                                  .counts = errand->kind == ERRAND_CENSUS ? errand->census.counts : NULL};
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->replied(&call, &reply);
    session_run_call(shard, conn, opening);
}

/* --- deadlines of its own ----------------------------------------------------------------------------------------- */

void session_set_due(struct conn *conn)
{
    const struct session *session = &conn->session;
    bool timer_first =
        session->timer_ms != 0 && (session->heartbeat_ms == 0 || session->timer_ms < session->heartbeat_ms);
    conn->due_ms = timer_first ? session->timer_ms : session->heartbeat_ms;
}

static void expire(struct shard *shard, struct conn *conn)
{
    if (conn->session.pending != NULL) { /* it has to wait for an answer first */
        conn->session.timer_ms = shard->now_ms + TIMER_RETRY_MS;
        return;
    }
    conn->session.timer_ms = 0;
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->timer(&call);
    session_run_call(shard, conn, NULL);
}

/* role.timer: the heartbeat, in step, those that were missed left out; then the dialect's timer (ACTION_TIMER). */
static void on_due(struct shard *shard, struct conn *conn)
{
    struct session *session = &conn->session;
    uint64_t now = shard->now_ms;
    if (session->heartbeat_ms != 0 && now >= session->heartbeat_ms) {
        uint64_t period = dialects[conn->dialect]->heartbeat_ms;
        session->heartbeat_ms += (now - session->heartbeat_ms) / period * period + period;
        heartbeat(shard, conn);
    }
    if (conn->state == CONN_OPEN && session->timer_ms != 0 && now >= session->timer_ms)
        expire(shard, conn);
    session_set_due(conn);
}

/* role.limits */
static struct role_limits limits(const struct shard *shard, const struct conn *conn)
{
    const struct dialect_settings *settings = config_dialect(shard->config, conn->dialect);
    return (struct role_limits){
        .ping_interval_ms = settings->ping_interval_ms,
        .idle_timeout_ms = settings->idle_timeout_ms,
        .duration_max_ms = settings->duration_max_ms,
        .message_bytes_max = settings->message_bytes_max,
        .outbox_bytes_max = settings->outbox_bytes_max,
        .send_timeout_ms = settings->send_timeout_ms,
    };
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

static void release_frames(struct shard *shard, const struct errand *errand)
{
    for (uint32_t i = 0; i < errand->subscribe.frame_count; i++)
        frame_release(shard->idle, errand->subscribe.frames[i].segment, shard->number, 1);
}

void session_on_subscribed(struct shard *shard, struct errand *errand)
{
    struct conn *conn = conn_get(shard, errand->conn);
    for (uint32_t i = 0; i < errand->subscribe.frame_count; i++)
        mail_take_over(shard, errand->subscribe.frames[i].segment);
    if (!waits(conn)) {
        struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .unsubscribe = {.class_index = errand->subscribe.class_index}};
        if (errand->status == 200)
            mail_post(shard, errand->home, mail);
    } else if (errand->status != 200) {
        conn_close(shard, conn, CLOSE_OVERLOAD, 0, NULL);
    } else if (!audience_join(shard, conn, errand)) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
    } else if (conn->state == CONN_OPEN) {
        session_resume(shard, conn);
    }
    release_frames(shard, errand);
}

const struct conn_role session_role = {
    .request = on_request,
    .body = session_body_take,
    .held = session_body_held,
    .wanted = is_wanted,
    .message = on_message,
    .timer = on_due,
    .resume = session_resume,
    .reload = revoke,
    .leave = leave,
    .end = end,
    .limits = limits,
};
