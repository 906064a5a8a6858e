/* SPDX-License-Identifier: MIT */
/* Owns what the contract of dialect.h promises of every dialect in the table, whatever it is: requests, messages, limits,
 * heartbeats, ingest and reads made from the input, and rules for the actions that come back. It knows no dialect by name: of
 * what one writes itself it asks that text is UTF-8 and that an object is JSON. The input is a dialect, its settings, and a row
 * of steps. */
#include "fuzz/fuzz.h"
#include "protocol/dialect.h"
#include "protocol/json.h"
#include "tests/unit/protocol/naive_utf8.h"

#define TEXT_BYTES (256U << 10)
#define MEMBERS_MAX SUBSCRIPTIONS_PER_CONNECTION_MAX
#define STEPS_MAX 64

struct member {
    uint8_t channel[CHANNEL_NAME_BYTES_MAX];
    size_t channel_bytes;
    uint8_t *variant;
    size_t variant_bytes;
};

struct run {
    struct fuzz_input input;
    const struct dialect *dialect;
    struct dialect_settings *settings;
    void *service;
    void *session;
    bool open; /* accepted and not closed */
    struct slice given; /* what the present call was given */
    struct member members[MEMBERS_MAX];
    uint32_t member_count;
    struct actions *out;
};

/* --- rules for what comes back ------------------------------------------------------------------------------------ */

/* Text is UTF-8; what a dialect has written itself and looks like an object is JSON. */
static void expect_text(const struct run *run, struct slice text)
{
    expect(naive_utf8_read(text) == NAIVE_UTF8_WHOLE);
    if (text.bytes > 0 && text.data[0] == '{' && !fuzz_inside(text, run->given))
        expect(json_valid(text, JSON_DEPTH_MAX));
}

static void expect_respond(const struct run *run, const struct action *action)
{
    int status = action->respond.status;
    const char *extra = action->respond.extra;
    expect(status >= 200 && status <= 599 && http1_reason(status)[0] != '\0');
    expect(action->respond.content_type == NULL || action->respond.content_type[0] != '\0');
    expect(extra[0] == '\0' || (strlen(extra) > 2 && strcmp(extra + strlen(extra) - 2, "\r\n") == 0));
    expect_text(run, action->respond.content);
}

static void leave(struct run *run, uint32_t i)
{
    struct member *member = &run->members[i];
    if (run->service != NULL)
        run->dialect->service->interest(run->service, slice_of(member->channel, member->channel_bytes),
                                        slice_of(member->variant, member->variant_bytes), false);
    free(member->variant);
    *member = run->members[--run->member_count];
}

static uint32_t find_member(const struct run *run, struct slice channel)
{
    uint32_t i = 0;
    while (i < run->member_count && !slice_equal(channel, slice_of(run->members[i].channel, run->members[i].channel_bytes)))
        i++;
    return i;
}

static void join(struct run *run, struct slice channel, struct slice variant)
{
    uint32_t i = find_member(run, channel);
    expect(channel.bytes >= 1 && channel.bytes <= CHANNEL_NAME_BYTES_MAX && variant.bytes <= VARIANT_BYTES_MAX);
    if (i < run->member_count)
        leave(run, i);
    expect(run->member_count < MEMBERS_MAX);
    struct member *member = &run->members[run->member_count++];
    *member = (struct member){.channel_bytes = channel.bytes, .variant = fuzz_copy(variant), .variant_bytes = variant.bytes};
    memcpy(member->channel, channel.data, channel.bytes);
    if (run->service != NULL)
        run->dialect->service->interest(run->service, channel, slice_of(member->variant, member->variant_bytes), true);
    if (run->dialect->traits != NULL) {
        struct channel_traits traits = {.retain_count = UINT32_MAX};
        run->dialect->traits(run->settings, channel, &traits);
        expect(traits.policy == POLICY_LOSSLESS || traits.policy == POLICY_LATEST);
    }
}

