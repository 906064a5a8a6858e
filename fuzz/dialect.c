/* SPDX-License-Identifier: MIT */
/* Owns what the contract of dialect.h promises of every dialect in the table, whatever it is: requests, messages,
 * limits, heartbeats, timers, REST, ingest, reads and reloads made from the input, carried out by the pure host, and
 * rules for what it is given to do. It knows no dialect by name: of what one writes itself it asks that text is UTF-8
 * and that an object is JSON. The input is a byte of dialect and listener, the settings, and a row of steps. */
#include "fuzz/fuzz.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/service.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/naive_utf8.h"

#define TEXT_BYTES (256U << 10)
#define STEPS_MAX 160
#define SETTINGS_MAX 7
#define ROUNDS_MAX 16 /* of asking the service in one step */
#define NUMBER 7      /* of the first connection, then one more: inputs name ids that are made of it */

/* The connections: one that opens and speaks, and one for each REST request beside it. */
enum { SOCKET, REST, CONNS };

enum life {
    LIFE_NEW,  /* neither accepted nor refused */
    LIFE_OPEN, /* accepted */
    LIFE_REST, /* a REST request without its answer */
    LIFE_OVER, /* refused, answered or closed */
};

struct run {
    struct fuzz_input input;
    struct fuzz_input chosen; /* the settings, to be read again for a reload */
    struct pure_host host;
    struct pure_watch watch;
    struct slice given; /* what the present call was given */
    uint32_t refuse_in; /* the how many-th ACQUIRE from now is refused; 0: none */
    uint32_t rounds;    /* questions asked in this step */
    uint64_t number;    /* of the next connection that is no REST request */
};

/* --- rules for what comes back ------------------------------------------------------------------------------------ */

/* Text is UTF-8; what a dialect has written itself and looks like an object is JSON. */
static void expect_text(const struct run *run, struct slice text, struct slice given)
{
    bool utf8 = naive_utf8_read(text) == NAIVE_UTF8_WHOLE;
    bool object = text.bytes > 0 && text.data[0] == '{' && !fuzz_inside(text, given);
    bool json = !object || json_valid(text, JSON_DEPTH_MAX);
    if (!utf8 || !json)
        fprintf(stderr, "%s wrote: %.*s\n", run->host.dialect->name, (int)text.bytes, (const char *)text.data);
    expect(utf8);
    expect(json);
}

static void expect_respond(const struct run *run, const struct action *action)
{
    int status = action->respond.status;
    const char *extra = action->respond.extra == NULL ? "" : action->respond.extra;
    expect(status >= 200 && status <= 599 && http1_reason(status)[0] != '\0');
    expect(action->respond.content_type == NULL || action->respond.content_type[0] != '\0');
    expect(extra[0] == '\0' || (strlen(extra) > 2 && strcmp(extra + strlen(extra) - 2, "\r\n") == 0));
    expect(status != 405 || action->respond.allow != NULL);
    expect_text(run, action->respond.content, run->given);
}

static void expect_channel(struct slice channel)
{
    expect(channel.bytes >= 1 && channel.bytes <= CHANNEL_NAME_BYTES_MAX);
}

static bool is_member(const struct pure_conn *conn, struct slice channel)
{
    for (uint32_t i = 0; i < conn->member_count; i++)
        if (slice_is(channel, conn->members[i].channel))
            return true;
    return false;
}

static void expect_subscribe(const struct run *run, const struct pure_conn *conn, const struct action *action)
{
    struct slice channel = action->subscribe.channel;
    expect_channel(channel);
    expect(action->subscribe.variant.bytes <= VARIANT_BYTES_MAX);
    expect(memchr(channel.data, 0, channel.bytes) == NULL); /* the host keeps names as texts */
    expect(conn->member_count < SUBSCRIPTIONS_PER_CONNECTION_MAX || is_member(conn, channel));
    if (run->host.dialect->traits != NULL) {
        struct channel_traits traits = {.retain_count = UINT32_MAX};
        run->host.dialect->traits(run->host.settings, channel, &traits);
        expect(traits.policy <= POLICY_CONFLATE);
    }
}

