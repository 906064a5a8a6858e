/* SPDX-License-Identifier: MIT */
/* Owns what the contract of dialect.h promises of every dialect in the table, whatever it is: requests, messages, limits,
 * heartbeats, timers, REST, ingest, reads and reloads made from the input, and rules for the actions that come back. It knows
 * no dialect by name: of what one writes itself it asks that text is UTF-8 and that an object is JSON. The input is a byte of
 * dialect and listener, the settings, and a row of steps. */
#include "protocol/dialect.h"
#include "fuzz/fuzz.h"
#include "protocol/json.h"
#include "tests/unit/protocol/naive_utf8.h"

#define TEXT_BYTES (256U << 10)
#define MEMBERS_MAX SUBSCRIPTIONS_PER_CONNECTION_MAX
#define STEPS_MAX 160
#define WALL_MS UINT64_C(1767225600000)
#define SETTINGS_MAX 7
#define ROUNDS_MAX 16 /* of asking the service in one call */

enum life {
    LIFE_NEW,  /* neither accepted nor refused */
    LIFE_OPEN, /* accepted */
    LIFE_REST, /* a REST request without its answer */
    LIFE_OVER, /* refused, answered or closed */
};

struct member {
    uint8_t channel[CHANNEL_NAME_BYTES_MAX];
    size_t channel_bytes;
    uint8_t *variant;
    size_t variant_bytes;
};

struct run {
    struct fuzz_input input;
    struct fuzz_input chosen; /* the settings, to be read again for a reload */
    const struct dialect *dialect;
    uint32_t mounts; /* of the listener */
    bool secure;
    struct dialect_settings *settings;
    void *service;
    void *session;
    void *bystander; /* an open session beside a REST request, for a census; or NULL */
    enum life life;
    bool timer_set, origin_bad;
    uint64_t now_ms;
    struct slice given;  /* what the present call was given */
    uint64_t connection; /* of the session, each its own */
    uint64_t ticket, fetch;
    int answer; /* of the request at hand; 0: not yet */
    struct buf answered;
    struct member members[MEMBERS_MAX];
    uint32_t member_count;
    struct actions *out;
};

/* --- rules for what comes back ------------------------------------------------------------------------------------ */

/* Text is UTF-8; what a dialect has written itself and looks like an object is JSON. */
static void expect_text(const struct run *run, struct slice text)
{
    bool utf8 = naive_utf8_read(text) == NAIVE_UTF8_WHOLE;
    bool object = text.bytes > 0 && text.data[0] == '{' && !fuzz_inside(text, run->given);
    bool json = !object || json_valid(text, JSON_DEPTH_MAX);
    if (!utf8 || !json)
        fprintf(stderr, "%s wrote: %.*s\n", run->dialect->name, (int)text.bytes, (const char *)text.data);
    expect(utf8);
    expect(json);
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
    if (run->service != NULL && run->dialect->service->interest != NULL)
        run->dialect->service->interest(run->service, slice_of(member->channel, member->channel_bytes),
                                        slice_of(member->variant, member->variant_bytes), false);
    free(member->variant);
    *member = run->members[--run->member_count];
}

static uint32_t find_member(const struct run *run, struct slice channel)
{
    uint32_t i = 0;
    while (i < run->member_count &&
           !slice_equal(channel, slice_of(run->members[i].channel, run->members[i].channel_bytes)))
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
    *member =
        (struct member){.channel_bytes = channel.bytes, .variant = fuzz_copy(variant), .variant_bytes = variant.bytes};
    memcpy(member->channel, channel.data, channel.bytes);
    if (run->service != NULL && run->dialect->service->interest != NULL)
        run->dialect->service->interest(run->service, channel, slice_of(member->variant, member->variant_bytes), true);
    if (run->dialect->traits != NULL) {
        struct channel_traits traits = {.retain_count = UINT32_MAX};
        run->dialect->traits(run->settings, channel, &traits);
        expect(traits.policy <= POLICY_CONFLATE);
    }
}

