/* SPDX-License-Identifier: MIT */
/* Owns a connection's life in the dialect rnn (rnn.md): admission by token, greeting, snapshot, pings, errors, limits, and
 * the table of the dialect. It holds no table and no search (the node does). Sessions and channels call it through the
 * table at the end. */
#include "protocol/dialects/rnn/rnn_session.h"
#include "protocol/dialects/rnn/uploads.h"

#include "protocol/json.h"
#include "protocol/jwt.h"
#include "protocol/token.h"

#include <stdlib.h>

#define JSON_PING_MS 54000 /* N-11 */

/* --- admission ---------------------------------------------------------------------------------------------------- */

static enum dialect_path rnn_route(const void *settings, struct slice path)
{
    (void)settings;
    if (slice_is(path, "/api/ws"))
        return DIALECT_PATH_SOCKET;
    return rnn_is_login(path) ? DIALECT_PATH_REST : DIALECT_PATH_NONE;
}

/* N-5, Q-34: the header counts before the query. False: there is none. */
static bool take_token(const struct http1_request *request, struct buf *text, struct slice *token)
{
    size_t mark = text->used;
    if (token_bearer(request, token))
        return token->bytes > 0;
    if (http1_query_get(request->query, "token", text) != 1)
        return false;
    *token = buf_since(text, mark);
    return token->bytes > 0;
}

static void rnn_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    const struct rnn_settings *settings = call->settings;
    struct rnn_session *session = call->session;
    struct jwt_claims claims;
    struct slice token;
    (void)path;
    if (!take_token(request, &call->out->text, &token)) {
        action_respond_json(call->out, 401, slice_text("{\"error\":\"Missing authentication token\"}"));
        return;
    }
    if (jwt_check(token, &settings->secrets, (int64_t)(call->wall_ms / 1000), &claims) != JWT_GOOD) {
        action_respond_json(call->out, 401, slice_text("{\"error\":\"Invalid authentication token\"}"));
        return;
    }
    session->expires_s = claims.expires_s;
    session->user = malloc(claims.subject_bytes + 1U);
    if (session->user == NULL) {
        action_respond_json(call->out, 503, slice_text("{\"error\":\"Out of memory\"}"));
        return;
    }
    memcpy(session->user, claims.subject, claims.subject_bytes);
    session->user[claims.subject_bytes] = '\0';
    size_t mark = call->out->text.used;
    buf_put(&call->out->text, slice_of(claims.subject, claims.subject_bytes));
    struct slice user = buf_since(&call->out->text, mark);
    if (settings->common.connections_per_address > 0)
        action_acquire(call->out, QUOTA_ADDRESS, slice_text(""), (uint32_t)settings->common.connections_per_address, 0);
    action_acquire(call->out, QUOTA_KEY, user, (uint32_t)settings->common.connections_per_key, 0);
    action_request(call->out, RNN_HELLO, slice_text(""), RNN_TAG_HELLO);
}

/* N-18, Q-36 */
static void rnn_refused(struct dialect_call *call, enum quota_kind quota)
{
    if (quota == QUOTA_ADDRESS_LEFT || quota == QUOTA_ADDRESS_ATTEMPTS)
        rnn_login_refused(call);
    else
        action_respond_json(call->out, 429, slice_text("{\"error\":\"Too many connections\"}"));
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void send_since(struct dialect_call *call, size_t mark)
{
    rnn_end(&call->out->text, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(&call->out->text, mark));
}

static void send_error(struct dialect_call *call, const char *code, const char *error, struct slice name)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    uint8_t memory[256];
    struct buf sentence = buf_of(memory, sizeof memory);
    buf_put_text(&sentence, error);
    buf_put(&sentence, name.bytes <= 128 ? name : slice_text("(too long to be repeated)"));
    rnn_begin(text, "error");
    buf_put_text(text, "{\"error\":");
    json_put_string(text, buf_slice(&sentence));
    buf_put_text(text, ",\"code\":\"");
    buf_put_text(text, code);
    buf_put_text(text, "\"}");
    send_since(call, mark);
}

static void send_empty(struct dialect_call *call, const char *type)
{
    size_t mark = call->out->text.used;
    rnn_begin(&call->out->text, type);
    buf_put_text(&call->out->text, "null");
    send_since(call, mark);
}

/* --- the connection begins ---------------------------------------------------------------------------------------- */

static void set_expiry(struct dialect_call *call)
{
    const struct rnn_settings *settings = call->settings;
    const struct rnn_session *session = call->session;
    uint64_t ends_ms = ((uint64_t)session->expires_s + JWT_LEEWAY_S) * 1000;
    if (settings->close_on_expiry)
        action_timer(call->out, ends_ms > call->wall_ms ? ends_ms - call->wall_ms : 1);
}