static void expect_close(const struct action *action)
{
    uint16_t code = action->close.code;
    expect(code >= 3000 ? code <= 4999 : code >= 1000 && code <= 1014 && code != 1005 && code != 1006);
    expect(strlen(action->close.reason) <= 123);
}

static enum life life_of(const struct run *run, const struct pure_conn *conn)
{
    if (conn->session == NULL || conn->refused_status != 0 || conn->close_code != 0)
        return LIFE_OVER;
    if (conn->open)
        return LIFE_OPEN;
    return conn == &run->host.conns[REST] ? LIFE_REST : LIFE_NEW;
}

static void expect_action(struct run *run, const struct pure_conn *conn, const struct action *action)
{
    enum life life = life_of(run, conn);
    const struct dialect *dialect = run->host.dialect;
    switch (action->kind) {
    case ACTION_RESPOND:
        expect(life == LIFE_NEW || life == LIFE_REST);
        expect_respond(run, action);
        break;
    case ACTION_ACCEPT:
        expect(life == LIFE_NEW);
        break;
    case ACTION_SEND:
        expect(life == LIFE_OPEN && (action->send.opcode == WS_TEXT || action->send.opcode == WS_BINARY));
        if (action->send.opcode == WS_TEXT)
            expect_text(run, action->send.payload, run->given);
        break;
    case ACTION_SUBSCRIBE:
        expect(life == LIFE_OPEN);
        expect_subscribe(run, conn, action);
        break;
    case ACTION_UNSUBSCRIBE:
        expect(life == LIFE_OPEN && is_member(conn, action->unsubscribe.channel));
        break;
    case ACTION_PUBLISH:
        expect_channel(action->publish.channel);
        break;
    case ACTION_ACQUIRE:
        expect(action->acquire.name.bytes <= KEY_BYTES_MAX);
        break;
    case ACTION_CLOSE:
        expect(life == LIFE_OPEN);
        expect_close(action);
        break;
    case ACTION_TIMER:
        expect(action->timer.after_ms == 0 || dialect->timer != NULL);
        break;
    case ACTION_REQUEST:
        expect(dialect->service != NULL && dialect->replied != NULL && run->rounds++ < ROUNDS_MAX);
        break;
    case ACTION_WORK:
        expect(dialect->work != NULL && dialect->replied != NULL && run->rounds++ < ROUNDS_MAX);
        break;
    case ACTION_DEPOT:
        expect(dialect->depot != NULL && dialect->replied != NULL && run->rounds++ < ROUNDS_MAX);
        break;
    case ACTION_UNCOUNT:
        break;
    case ACTION_CENSUS:
        expect(dialect->census != NULL && dialect->replied != NULL && run->rounds++ < ROUNDS_MAX);
        break;
    }
}

/* Kinds that nothing may follow in a row. */
static bool is_last(enum action_kind kind)
{
    return kind == ACTION_RESPOND || kind == ACTION_CLOSE || kind == ACTION_REQUEST || kind == ACTION_CENSUS ||
           kind == ACTION_WORK || kind == ACTION_DEPOT;
}

static void watch_action(void *context, const struct pure_conn *conn, const struct actions *row, uint32_t index)
{
    struct run *run = context;
    expect(row->count <= ACTIONS_MAX && row->text.used <= row->text.capacity);
    expect(life_of(run, conn) != LIFE_OVER && (index + 1 == row->count || !is_last(row->items[index].kind)));
    expect_action(run, conn, &row->items[index]);
}

static bool watch_refuse(void *context, const struct action *action)
{
    struct run *run = context;
    (void)action;
    return run->refuse_in > 0 && --run->refuse_in == 0;
}

static void watch_event(void *context, const struct event *event)
{
    expect_channel(event->channel);
    if (event->opcode == WS_TEXT)
        expect_text(context, event->payload, ((const struct run *)context)->given);
}

/* Of a service that remembers; the host holds tables, keys and sizes against service.h. */
static void watch_effect(void *context, const struct effect *effect)
{
    const struct run *run = context;
    if (effect->kind == EFFECT_PUT)
        expect(json_valid(effect->body, JSON_DEPTH_MAX));
    expect(effect->kind == EFFECT_PUBLISH || run->host.dialect->service->tables != NULL);
}

