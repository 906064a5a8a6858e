/* SPDX-License-Identifier: MIT */
/* Owns the client's side of the dialect rustorium (rustorium.md): admission, requests, subscriptions, heartbeat,
 * limits. It never holds an event: blocks and confirmations are the chain service's, shapes of ingest are
 * rustorium_ingest.c's. Sessions and channels call it through the table at the end. */
#include "protocol/dialects/rustorium/rustorium.h"

#include "core/check.h"
#include "protocol/action.h"
#include "protocol/dialects/rustorium/chain.h"
#include "protocol/dialects/rustorium/chain_branch.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/token.h"

#include <stdlib.h>

#define REQUEST_ID_BYTES_MAX 128 /* */
#define SUBSCRIPTIONS_MAX 100    /* */
#define INVALID_IN_A_ROW_MAX 10  /* */
#define ATTEMPTS_WINDOW_MS 60000 /* */
#define SUBSCRIPTION_ID_BYTES_MAX 32

/* as error.code and as close code */
enum {
    INVALID_TOKEN = 4000,
    RATE_LIMITED = 4001,
    INVALID_MESSAGE = 4002,
    SUBSCRIPTION_ERROR = 4003,
};

static const char *const channels[] = {CHAIN_CHANNEL_BLOCKS, CHAIN_CHANNEL_TRANSACTIONS, CHAIN_CHANNEL_STATE};

struct subscription {
    uint32_t number; /* rises per connection */
    uint8_t channel; /* enum rustorium_channel */
    uint8_t filter_bytes;
    uint8_t filter[]; /* as chain_filter_put writes it */
};

_Static_assert(CHAIN_FILTER_BYTES_MAX <= UINT8_MAX, "filter_bytes holds it");
_Static_assert(SUBSCRIPTIONS_MAX <= SUBSCRIPTIONS_PER_CONNECTION_MAX, "a union of all fits a variant");

struct rustorium_session {
    struct subscription **items; /* owned, grown on demand */
    uint16_t count;
    uint16_t capacity;
    uint32_t last_number;
    uint32_t invalid_in_a_row;
};

/* --- messages to the client --------------------------------------------------------------------------------------- */

/* `id` is JSON text: a string as the request wrote it, or null. */
static void send_error(struct dialect_call *call, struct slice id, unsigned code, const char *message)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"type\":\"error\",\"id\":");
    buf_put(text, id);
    buf_put_text(text, ",\"data\":null,\"error\":{\"code\":");
    buf_put_u64(text, code);
    buf_put_text(text, ",\"message\":");
    json_put_string(text, slice_text(message));
    buf_put_text(text, "}}");
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* The members of `data` as JSON text. */
static void send_reply(struct dialect_call *call, const char *type, struct slice id, struct slice members)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"type\":");
    json_put_string(text, slice_text(type));
    buf_put_text(text, ",\"id\":");
    buf_put(text, id);
    buf_put_text(text, ",\"data\":{");
    buf_put(text, members);
    buf_put_text(text, "},\"error\":null}");
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* the tenth in a row gets its error, then the close. */
static void refuse_message(struct dialect_call *call, struct slice id)
{
    struct rustorium_session *session = call->session;
    send_error(call, id, INVALID_MESSAGE, "Invalid message format");
    if (++session->invalid_in_a_row == INVALID_IN_A_ROW_MAX)
        action_close(call->out, INVALID_MESSAGE, "Invalid message");
}

/* */
static void rustorium_heartbeat(struct dialect_call *call)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"type\":\"heartbeat\",\"data\":{\"timestamp\":");
    buf_put_u64(text, call->wall_ms / 1000);
    buf_put_text(text, "}}");
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

static enum dialect_path rustorium_route(const void *settings, struct slice path)
{
    (void)settings;
    return slice_is(path, "/ws") ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE;
}

/* G-7: refusals happen behind the upgrade, so that a browser sees the code; the error message comes first (R-3,
 * */
static void refuse_connection(struct dialect_call *call, uint16_t code, const char *reason)
{
    action_accept(call->out);
    send_error(call, slice_text("null"), code, reason);
    action_close(call->out, code, reason);
}

static void refuse_token(struct dialect_call *call)
{
    const struct rustorium_settings *settings = call->settings;
    if (settings->auth_reject == RUSTORIUM_REJECT_HTTP401)
        action_respond_json(call->out, 401, slice_text("{\"error\":\"Invalid token\"}"));
    else
        refuse_connection(call, INVALID_TOKEN, "Invalid token");
}