static void carry_out(struct run *run, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        expect(!run->open);
        expect_respond(run, action);
        break;
    case ACTION_ACCEPT:
        expect(!run->open);
        run->open = true;
        break;
    case ACTION_SEND:
        expect(run->open && (action->send.opcode == WS_TEXT || action->send.opcode == WS_BINARY));
        if (action->send.opcode == WS_TEXT)
            expect_text(run, action->send.payload);
        break;
    case ACTION_SUBSCRIBE:
        expect(run->open);
        join(run, action->subscribe.channel, action->subscribe.variant);
        break;
    case ACTION_UNSUBSCRIBE:
        expect(run->open && find_member(run, action->unsubscribe.channel) < run->member_count);
        leave(run, find_member(run, action->unsubscribe.channel));
        break;
    case ACTION_PUBLISH:
        expect(action->publish.channel.bytes >= 1 && action->publish.channel.bytes <= CHANNEL_NAME_BYTES_MAX);
        expect(action->publish.opcode != WS_TEXT || naive_utf8_read(action->publish.payload) == NAIVE_UTF8_WHOLE);
        break;
    case ACTION_ACQUIRE:
        expect(!run->open && action->acquire.name.bytes <= KEY_BYTES_MAX);
        break;
    case ACTION_CLOSE: {
        uint16_t code = action->close.code;
        expect(run->open && (code >= 3000 ? code <= 4999 : code >= 1000 && code <= 1014 && code != 1005 && code != 1006));
        expect(strlen(action->close.reason) <= 123);
        run->open = false;
        break;
    }
    default:
        break; /* kinds that came later */
    }
}