/* N-7: the greeting comes first, whatever is told meanwhile. */
static void let_in(struct dialect_call *call, const struct dialect_reply *reply)
{
    const struct rnn_settings *settings = call->settings;
    struct buf *text = &call->out->text;
    if (reply->status != 200) {
        action_respond_json(call->out, 503, slice_text("{\"error\":\"Try again later\"}"));
        return;
    }
    action_accept(call->out);
    size_t mark = text->used;
    rnn_begin(text, "connected");
    buf_put_text(text, "{\"message\":\"Connected to WebSocket server\",\"peer_id\":");
    json_put_string(text, reply->body);
    buf_put_byte(text, '}');
    send_since(call, mark);
    set_expiry(call);
    action_subscribe(call->out, slice_text(RNN_CHANNEL), slice_text(""), 0);
    if (settings->snapshot_on_connect)
        action_request(call->out, RNN_SNAPSHOT, slice_text(""), RNN_TAG_SNAPSHOT);
}

/* N-8, Q-35: as the node has written them, not copied, however large they are. */
static void send_snapshot(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct slice rest = reply->body, message;
    while (reply->status == 200 && rnn_next_part(&rest, &message))
        action_send(call->out, WS_TEXT, message);
}

static void rnn_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    switch ((enum rnn_tag)reply->tag) {
    case RNN_TAG_HELLO:
        let_in(call, reply);
        break;
    case RNN_TAG_SNAPSHOT:
        send_snapshot(call, reply);
        break;
    case RNN_TAG_SEARCH:
        rnn_search_replied(call, reply);
        break;
    case RNN_TAG_PASSWORD:
        rnn_login_replied(call, reply);
        break;
    case RNN_TAG_SERVICE:
    case RNN_TAG_UPLOAD:
        rnn_upload_replied(call, reply);
        break;
    }
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* N-16: what is no message is passed over (the engine counts it); of what has a type the type decides. */
static void rnn_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    enum { TYPE, PAYLOAD, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "type"}, {.name = "payload"}};
    uint8_t memory[129];
    struct buf space = buf_of(memory, sizeof memory);
    if (opcode != WS_TEXT || json_find_members(message, RNN_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK ||
        members[TYPE].token != JSON_STRING)
        return;
    struct slice type = slice_text("");
    if (members[TYPE].raw.bytes <= 128)
        type = json_resolve(members[TYPE].raw, members[TYPE].escaped, &space);
    if (slice_is(type, "ping"))
        send_empty(call, "pong");
    else if (slice_is(type, "pong"))
        return;
    else if (slice_is(type, "service.search.request"))
        rnn_search_begin(call, members[PAYLOAD].token == JSON_OBJECT_BEGIN ? members[PAYLOAD].text : slice_of(NULL, 0));
    else if (!rnn_upload_message(call, type, members[PAYLOAD].text))
        send_error(call, "UNKNOWN_MESSAGE_TYPE",
                   "Unknown message type: ", members[TYPE].raw.bytes <= 128 ? type : members[TYPE].raw);
}

/* N-18, Q-46: whatever it holds. */
static void rnn_over_limit(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count)
{
    (void)opcode;
    (void)message;
    (void)count;
    send_error(call, "RATE_LIMITED", "Too many messages", slice_text(""));
}

static void rnn_heartbeat(struct dialect_call *call)
{
    const struct rnn_settings *settings = call->settings;
    if (settings->json_ping)
        send_empty(call, "ping");
}

/* N-6 */
static void rnn_timer(struct dialect_call *call)
{
    action_close(call->out, WS_CLOSE_POLICY, "token expired");
}

static void rnn_end_session(void *state)
{
    struct rnn_session *session = state;
    rnn_search_forget(session);
    rnn_upload_forget(session);
    free(session->user);
    session->user = NULL;
    free(session->login);
    session->login = NULL;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void rnn_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    (void)settings;
    (void)channel;
    *traits = (struct channel_traits){.policy = POLICY_CONFLATE}; /* N-27: tables; events are never replaced */
}

static const struct dialect_default rnn_defaults[] = {
    {"message_bytes_max", "10MiB"}, {"messages_max", "200"},
    {"messages_window", "1s"},      {"outbox_bytes_max", "16MiB"},
    {"connections_per_key", "32"},  {"close_on_revoke", "false"}, /* its keys are users */
    {"ping_interval", "54s"},       {"idle_timeout", "60s"},
    {"send_timeout", "10s"},        {NULL, NULL}};

const struct dialect rnn_dialect = {
    .name = "rnn",
    .settings_bytes = sizeof(struct rnn_settings),
    .options = rnn_options,
    .defaults = rnn_defaults,
    .session_bytes = sizeof(struct rnn_session),
    .heartbeat_ms = JSON_PING_MS,
    .home_key = "node",
    .paths = (const char *const[]){"/api/ws", "/api/auth/login", NULL},
    .service = &rnn_node,
    .depot = &rnn_uploads,
    .ingest = &rnn_ingest,
    .rest = &rnn_rest,
    .check_settings = rnn_check_settings,
    .route = rnn_route,
    .open = rnn_open,
    .refused = rnn_refused,
    .message = rnn_message,
    .over_limit = rnn_over_limit,
    .heartbeat = rnn_heartbeat,
    .work = rnn_work,
    .replied = rnn_replied,
    .timer = rnn_timer,
    .end = rnn_end_session,
    .traits = rnn_traits,
};
