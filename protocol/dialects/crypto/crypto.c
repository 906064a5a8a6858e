/* SPDX-License-Identifier: MIT */
/* Owns the client's side of the dialect crypto (crypto.md): entry paths, commands, subscriptions, status, limits. It
 * never holds an object: what is published is the schedule service's; words are crypto_messages.c's, REST answers
 * crypto_rest.c's, shapes of ingest crypto_ingest.c's. Sessions and channels call it through the table at the end. */
#include "protocol/dialects/crypto/crypto_messages.h"

#include "core/check.h"
#include "protocol/dialects/crypto/schedule.h"
#include "protocol/http1.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>

#define COMMAND_DEPTH_MAX 32     /* K-27 */
#define RATE_PERSISTENT_MS 10000 /* C-58 */

/* What a REQUEST or CENSUS was for. */
enum tag {
    TAG_NUMBER,   /* of the client: then it is let in */
    TAG_SNAPSHOT, /* of what has been subscribed to */
    TAG_STATS,    /* REST */
};

static const struct crypto_endpoint *endpoint_of(const struct crypto_session *session)
{
    return &crypto_endpoints[session->endpoint];
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

static uint8_t position_of(const struct crypto_session *session, enum crypto_service service)
{
    uint8_t i = 0;
    while (i < session->count && session->services[i] != service)
        i++;
    return i;
}

/* Whether the connection's entry path has the service (C-6, C-9, Q-14). */
static bool offers(const struct crypto_endpoint *endpoint, enum crypto_service service)
{
    return service >= CRYPTO_TOPICS || (service >= endpoint->first && service < endpoint->end);
}

/* Notes a subscription; false when it is there already (C-27). */
static bool add(struct crypto_session *session, enum crypto_service service)
{
    if (position_of(session, service) < session->count)
        return false;
    check_op(session->count, <, CRYPTO_SUBSCRIPTIONS_MAX);
    session->services[session->count++] = (uint8_t)service;
    return true;
}

/* Notes a service or, of `all`, each; what is new and has a channel is put into `topics`. */
static uint32_t add_all(struct crypto_session *session, enum crypto_service service, uint8_t topics[CRYPTO_TOPICS])
{
    const struct crypto_endpoint *endpoint = endpoint_of(session);
    uint32_t count = 0;
    for (enum crypto_service one = 0; one < CRYPTO_ALL; one++) {
        bool meant = service == CRYPTO_ALL ? offers(endpoint, one) : one == service;
        if (meant && add(session, one) && one < CRYPTO_TOPICS)
            topics[count++] = (uint8_t)one;
    }
    return count;
}

/* Joins the channels, then asks for the newest of each (C-36). What has been sent before stands before every update. */
static void join(struct dialect_call *call, const uint8_t *topics, uint32_t count)
{
    struct actions *out = call->out;
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        action_subscribe(out, slice_text(crypto_services[topics[i]].name), slice_text(""), 0);
    size_t mark = out->text.used;
    buf_put(&out->text, slice_of(topics, count));
    action_request(out, SCHEDULE_SNAPSHOT, buf_since(&out->text, mark), TAG_SNAPSHOT);
}

/* No update comes behind the confirmation (C-64). */
static void leave(struct dialect_call *call, enum crypto_service service)
{
    struct crypto_session *session = call->session;
    for (uint8_t i = 0; i < session->count;) {
        enum crypto_service one = session->services[i];
        if (service != CRYPTO_ALL && one != service) {
            i++;
            continue;
        }
        session->count--;
        memmove(&session->services[i], &session->services[i + 1], (size_t)(session->count - i));
        if (one < CRYPTO_TOPICS)
            action_unsubscribe(call->out, slice_text(crypto_services[one].name));
    }
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

static enum dialect_path crypto_route(const void *settings, struct slice path)
{
    (void)settings;
    struct slice trimmed = crypto_path(path);
    if (crypto_endpoint_find(trimmed) != NULL)
        return DIALECT_PATH_SOCKET;
    return crypto_rest_owns(trimmed) ? DIALECT_PATH_REST : DIALECT_PATH_NONE;
}

static void crypto_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    struct crypto_session *session = call->session;
    session->endpoint = (uint8_t)(crypto_endpoint_find(crypto_path(path)) - crypto_endpoints);
    if (dialect_admit(call, request, "api_key"))
        action_request(call->out, SCHEDULE_NUMBER, slice_text(""), TAG_NUMBER);
}

/* The number has come: the connection opens. */
static void let_in(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct crypto_session *session = call->session;
    const struct crypto_endpoint *endpoint = endpoint_of(session);
    uint8_t topics[CRYPTO_TOPICS];
    uint32_t count = 0;
    if (reply->status != 200) {
        action_respond_json(call->out, 503, slice_text("{\"status\":\"error\",\"message\":\"Try again later\"}"));
        return;
    }
    check(json_u64(reply->body, &session->number));
    session->connected_ms = session->active_ms = call->wall_ms;
    if (endpoint->subscribes)
        count = add_all(session, endpoint->status ? CRYPTO_ALL : endpoint->first, topics);
    action_accept(call->out);
    crypto_send_established(call);
    if (endpoint->welcomes)
        crypto_send_welcome(call);
    join(call, topics, count);
}

static void send_snapshot(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct slice rest = reply->body, message;
    if (reply->status != 200)
        return; /* memory is out at the service: the next tick brings it */
    while (schedule_next_message(&rest, &message))
        action_send(call->out, WS_TEXT, message);
}

static void crypto_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct crypto_session *session = call->session;
    switch ((enum tag)reply->tag) {
    case TAG_NUMBER:
        let_in(call, reply);
        break;
    case TAG_SNAPSHOT:
        send_snapshot(call, reply);
        break;
    case TAG_STATS:
        crypto_rest_replied(call, session->query, reply);
        break;
    }
}

