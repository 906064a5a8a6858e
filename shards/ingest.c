/* SPDX-License-Identifier: MIT */
/* Owns the publisher API over HTTP: authentication, permissions, one exchange per request, and its answer when every object has
 * been served by its home. It never interprets an object (the dialect does) and never publishes itself (the home does).
 * Called by conn_read (requests, bodies), home (answers) and shard_tick (room). */
#include "shards/ingest.h"

#include "core/check.h"
#include "protocol/json.h"
#include "protocol/token.h"
#include "shards/publisher.h"
#include "shards/shard.h"

#include <stdlib.h>

#define PATH_PREFIX "/ingest/v1/"
/* Objects of one request that are under way at once. */
#define BATCH_WINDOW 256
/* Objects of one request that are looked at in one turn: refused ones do not fill the window. */
#define BATCH_TURN 1024
/* Refused objects of one batch that are described in its answer; further ones are only counted ("errors_omitted"). */
#define ERRORS_LISTED_MAX 1000

struct ingest_exchange {
    struct publisher *publisher; /* NULL: an HTTP request */
    struct http1_body body;
    bool reading;  /* the body is still coming */
    bool batch;    /* application/x-ndjson */
    bool binary;
    bool merge;
    uint8_t source_bytes; /* of X-Source */
    uint8_t source[CHANNEL_NAME_BYTES_MAX];
    bool query;    /* GET of a topic's state */
    bool complete; /* the last object has been taken */
    bool counts_receivers;
    uint8_t dialect;
    uint8_t topic_bytes;
    uint8_t topic[CHANNEL_NAME_BYTES_MAX];
    uint8_t *content;
    size_t used, capacity;
    size_t at;       /* of the next object */
    uint32_t index;  /* of the next object */
    uint32_t waiting;
    uint32_t accepted;
    uint32_t refused;
    uint64_t receivers;
    int status;      /* of the last refused object */
    uint8_t *errors; /* entries, comma-separated */
    size_t errors_used, errors_capacity;
};

/* ---- who may ---- */

static struct slice first_word(struct slice text)
{
    size_t n = 0;
    while (n < text.bytes && text.data[n] != ' ')
        n++;
    return slice_of(text.data, n);
}

static struct slice next_word(struct slice *text)
{
    while (text->bytes > 0 && text->data[0] == ' ')
        *text = slice_skip(*text, 1);
    struct slice word = first_word(*text);
    *text = slice_skip(*text, word.bytes);
    return word;
}

int ingest_key(const struct shard *shard, const struct http1_request *request)
{
    const struct option_texts *keys = &shard->config->ingest.all_keys;
    struct slice given = http1_header(request, "X-Ingest-Key");
    if (given.data == NULL) {
        struct slice value = http1_header(request, "Authorization");
        struct slice scheme = next_word(&value);
        if (!slice_is_nocase(scheme, "Bearer"))
            return -1;
        given = next_word(&value);
    }
    int found = -1;
    for (uint32_t i = 0; i < keys->count; i++) {
        struct slice key = first_word(slice_text(keys->items[i]));
        struct key_list one = {.keys = &key, .count = 1};
        if (key_list_find(&one, given) == 0)
            found = (int)i;
    }
    return found;
}

struct hash128 ingest_key_name(const struct shard *shard, uint32_t key)
{
    return siphash128(&shard->key, first_word(slice_text(shard->config->ingest.all_keys.items[key])));
}

int ingest_key_named(const struct shard *shard, struct hash128 name)
{
    int found = -1;
    for (uint32_t i = 0; i < shard->config->ingest.all_keys.count; i++) {
        struct hash128 other = ingest_key_name(shard, i);
        if (other.low == name.low && other.high == name.high)
            found = (int)i;
    }
    return found;
}

static bool pattern_matches(struct slice pattern, struct slice name)
{
    if (pattern.bytes > 0 && pattern.data[pattern.bytes - 1] == '*')
        return slice_starts(name, slice_of(pattern.data, pattern.bytes - 1));
    return slice_equal(pattern, name);
}