static void watch_answer(void *context, int status, struct slice reply)
{
    struct run *run = context;
    expect(status == 200 || status == 202 || status == 404 || status == 409 || status == 422 || status == 503);
    run->given = reply;
}

static void watch_census(void *context, struct slice described)
{
    struct run *run = context;
    expect(described.bytes == 0 || json_valid(described, JSON_DEPTH_MAX));
    run->given = described;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct dialect_call begin_call(struct run *run, struct pure_conn *conn, struct slice given)
{
    run->given = given;
    return pure_call(&run->host, conn, pure_actions(&run->host));
}

/* A target of the input, or one of the dialect's own paths with the input behind it or in the place of its last
 * part. */
static void put_target(struct run *run, struct buf *out)
{
    uint32_t paths = 0, mode = fuzz_below(&run->input, 3);
    while (run->host.dialect->paths[paths] != NULL)
        paths++;
    const char *path = mode == 2 ? "" : run->host.dialect->paths[fuzz_below(&run->input, paths)];
    size_t bytes = mode == 1 ? (size_t)(strrchr(path, '/') + 1 - path) : strlen(path);
    buf_put(out, slice_of(path, bytes));
    buf_put(out, fuzz_piece(&run->input));
}

static void put_credential(struct run *run, struct buf *out)
{
    switch (fuzz_below(&run->input, 4)) {
    case 0:
        break;
    case 1:
        buf_put_text(out, "X-Api-Key: key-1\r\n");
        break;
    case 2:
        buf_put_text(out, "Authorization: Bearer key-1\r\n");
        break;
    default:
        buf_put_text(out, "X-Api-Key: ");
        buf_put(out, fuzz_piece(&run->input));
        buf_put_text(out, "\r\n");
    }
    if (fuzz_below(&run->input, 4) == 3) {
        buf_put_text(out, "Origin: ");
        buf_put(out, fuzz_piece(&run->input));
        buf_put_text(out, "\r\n");
    }
}

/* A REST request beside the session that there is. */
static void request_rest(struct run *run, const struct http1_request *request, struct slice head)
{
    struct pure_conn *conn = pure_begin(&run->host, REST);
    struct dialect_call call = begin_call(run, conn, head);
    const struct dialect_rest *rest = run->host.dialect->rest;
    rest->request(&call, request, request->path);
    if (call.out->count == 0) { /* it wants the content first */
        expect(rest->content != NULL);
        struct slice content = fuzz_piece(&run->input);
        rest->content(&call, slice_of(content.data, content.bytes < rest->content_bytes_max ? content.bytes
                                                                                            : rest->content_bytes_max));
    }
    pure_apply(&run->host, conn, call.out);
    expect(conn->refused_status != 0); /* answered */
    pure_end(&run->host, conn);
}

static void request_socket(struct run *run, const struct http1_request *request, struct slice head, bool origin_bad)
{
    pure_disconnect(&run->host, SOCKET);
    struct pure_conn *conn = pure_begin(&run->host, SOCKET);
    conn->number = run->number++;
    struct dialect_call call = begin_call(run, conn, head);
    call.origin_allowed = !origin_bad;
    run->host.dialect->open(&call, request, request->path);
    expect(call.out->count > 0);
    pure_apply(&run->host, conn, call.out);
    expect(life_of(run, conn) != LIFE_NEW); /* an answer */
    if (!conn->open)
        pure_end(&run->host, conn);
}

/* A request that the server would pass on: an upgrade, or REST with any method and content type. */
static void step_open(struct run *run)
{
    static const char *const methods[] = {"GET ", "POST ", "DELETE ", "PUT ", "HEAD ", "OPTIONS "};
    static struct http1_request request;
    static uint8_t memory[4096];
    const struct dialect *dialect = run->host.dialect;
    struct buf head = buf_of(memory, sizeof memory);
    size_t scanned = 0, head_bytes;
    const char *why;

    uint8_t shape = fuzz_byte(&run->input);
    bool origin_bad = (shape & 128) != 0;
    buf_put_text(&head, methods[(shape & 63) % (sizeof methods / sizeof methods[0])]);
    put_target(run, &head);
    buf_put_text(&head, " HTTP/1.1\r\nHost: h\r\n");
    put_credential(run, &head);
    bool refused = fuzz_below(&run->input, 4) == 3;
    uint32_t refuse_in = refused ? 1 + fuzz_below(&run->input, QUOTA_ADDRESS_LEFT + 1) : 0;
    if ((shape & 64) != 0)
        buf_put_text(&head, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    buf_put_text(&head, "\r\n");
    if (http1_parse_head(buf_slice(&head), &scanned, &request, &head_bytes, &why) != HTTP1_OK)
        return;
    static uint8_t normalized[HTTP_TARGET_BYTES_MAX];
    struct buf path = buf_of(normalized, sizeof normalized);
    request.path = http1_path_normalize(request.path, &path);
    enum dialect_path kind = dialect->route(run->host.settings, request.path);
    run->refuse_in = refuse_in;
    if (kind == DIALECT_PATH_REST)
        request_rest(run, &request, buf_slice(&head));
    else if (kind == DIALECT_PATH_SOCKET && slice_is(request.method, "GET") && (!origin_bad || dialect->checks_origin))
        request_socket(run, &request, buf_slice(&head), origin_bad);
    run->refuse_in = 0;
}

/* What may be said before a close that the server decides on. */
static void expect_sends(const struct actions *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        expect(out->items[i].kind == ACTION_SEND);
}

/* A message that is too big, or the end of the server. */
static void say_before_close(struct run *run, bool farewell)
{
    struct pure_conn *conn = &run->host.conns[SOCKET];
    const struct dialect *dialect = run->host.dialect;
    void (*say)(struct dialect_call * call) = farewell ? dialect->farewell : dialect->too_big;
    struct dialect_call call = begin_call(run, conn, (struct slice){0});
    if (say != NULL)
        say(&call);
    expect_sends(call.out);
    action_close(call.out, farewell ? WS_CLOSE_GOING_AWAY : WS_CLOSE_TOO_BIG, "");
    pure_apply(&run->host, conn, call.out);
}

/* Text of the input if it is text; what is not never gets to a dialect as such. */
static void step_message(struct run *run, bool over_limit)
{
    const struct dialect_settings *common = run->host.settings;
    const struct dialect *dialect = run->host.dialect;
    struct pure_conn *conn = &run->host.conns[SOCKET];
    struct slice message = fuzz_take(&run->input, fuzz_below(&run->input, 1024));
    bool text = fuzz_below(&run->input, 8) != 7 && naive_utf8_read(message) == NAIVE_UTF8_WHOLE;
    enum ws_opcode opcode = text ? WS_TEXT : WS_BINARY;
    uint8_t shape = over_limit ? fuzz_byte(&run->input) : 0;
    if (conn->open && shape >= 254) {
        say_before_close(run, shape == 255);
        return;
    }
    if (!conn->open || (over_limit && dialect->over_limit == NULL))
        return;
    uint8_t *copy = fuzz_copy(message);
    struct slice given = slice_of(copy, message.bytes);
    struct dialect_call call = begin_call(run, conn, given);
    if (over_limit)
        dialect->over_limit(&call, opcode, given, common->messages_max + 1 + 8U * shape);
    else
        dialect->message(&call, opcode, given);
    pure_apply(&run->host, conn, call.out);
    free(copy);
}

/* The clock moves; what is due is called. */
static void step_time(struct run *run)
{
    run->given = (struct slice){0};
    pure_advance(&run->host, UINT64_C(100) << fuzz_below(&run->input, 12));
}

static void ask_ingested(struct run *run, const struct ingest_call *call, bool read)
{
    static uint8_t memory[PURE_REPLY_BYTES];
    struct buf reply = buf_of(memory, sizeof memory);
    expect(run->host.service != NULL);
    int status = pure_ask(&run->host, call->request_kind, call->body, &reply);
    expect(status != 202 || !read);
    if (status == 200)
        expect(json_valid(buf_slice(&reply), JSON_DEPTH_MAX));
}

/* What an object or a read was turned into; its payload lies in the call's text or body. */
static void carry_out_ingested(struct run *run, const struct ingest_call *call, bool read)
{
    switch (call->kind) {
    case INGEST_REQUEST:
        ask_ingested(run, call, read);
        break;
    case INGEST_PUBLISH:
        expect(!read);
        pure_publish(&run->host, &call->event);
        break;
    case INGEST_NEWEST:
        expect(read);
        expect_channel(call->event.channel);
    }
}

static struct slice topic_of(struct run *run)
{
    static const char *const topics[] = {"blocks", "transactions", "state", "news", "orders.1"};
    uint32_t i = fuzz_below(&run->input, 8);
    return i < sizeof topics / sizeof topics[0] ? slice_text(topics[i]) : fuzz_piece(&run->input);
}

static void step_ingest(struct run *run, bool read)
{
    static uint8_t *memory;
    if (memory == NULL)
        memory = malloc(TEXT_BYTES);
    const struct dialect_ingest *ingest = run->host.dialect->ingest;
    struct buf text = buf_of(memory, fuzz_below(&run->input, 16) == 15 ? 64 : TEXT_BYTES);
    struct ingest_call call = {
        .settings = run->host.settings, .wall_ms = pure_wall_ms(&run->host), .text = &text, .field = "", .message = ""};
    struct slice topic = topic_of(run),
                 body = read ? slice_text("") : fuzz_take(&run->input, fuzz_below(&run->input, 2048));
    call.binary = fuzz_below(&run->input, 8) == 7;
    call.json = !call.binary && json_valid(body, JSON_DEPTH_MAX);
    call.merge = fuzz_below(&run->input, 4) == 3;
    if (fuzz_below(&run->input, 4) == 3)
        call.source = fuzz_piece(&run->input);
    if (ingest == NULL || (read && ingest->read == NULL))
        return;
    uint8_t *topic_copy = fuzz_copy(topic), *body_copy = fuzz_copy(body);
    topic = slice_of(topic_copy, topic.bytes);
    body = slice_of(body_copy, body.bytes);
    run->given = body;
    int status = read ? ingest->read(&call, topic) : ingest->take(&call, topic, body);
    expect(status == 0 || status == 400 || status == 404 || status == 409 || status == 422 ||
           (status == 413 && text.overflow)); /* as its caller says it then */
    if (status != 0)
        expect(call.message[0] != '\0' && call.field != NULL);
    else if (!text.overflow)
        carry_out_ingested(run, &call, read);
    free(topic_copy);
    free(body_copy);
}

static void step_route(struct run *run)
{
    const struct dialect *dialect = run->host.dialect;
    struct slice path = fuzz_piece(&run->input);
    uint8_t *copy = fuzz_copy(path);
    enum dialect_path kind = dialect->route(run->host.settings, slice_of(copy, path.bytes));
    expect(kind == DIALECT_PATH_NONE || kind == DIALECT_PATH_SOCKET || dialect->rest != NULL);
    free(copy);
    for (const char *const *own = dialect->paths; *own != NULL; own++)
        expect(dialect->route(run->host.settings, slice_text(*own)) != DIALECT_PATH_NONE);
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

/* So many pieces "NAME VALUE" as the first byte says; of a reload, those that may change then and stand in the
 * dialect's own table. What the common ones do is the server's. */
static void take_settings(const struct dialect *dialect, void *settings, struct fuzz_input *input, bool reload)
{
    for (uint32_t count = fuzz_below(input, SETTINGS_MAX + 1); count > 0; count--) {
        struct slice value = fuzz_piece(input), name = slice_next_word(&value);
        const struct option *own = option_find(dialect->options, name, NULL);
        if (!reload || (own != NULL && own->reloadable))
            (void)pure_option(dialect, settings, name, slice_skip(value, 1));
    }
}

/* Any word may stand behind a key; which may, the dialect says of each. */
static void judge_permissions(const struct dialect *dialect, const struct dialect_settings *settings)
{
    for (uint32_t i = 0; dialect->permission_fault != NULL && i < settings->keys.count; i++) {
        struct slice words = slice_text(settings->keys.items[i]);
        for (struct slice word = slice_next_word(&words); word.bytes > 0; word = slice_next_word(&words)) {
            const char *fault = dialect->permission_fault(word);
            expect(fault == NULL || fault[0] != '\0');
        }
    }
}

/* A refusal names one of the dialect's options. No dialect sees a prefix of other characters than the configuration
 * allows. */
static bool settings_good(const struct dialect *dialect, const struct dialect_settings *settings)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    char memory[1024];
    struct buf why = buf_of(memory, sizeof memory);
    if (settings->prefix[strspn(settings->prefix, plain)] != '\0')
        return false;
    if (dialect->check_settings == NULL || dialect->check_settings(settings, &why) == 0)
        return true;
    const uint8_t *colon = memchr(why.data, ':', why.used);
    expect(why.used > 0 && colon != NULL);
    struct slice name = slice_of(why.data, (size_t)(colon - why.data));
    expect(option_find(dialect_common_options, name, NULL) != NULL ||
           option_find(dialect->options, name, NULL) != NULL);
    return false;
}

/* The settings as at first, with further ones. */
static void step_reload(struct run *run)
{
    const struct dialect *dialect = run->host.dialect;
    struct fuzz_input again = run->chosen;
    void *settings = pure_settings(dialect);
    take_settings(dialect, settings, &again, false);
    take_settings(dialect, settings, &run->input, true);
    pure_keys(settings);
    run->given = (struct slice){0};
    if (settings_good(dialect, settings))
        pure_reload(&run->host, settings);
    else
        pure_settings_free(dialect, settings);
}

/* The mounts are the rows of addresses, the common one first. */
static void expect_mounts(const struct pure_host *host)
{
    const struct option *tables[] = {dialect_common_options, host->dialect->options};
    unsigned mount = 0;
    for (size_t i = 0; i < 2; i++)
        for (const struct option *row = tables[i]; row != NULL && row->name != NULL; row++) {
            const char *tail = strstr(row->name, "listen");
            if (tail == NULL || tail[strlen("listen")] != '\0')
                continue;
            expect((const char *)dialect_listen(host->dialect, host->settings, mount) ==
                   (const char *)host->settings + row->offset);
            mount++;
        }
    expect(dialect_listen(host->dialect, host->settings, mount) == NULL);
}

static void step(struct run *run)
{
    run->rounds = 0;
    switch (fuzz_below(&run->input, 9)) {
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
        step_time(run);
        break;
    case 5:
        step_ingest(run, false);
        break;
    case 6:
        step_ingest(run, true);
        break;
    case 7:
        step_route(run);
        break;
    default:
        step_reload(run);
    }
}

/* The dialect, whether its listener speaks TLS, and what that mounts: everything, or a few parts. */
static void begin_host(struct run *run)
{
    uint32_t count = 0, shape = fuzz_byte(&run->input);
    while (dialects[count] != NULL)
        count++;
    pure_init_for(&run->host, dialects[shape % count], CONNS);
    run->host.secure = (shape / count & 1) != 0;
    run->host.mounts = shape / count / 2 == 0 ? UINT32_MAX : shape / count / 2;
    run->watch = (struct pure_watch){.context = run,
                                     .action = watch_action,
                                     .refuse = watch_refuse,
                                     .event = watch_event,
                                     .effect = watch_effect,
                                     .answer = watch_answer,
                                     .census = watch_census};
    run->host.watch = &run->watch;
    run->host.numbers = UINT32_MAX; /* those of REST requests are others */
    run->number = NUMBER;
    run->chosen = run->input;
    take_settings(run->host.dialect, run->host.settings, &run->input, false);
    judge_permissions(run->host.dialect, run->host.settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct run run;
    run = (struct run){.input = {data, bytes}};
    begin_host(&run);
    expect_mounts(&run.host);
    if (settings_good(run.host.dialect, run.host.settings)) {
        pure_start(&run.host);
        if (run.host.service != NULL) { /* the same settings once more, as after a reload that changed nothing */
            run.host.dialect->service->settings(run.host.service, run.host.settings);
            pure_collect(&run.host);
            pure_pump(&run.host);
        }
        for (uint32_t i = 0; i < STEPS_MAX && run.input.left > 0; i++)
            step(&run);
        if (run.host.record_count > 0)
            pure_crash(&run.host); /* what it has kept is what it loads */
    }
    run.given = (struct slice){0};
    pure_close(&run.host);
    return 0;
}