/* In order; nothing follows a RESPOND or CLOSE. False: the connection has ended. */
static bool carry_out_all(struct run *run)
{
    struct actions *out = run->out;
    expect(out->count <= ACTIONS_MAX && out->text.used <= out->text.capacity);
    if (out->overflow || out->text.overflow)
        run->open = false; /* the session closes with 1011 */
    for (uint32_t i = 0; i < out->count && !out->overflow && !out->text.overflow; i++) {
        enum action_kind kind = out->items[i].kind;
        expect(i + 1 == out->count || (kind != ACTION_RESPOND && kind != ACTION_CLOSE));
        carry_out(run, &out->items[i]);
    }
    return run->open;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct dialect_call begin_call(struct run *run, struct slice given)
{
    run->out->count = 0;
    run->out->overflow = false;
    buf_reset(&run->out->text);
    run->given = given;
    return (struct dialect_call){.settings = run->settings,
                                 .session = run->session,
                                 .now_ms = 1000,
                                 .wall_ms = UINT64_C(1767225600000),
                                 .connection = 7,
                                 .out = run->out};
}

static void end_session(struct run *run)
{
    while (run->member_count > 0)
        leave(run, run->member_count - 1);
    if (run->session != NULL && run->dialect->end != NULL)
        run->dialect->end(run->session);
    free(run->session);
    run->session = NULL;
    run->open = false;
}

/* One of its own paths, with the input in the place of the last part, or behind it. */
static void put_target(struct run *run, struct buf *out)
{
    uint32_t paths = 0;
    while (run->dialect->paths[paths] != NULL)
        paths++;
    const char *path = run->dialect->paths[fuzz_below(&run->input, paths)];
    if (fuzz_below(&run->input, 2) == 1)
        buf_put(out, slice_of(path, (size_t)(strrchr(path, '/') + 1 - path)));
    else
        buf_put_text(out, path);
    buf_put(out, fuzz_piece(&run->input));
}

static void step_open(struct run *run)
{
    static struct http1_request request;
    static uint8_t memory[4096];
    struct buf head = buf_of(memory, sizeof(memory));
    size_t scanned = 0, head_bytes;
    const char *why;

    end_session(run);
    buf_put_text(&head, "GET ");
    put_target(run, &head);
    buf_put_text(&head, " HTTP/1.1\r\nHost: h\r\nX-Api-Key:");
    buf_put(&head, fuzz_below(&run->input, 2) == 1 ? slice_text("key-1") : fuzz_piece(&run->input));
    buf_put_text(&head, "\r\n\r\n");
    if (http1_parse_head(buf_slice(&head), &scanned, &request, &head_bytes, &why) != HTTP1_OK ||
        run->dialect->route(run->settings, request.path) != DIALECT_PATH_SOCKET)
        return;
    run->session = fuzz_zeroed(run->dialect->session_bytes + 1);
    struct dialect_call call = begin_call(run, buf_slice(&head));
    run->dialect->open(&call, &request, request.path);
    uint32_t acquires = 0;
    for (uint32_t i = 0; i < run->out->count; i++)
        acquires += run->out->items[i].kind == ACTION_ACQUIRE;
    if (acquires > 0 && fuzz_below(&run->input, 4) == 3) { /* a place is refused: the later actions are dropped */
        call = begin_call(run, buf_slice(&head));
        run->dialect->refused(&call, (enum quota_kind)fuzz_below(&run->input, QUOTA_KEY_ATTEMPTS + 1));
    } else {
        expect(run->out->count > acquires); /* an answer */
    }
    if (!carry_out_all(run))
        end_session(run);
}

/* Text of the input if it is text; what is not never gets to a dialect as such. */
static void step_message(struct run *run, bool over_limit)
{
    struct slice message = fuzz_take(&run->input, fuzz_below(&run->input, 1024));
    bool text = fuzz_below(&run->input, 8) != 7 && naive_utf8_read(message) == NAIVE_UTF8_WHOLE;
    enum ws_opcode opcode = text ? WS_TEXT : WS_BINARY;
    if (!run->open || (over_limit && run->dialect->over_limit == NULL))
        return;
    uint8_t *copy = fuzz_copy(message);
    struct slice given = slice_of(copy, message.bytes);
    struct dialect_call call = begin_call(run, given);
    if (over_limit)
        run->dialect->over_limit(&call, opcode, given, run->settings->messages_max + 1 + fuzz_byte(&run->input));
    else
        run->dialect->message(&call, opcode, given);
    bool open = carry_out_all(run);
    free(copy);
    if (!open)
        end_session(run);
}

static void step_heartbeat(struct run *run)
{
    if (!run->open || run->dialect->heartbeat == NULL)
        return;
    struct dialect_call call = begin_call(run, (struct slice){0});
    run->dialect->heartbeat(&call);
    if (!carry_out_all(run))
        end_session(run);
}

/* An event meets every membership. */
static void expect_event(struct run *run, const struct event *event)
{
    expect(event->channel.bytes >= 1 && event->channel.bytes <= CHANNEL_NAME_BYTES_MAX);
    if (event->opcode == WS_TEXT)
        expect_text(run, event->payload);
    for (uint32_t i = 0; i < run->member_count && run->dialect->matches != NULL; i++)
        if (slice_equal(event->channel, slice_of(run->members[i].channel, run->members[i].channel_bytes)))
            run->dialect->matches(slice_of(run->members[i].variant, run->members[i].variant_bytes), event);
}

static void ask_service(struct run *run, const struct ingest_call *call, bool read)
{
    static uint8_t reply_memory[65536], scratch_memory[65536];
    const struct service *service = run->dialect->service;
    uint8_t *copy = fuzz_copy(call->body); /* it is good until the next call only */
    struct service_request request = {
        .kind = call->request_kind, .body = slice_of(copy, call->body.bytes), .now_ms = 1000, .wall_ms = call->wall_ms};
    struct buf reply = buf_of(reply_memory, sizeof(reply_memory)), scratch = buf_of(scratch_memory, sizeof(scratch_memory));
    struct event event;
    expect(service != NULL && json_valid(request.body, JSON_DEPTH_MAX) == (request.body.bytes > 0));
    int status = service->request(run->service, &request, &reply);
    free(copy);
    expect(status == 200 || status == 202 || status == 404 || status == 409 || status == 422 || status == 503);
    expect(!reply.overflow && (status == 200) <= read);
    if (status == 200)
        expect(json_valid(buf_slice(&reply), JSON_DEPTH_MAX));
    run->given = (struct slice){0};
    while (service->next(run->service, &scratch, &event))
        expect_event(run, &event);
}

static struct slice topic_of(struct run *run)
{
    static const char *const topics[] = {"blocks", "transactions", "state", "news", "orders.1"};
    uint32_t i = fuzz_below(&run->input, 8);
    return i < sizeof(topics) / sizeof(topics[0]) ? slice_text(topics[i]) : fuzz_piece(&run->input);
}

static void step_ingest(struct run *run, bool read)
{
    static uint8_t *memory;
    if (memory == NULL)
        memory = malloc(TEXT_BYTES);
    struct buf text = buf_of(memory, fuzz_below(&run->input, 16) == 15 ? 64 : TEXT_BYTES);
    struct ingest_call call = {.settings = run->settings, .wall_ms = UINT64_C(1767225600000), .text = &text,
                               .field = "", .message = ""};
    struct slice topic = topic_of(run), body = read ? slice_text("") : fuzz_take(&run->input, fuzz_below(&run->input, 2048));
    call.binary = fuzz_below(&run->input, 8) == 7;
    call.json = !call.binary && json_valid(body, JSON_DEPTH_MAX);
    if ((read && run->dialect->read == NULL) || run->dialect->ingest == NULL)
        return;
    uint8_t *topic_copy = fuzz_copy(topic), *body_copy = fuzz_copy(body);
    topic = slice_of(topic_copy, topic.bytes);
    body = slice_of(body_copy, body.bytes);
    run->given = body;
    int status = read ? run->dialect->read(&call, topic) : run->dialect->ingest(&call, topic, body);
    expect(status == 0 || status == 400 || status == 404 || status == 409 || status == 422);
    if (status != 0)
        expect(call.message[0] != '\0' && call.field != NULL);
    else if (call.kind == INGEST_REQUEST && !text.overflow)
        ask_service(run, &call, read);
    else if (call.kind == INGEST_PUBLISH)
        expect_event(run, &call.event);
    else if (call.kind == INGEST_NEWEST)
        expect(read && call.event.channel.bytes >= 1 && call.event.channel.bytes <= CHANNEL_NAME_BYTES_MAX);
    free(topic_copy);
    free(body_copy);
}

static void step_route(struct run *run)
{
    struct slice path = fuzz_piece(&run->input);
    uint8_t *copy = fuzz_copy(path);
    enum dialect_path kind = run->dialect->route(run->settings, slice_of(copy, path.bytes));
    expect(kind == DIALECT_PATH_NONE || kind == DIALECT_PATH_SOCKET);
    free(copy);
    for (const char *const *own = run->dialect->paths; *own != NULL; own++)
        expect(run->dialect->route(run->settings, slice_text(*own)) == DIALECT_PATH_SOCKET);
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

static const struct option *find_option(const struct dialect *dialect, const char *name)
{
    const struct option *row = option_find(dialect_common_options, slice_text(name), NULL);
    return row != NULL ? row : option_find(dialect->options, slice_text(name), NULL);
}

/* An option that this dialect may not have. */
static void set(struct run *run, const char *name, struct slice value)
{
    uint8_t memory[1024];
    struct buf why = buf_of(memory, sizeof(memory));
    const struct option *row = find_option(run->dialect, name);
    if (row != NULL)
        option_set(run->settings, row, value, &why);
}

static void make_settings(struct run *run, uint8_t shape)
{
    const struct dialect *dialect = run->dialect;
    run->settings = fuzz_zeroed(dialect->settings_bytes);
    expect(option_defaults(run->settings, dialect_common_options) == 0);
    expect(option_defaults(run->settings, dialect->options) == 0);
    for (const struct dialect_default *row = dialect->defaults; row->name != NULL; row++)
        set(run, row->name, slice_text(row->value));
    if ((shape & 1) != 0)
        set(run, "keys", slice_text("key-1,key-2"));
    set(run, "connections_per_address", slice_text((shape & 2) != 0 ? "2" : "0"));
    set(run, "client_publish", slice_text((shape & 4) != 0 ? "true" : "false"));
    set(run, "tx_source", slice_text((shape & 8) != 0 ? "ingest" : "derive"));
    set(run, "auth_reject", slice_text((shape & 16) != 0 ? "http401" : "upgrade"));
    set(run, "attempts_per_minute", slice_text((shape & 32) != 0 ? "0" : "60"));
    set(run, "retain", slice_text("3"));
    if ((shape & 64) != 0)
        set(run, "policy", fuzz_piece(&run->input));
    if ((shape & 128) != 0)
        set(run, "connections_per_key", slice_text("0"));
    run->settings->key_list.count = run->settings->keys.count;
    run->settings->key_list.keys = fuzz_zeroed((run->settings->keys.count + 1) * sizeof(struct slice));
    for (uint32_t i = 0; i < run->settings->keys.count; i++)
        run->settings->key_list.keys[i] = slice_text(run->settings->keys.items[i]);
}

/* A refusal names one of the dialect's options. */
static bool settings_good(struct run *run)
{
    char memory[1024];
    struct buf why = buf_of(memory, sizeof(memory));
    if (run->dialect->check_settings == NULL || run->dialect->check_settings(run->settings, &why) == 0)
        return true;
    const uint8_t *colon = memchr(why.data, ':', why.used);
    expect(why.used > 0 && colon != NULL);
    struct slice name = slice_of(why.data, (size_t)(colon - why.data));
    expect(option_find(dialect_common_options, name, NULL) != NULL || option_find(run->dialect->options, name, NULL) != NULL);
    return false;
}

static void step(struct run *run)
{
    switch (fuzz_below(&run->input, 8)) {
    case 0:
        step_open(run);
        break;
    case 1:
    case 2:
        step_message(run, false);
        break;
    case 3:
        step_message(run, true);
        break;
    case 4:
        step_heartbeat(run);
        break;
    case 5:
        step_ingest(run, false);
        break;
    case 6:
        step_ingest(run, true);
        break;
    default:
        step_route(run);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct run *run = fuzz_zeroed(sizeof(*run));
    uint32_t count = 0;
    while (dialects[count] != NULL)
        count++;
    run->input = (struct fuzz_input){data, bytes};
    run->dialect = dialects[fuzz_below(&run->input, count)];
    run->out = fuzz_zeroed(sizeof(*run->out));
    run->out->text = buf_of(malloc(TEXT_BYTES), TEXT_BYTES);
    make_settings(run, fuzz_byte(&run->input));
    if (settings_good(run)) {
        if (run->dialect->service != NULL) {
            run->service = fuzz_zeroed(run->dialect->service->state_bytes);
            expect(run->dialect->service->open(run->service, run->settings) == 0);
            run->dialect->service->settings(run->service, run->settings);
        }
        for (uint32_t i = 0; i < STEPS_MAX && run->input.left > 0; i++)
            step(run);
        end_session(run);
        if (run->service != NULL)
            run->dialect->service->close(run->service);
    }
    free(run->service);
    free(run->settings->key_list.keys);
    option_release(run->settings, dialect_common_options);
    option_release(run->settings, run->dialect->options);
    free(run->settings);
    free(run->out->text.data);
    free(run->out);
    free(run);
    return 0;
}