bool ingest_permitted(const struct shard *shard, uint32_t key, const struct dialect *dialect, struct slice topic)
{
    uint8_t memory[CHANNEL_NAME_BYTES_MAX + 64];
    struct buf name = buf_of(memory, sizeof memory);
    buf_put_text(&name, dialect->name);
    buf_put_byte(&name, '/');
    buf_put(&name, topic);
    if (key >= shard->config->ingest.all_keys.count || name.overflow)
        return false; /* a reload has taken the key away */
    struct slice rest = slice_text(shard->config->ingest.all_keys.items[key]);
    next_word(&rest);
    for (struct slice pattern = next_word(&rest); pattern.bytes > 0; pattern = next_word(&rest))
        if (pattern_matches(pattern, buf_slice(&name)))
            return true;
    return false;
}

static bool is_mounted(const struct shard *shard, uint32_t dialect)
{
    for (uint32_t i = 0; i < shard->listener_count; i++)
        if (shard->listeners[i].dialects & 1U << dialect)
            return true;
    return false;
}

int ingest_dialect(const struct shard *shard, struct slice name)
{
    for (uint32_t i = 0; i < shard->config->dialect_count; i++)
        if (dialects[i]->ingest != NULL && slice_is(name, dialects[i]->name) && is_mounted(shard, i))
            return (int)i;
    return -1;
}

/* ---- one object ---- */

static struct parcel *parcel_of(struct shard *shard, uint8_t dialect, const struct ingest_call *call)
{
    const struct event *event = &call->event;
    struct parcel *parcel;
    switch (call->kind) {
    case INGEST_PUBLISH:
        parcel = parcel_make(&shard->parcels, PARCEL_PUBLISH,
                             event->channel.bytes + event->payload.bytes + event->key.bytes);
        break;
    case INGEST_REQUEST:
        parcel = parcel_make(&shard->parcels, PARCEL_REQUEST, call->body.bytes);
        break;
    default:
        parcel = parcel_make(&shard->parcels, PARCEL_NEWEST, event->channel.bytes);
        break;
    }
    if (parcel == NULL)
        return NULL;
    parcel->dialect = dialect;
    if (call->kind == INGEST_REQUEST) {
        parcel->request_kind = call->request_kind;
        parcel->body = parcel_put(parcel, call->body);
        return parcel;
    }
    parcel->event = *event;
    parcel->event.channel = parcel_put(parcel, event->channel);
    if (call->kind == INGEST_PUBLISH) {
        parcel->event.payload = parcel_put(parcel, event->payload);
        parcel->event.key = parcel_put(parcel, event->key);
    }
    return parcel;
}

static uint16_t home_of(const struct shard *shard, uint8_t dialect, const struct ingest_call *call)
{
    /* A dialect with a service has a home_key, so any channel name leads to the service's home. */
    return channel_home(shard, dialect, call->event.channel);
}

static struct ingest_call call_begin(struct shard *shard, uint8_t dialect)
{
    shard->ingest_text = buf_of(shard->ingest_memory, INGEST_TEXT_BYTES);
    return (struct ingest_call){.settings = shard->config->dialects[dialect],
                                .wall_ms = shard->wall_ms,
                                .text = &shard->ingest_text,
                                .field = "",
                                .message = ""};
}

static int ask(struct shard *shard, const struct conn *conn, uint8_t dialect, const struct ingest_call *call,
               uint64_t ticket, struct ingest_refusal *refusal)
{
    struct parcel *parcel = parcel_of(shard, dialect, call);
    if (parcel == NULL) {
        *refusal = (struct ingest_refusal){.field = "", .message = "Out of memory; try again later"};
        return 429;
    }
    parcel->conn = conn_handle(conn);
    parcel->ticket = ticket;
    shard_ask(shard, parcel, home_of(shard, dialect, call));
    return 0;
}

