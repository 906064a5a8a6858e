/* SPDX-License-Identifier: MIT */
/* Owns a connection's life in the dialect emprops (emprops.md): admission, greeting, what the hub's answers turn into,
 * pings, farewell, and the table of the dialect. It never reads a message (requests.c does) and holds no job (the hub
 * does). Sessions and channels call it through the table at the end. */
#include "protocol/action.h"
#include "protocol/dialects/emprops/session.h"

#include "core/check.h"
#include "protocol/dialects/emprops/filter.h"
#include "protocol/token.h"

#include <stdlib.h>

#define HEARTBEAT_MS 30000 /* E-81 */

/* --- errors ------------------------------------------------------------------------------------------------------- */

void emprops_error(struct dialect_call *call, enum message_fault fault, struct slice details, struct slice id)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    message_error(text, fault, details, id, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* E-69 */
void emprops_auth_failed(struct dialect_call *call, const char *reason, const char *name, struct slice who,
                         struct slice id)
{
    uint8_t memory[EMPROPS_NAME_BYTES_MAX * 6 + 128];
    struct buf details = buf_of(memory, sizeof memory);
    buf_put_text(&details, "{\"reason\":");
    json_put_string(&details, slice_text(reason));
    if (who.data != NULL)
        message_text(&details, name, who);
    buf_put_byte(&details, '}');
    check(!details.overflow);
    emprops_error(call, FAULT_AUTH_FAILED, buf_slice(&details), id);
    action_close(call->out, WS_CLOSE_POLICY, "authentication failed");
}

void emprops_invalid(struct dialect_call *call, const struct incoming *in, const char *field, const char *what,
                     const struct json_member *value)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    bool shown = value != NULL && value->token != JSON_ERROR && value->text.bytes <= 1024;
    message_invalid(text, field, what, shown ? value->text : slice_of(NULL, 0), in->id, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

bool emprops_secured(const struct dialect_call *call)
{
    const struct dialect_settings *settings = call->settings;
    return settings->grants.count > 0 || (settings->keys_file != NULL && settings->keys_file[0] != '\0');
}

static const struct {
    const char *word;
    enum emprops_right right;
} rights[] = {{"client", EMPROPS_CLIENT},
              {"worker", EMPROPS_WORKER},
              {"monitor", EMPROPS_MONITOR},
              {"view_all_jobs", EMPROPS_ALL_JOBS},
              {"view_system_stats", EMPROPS_STATS}};

static uint8_t right_of(struct slice word)
{
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++)
        if (slice_is(word, rights[i].word))
            return (uint8_t)rights[i].right;
    return 0;
}

static const char *emprops_permission_fault(struct slice word)
{
    return right_of(word) != 0 ? NULL : "is none of client, worker, monitor, view_all_jobs, view_system_stats";
}

uint8_t emprops_rights_of(const struct dialect_call *call, struct slice key)
{
    const struct dialect_settings *settings = call->settings;
    int index = grant_find(&settings->grants, key);
    if (index < 0)
        return 0;
    const struct grant *grant = &settings->grants.items[index];
    uint8_t all = grant->word_count == 0 ? EMPROPS_RIGHTS : 0;
    for (uint32_t i = 0; i < grant->word_count; i++)
        all |= right_of(grant->words[i]);
    return all;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* E-1, Q-21 */
static enum dialect_path emprops_route(const void *settings, struct slice path)
{
    (void)settings;
    bool common = slice_is(path, "/healthz") || slice_is(path, "/metrics");
    bool below = path.bytes == 0 || path.data[0] == '/';
    return below && !common ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE;
}

/* E-4 */
static void greet(struct dialect_call *call)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    message_begin(text, "connection_established");
    message_literal(text, "message", "Connected to EmProps Job Queue Hub");
    message_literal(text, "server_version", "1.0.0");
    message_end(text, slice_of(NULL, 0), call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

static void emprops_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    const struct dialect_settings *settings = call->settings;
    struct emprops_session *session = call->session;
    struct buf *text = &call->out->text;
    bool given = emprops_secured(call) && token_given(request, "token");
    size_t mark = text->used;
    (void)path;
    if (settings->connections_per_address > 0)
        action_acquire(call->out, QUOTA_ADDRESS, slice_text(""), (uint32_t)settings->connections_per_address, 0);
    bool read = given && token_from_request(request, "token", text);
    struct slice key = buf_since(text, mark);
    session->key_rights = !emprops_secured(call) ? EMPROPS_RIGHTS : read ? emprops_rights_of(call, key) : 0;
    session->granted = emprops_secured(call) ? 0 : EMPROPS_RIGHTS;
    if (session->key_rights != 0 && given)
        action_acquire(call->out, QUOTA_KEY, key, (uint32_t)settings->connections_per_key, 0);
    action_accept(call->out);
    session->accepted = true;
    if (given && session->key_rights == 0) {
        emprops_auth_failed(call, "Invalid token", "", slice_of(NULL, 0), slice_of(NULL, 0));
        return;
    }
    mark = text->used;
    hub_put_session_channel(text, call->connection);
    action_subscribe(call->out, buf_since(text, mark), slice_text(""), 0);
    greet(call);
}

static void emprops_refused(struct dialect_call *call, enum quota_kind quota)
{
    const struct emprops_session *session = call->session;
    if (!session->client && !session->worker && !session->registering) {
        dialect_refuse(call, quota);
        return;
    }
    emprops_error(call, FAULT_RATE_LIMITED, slice_of(NULL, 0), slice_of(NULL, 0));
    action_close(call->out, WS_CLOSE_POLICY, "too many connections of this token");
}

static void forget_memory(struct emprops_session *session)
{
    free(session->memory);
    free(session->whole);
    free(session->id);
    session->memory = session->whole = NULL;
    session->id = NULL;
}

static void emprops_end(void *state)
{
    struct emprops_session *session = state;
    forget_memory(session);
    emprops_chunks_free(session);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void emprops_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    forget_memory(call->session);
    if (opcode == WS_TEXT)
        emprops_take(call, message, slice_of(NULL, 0));
    else
        emprops_error(call, FAULT_INVALID_MESSAGE, slice_text("{\"reason\":\"Binary messages are not supported\"}"),
                      slice_of(NULL, 0)); /* K-26 */
}

/* E-87: not processed. */
static void emprops_over_limit(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count)
{
    struct incoming in;
    struct json_member id = {.name = "id"};
    (void)count;
    in.id = slice_of(NULL, 0);
    if (opcode == WS_TEXT && json_find_members(message, EMPROPS_DEPTH_MAX, false, &id, 1) == JSON_MEMBERS_OK &&
        id.token == JSON_STRING && id.raw.bytes <= EMPROPS_NAME_BYTES_MAX)
        in.id = id.text;
    emprops_error(call, FAULT_RATE_LIMITED, slice_of(NULL, 0), in.id);
}

/* E-73: the close 1009 comes behind it. */
static void emprops_too_big(struct dialect_call *call)
{
    uint8_t memory[64];
    const struct dialect_settings *settings = call->settings;
    struct buf details = buf_of(memory, sizeof memory);
    buf_put_text(&details, "{\"maximum_bytes\":");
    buf_put_u64(&details, settings->message_bytes_max);
    buf_put_byte(&details, '}');
    emprops_error(call, FAULT_MESSAGE_TOO_LARGE, buf_slice(&details), slice_of(NULL, 0));
}

/* E-81 */
static void emprops_heartbeat(struct dialect_call *call)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    message_begin(text, "ping");
    message_end(text, slice_of(NULL, 0), call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* E-83 */
static void emprops_farewell(struct dialect_call *call)
{
    const struct emprops_settings *settings = call->settings;
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    message_begin(text, "server_disconnect");
    message_literal(text, "reason", "Server maintenance");
    message_u64(text, "reconnect_after", call->wall_ms + settings->downtime_ms / 1000 * 1000);
    message_u64(text, "estimated_downtime", settings->downtime_ms / 1000);
    message_end(text, slice_of(NULL, 0), call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* --- answers of the hub ------------------------------------------------------------------------------------------- */

static void note_registered(struct emprops_session *session, struct slice as)
{
    check_op(as.bytes, ==, 1);
    session->worker = session->worker || as.data[0] == 'w';
    if (as.data[0] == 'w')
        return;
    session->client = true;
    session->monitor = as.data[0] == 'm';
}

/* Carries out the items of an answer; whether a request must follow that says that the session listens to its class's
 * channel. */
static bool carry_out(struct dialect_call *call, struct slice body)
{
    struct actions *out = call->out;
    struct slice first, second;
    enum hub_item item;
    bool joins = false;
    while (hub_next_item(&body, &item, &first, &second)) {
        switch (item) {
        case HUB_SEND:
            action_send(out, WS_TEXT, first);
            break;
        case HUB_JOIN:
            action_subscribe(out, first, second, 0);
            break;
        case HUB_LEAVE:
            action_unsubscribe(out, first);
            break;
        case HUB_JOIN_CLASS:
            action_subscribe(out, first, slice_text(""), 0);
            joins = true;
            break;
        case HUB_CLOSE:
            action_close(out, load_be16(first.data), "client disconnected");
            break;
        case HUB_REGISTERED:
            note_registered(call->session, first);
            break;
        }
    }
    return joins;
}

static void ask_without_message(struct dialect_call *call, enum hub_request kind, enum emprops_tag tag, uint64_t bytes)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    hub_put_number(text, FIELD_SESSION, call->connection);
    hub_put_number(text, FIELD_BYTES, bytes);
    action_request(call->out, kind, buf_since(text, mark), tag);
}

static void emprops_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct emprops_session *session = call->session;
    uint32_t before = call->out->count;
    bool joins = false;
    if (reply->tag == TAG_RESERVE) {
        emprops_chunk_reserved(call, reply->status == 200);
    } else if (reply->tag == TAG_MESSAGE && reply->status != 200) {
        emprops_error(call, FAULT_INTERNAL_ERROR, slice_of(NULL, 0),
                      session->id == NULL ? slice_of(NULL, 0) : slice_text(session->id));
    } else if (reply->status == 200) {
        joins = carry_out(call, reply->body);
    }
    bool asks = call->out->count > before && (call->out->items[call->out->count - 1].kind == ACTION_REQUEST ||
                                              call->out->items[call->out->count - 1].kind == ACTION_CLOSE);
    if (joins) {
        ask_without_message(call, HUB_JOINED, TAG_JOINED, 0);
    } else if (session->unreserve && !asks) {
        session->unreserve = false;
        ask_without_message(call, HUB_RESERVE, TAG_UNRESERVE, emprops_chunks_bytes(session));
    }
}

static void emprops_timer(struct dialect_call *call)
{
    struct emprops_session *session = call->session;
    emprops_chunks_timer(call);
    if (session->unreserve) {
        session->unreserve = false;
        ask_without_message(call, HUB_RESERVE, TAG_UNRESERVE, emprops_chunks_bytes(session));
    }
}

static void emprops_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    (void)settings;
    (void)channel;
    *traits = (struct channel_traits){.policy = POLICY_CONFLATE}; /* E-37, K-15 */
}

static const struct dialect_default emprops_defaults[] = {
    {"message_bytes_max", "10MiB"}, {"messages_max", "500"}, {"outbox_bytes_max", "16MiB"}, {NULL, NULL}};

const struct dialect emprops_dialect = {
    .name = "emprops",
    .settings_bytes = sizeof(struct emprops_settings),
    .options = emprops_options,
    .defaults = emprops_defaults,
    .session_bytes = sizeof(struct emprops_session),
    .heartbeat_ms = HEARTBEAT_MS,
    .home_key = "hub",
    .keyless_is_open = true, /* E-5 */
    .service = &emprops_hub,
    .permission_fault = emprops_permission_fault,
    .paths = (const char *const[]){"/", "/ws", "/emprops", NULL},
    .route = emprops_route,
    .open = emprops_open,
    .refused = emprops_refused,
    .message = emprops_message,
    .over_limit = emprops_over_limit,
    .too_big = emprops_too_big,
    .farewell = emprops_farewell,
    .heartbeat = emprops_heartbeat,
    .replied = emprops_replied,
    .timer = emprops_timer,
    .end = emprops_end,
    .traits = emprops_traits,
    .matches = filter_matches,
    .ingest = &(const struct dialect_ingest){.take = emprops_ingest, .read = emprops_read_state},
};