static void carry_out(struct run *run, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        expect(run->life == LIFE_NEW || run->life == LIFE_REST);
        expect_respond(run, action);
        run->life = LIFE_OVER;
        break;
    case ACTION_ACCEPT:
        expect(run->life == LIFE_NEW);
        run->life = LIFE_OPEN;
        break;
    case ACTION_SEND:
        expect(run->life == LIFE_OPEN && (action->send.opcode == WS_TEXT || action->send.opcode == WS_BINARY));
        if (action->send.opcode == WS_TEXT)
            expect_text(run, action->send.payload);
        break;
    case ACTION_SUBSCRIBE:
        expect(run->life == LIFE_OPEN);
        join(run, action->subscribe.channel, action->subscribe.variant);
        break;
    case ACTION_UNSUBSCRIBE:
        expect(run->life == LIFE_OPEN && find_member(run, action->unsubscribe.channel) < run->member_count);
        leave(run, find_member(run, action->unsubscribe.channel));
        break;
    case ACTION_PUBLISH:
        expect(action->publish.channel.bytes >= 1 && action->publish.channel.bytes <= CHANNEL_NAME_BYTES_MAX);
        expect(action->publish.opcode != WS_TEXT || naive_utf8_read(action->publish.payload) == NAIVE_UTF8_WHOLE);
        break;
    case ACTION_ACQUIRE:
        expect(action->acquire.name.bytes <= KEY_BYTES_MAX);
        break;
    case ACTION_CLOSE: {
        uint16_t code = action->close.code;
        expect(run->life == LIFE_OPEN);
        expect(code >= 3000 ? code <= 4999 : code >= 1000 && code <= 1014 && code != 1005 && code != 1006);
        expect(strlen(action->close.reason) <= 123);
        run->life = LIFE_OVER;
        break;
    }
    case ACTION_TIMER:
        run->timer_set = action->timer.after_ms != 0;
        break;
    case ACTION_REQUEST:
        expect(run->service != NULL && run->dialect->replied != NULL);
        break;
    case ACTION_CENSUS:
        expect(run->dialect->describe != NULL && run->dialect->replied != NULL);
        break;
    }
}

/* Kinds that nothing may follow in a row. */
static bool is_last(enum action_kind kind)
{
    return kind == ACTION_RESPOND || kind == ACTION_CLOSE || kind == ACTION_REQUEST || kind == ACTION_CENSUS;
}