int ingest_submit(struct shard *shard, const struct conn *conn, const struct ingest_object *object, uint64_t ticket,
                  struct ingest_refusal *refusal)
{
    if (shard->stage_seen != STAGE_RUN) {
        *refusal = (struct ingest_refusal){.field = "", .message = "The server is stopping"};
        return 503;
    }
    struct ingest_call call = call_begin(shard, object->dialect);
    call.binary = object->binary;
    call.json = object->json;
    call.source = object->source;
    call.merge = object->merge;
    int status = dialects[object->dialect]->ingest(&call, object->topic, object->body);
    *refusal = (struct ingest_refusal){.field = call.field, .message = call.message};
    if (status == 0 && call.text->overflow) {
        *refusal = (struct ingest_refusal){.field = "", .message = "Object too large"};
        status = 413;
    }
    if (status == 0)
        status = ask(shard, conn, object->dialect, &call, ticket, refusal);
    stats_add(&shard->stats, status == 0 ? STAT_INGEST_ACCEPTED : STAT_INGEST_REFUSED, 1);
    return status;
}

/* ---- answers ---- */

static void respond_error(struct shard *shard, struct conn *conn, int status, const char *message)
{
    uint8_t memory[512];
    struct buf content = buf_of(memory, sizeof memory);
    buf_put_text(&content, "{\"error\":");
    json_put_string(&content, slice_text(message));
    buf_put_byte(&content, '}');
    conn_respond(shard, conn, status, "application/json", status == 405 ? "Allow: GET, POST\r\n" : "",
                 buf_slice(&content));
}

static void exchange_free(struct ingest_exchange *exchange)
{
    if (exchange->publisher != NULL)
        publisher_free(exchange->publisher);
    free(exchange->content);
    free(exchange->errors);
    free(exchange);
}

void ingest_end(struct shard *shard, struct conn *conn)
{
    (void)shard;
    if (conn->exchange != NULL)
        exchange_free(conn->exchange);
    conn->exchange = NULL;
}

static bool grow(uint8_t **data, size_t *capacity, size_t wanted)
{
    size_t bytes = *capacity == 0 ? 1024 : *capacity;
    while (bytes < wanted)
        bytes *= 2;
    if (bytes == *capacity)
        return true;
    uint8_t *grown = realloc(*data, bytes);
    if (grown == NULL)
        return false;
    *data = grown;
    *capacity = bytes;
    return true;
}

static void note_refused(struct ingest_exchange *exchange, uint64_t index, int status, struct slice field,
                         struct slice message)
{
    uint8_t memory[1024];
    struct buf entry = buf_of(memory, sizeof memory);
    exchange->refused++;
    exchange->status = status;
    if (exchange->refused > ERRORS_LISTED_MAX)
        return;
    buf_put_text(&entry, exchange->errors_used == 0 ? "{\"index\":" : ",{\"index\":");
    buf_put_u64(&entry, index);
    if (exchange->batch) {
        buf_put_text(&entry, ",\"status\":");
        buf_put_u64(&entry, (uint64_t)status);
    }
    buf_put_text(&entry, ",\"field\":");
    json_put_string(&entry, field);
    buf_put_text(&entry, ",\"message\":");
    json_put_string(&entry, message);
    buf_put_byte(&entry, '}');
    if (entry.overflow || !grow(&exchange->errors, &exchange->errors_capacity, exchange->errors_used + entry.used))
        return; /* still counted */
    memcpy(exchange->errors + exchange->errors_used, entry.data, entry.used);
    exchange->errors_used += entry.used;
}

/* The answer to a POST whose objects have all been served. */
static void respond(struct shard *shard, struct conn *conn)
{
    struct ingest_exchange *exchange = conn->exchange;
    size_t bytes = exchange->errors_used + 256;
    uint8_t *memory = malloc(bytes);
    if (memory == NULL) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return;
    }
    struct buf content = buf_of(memory, bytes);
    buf_put_text(&content, "{\"accepted\":");
    buf_put_u64(&content, exchange->accepted);
    if (exchange->counts_receivers) {
        buf_put_text(&content, ",\"receivers\":");
        buf_put_u64(&content, exchange->receivers);
    }
    if (exchange->refused > 0) {
        buf_put_text(&content, ",\"errors\":[");
        buf_put(&content, slice_of(exchange->errors, exchange->errors_used));
        buf_put_byte(&content, ']');
    }
    if (exchange->refused > ERRORS_LISTED_MAX) {
        buf_put_text(&content, ",\"errors_omitted\":");
        buf_put_u64(&content, exchange->refused - ERRORS_LISTED_MAX);
    }
    buf_put_byte(&content, '}');
    int status = exchange->refused == 0 ? 202 : exchange->batch ? 422 : exchange->status;
    ingest_end(shard, conn);
    conn_respond(shard, conn, status, "application/json", "", buf_slice(&content));
    free(memory);
    if (conn->parked)
        conn_unpark(shard, conn);
}