static void crypto_rest_request(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    struct crypto_session *session = call->session;
    crypto_rest(call, request, crypto_path(path), TAG_STATS, &session->query);
}

static void crypto_end(void *state)
{
    struct crypto_session *session = state;
    free(session->query);
    session->query = NULL;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

struct command {
    struct slice id; /* JSON text, or empty */
    struct json_member action;
    struct json_member service;
    struct json_member data;
};

/* False: "Invalid message format" (C-25, Q-16); command->id is usable all the same. */
static bool read_command(enum ws_opcode opcode, struct slice message, struct command *command)
{
    enum { ACTION, SERVICE, DATA, ID, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "action"}, {.name = "service"}, {.name = "data"}, {.name = "id"}};
    *command = (struct command){.id = slice_text("")};
    if (opcode != WS_TEXT || json_find_members(message, COMMAND_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return false;
    if (members[ID].token != JSON_ERROR)
        command->id = members[ID].text;
    command->action = members[ACTION];
    command->service = members[SERVICE];
    command->data = members[DATA];
    return command->action.token == JSON_STRING;
}

/* C-35: the name as the client wrote it. */
static void refuse_service(struct dialect_call *call, const struct command *command)
{
    const struct crypto_endpoint *endpoint = endpoint_of(call->session);
    struct buf *text = &call->out->text;
    uint8_t services[CRYPTO_SERVICES];
    uint32_t count = 0;
    for (enum crypto_service service = 0; service < CRYPTO_SERVICES; service++)
        if (offers(endpoint, service))
            services[count++] = (uint8_t)service;
    size_t mark = crypto_begin_message(call, "error");
    buf_put_text(text, "{\"message\":\"Invalid service: ");
    if (command->service.token == JSON_STRING)
        buf_put(text, command->service.raw);
    buf_put_text(text, "\",\"available_services\":");
    crypto_put_names(text, services, count);
    buf_put_byte(text, '}');
    crypto_send_message(call, mark, command->id);
}

/* The service that a command names; false when the entry path has none such, and then the error has been sent. */
static bool read_service(struct dialect_call *call, const struct command *command, enum crypto_service *service)
{
    const struct json_member *member = &command->service;
    for (*service = 0; *service < CRYPTO_SERVICES && member->token == JSON_STRING; (*service)++)
        if (offers(endpoint_of(call->session), *service) &&
            json_raw_equal(member->raw, member->escaped, slice_text(crypto_services[*service].name)))
            return true;
    refuse_service(call, command);
    return false;
}

/* C-19, C-22, C-27 */
static void subscribe(struct dialect_call *call, const struct command *command)
{
    enum crypto_service service;
    uint8_t topics[CRYPTO_TOPICS];
    if (!read_service(call, command, &service))
        return;
    uint32_t count = add_all(call->session, service, topics);
    crypto_send_confirmation(call, "subscription_confirmed", "Subscribed to ", service, command->id);
    join(call, topics, count);
}

/* C-21 */
static void unsubscribe(struct dialect_call *call, const struct command *command)
{
    enum crypto_service service;
    if (!read_service(call, command, &service))
        return;
    leave(call, service);
    crypto_send_confirmation(call, "unsubscription_confirmed", "Unsubscribed from ", service, command->id);
}

static void get_status(struct dialect_call *call, const struct command *command)
{
    crypto_send_status(call, NULL, command->id);
}

/* C-24: `data` goes back as it came. */
static void ping(struct dialect_call *call, const struct command *command)
{
    size_t mark = crypto_begin_message(call, "pong");
    buf_put(&call->out->text, command->data.token == JSON_ERROR ? slice_text("{}") : command->data.text);
    crypto_send_message(call, mark, command->id);
}

static void refuse_action(struct dialect_call *call, const struct command *command)
{
    struct buf *text = &call->out->text;
    size_t mark = crypto_begin_message(call, "error");
    buf_put_text(text, "{\"message\":\"Unknown action: ");
    buf_put(text, command->action.raw);
    buf_put_text(text, "\"}");
    crypto_send_message(call, mark, command->id);
}

static void crypto_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    static const struct {
        const char *action;
        void (*handle)(struct dialect_call *call, const struct command *command);
    } handlers[] = {{"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"get_status", get_status}, {"ping", ping}};
    struct crypto_session *session = call->session;
    struct command command;
    session->active_ms = call->wall_ms;
    if (!read_command(opcode, message, &command)) {
        crypto_send_error(call, command.id, "Invalid message format");
        return;
    }
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (json_raw_equal(command.action.raw, command.action.escaped, slice_text(handlers[i].action))) {
            handlers[i].handle(call, &command);
            return;
        }
    }
    refuse_action(call, &command);
}

/* C-58: each message beyond the limit is answered with the error, so that answers still pair with requests by their
 * order; who goes on for more than ten seconds is closed. A pause is a whole window without such a message. */
static void crypto_over_limit(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count)
{
    const struct dialect_settings *settings = call->settings;
    struct crypto_session *session = call->session;
    struct command command;
    (void)count;
    session->active_ms = call->wall_ms;
    if (!session->over || call->now_ms - session->over_last_ms > 2 * settings->messages_window_ms)
        session->over_since_ms = call->now_ms;
    session->over = true;
    session->over_last_ms = call->now_ms;
    (void)read_command(opcode, message, &command);
    crypto_send_error(call, command.id, "Rate limit exceeded");
    if (call->now_ms - session->over_since_ms > RATE_PERSISTENT_MS)
        action_close(call->out, WS_CLOSE_POLICY, "Rate limit exceeded");
}

/* --- status ------------------------------------------------------------------------------------------------------- */

/* C-37 */
static void crypto_heartbeat(struct dialect_call *call)
{
    const struct crypto_session *session = call->session;
    if (position_of(session, CRYPTO_SYSTEM) < session->count)
        crypto_send_status(call, call->recent_counts, slice_text(""));
}

static void crypto_describe(const struct dialect_call *call, struct buf *out, uint64_t *counts)
{
    const struct crypto_session *session = call->session;
    for (uint8_t i = 0; i < session->count; i++)
        counts[session->services[i]]++;
    counts[CRYPTO_ALL]++;
    if (out != NULL)
        crypto_put_census(out, session->number, session->connected_ms, session->active_ms, session->services,
                          session->count);
}

static void crypto_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    (void)settings;
    (void)channel;
    *traits = (struct channel_traits){.policy = POLICY_LATEST}; /* C-57 */
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

static int crypto_check_settings(const void *settings, struct buf *why)
{
    const struct crypto_settings *crypto = settings;
    bool ordered[CRYPTO_TOPICS] = {false};
    for (uint32_t i = 0; i < crypto->sources.count; i++) {
        enum crypto_service topic;
        struct slice names;
        bool good = crypto_sources_entry(crypto->sources.items[i], &topic, &names);
        if (good && !ordered[topic]) {
            ordered[topic] = true;
            continue;
        }
        buf_put_text(why, "sources: \"");
        buf_put_text(why, crypto->sources.items[i]);
        buf_put_text(why, good ? "\" orders a service that has an order already; write one entry for each service"
                               : "\" is no order of sources; write SERVICE=NAME NAME, at most 16 different names");
        return -EINVAL;
    }
    return 0;
}

#define AT(field) offsetof(struct crypto_settings, field)
#define INTERVAL(text, service, seconds)                                                                               \
    {                                                                                                                  \
        .name = text "_interval", .kind = OPTION_DURATION, .offset = AT(interval_ms[service]), .fallback = seconds,    \
        .min = 100, .reloadable = true, .doc = "Time between updates of " text "."                                     \
    }

static const struct option crypto_options[] = {
    INTERVAL("market_data", CRYPTO_MARKET_DATA, "5s"),
    INTERVAL("explorers", CRYPTO_EXPLORERS, "10s"),
    INTERVAL("news", CRYPTO_NEWS, "60s"),
    INTERVAL("sentiment", CRYPTO_SENTIMENT, "30s"),
    INTERVAL("whale_tracking", CRYPTO_WHALE_TRACKING, "15s"),
    INTERVAL("rpc_nodes", CRYPTO_RPC_NODES, "20s"),
    INTERVAL("onchain", CRYPTO_ONCHAIN, "30s"),
    INTERVAL("health_checker", CRYPTO_HEALTH_CHECKER, "30s"),
    INTERVAL("pool_manager", CRYPTO_POOL_MANAGER, "20s"),
    INTERVAL("scheduler", CRYPTO_SCHEDULER, "15s"),
    INTERVAL("huggingface", CRYPTO_HUGGINGFACE, "60s"),
    INTERVAL("persistence", CRYPTO_PERSISTENCE, "30s"),
    OPTION("resend_unchanged", BOOL, AT(resend_unchanged), "true", .reloadable = true,
           .doc = "An update goes out at each interval, also when nothing has changed."),
    OPTION("memory", SIZE, AT(memory_bytes), "8MiB", .min = 1024, .max = SCHEDULE_MEMORY_BYTES_MAX, .reloadable = true,
           .doc = "Memory for the newest objects of all services; what is beyond it is refused."),
    OPTION("sources", TEXTS, AT(sources), "", .reloadable = true,
           .doc = "In which order sources are preferred, as SERVICE=NAME NAME; without: as they are first seen."),
    {.name = NULL},
};

static const struct dialect_default crypto_defaults[] = {
    {"outbox_bytes_max", "1MiB"},
    {NULL, NULL},
};

const struct dialect crypto_dialect = {
    .name = "crypto",
    .settings_bytes = sizeof(struct crypto_settings),
    .options = crypto_options,
    .defaults = crypto_defaults,
    .session_bytes = sizeof(struct crypto_session),
    .keyless_is_open = true,
    .heartbeat_ms = CRYPTO_STATUS_INTERVAL_MS,
    .home_key = "crypto",
    .service = &schedule_service,
    .check_settings = crypto_check_settings,
    .paths = (const char *const[]){"/ws", "/ws/master", "/ws/stats", "/docs", NULL},
    .route = crypto_route,
    .open = crypto_open,
    .refused = dialect_refuse,
    .message = crypto_message,
    .over_limit = crypto_over_limit,
    .heartbeat = crypto_heartbeat,
    .rest = &(const struct dialect_rest){.request = crypto_rest_request},
    .replied = crypto_replied,
    .census = &(const struct dialect_census){.describe = crypto_describe},
    .end = crypto_end,
    .traits = crypto_traits,
    .ingest = &(const struct dialect_ingest){.take = crypto_ingest, .read = crypto_read},
};