/* In order. False: the row ends with a question, whose answer has to come first. */
static bool carry_out_all(struct run *run)
{
    struct actions *out = run->out;
    expect(out->count <= ACTIONS_MAX && out->text.used <= out->text.capacity);
    if (out->overflow || out->text.overflow) {
        run->life = LIFE_OVER; /* the session closes with 1011 */
        return true;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        expect(run->life != LIFE_OVER && (i + 1 == out->count || !is_last(out->items[i].kind)));
        carry_out(run, &out->items[i]);
    }
    enum action_kind last = out->count == 0 ? ACTION_SEND : out->items[out->count - 1].kind;
    return last != ACTION_REQUEST && last != ACTION_CENSUS;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct dialect_call begin_call(struct run *run, struct slice given)
{
    run->out->count = 0;
    run->out->overflow = false;
    buf_reset(&run->out->text);
    run->given = given;
    static const uint64_t counts[CENSUS_COUNTS];
    return (struct dialect_call){.settings = run->settings,
                                 .session = run->session,
                                 .now_ms = run->now_ms,
                                 .wall_ms = WALL_MS + run->now_ms,
                                 .connection = run->connection,
                                 .received_wall_ms = WALL_MS,
                                 .sessions = run->dialect->describe != NULL ? 1 : 0,
                                 .recent_counts = run->dialect->describe != NULL ? counts : NULL,
                                 .secure = run->secure,
                                 .mounts = run->mounts,
                                 .origin_allowed = !run->origin_bad,
                                 .out = run->out};
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

/* What a service does to a store that has nothing to read: a record is never there. */
static void expect_effect(struct run *run, const struct effect *effect)
{
    bool record = effect->kind == EFFECT_PUT || effect->kind == EFFECT_DELETE || effect->kind == EFFECT_FETCH;
    expect(effect->kind == EFFECT_PUBLISH || run->dialect->service->tables != NULL);
    expect(!record || (effect->key.bytes >= 1 && effect->key.bytes <= SERVICE_KEY_BYTES_MAX));
    expect(effect->kind != EFFECT_PUT || json_valid(effect->body, JSON_DEPTH_MAX));
    if (effect->kind == EFFECT_PUBLISH)
        expect_event(run, &effect->event);
    if (effect->kind == EFFECT_FETCH) {
        expect(run->fetch == 0 && effect->ticket != 0);
        run->fetch = effect->ticket;
    }
    if (effect->kind != EFFECT_REPLY)
        return;
    expect(effect->ticket == run->ticket && run->answer == 0);
    run->answer = effect->status;
    buf_reset(&run->answered);
    buf_put(&run->answered, effect->body);
    expect(!run->answered.overflow);
}

static void drain_service(struct run *run)
{
    static uint8_t memory[1U << 18];
    const struct service *service = run->dialect->service;
    do {
        struct buf scratch = buf_of(memory, sizeof(memory));
        struct effect effect;
        uint64_t fetch = run->fetch;
        run->given = (struct slice){0};
        run->fetch = 0;
        if (fetch != 0)
            service->fetched(run->service, fetch, 404, slice_text(""), run->now_ms, WALL_MS + run->now_ms);
        while (buf_reset(&scratch), effect = (struct effect){0}, service->next(run->service, &scratch, &effect))
            expect_effect(run, &effect);
        expect(!scratch.overflow);
    } while (run->fetch != 0);
    if (run->dialect->service->due != NULL)
        (void)run->dialect->service->due(run->service);
}

/* The answer of the service to a request; `reply` is filled. */
static int ask_service(struct run *run, uint32_t kind, struct slice body, struct buf *reply)
{
    uint8_t *copy = fuzz_copy(body); /* it is good for the call only */
    struct service_request request = {
        .kind = kind, .body = slice_of(copy, body.bytes), .now_ms = run->now_ms, .wall_ms = WALL_MS + run->now_ms};
    request.ticket = ++run->ticket;
    run->answer = 0;
    run->answered = *reply;
    int status = run->dialect->service->request(run->service, &request, reply);
    if (status == SERVICE_LATER) {
        drain_service(run);
        *reply = run->answered;
        status = run->answer;
    }
    free(copy);
    expect(status == 200 || status == 202 || status == 404 || status == 409 || status == 422 || status == 503);
    expect(!reply->overflow);
    drain_service(run);
    return status;
}

/* Carries out what a call has produced; a question is answered, and its consequences carried out likewise. */
static void settle(struct run *run)
{
    static uint8_t memory[65536];
    for (uint32_t rounds = 0; !carry_out_all(run); rounds++) {
        uint64_t counts[CENSUS_COUNTS] = {0};
        struct buf body = buf_of(memory, sizeof(memory));
        struct action asked = run->out->items[run->out->count - 1];
        struct dialect_reply reply = {.status = 200};
        expect(rounds < ROUNDS_MAX);
        if (asked.kind == ACTION_REQUEST) {
            reply.tag = asked.request.tag;
            reply.status = ask_service(run, asked.request.kind, asked.request.body, &body);
        } else {
            struct dialect_call about = begin_call(run, (struct slice){0});
            about.out = NULL;
            about.session = run->bystander != NULL ? run->bystander : run->session;
            reply.tag = asked.census.tag;
            reply.counts = counts;
            if (run->life == LIFE_OPEN || run->bystander != NULL)
                run->dialect->describe(&about, &body, counts);
            expect(body.used == 0 || json_valid(buf_slice(&body), JSON_DEPTH_MAX));
        }
        reply.body = buf_slice(&body);
        struct dialect_call call = begin_call(run, reply.body);
        run->dialect->replied(&call, &reply);
    }
}

static void free_session(struct run *run)
{
    if (run->session != NULL && run->dialect->end != NULL)
        run->dialect->end(run->session);
    free(run->session);
    run->session = NULL;
}

static void end_session(struct run *run)
{
    while (run->member_count > 0)
        leave(run, run->member_count - 1);
    free_session(run);
    run->life = LIFE_OVER;
    run->timer_set = false;
}

/* A target of the input, or one of the dialect's own paths with the input behind it or in the place of its last part. */
static void put_target(struct run *run, struct buf *out)
{
    uint32_t paths = 0, mode = fuzz_below(&run->input, 3);
    while (run->dialect->paths[paths] != NULL)
        paths++;
    const char *path = mode == 2 ? "" : run->dialect->paths[fuzz_below(&run->input, paths)];
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
    void *session = run->session;
    enum life life = run->life;
    bool timer_set = run->timer_set;
    run->bystander = life == LIFE_OPEN ? session : NULL;
    run->session = fuzz_zeroed(run->dialect->session_bytes + 1);
    run->life = LIFE_REST;
    struct dialect_call call = begin_call(run, head);
    run->dialect->rest(&call, request, request->path);
    settle(run);
    expect(run->life == LIFE_OVER); /* answered */
    free_session(run);
    run->session = session;
    run->life = life;
    run->timer_set = timer_set;
    run->bystander = NULL;
}

/* What is left of a connection that has ended. */
static void end_if_over(struct run *run)
{
    if (run->life == LIFE_OVER)
        end_session(run);
}

/* A place is refused: the later actions are dropped. */
static void refuse(struct run *run, struct slice head, enum quota_kind quota)
{
    struct dialect_call call = begin_call(run, head);
    run->dialect->refused(&call, quota);
}

static bool acquires(const struct run *run)
{
    for (uint32_t i = 0; i < run->out->count; i++)
        if (run->out->items[i].kind == ACTION_ACQUIRE)
            return true;
    return false;
}

/* A request that the server would pass on: an upgrade, or REST with any method and content type. */
static void step_open(struct run *run)
{
    static const char *const methods[] = {"GET ", "POST ", "DELETE ", "PUT ", "HEAD ", "OPTIONS "};
    static struct http1_request request;
    static uint8_t memory[4096];
    struct buf head = buf_of(memory, sizeof(memory));
    size_t scanned = 0, head_bytes;
    const char *why;

    uint8_t shape = fuzz_byte(&run->input);
    run->origin_bad = (shape & 128) != 0;
    buf_put_text(&head, methods[(shape & 63) % (sizeof(methods) / sizeof(methods[0]))]);
    put_target(run, &head);
    buf_put_text(&head, " HTTP/1.1\r\nHost: h\r\n");
    put_credential(run, &head);
    bool refused = fuzz_below(&run->input, 4) == 3;
    enum quota_kind quota = (enum quota_kind)(refused ? fuzz_below(&run->input, QUOTA_KEY_ATTEMPTS + 1) : 0);
    if ((shape & 64) != 0)
        buf_put_text(&head, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    buf_put_text(&head, "\r\n");
    if (http1_parse_head(buf_slice(&head), &scanned, &request, &head_bytes, &why) != HTTP1_OK)
        return;
    enum dialect_path kind = run->dialect->route(run->settings, request.path);
    if (kind == DIALECT_PATH_NONE || (kind == DIALECT_PATH_SOCKET && !slice_is(request.method, "GET")) ||
        (run->origin_bad && !run->dialect->checks_origin))
        return;
    if (kind == DIALECT_PATH_REST) {
        request_rest(run, &request, buf_slice(&head));
        return;
    }
    end_session(run);
    run->session = fuzz_zeroed(run->dialect->session_bytes + 1);
    run->life = LIFE_NEW;
    run->connection++;
    struct dialect_call call = begin_call(run, buf_slice(&head));
    run->dialect->open(&call, &request, request.path);
    expect(run->out->count > 0);
    if (refused && acquires(run))
        refuse(run, buf_slice(&head), quota);
    settle(run);
    expect(run->life != LIFE_NEW); /* an answer */
    end_if_over(run);
}

/* Text of the input if it is text; what is not never gets to a dialect as such. */
static void step_message(struct run *run, bool over_limit)
{
    struct slice message = fuzz_take(&run->input, fuzz_below(&run->input, 1024));
    bool text = fuzz_below(&run->input, 8) != 7 && naive_utf8_read(message) == NAIVE_UTF8_WHOLE;
    enum ws_opcode opcode = text ? WS_TEXT : WS_BINARY;
    uint32_t excess = over_limit ? 1 + 8U * fuzz_byte(&run->input) : 0;
    if (run->life != LIFE_OPEN || (over_limit && run->dialect->over_limit == NULL))
        return;
    uint8_t *copy = fuzz_copy(message);
    struct slice given = slice_of(copy, message.bytes);
    struct dialect_call call = begin_call(run, given);
    if (over_limit)
        run->dialect->over_limit(&call, opcode, given, run->settings->messages_max + excess);
    else
        run->dialect->message(&call, opcode, given);
    settle(run);
    free(copy);
    end_if_over(run);
}

/* The clock moves; what is due is called. */
static void step_time(struct run *run)
{
    const struct service *service = run->dialect->service;
    run->now_ms += UINT64_C(100) << fuzz_below(&run->input, 12);
    if (run->life == LIFE_OPEN) {
        struct dialect_call call = begin_call(run, (struct slice){0});
        if (run->timer_set && run->dialect->timer != NULL) {
            run->timer_set = false;
            run->dialect->timer(&call);
        } else if (run->dialect->heartbeat != NULL) {
            run->dialect->heartbeat(&call);
        }
        settle(run);
        end_if_over(run);
    }
    if (service == NULL || service->due == NULL)
        return;
    for (uint32_t rounds = 0; service->due(run->service) <= run->now_ms && rounds < ROUNDS_MAX; rounds++) {
        service->timer(run->service, run->now_ms, WALL_MS + run->now_ms);
        drain_service(run);
    }
}

static void ask_ingested(struct run *run, const struct ingest_call *call, bool read)
{
    static uint8_t memory[65536];
    struct buf reply = buf_of(memory, sizeof(memory));
    expect(run->service != NULL);
    int status = ask_service(run, call->request_kind, call->body, &reply);
    expect(status != 202 || !read);
    if (status == 200)
        expect(json_valid(buf_slice(&reply), JSON_DEPTH_MAX));
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
    struct ingest_call call = {
        .settings = run->settings, .wall_ms = WALL_MS + run->now_ms, .text = &text, .field = "", .message = ""};
    struct slice topic = topic_of(run),
                 body = read ? slice_text("") : fuzz_take(&run->input, fuzz_below(&run->input, 2048));
    call.binary = fuzz_below(&run->input, 8) == 7;
    call.json = !call.binary && json_valid(body, JSON_DEPTH_MAX);
    call.merge = fuzz_below(&run->input, 4) == 3;
    if (fuzz_below(&run->input, 4) == 3)
        call.source = fuzz_piece(&run->input);
    if ((read && run->dialect->read == NULL) || run->dialect->ingest == NULL)
        return;
    uint8_t *topic_copy = fuzz_copy(topic), *body_copy = fuzz_copy(body);
    topic = slice_of(topic_copy, topic.bytes);
    body = slice_of(body_copy, body.bytes);
    run->given = body;
    int status = read ? run->dialect->read(&call, topic) : run->dialect->ingest(&call, topic, body);
    expect(status == 0 || status == 400 || status == 404 || status == 409 || status == 422 ||
           (status == 413 && text.overflow)); /* as its caller says it then */
    if (status != 0)
        expect(call.message[0] != '\0' && call.field != NULL);
    else if (call.kind == INGEST_REQUEST && !text.overflow)
        ask_ingested(run, &call, read);
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
    expect(kind == DIALECT_PATH_NONE || kind == DIALECT_PATH_SOCKET || run->dialect->rest != NULL);
    free(copy);
    for (const char *const *own = run->dialect->paths; *own != NULL; own++)
        expect(run->dialect->route(run->settings, slice_text(*own)) != DIALECT_PATH_NONE);
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

/* As the configuration joins them: the key, and the words behind it. */
static void make_key_list(struct run *run)
{
    const struct option_texts *keys = &run->settings->keys;
    struct key_list *list = &run->settings->key_list;
    list->count = keys->count;
    list->keys = fuzz_zeroed(2 * (keys->count + 1) * sizeof(struct slice));
    list->words = list->keys + keys->count;
    for (uint32_t i = 0; i < keys->count; i++) {
        struct slice words = slice_text(keys->items[i]);
        list->keys[i] = token_next_word(&words);
        list->words[i] = slice_skip(words, 1);
        for (struct slice word; run->dialect->permission_fault != NULL && (word = token_next_word(&words)).bytes > 0;)
            (void)run->dialect->permission_fault(word);
    }
}

/* So many pieces "NAME VALUE" as the first byte says; of a reload, those that may change then and stand in the dialect's
 * own table. What the common ones do is the server's. */
static void take_settings(struct run *run, struct fuzz_input *input, bool reload)
{
    for (uint32_t count = fuzz_below(input, SETTINGS_MAX + 1); count > 0; count--) {
        struct slice value = fuzz_piece(input), word = token_next_word(&value);
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)word.bytes, (const char *)word.data);
        const struct option *own = option_find(run->dialect->options, slice_text(name), NULL);
        if (!reload || (own != NULL && own->reloadable))
            set(run, name, slice_skip(value, 1));
    }
}

/* The defaults, then the pieces. */
static void make_settings(struct run *run, struct fuzz_input *input)
{
    const struct dialect *dialect = run->dialect;
    run->settings = fuzz_zeroed(dialect->settings_bytes);
    expect(option_defaults(run->settings, dialect_common_options) == 0);
    expect(option_defaults(run->settings, dialect->options) == 0);
    for (const struct dialect_default *row = dialect->defaults; row->name != NULL; row++)
        set(run, row->name, slice_text(row->value));
    take_settings(run, input, false);
    make_key_list(run);
}

static void free_settings(struct run *run, struct dialect_settings *settings)
{
    free(settings->key_list.keys);
    option_release(settings, dialect_common_options);
    option_release(settings, run->dialect->options);
    free(settings);
}

/* A refusal names one of the dialect's options. No dialect sees a prefix of other characters than the configuration allows. */
static bool settings_good(struct run *run)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    char memory[1024];
    struct buf why = buf_of(memory, sizeof(memory));
    if (run->settings->prefix[strspn(run->settings->prefix, plain)] != '\0')
        return false;
    if (run->dialect->check_settings == NULL || run->dialect->check_settings(run->settings, &why) == 0)
        return true;
    const uint8_t *colon = memchr(why.data, ':', why.used);
    expect(why.used > 0 && colon != NULL);
    struct slice name = slice_of(why.data, (size_t)(colon - why.data));
    expect(option_find(dialect_common_options, name, NULL) != NULL ||
           option_find(run->dialect->options, name, NULL) != NULL);
    return false;
}

/* The settings as at first, with further ones; the old ones end where the service has got the new. */
static void step_reload(struct run *run)
{
    struct dialect_settings *old = run->settings;
    struct fuzz_input again = run->chosen;
    make_settings(run, &again);
    take_settings(run, &run->input, true);
    if (!settings_good(run)) {
        free_settings(run, run->settings);
        run->settings = old;
        return;
    }
    if (run->service != NULL) {
        run->dialect->service->settings(run->service, run->settings);
        drain_service(run);
    }
    free_settings(run, old);
}

/* The mounts are the rows of addresses, the common one first. */
static void expect_mounts(const struct run *run)
{
    const struct option *tables[] = {dialect_common_options, run->dialect->options};
    unsigned mount = 0;
    for (size_t i = 0; i < 2; i++)
        for (const struct option *row = tables[i]; row != NULL && row->name != NULL; row++) {
            const char *tail = strstr(row->name, "listen");
            if (tail == NULL || tail[strlen("listen")] != '\0')
                continue;
            expect((const char *)dialect_listen(run->dialect, run->settings, mount) ==
                   (const char *)run->settings + row->offset);
            mount++;
        }
    expect(dialect_listen(run->dialect, run->settings, mount) == NULL);
}

static void step(struct run *run)
{
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
static void choose_dialect(struct run *run)
{
    uint32_t count = 0, shape = fuzz_byte(&run->input);
    while (dialects[count] != NULL)
        count++;
    run->dialect = dialects[shape % count];
    run->secure = (shape / count & 1) != 0;
    run->mounts = shape / count / 2 == 0 ? UINT32_MAX : shape / count / 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct run *run = fuzz_zeroed(sizeof(*run));
    run->input = (struct fuzz_input){data, bytes};
    choose_dialect(run);
    run->life = LIFE_OVER;
    run->now_ms = 1000;
    run->connection = 6;
    run->out = fuzz_zeroed(sizeof(*run->out));
    run->out->text = buf_of(malloc(TEXT_BYTES), TEXT_BYTES);
    run->chosen = run->input;
    make_settings(run, &run->input);
    expect_mounts(run);
    if (settings_good(run)) {
        if (run->dialect->service != NULL) {
            run->service = fuzz_zeroed(run->dialect->service->state_bytes);
            expect(run->dialect->service->open(run->service, run->settings) == 0);
            run->dialect->service->settings(run->service, run->settings);
            if (run->dialect->service->tables != NULL)
                run->dialect->service->loaded(run->service, run->now_ms, WALL_MS + run->now_ms);
        }
        for (uint32_t i = 0; i < STEPS_MAX && run->input.left > 0; i++)
            step(run);
        end_session(run);
        if (run->service != NULL)
            run->dialect->service->close(run->service);
    }
    free(run->service);
    free_settings(run, run->settings);
    free(run->out->text.data);
    free(run->out);
    free(run);
    return 0;
}