/* The next object of the body; false when there is none. */
static bool next_object(struct ingest_exchange *exchange, struct ingest_object *object)
{
    *object = (struct ingest_object){.dialect = exchange->dialect,
                                     .topic = slice_of(exchange->topic, exchange->topic_bytes),
                                     .source = slice_of(exchange->source_bytes > 0 ? exchange->source : NULL,
                                                        exchange->source_bytes),
                                     .merge = exchange->merge,
                                     .binary = exchange->binary};
    if (!exchange->batch) {
        object->body = slice_of(exchange->content, exchange->used);
        return exchange->index == 0;
    }
    while (exchange->at < exchange->used) {
        const uint8_t *line = exchange->content + exchange->at;
        const uint8_t *end = memchr(line, '\n', exchange->used - exchange->at);
        size_t bytes = end == NULL ? exchange->used - exchange->at : (size_t)(end - line);
        exchange->at += bytes + 1;
        if (bytes > 0 && line[bytes - 1] == '\r')
            bytes--;
        object->body = slice_of(line, bytes);
        for (size_t i = 0; i < bytes; i++)
            if (line[i] != ' ' && line[i] != '\t')
                return true;
    }
    return false;
}

void ingest_resume(struct shard *shard, struct conn *conn)
{
    struct ingest_exchange *exchange = conn->exchange;
    if (exchange == NULL || exchange->publisher != NULL || exchange->reading || exchange->query)
        return;
    for (uint32_t taken = 0; !exchange->complete; taken++) {
        struct ingest_object object;
        struct ingest_refusal refusal;
        bool room = taken < BATCH_TURN && (shard_has_room(shard) || shard->stage_seen != STAGE_RUN);
        if (!room || exchange->waiting >= BATCH_WINDOW) {
            conn_park(shard, conn);
            if (!room)
                conn_wait_for_room(shard, conn);
            return;
        }
        if (!next_object(exchange, &object)) {
            exchange->complete = true;
            break;
        }
        uint32_t index = exchange->index++;
        int status = ingest_submit(shard, conn, &object, index, &refusal);
        if (status == 0) {
            exchange->waiting++;
        } else if (!exchange->batch && status != 409 && status != 422) {
            ingest_end(shard, conn);
            respond_error(shard, conn, status, refusal.message);
            if (conn->parked)
                conn_unpark(shard, conn);
            return;
        } else {
            note_refused(exchange, index, status == 400 ? 422 : status, slice_text(refusal.field),
                         slice_text(refusal.message));
        }
    }
    if (exchange->waiting > 0)
        conn_park(shard, conn);
    else
        respond(shard, conn);
}

static void answer_query(struct shard *shard, struct conn *conn, const struct parcel *parcel)
{
    ingest_end(shard, conn);
    if (parcel->status == 200)
        conn_respond(shard, conn, 200, parcel->kind == PARCEL_REQUEST ? "application/json" : "application/octet-stream", "",
                     slice_of(parcel->reply, parcel->reply_bytes));
    else
        respond_error(shard, conn, parcel->status, parcel->status == 404 ? "No state" : "Try again later");
    if (conn->parked)
        conn_unpark(shard, conn);
}

