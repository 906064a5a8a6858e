/* SPDX-License-Identifier: MIT */
/* Owns the publisher API over HTTP: one exchange per request, behind conn.user, and its answer when every object has
 * been served by its home. It never publishes itself. Called by the connection's files through its role, and by home
 * (answers). */
#include "core/buf.h"
#include "core/limits.h"
#include "core/work.h"
#include "protocol/dialect.h"
#include "protocol/handshake.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/mail/errand.h"
#include "shards/publish/ingest.h"
#include "shards/publish/publisher.h"
#include "shards/shard.h"

#include <stdlib.h>

#define PATH_PREFIX "/ingest/v1/"
/* Objects of one request that are under way at once. */
#define BATCH_WINDOW 256
/* Objects of one request that are looked at in one turn: refused ones do not fill the window. */
#define BATCH_TURN 1024
/* A body comes at least so fast, beyond the time that a head may take (K-24). */
#define BODY_BYTES_PER_SECOND_MIN 16384
/* Refused objects of one batch that are described in its answer; further ones are only counted ("errors_omitted"). */
#define ERRORS_LISTED_MAX 1000

struct exchange {
    struct http1_body body;
    bool batch; /* application/x-ndjson */
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
    uint64_t begun_ms; /* when the head was complete */
    size_t at;         /* of the next object */
    uint32_t index;    /* of the next object */
    uint32_t waiting;
    uint32_t accepted;
    uint32_t refused;
    uint32_t listed; /* of these in `errors` */
    uint64_t receivers;
    int status;      /* of the last refused object */
    uint8_t *errors; /* entries, comma-separated */
    size_t errors_used, errors_capacity;
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* role.end: the exchange is over. */
static void end(struct shard *shard, struct conn *conn)
{
    struct exchange *exchange = conn->user;
    if (exchange == NULL)
        return;
    input_give(shard, exchange->capacity + exchange->errors_capacity);
    free(exchange->content);
    free(exchange->errors);
    free(exchange);
    conn->user = NULL;
    conn->body = false;
}

static bool grow(struct shard *shard, struct conn *conn, uint8_t **data, size_t *capacity, size_t wanted)
{
    size_t bytes = *capacity == 0 ? 1024 : *capacity;
    while (bytes < wanted)
        bytes *= 2;
    if (bytes == *capacity)
        return true;
    if (!input_take(shard, conn, bytes - *capacity))
        return false;
    uint8_t *grown = realloc(*data, bytes);
    if (grown == NULL) {
        input_give(shard, bytes - *capacity);
        return false;
    }
    *data = grown;
    *capacity = bytes;
    return true;
}

static void note_refused(struct shard *shard, struct conn *conn, uint64_t index, int status, struct slice field,
                         struct slice message)
{
    struct exchange *exchange = conn->user;
    uint8_t memory[1024];
    struct buf entry = buf_of(memory, sizeof memory);
    exchange->refused++;
    exchange->status = status;
    if (exchange->listed >= ERRORS_LISTED_MAX)
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
    if (entry.overflow ||
        !grow(shard, conn, &exchange->errors, &exchange->errors_capacity, exchange->errors_used + entry.used))
        return; /* still counted */
    memcpy(exchange->errors + exchange->errors_used, entry.data, entry.used);
    exchange->errors_used += entry.used;
    exchange->listed++;
}

/* The answer to a POST whose objects have all been served. */
static void respond(struct shard *shard, struct conn *conn)
{
    struct exchange *exchange = conn->user;
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
    if (exchange->refused > exchange->listed) {
        buf_put_text(&content, ",\"errors_omitted\":");
        buf_put_u64(&content, exchange->refused - exchange->listed);
    }
    buf_put_byte(&content, '}');
    int status = exchange->refused == 0 ? 202 : exchange->batch ? 422 : exchange->status;
    end(shard, conn);
    conn_respond(
        shard, conn,
        &(struct http1_answer){.status = status, .content_type = "application/json", .content = buf_slice(&content)});
    free(memory);
    if (conn->parked)
        conn_unpark(shard, conn);
}

/* The next object of the body; false when there is none. */
static bool next_object(struct exchange *exchange, struct ingest_object *object)
{
    *object = (struct ingest_object){
        .dialect = exchange->dialect,
        .topic = slice_of(exchange->topic, exchange->topic_bytes),
        .source = slice_of(exchange->source_bytes > 0 ? exchange->source : NULL, exchange->source_bytes),
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

/* role.resume: goes on with a body whose objects have not all been asked. */
static void resume(struct shard *shard, struct conn *conn)
{
    struct exchange *exchange = conn->user;
    if (exchange == NULL || conn->body || exchange->query)
        return;
    for (uint32_t taken = 0; !exchange->complete; taken++) {
        struct ingest_object object;
        struct ingest_refusal refusal;
        bool room = taken < BATCH_TURN && (taken == 0 || work_left(shard->work)) &&
                    (errand_has_room(shard) || shard->stage_seen != STAGE_RUN);
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
            end(shard, conn);
            conn_refuse(shard, conn, status, refusal.message);
            if (conn->parked)
                conn_unpark(shard, conn);
            return;
        } else {
            note_refused(shard, conn, index, status == 400 ? 422 : status, slice_text(refusal.field),
                         slice_text(refusal.message));
        }
    }
    if (exchange->waiting > 0)
        conn_park(shard, conn);
    else
        respond(shard, conn);
}

static void answer_query(struct shard *shard, struct conn *conn, const struct errand *errand)
{
    end(shard, conn);
    if (errand->status == 200)
        conn_respond(shard, conn,
                     &(struct http1_answer){.status = 200,
                                            .content_type = errand->kind == ERRAND_SUBMIT ? "application/json"
                                                                                          : "application/octet-stream",
                                            .content = slice_of(errand->reply, errand->reply_bytes)});
    else
        conn_refuse(shard, conn, errand->status, errand->status == 404 ? "No state" : "Try again later");
    if (conn->parked)
        conn_unpark(shard, conn);
}

void ingest_on_answer(struct shard *shard, struct errand *errand)
{
    struct conn *conn = conn_get(shard, errand->conn);
    if (conn == NULL || conn->user == NULL)
        return;
    if (conn->role == ROLE_PUBLISHER) {
        publisher_on_answer(shard, conn, errand);
        return;
    }
    struct exchange *exchange = conn->user;
    if (conn->state != CONN_HTTP)
        return;
    if (exchange->query) {
        answer_query(shard, conn, errand);
        return;
    }
    exchange->waiting--;
    if (errand->status == 202) {
        exchange->accepted++;
        exchange->counts_receivers = errand->kind == ERRAND_PUBLISH;
        if (exchange->counts_receivers)
            exchange->receivers += errand->publish.receivers;
    } else {
        struct slice message = errand->reply_bytes > 0 ? slice_of(errand->reply, errand->reply_bytes)
                               : errand->status == 429 ? slice_text("Frame memory is exhausted; try again later")
                                                       : slice_text("Service unavailable; try again later");
        note_refused(shard, conn, errand->ticket, errand->status, slice_text(""), message);
    }
    if (!exchange->complete)
        resume(shard, conn);
    else if (exchange->waiting == 0)
        respond(shard, conn);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void refuse_body(struct shard *shard, struct conn *conn, int status, const char *message)
{
    conn->keep_alive = false;
    end(shard, conn);
    conn_refuse(shard, conn, status, message);
}

/* What has come so far buys time for the rest. */
static void set_body_deadline(struct shard *shard, struct conn *conn)
{
    const struct exchange *exchange = conn->user;
    conn->deadline_ms = exchange->begun_ms + shard->config->server.handshake_timeout_ms +
                        (uint64_t)exchange->used * 1000 / BODY_BYTES_PER_SECOND_MIN;
    conn_set_timer(shard, conn);
}

/* role.body: gathers it whole. */
static void on_body(struct shard *shard, struct conn *conn, struct slice *input)
{
    struct exchange *exchange = conn->user;
    for (;;) {
        struct slice part;
        switch (http1_body_next(&exchange->body, input, &part)) {
        case HTTP1_BODY_MORE:
            set_body_deadline(shard, conn);
            return;
        case HTTP1_BODY_PART:
            if (!grow(shard, conn, &exchange->content, &exchange->capacity, exchange->used + part.bytes)) {
                refuse_body(shard, conn, 429, "Out of memory; try again later");
                return;
            }
            memcpy(exchange->content + exchange->used, part.data, part.bytes);
            exchange->used += part.bytes;
            break;
        case HTTP1_BODY_END:
            conn->body = false;
            resume(shard, conn);
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

static struct exchange *exchange_make(struct shard *shard, struct conn *conn, uint8_t dialect, struct slice topic)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) {
        refuse_body(shard, conn, 429, "Out of memory; try again later");
        return NULL;
    }
    exchange->dialect = dialect;
    exchange->topic_bytes = (uint8_t)topic.bytes;
    memcpy(exchange->topic, topic.data, topic.bytes);
    conn->user = exchange;
    return exchange;
}

/* What a request says beside its body: where the data comes from, and whether it is merged into what is known. */
static bool note_source(struct exchange *exchange, const struct http1_request *request)
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

/* Whether the content is what it says it is: no coding is understood (RFC 9110 sections 8.4, 15.5.16). */
static bool is_plain(const struct http1_request *request)
{
    for (uint32_t i = 0; i < request->header_count; i++)
        if (slice_is_nocase(request->headers[i].name, "content-encoding") &&
            !slice_is_nocase(request->headers[i].value, "identity"))
            return false;
    return true;
}

static void begin_post(struct shard *shard, struct conn *conn, const struct http1_request *request, uint8_t dialect,
                       struct slice topic)
{
    uint64_t bytes_max = shard->config->ingest.body_bytes_max;
    if (request->content_length > bytes_max) {
        refuse_body(shard, conn, 413, "Body too large");
        return;
    }
    if (!is_plain(request)) {
        refuse_body(shard, conn, 415, "Content-Encoding is not understood; send the content as it is");
        return;
    }
    struct exchange *exchange = exchange_make(shard, conn, dialect, topic);
    if (exchange == NULL)
        return;
    exchange->batch = http1_content_type_is(request, "application/x-ndjson");
    exchange->binary = http1_content_type_is(request, "application/octet-stream");
    if (!note_source(exchange, request)) {
        refuse_body(shard, conn, 400, "X-Source is longer than 128 bytes");
        return;
    }
    conn->body = true;
    exchange->begun_ms = shard->now_ms;
    http1_body_init(&exchange->body, request, bytes_max);
    set_body_deadline(shard, conn);
    if (request->expect_continue && !conn_continue(shard, conn))
        return;
    if (!request->chunked && request->content_length == 0) {
        conn->body = false;
        resume(shard, conn);
    }
}

static void begin_query(struct shard *shard, struct conn *conn, uint8_t dialect, struct slice topic)
{
    struct ingest_refusal refusal;
    if (!errand_has_room(shard)) { /* the answer, up to an object's length, counts as what is under way */
        conn_refuse(shard, conn, 429, "Too much is under way; try again later");
        return;
    }
    struct exchange *exchange = exchange_make(shard, conn, dialect, topic);
    if (exchange == NULL)
        return;
    exchange->query = true;
    int status = ingest_query(shard, conn, dialect, topic, &refusal);
    if (status == 0) {
        conn_park(shard, conn);
        return;
    }
    end(shard, conn);
    conn_refuse(shard, conn, status, refusal.message);
}

static void begin_publisher(struct shard *shard, struct conn *conn, const struct http1_request *request, uint32_t key)
{
    struct handshake handshake;
    const char *why = "";
    int status = handshake_check(request, &handshake, &why);
    if (status == 405) {
        conn_refuse_method(shard, conn, "GET");
        return;
    }
    if (status != 0) {
        conn_refuse(shard, conn, status, why);
        return;
    }
    if (!publisher_open(shard, conn, key, &handshake))
        refuse_body(shard, conn, 429, "Out of memory; try again later");
}

/* role.request */
static void on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    bool get = slice_is(request->method, "GET") || conn->head, post = slice_is(request->method, "POST");
    bool kept = conn->keep_alive;
    if (request->chunked || request->content_length > 0)
        conn->keep_alive = false; /* unless the body is read */
    if (!slice_starts(request->path, slice_text(PATH_PREFIX))) {
        conn_refuse(shard, conn, 404, "Not found");
        return;
    }
    int key = ingest_key(shard, conn, request);
    if (key < 0) {
        conn_refuse(shard, conn, 401, "Missing or unknown ingest key");
        return;
    }
    if (shard->stage_seen != STAGE_RUN) {
        conn_refuse(shard, conn, 503, "The server is stopping");
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
        conn_refuse(shard, conn, 404, "Unknown dialect or topic");
        return;
    }
    if (!ingest_permitted(shard, (uint32_t)key, dialects[dialect], buf_slice(&topic))) {
        conn_refuse(shard, conn, 403, "This key may not publish to this topic");
        return;
    }
    if (get) {
        begin_query(shard, conn, (uint8_t)dialect, buf_slice(&topic));
    } else if (post) {
        conn->keep_alive = kept;
        begin_post(shard, conn, request, (uint8_t)dialect, buf_slice(&topic));
    } else {
        conn_refuse_method(shard, conn, "GET, HEAD, POST");
    }
}

/* role.held */
static size_t held(const struct conn *conn)
{
    const struct exchange *exchange = conn->user;
    return exchange == NULL ? 0 : exchange->capacity + exchange->errors_capacity;
}

const struct conn_role ingest_role = {
    .held = held,
    .request = on_request,
    .body = on_body,
    .resume = resume,
    .end = end,
    .knows_hosts = true,
};