/* Attempts count whether they succeed or not; a token that is no key has no count of its own. */
static void rustorium_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    const struct rustorium_settings *settings = call->settings;
    const struct dialect_settings *common = &settings->common;
    struct actions *out = call->out;
    uint32_t attempts = (uint32_t)settings->attempts_per_minute;
    size_t mark = out->text.used;
    (void)path;
    bool found = token_from_request(request, "token", &out->text);
    struct slice key = buf_since(&out->text, mark);
    bool known = found && grant_find(&common->grants, key) >= 0;
    if (attempts > 0)
        action_acquire(out, QUOTA_ADDRESS_ATTEMPTS, slice_text(""), attempts, ATTEMPTS_WINDOW_MS);
    if (attempts > 0 && known)
        action_acquire(out, QUOTA_KEY_ATTEMPTS, key, attempts, ATTEMPTS_WINDOW_MS);
    if (!known) {
        refuse_token(call);
        return;
    }
    if (common->connections_per_address > 0)
        action_acquire(out, QUOTA_ADDRESS, slice_text(""), (uint32_t)common->connections_per_address, 0);
    /* With a limit of 0 too: the place is what a reload finds a key's connections by. */
    action_acquire(out, QUOTA_KEY, key, (uint32_t)common->connections_per_key, 0);
    action_accept(out);
}