void ingest_on_answer(struct shard *shard, struct parcel *parcel)
{
    struct conn *conn = conn_get(shard, parcel->conn);
    if (conn == NULL || conn->exchange == NULL)
        return;
    struct ingest_exchange *exchange = conn->exchange;
    if (exchange->publisher != NULL) {
        publisher_on_answer(shard, conn, parcel);
        return;
    }
    if (conn->state != CONN_HTTP)
        return;
    if (exchange->query) {
        answer_query(shard, conn, parcel);
        return;
    }
    exchange->waiting--;
    if (parcel->status == 202) {
        exchange->accepted++;
        exchange->receivers += parcel->receivers;
        exchange->counts_receivers = parcel->kind == PARCEL_PUBLISH;
    } else {
        struct slice message = parcel->reply_bytes > 0     ? slice_of(parcel->reply, parcel->reply_bytes)
                               : parcel->status == 429 ? slice_text("Frame memory is exhausted; try again later")
                                                       : slice_text("Service unavailable; try again later");
        note_refused(exchange, parcel->ticket, parcel->status, slice_text(""), message);
    }
    if (!exchange->complete)
        ingest_resume(shard, conn);
    else if (exchange->waiting == 0)
        respond(shard, conn);
}

/* ---- requests ---- */

bool ingest_reads_body(const struct conn *conn)
{
    return conn->exchange != NULL && conn->exchange->reading;
}

static void refuse_body(struct shard *shard, struct conn *conn, int status, const char *message)
{
    conn->keep_alive = false;
    ingest_end(shard, conn);
    respond_error(shard, conn, status, message);
}

void ingest_on_body(struct shard *shard, struct conn *conn, struct slice *input)
{
    struct ingest_exchange *exchange = conn->exchange;
    for (;;) {
        struct slice part;
        switch (http1_body_next(&exchange->body, input, &part)) {
        case HTTP1_BODY_MORE:
            return;
        case HTTP1_BODY_PART:
            if (!grow(&exchange->content, &exchange->capacity, exchange->used + part.bytes)) {
                refuse_body(shard, conn, 429, "Out of memory; try again later");
                return;
            }
            memcpy(exchange->content + exchange->used, part.data, part.bytes);
            exchange->used += part.bytes;
            break;
        case HTTP1_BODY_END:
            exchange->reading = false;
            ingest_resume(shard, conn);
            return;
        case HTTP1_BODY_BAD:
            refuse_body(shard, conn, 400, "Malformed chunked body");
            return;
        case HTTP1_BODY_LARGE:
            refuse_body(shard, conn, 413, "Body too large");
            return;
        }
    }
}

static struct ingest_exchange *exchange_make(struct shard *shard, struct conn *conn, uint8_t dialect, struct slice topic)
{
    struct ingest_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) {
        refuse_body(shard, conn, 429, "Out of memory; try again later");
        return NULL;
    }
    exchange->dialect = dialect;
    exchange->topic_bytes = (uint8_t)topic.bytes;
    memcpy(exchange->topic, topic.data, topic.bytes);
    conn->exchange = exchange;
    return exchange;
}

/* What a request says beside its body: where the data comes from, and whether it is merged into what is known. */
static bool note_source(struct ingest_exchange *exchange, const struct http1_request *request)
{
    struct slice source = http1_header(request, "X-Source");
    uint8_t memory[8];
    struct buf merge = buf_of(memory, sizeof memory);
    if (source.bytes > sizeof exchange->source)
        return false;
    exchange->source_bytes = (uint8_t)source.bytes;
    if (source.bytes > 0)
        memcpy(exchange->source, source.data, source.bytes);
    exchange->merge = http1_query_get(request->query, "merge", &merge) == 1 && slice_is(buf_slice(&merge), "1");
    return true;
}

static void begin_post(struct shard *shard, struct conn *conn, const struct http1_request *request, uint8_t dialect,
                       struct slice topic)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uint64_t bytes_max = shard->config->ingest.body_bytes_max;
    if (request->content_length > bytes_max) {
        refuse_body(shard, conn, 413, "Body too large");
        return;
    }
    struct ingest_exchange *exchange = exchange_make(shard, conn, dialect, topic);
    if (exchange == NULL)
        return;
    exchange->batch = http1_content_type_is(request, "application/x-ndjson");
    exchange->binary = http1_content_type_is(request, "application/octet-stream");
    if (!note_source(exchange, request)) {
        refuse_body(shard, conn, 400, "X-Source is longer than 128 bytes");
        return;
    }
    exchange->reading = true;
    http1_body_init(&exchange->body, request, bytes_max);
    conn->deadline_ms = shard->now_ms + shard->config->server.message_timeout_ms;
    conn_set_timer(shard, conn);
    if (request->expect_continue && !conn_send_bytes(shard, conn, slice_of(go_on, sizeof go_on - 1)))
        return;
    if (!request->chunked && request->content_length == 0) {
        exchange->reading = false;
        ingest_resume(shard, conn);
    }
}

static void begin_query(struct shard *shard, struct conn *conn, uint8_t dialect, struct slice topic)
{
    struct ingest_refusal refusal;
    struct ingest_call call = call_begin(shard, dialect);
    int status = dialects[dialect]->read == NULL ? 404 : dialects[dialect]->read(&call, topic);
    if (status != 0) {
        respond_error(shard, conn, status, "Unknown topic");
        return;
    }
    struct ingest_exchange *exchange = exchange_make(shard, conn, dialect, topic);
    if (exchange == NULL)
        return;
    exchange->query = true;
    status = ask(shard, conn, dialect, &call, 0, &refusal);
    if (status != 0)
        refuse_body(shard, conn, status, refusal.message);
    else
        conn_park(shard, conn);
}

static void begin_publisher(struct shard *shard, struct conn *conn, const struct http1_request *request, uint32_t key)
{
    struct handshake handshake;
    const char *why = "";
    int status = handshake_check(request, &handshake, &why);
    if (status != 0) {
        respond_error(shard, conn, status, why);
        return;
    }
    struct ingest_exchange *exchange = exchange_make(shard, conn, 0, slice_text(""));
    if (exchange != NULL && (exchange->publisher = publisher_make(shard, conn, key)) == NULL)
        refuse_body(shard, conn, 429, "Out of memory; try again later");
    else if (exchange != NULL)
        publisher_open(shard, conn, &handshake);
}

struct publisher *ingest_publisher(const struct conn *conn)
{
    return conn->exchange == NULL ? NULL : conn->exchange->publisher;
}

void ingest_on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    bool get = slice_is(request->method, "GET"), post = slice_is(request->method, "POST");
    bool kept = conn->keep_alive;
    if (request->chunked || request->content_length > 0)
        conn->keep_alive = false; /* unless the body is read */
    if (!slice_starts(request->path, slice_text(PATH_PREFIX))) {
        respond_error(shard, conn, 404, "Not found");
        return;
    }
    int key = ingest_key(shard, request);
    if (key < 0) {
        respond_error(shard, conn, 401, "Missing or unknown ingest key");
        return;
    }
    if (shard->stage_seen != STAGE_RUN) {
        respond_error(shard, conn, 503, "The server is stopping");
        return;
    }
    struct slice rest = slice_skip(request->path, sizeof PATH_PREFIX - 1);
    if (slice_is(rest, "ws")) {
        begin_publisher(shard, conn, request, (uint32_t)key);
        return;
    }
    uint8_t memory[CHANNEL_NAME_BYTES_MAX];
    struct buf topic = buf_of(memory, sizeof memory);
    const uint8_t *slash = memchr(rest.data, '/', rest.bytes);
    size_t name_bytes = slash == NULL ? rest.bytes : (size_t)(slash - rest.data);
    int dialect = ingest_dialect(shard, slice_of(rest.data, name_bytes));
    if (slash == NULL || dialect < 0 || !http1_percent_decode(slice_skip(rest, name_bytes + 1), &topic) ||
        topic.used == 0) {
        respond_error(shard, conn, 404, "Unknown dialect or topic");
        return;
    }
    if (!ingest_permitted(shard, (uint32_t)key, dialects[dialect], buf_slice(&topic))) {
        respond_error(shard, conn, 403, "This key may not publish to this topic");
        return;
    }
    if (get) {
        begin_query(shard, conn, (uint8_t)dialect, buf_slice(&topic));
    } else if (post) {
        conn->keep_alive = kept;
        begin_post(shard, conn, request, (uint8_t)dialect, buf_slice(&topic));
    } else {
        respond_error(shard, conn, 405, "Method not allowed");
    }
}