static void rustorium_refused(struct dialect_call *call, enum quota_kind quota)
{
    (void)quota; /* every limit on connections has this one code */
    refuse_connection(call, RATE_LIMITED, "Rate limited");
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* Appends the public id of a subscription: opaque, never used twice on a connection. */
static struct slice put_subscription_id(struct buf *out, uint64_t connection, uint32_t number)
{
    size_t mark = out->used;
    buf_put_hex(out, connection & UINT32_MAX, 8);
    buf_put_byte(out, '-');
    buf_put_u64(out, number);
    return buf_since(out, mark);
}

/* Its index in the session, or session->count. */
static uint16_t find_subscription(const struct dialect_call *call, const struct json_member *id)
{
    const struct rustorium_session *session = call->session;
    uint16_t i = 0;
    for (; i < session->count; i++) {
        uint8_t memory[SUBSCRIPTION_ID_BYTES_MAX];
        struct buf text = buf_of(memory, sizeof memory);
        if (json_raw_equal(id->raw, id->escaped,
                           put_subscription_id(&text, call->connection, session->items[i]->number)))
            break;
    }
    return i;
}

/* NULL when memory is out. */
static struct subscription *add_subscription(struct rustorium_session *session, enum rustorium_channel channel,
                                             struct slice filter)
{
    if (session->count == session->capacity) {
        uint16_t capacity = session->capacity == 0 ? 2 : (uint16_t)(session->capacity * 2);
        struct subscription **items = realloc(session->items, capacity * sizeof(struct subscription *));
        if (items == NULL)
            return NULL;
        session->items = items;
        session->capacity = capacity;
    }
    struct subscription *added = malloc(sizeof *added + filter.bytes);
    if (added == NULL)
        return NULL;
    *added = (struct subscription){
        .number = ++session->last_number, .channel = (uint8_t)channel, .filter_bytes = (uint8_t)filter.bytes};
    memcpy(added->filter, filter.data, filter.bytes);
    session->items[session->count++] = added;
    return added;
}

static void remove_subscription(struct rustorium_session *session, uint16_t index)
{
    free(session->items[index]);
    session->items[index] = session->items[--session->count];
}

/* Makes the membership of the channel what its subscriptions add up to. */
static void update_membership(struct dialect_call *call, enum rustorium_channel channel)
{
    const struct rustorium_session *session = call->session;
    struct buf *text = &call->out->text;
    struct slice filters[SUBSCRIPTIONS_MAX];
    size_t count = 0, mark = text->used;
    for (uint16_t i = 0; i < session->count; i++) {
        const struct subscription *item = session->items[i];
        if (item->channel == channel)
            filters[count++] = slice_of(item->filter, item->filter_bytes);
    }
    if (count == 0) {
        action_unsubscribe(call->out, slice_text(channels[channel]));
        return;
    }
    chain_filter_union(filters, count, text);
    action_subscribe(call->out, slice_text(channels[channel]), buf_since(text, mark), 0); /* no history */
}

static void rustorium_end(void *state)
{
    struct rustorium_session *session = state;
    while (session->count > 0)
        remove_subscription(session, (uint16_t)(session->count - 1));
    free(session->items);
    *session = (struct rustorium_session){0};
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct request {
    struct slice id; /* JSON text to echo, "null" when it cannot be read */
    struct json_member type;
    struct json_member data;
};

/* False: an invalid message; request->id is usable all the same. */
static bool read_request(enum ws_opcode opcode, struct slice message, struct request *request)
{
    enum { TYPE, ID, DATA, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "type"}, {.name = "id"}, {.name = "data"}};
    uint8_t memory[REQUEST_ID_BYTES_MAX];
    struct buf id = buf_of(memory, sizeof memory);
    request->id = slice_text("null");
    if (opcode != WS_TEXT || json_find_members(message, RUSTORIUM_DEPTH_MAX, true, members, MEMBERS) != JSON_MEMBERS_OK)
        return false;
    if (members[ID].token != JSON_STRING)
        return false;
    json_unescape(members[ID].raw, &id);
    if (id.overflow || id.used == 0)
        return false;
    request->id = members[ID].text;
    request->type = members[TYPE];
    request->data = members[DATA];
    return members[TYPE].token == JSON_STRING &&
           (members[DATA].token == JSON_ERROR || members[DATA].token == JSON_OBJECT_BEGIN);
}

/* The members of `data`, which must be there. False: an invalid message. */
static bool read_data(const struct request *request, struct json_member *members, size_t count)
{
    return request->data.token == JSON_OBJECT_BEGIN &&
           json_find_members(request->data.text, RUSTORIUM_DEPTH_MAX, true, members, count) == JSON_MEMBERS_OK;
}

/* An error of R-32; the connection stays. */
static void refuse_subscription(struct dialect_call *call, const struct request *request, const char *message)
{
    struct rustorium_session *session = call->session;
    session->invalid_in_a_row = 0;
    send_error(call, request->id, SUBSCRIPTION_ERROR, message);
}

/* */
static void subscribe(struct dialect_call *call, const struct request *request)
{
    struct rustorium_session *session = call->session;
    struct json_member members[] = {{.name = "channel"}, {.name = "filter"}};
    if (!read_data(request, members, 2)) {
        refuse_message(call, request->id);
        return;
    }
    if (members[0].token == JSON_ERROR) {
        refuse_subscription(call, request, "Missing channel");
        return;
    }
    enum rustorium_channel channel = RUSTORIUM_BLOCKS;
    while (channel < RUSTORIUM_CHANNELS &&
           (members[0].token != JSON_STRING ||
            !json_raw_equal(members[0].raw, members[0].escaped, slice_text(channels[channel]))))
        channel++;
    if (channel == RUSTORIUM_CHANNELS) {
        refuse_subscription(call, request, "Unknown channel");
        return;
    }
    uint8_t key[CHAIN_FILTER_KEY_BYTES_MAX], encoded[CHAIN_FILTER_BYTES_MAX];
    struct buf key_space = buf_of(key, sizeof key), filter_text = buf_of(encoded, sizeof encoded);
    struct chain_filter filter;
    const char *error = rustorium_filter_read(channel, &members[1], &key_space, &filter);
    if (error == NULL && session->count == SUBSCRIPTIONS_MAX)
        error = "Subscription limit reached";
    if (error != NULL) {
        refuse_subscription(call, request, error);
        return;
    }
    chain_filter_put(&filter_text, &filter);
    const struct subscription *added = add_subscription(session, channel, buf_slice(&filter_text));
    if (added == NULL) {
        action_close(call->out, WS_CLOSE_INTERNAL, "out of memory");
        return;
    }
    uint8_t memory[SUBSCRIPTION_ID_BYTES_MAX * 2];
    struct buf reply = buf_of(memory, sizeof memory);
    buf_put_text(&reply, "\"subscription_id\":\"");
    put_subscription_id(&reply, call->connection, added->number);
    buf_put_byte(&reply, '"');
    session->invalid_in_a_row = 0;
    update_membership(call, channel);
    send_reply(call, "subscribe_success", request->id, buf_slice(&reply));
}

/* the membership shrinks before the reply goes out. */
static void unsubscribe(struct dialect_call *call, const struct request *request)
{
    struct rustorium_session *session = call->session;
    struct json_member id = {.name = "subscription_id"};
    if (!read_data(request, &id, 1)) {
        refuse_message(call, request->id);
        return;
    }
    if (id.token == JSON_ERROR) {
        refuse_subscription(call, request, "Missing subscription_id");
        return;
    }
    uint16_t index = id.token == JSON_STRING ? find_subscription(call, &id) : session->count;
    if (index == session->count) {
        refuse_subscription(call, request, "Unknown subscription"); /* */
        return;
    }
    enum rustorium_channel channel = (enum rustorium_channel)session->items[index]->channel;
    remove_subscription(session, index);
    session->invalid_in_a_row = 0;
    update_membership(call, channel);
    send_reply(call, "unsubscribe_success", request->id, slice_text(""));
}

/* R-9, an extension; `data` may be missing, but is an object without repeated keys. */
static void ping(struct dialect_call *call, const struct request *request)
{
    struct rustorium_session *session = call->session;
    if (request->data.token != JSON_ERROR && !read_data(request, NULL, 0)) {
        refuse_message(call, request->id);
        return;
    }
    session->invalid_in_a_row = 0;
    send_reply(call, "pong", request->id, slice_text(""));
}

static void rustorium_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    static const struct {
        const char *type;
        void (*handle)(struct dialect_call *call, const struct request *request);
    } handlers[] = {{"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"ping", ping}};
    struct request request;
    if (read_request(opcode, message, &request)) {
        for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
            if (json_raw_equal(request.type.raw, request.type.escaped, slice_text(handlers[i].type))) {
                handlers[i].handle(call, &request);
                return;
            }
        }
    }
    refuse_message(call, request.id);
}

/* the first one over is answered, the rest are dropped; at twice the limit it is enough. None of them is an
 * invalid message, so all end a row of such. */
static void rustorium_over_limit(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count)
{
    const struct dialect_settings *settings = call->settings;
    struct rustorium_session *session = call->session;
    bool first = count == settings->messages_max + 1, last = count >= settings->messages_max * 2;
    struct request request;
    session->invalid_in_a_row = 0;
    if (!first && !last)
        return;
    (void)read_request(opcode, message, &request);
    send_error(call, request.id, RATE_LIMITED, "Rate limited");
    if (last)
        action_close(call->out, RATE_LIMITED, "Rate limited");
}

static void rustorium_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    (void)settings;
    (void)channel;
    *traits = (struct channel_traits){.policy = POLICY_LOSSLESS}; /* R-27; R-19: nothing is retained */
}

#define AT(field) offsetof(struct rustorium_settings, field)

static const char *const auth_reject_choices[] = {"upgrade", "http401", NULL};
static const char *const tx_source_choices[] = {"derive", "ingest", NULL};

static const struct option rustorium_options[] = {
    OPTION("auth_reject", CHOICE, AT(auth_reject), "upgrade", .choices = auth_reject_choices, .reloadable = true,
           .doc = "How a wrong token is refused: close code 4000 behind the upgrade, or HTTP status 401."),
    OPTION("attempts_per_minute", COUNT, AT(attempts_per_minute), "60", .max = UINT32_MAX, .reloadable = true,
           .doc = "Connection attempts of an address, and of a key; 0: no limit."),
    OPTION("tx_source", CHOICE, AT(tx_source), "derive", .choices = tx_source_choices,
           .doc = "Transactions are derived from the blocks, or ingested ready-made."),
    OPTION("chain_memory", SIZE, AT(chain_memory_bytes), "64MiB", .min = 64U << 10, .reloadable = true,
           .doc = "Memory for blocks and values; the oldest are forgotten beyond it."),
    OPTION("state_retained", COUNT, AT(state_retained), "1000", .max = UINT32_MAX, .reloadable = true,
           .doc = "Keys whose newest value is kept for reading."),
    {.name = NULL},
};

static const struct dialect_default rustorium_defaults[] = {
    {"messages_max", "1000"},
    {"messages_window", "60s"},
    {"connections_per_key", "10"},
    {NULL, NULL},
};

const struct dialect rustorium_dialect = {
    .name = "rustorium",
    .settings_bytes = sizeof(struct rustorium_settings),
    .options = rustorium_options,
    .defaults = rustorium_defaults,
    .session_bytes = sizeof(struct rustorium_session),
    .heartbeat_ms = 30000,
    .home_key = "chain",
    .service = &chain_service,
    .paths = (const char *const[]){"/ws", NULL},
    .route = rustorium_route,
    .open = rustorium_open,
    .refused = rustorium_refused,
    .message = rustorium_message,
    .over_limit = rustorium_over_limit,
    .heartbeat = rustorium_heartbeat,
    .end = rustorium_end,
    .traits = rustorium_traits,
    .matches = chain_filter_matches,
    .ingest = &(const struct dialect_ingest){.take = rustorium_ingest, .read = rustorium_read},
};
