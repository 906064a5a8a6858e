/* SPDX-License-Identifier: MIT */
/* Owns the incoming half of a connection: receives, HTTP heads, WebSocket frames, and input that waits. It never
 * interprets a request or a message: it finds where they end and hands them on. Called by shard_tick (completions) and
 * by whoever lets a parked connection go on. */
#include "core/bucket.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/ring.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "protocol/http1.h"
#include "protocol/ws.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/listener.h"
#include "shards/conn/message.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>
#include <stdlib.h>

/* With so much waiting behind a parked connection its receive is stopped; what is under way then may still come. */
#define STASH_STOP_BYTES (64U << 10)
#define STASH_BYTES_MAX (8U << 20)
/* What one connection may cost in one go, in priced work, before others have their turn. */
#define SLICE_PS (300ULL * WORK_PS_PER_US)
/* Behind our close frame so much of the peer's is read for its own; then nothing is, and it feels that. */
#define THROWN_AWAY_MAX (1ULL << 20)

/* --- memory ------------------------------------------------------------------------------------------------------- */

static struct conn_input *input_of(struct shard *shard, struct conn *conn)
{
    if (conn->input == NULL && (conn->input = calloc(1, sizeof *conn->input)) != NULL)
        shard->conns->input_bytes += sizeof *conn->input;
    return conn->input;
}

/* Appends to a growing array that is never larger than `max`. */
static bool append(struct shard *shard, struct conn *conn, uint8_t **data, size_t *used, size_t *capacity, size_t max,
                   struct slice bytes)
{
    if (*used > max || bytes.bytes > max - *used) /* a reload may have made the limit smaller than what is here */
        return false;
    if (*used + bytes.bytes > *capacity) {
        size_t wanted = *capacity == 0 ? 512 : *capacity;
        while (wanted < *used + bytes.bytes)
            wanted *= 2;
        if (!input_take(shard, conn, wanted - *capacity))
            return false;
        uint8_t *grown = realloc(*data, wanted);
        if (grown == NULL) {
            input_give(shard, wanted - *capacity);
            return false;
        }
        *data = grown;
        *capacity = wanted;
    }
    memcpy(*data + *used, bytes.data, bytes.bytes);
    *used += bytes.bytes;
    return true;
}

void conn_free_input(struct shard *shard, struct conn *conn)
{
    struct conn_input *input = conn->input;
    if (input == NULL)
        return;
    shard->conns->input_bytes -= sizeof *input + input->capacity + input->stash_capacity;
    free(input->data);
    free(input->stash);
    free(input);
    conn->input = NULL;
}

/* Frees the input when nothing of it is in use: an idle connection holds none. */
static void trim_input(struct shard *shard, struct conn *conn)
{
    const struct conn_input *input = conn->input;
    if (input != NULL && input->used == 0 && input->stash_at == input->stash_used && input->control_used == 0)
        conn_free_input(shard, conn);
}

/* --- HTTP --------------------------------------------------------------------------------------------------------- */

static void on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    stats_add(&shard->stats, STAT_HTTP_REQUESTS, 1);
    work_spend(shard->work, WORK_REQUEST, 1);
    conn->keep_alive = request->keep_alive && !conn->eof && shard->stage_seen == STAGE_RUN;
    if (conn_role(conn)->knows_hosts && !listener_serves_host(shard, conn->listener, request->host)) {
        conn->keep_alive = false;
        conn_refuse(shard, conn, 421, "Host is not known here; see the setting hosts");
        return;
    }
    conn_role(conn)->request(shard, conn, request);
}

/* Tries to take a request head from `text`; returns the bytes it took, 0 when it is not complete or was refused. */
static size_t take_head(struct shard *shard, struct conn *conn, struct slice text, size_t *scanned)
{
    uint8_t memory[HTTP_TARGET_BYTES_MAX];
    struct buf path = buf_of(memory, sizeof memory);
    struct http1_request request = {.minor_version = 1}; /* if no line can be read */
    const char *why = "";
    size_t bytes = 0;
    int result = http1_parse_head(text, scanned, &request, &bytes, &why);
    if (result == HTTP1_NEED_MORE)
        return 0;
    conn->head = slice_is(request.method, "HEAD"); /* refused or not, it gets no content (RFC 9110 section 9.3.2) */
    conn->minor = request.minor_version;
    if (result != HTTP1_OK) {
        conn->keep_alive = false;
        conn_refuse(shard, conn, result, why);
        return 0;
    }
    request.path = http1_path_normalize(request.path, &path); /* of every listener */
    on_request(shard, conn, &request);
    return bytes;
}

/* The time in which a begun head has to be complete. */
static void head_has_begun(struct shard *shard, struct conn *conn)
{
    uint64_t deadline = shard->now_ms + shard->config->server.handshake_timeout_ms;
    if (deadline < conn->deadline_ms) {
        conn->deadline_ms = deadline;
        conn_set_timer(shard, conn);
    }
}

static void http_step(struct shard *shard, struct conn *conn, struct span *input)
{
    if (conn->body) {
        struct slice rest = slice_of(input->data, input->bytes);
        conn_role(conn)->body(shard, conn, &rest);
        *input = (struct span){.data = input->data + (input->bytes - rest.bytes), .bytes = rest.bytes};
        return;
    }
    size_t scanned = 0;
    struct conn_input *held = conn->input;
    if (held == NULL || held->used == 0) {
        size_t taken = take_head(shard, conn, slice_of(input->data, input->bytes), &scanned);
        if (taken > 0 || conn->state != CONN_HTTP) {
            input->data += taken;
            input->bytes -= taken;
            return;
        }
        held = input_of(shard, conn);
    }
    size_t before = held == NULL ? 0 : held->used;
    size_t room = HTTP_HEAD_BYTES_MAX + 4 - before;
    size_t part = input->bytes < room ? input->bytes : room;
    if (held == NULL || !append(shard, conn, &held->data, &held->used, &held->capacity, HTTP_HEAD_BYTES_MAX + 4,
                                slice_of(input->data, part))) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return;
    }
    if (before > 0)
        scanned = held->scanned;
    head_has_begun(shard, conn);
    /* The head lies in memory of its own while it is used: what the request causes may free the connection's input. */
    uint8_t *data = held->data;
    size_t capacity = held->capacity, used = held->used;
    held->data = NULL;
    held->capacity = held->used = 0;
    size_t taken = take_head(shard, conn, slice_of(data, used), &scanned);
    if (taken > 0) {
        size_t from_input = taken - before; /* the head was not complete before, so it ends in the new part */
        input->data += from_input;
        input->bytes -= from_input;
    } else if (conn->state == CONN_HTTP) {
        held->data = data;
        held->capacity = capacity;
        held->used = used;
        held->scanned = scanned;
        input->data += part;
        input->bytes -= part;
        return;
    } else {
        input->bytes = 0;
    }
    shard->conns->input_bytes -= capacity;
    free(data);
}

/* --- WebSocket ---------------------------------------------------------------------------------------------------- */

static enum close_reason reason_of(uint16_t code)
{
    switch (code) {
    case WS_CLOSE_TOO_BIG:
        return CLOSE_TOO_BIG;
    case WS_CLOSE_INVALID_DATA:
        return CLOSE_INVALID_DATA;
    case WS_CLOSE_POLICY:
        return CLOSE_POLICY;
    default:
        return CLOSE_PROTOCOL;
    }
}

static void on_close_frame(struct shard *shard, struct conn *conn, struct slice payload)
{
    struct slice reason;
    uint16_t error = 0;
    uint16_t code = ws_close_parse(payload, &reason, &error);
    conn->peer_closed = true;
    if (conn->state == CONN_OPEN) {
        if (error != 0)
            conn_close(shard, conn, reason_of(error), error, "invalid close frame");
        else
            conn_close(shard, conn, CLOSE_PEER_CLOSED, code == WS_CLOSE_NO_STATUS ? WS_CLOSE_NORMAL : code, "");
    }
    conn_advance(shard, conn);
}

static void on_control(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice payload)
{
    if (opcode == WS_CLOSE) {
        on_close_frame(shard, conn, payload);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    if (bucket_count(&conn->controls, shard->now_ms, 1000) > WS_CONTROLS_PER_SECOND)
        conn_close(shard, conn, CLOSE_CONTROL_RATE, 0, NULL);
    else if (opcode == WS_PING)
        conn_send_message(shard, conn, WS_PONG, payload);
}

static void on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message)
{
    stats_add(&shard->stats, STAT_MESSAGES_IN, 1);
    work_spend(shard->work, WORK_MESSAGE, 1);
    conn_role(conn)->message(shard, conn, opcode, message);
}

/* A whole message has come: inflated first if it is compressed. */
static void on_whole(struct shard *shard, struct conn *conn, const struct ws_event *event, struct slice message,
                     uint64_t bytes_max)
{
    if (event->compressed) {
        const char *reason;
        uint16_t code = message_inflate(shard, message, bytes_max, event->opcode == WS_TEXT, &message, &reason);
        if (code != 0) {
            conn_close(shard, conn, reason_of(code), code, reason);
            return;
        }
    }
    on_message(shard, conn, event->opcode, message);
}

/* Asked before anything is kept or inflated: who is over a limit costs a header. */
static bool is_wanted(struct shard *shard, struct conn *conn, const struct ws_event *event)
{
    const struct conn_role *role = conn_role(conn);
    if (role->wanted == NULL || role->wanted(shard, conn, event->first))
        return true;
    stats_add(&shard->stats, STAT_UNREAD, event->first);
    if (conn->state == CONN_OPEN && event->last)
        on_message(shard, conn, event->opcode, slice_of(NULL, 0));
    else if (conn->state != CONN_OPEN)
        stats_add(&shard->stats, STAT_MESSAGES_IN, 1);
    return false;
}

static void on_data_piece(struct shard *shard, struct conn *conn, const struct ws_event *event, uint64_t bytes_max)
{
    if (conn->state != CONN_OPEN || !is_wanted(shard, conn, event))
        return;
    if (event->first && event->last) {
        on_whole(shard, conn, event, event->payload, bytes_max);
        return;
    }
    uint64_t wire_max = event->compressed ? ws_compressed_bytes_max(bytes_max) : bytes_max;
    struct conn_input *input = input_of(shard, conn);
    if (input == NULL || !append(shard, conn, &input->data, &input->used, &input->capacity, wire_max, event->payload)) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return;
    }
    if (!event->last)
        return;
    uint8_t *data = input->data; /* taken out: handling the message may free the connection's input */
    size_t used = input->used, capacity = input->capacity;
    input->data = NULL;
    input->used = input->capacity = 0;
    on_whole(shard, conn, event, slice_of(data, used), bytes_max);
    shard->conns->input_bytes -= capacity;
    free(data);
}

static void on_control_piece(struct shard *shard, struct conn *conn, const struct ws_event *event)
{
    if (event->first && event->last) {
        on_control(shard, conn, event->opcode, event->payload);
        return;
    }
    struct conn_input *input = input_of(shard, conn);
    if (input == NULL) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return;
    }
    if (event->first)
        input->control_used = 0;
    check_op(event->payload.bytes, <=, sizeof input->control - input->control_used);
    memcpy(input->control + input->control_used, event->payload.data, event->payload.bytes);
    input->control_used = (uint8_t)(input->control_used + event->payload.bytes);
    if (!event->last)
        return;
    uint8_t whole[WS_CONTROL_BYTES_MAX];
    size_t bytes = input->control_used;
    memcpy(whole, input->control, bytes);
    input->control_used = 0;
    on_control(shard, conn, event->opcode, slice_of(whole, bytes));
}

static struct ws_limits limits_of(const struct shard *shard, const struct conn *conn)
{
    return (struct ws_limits){
        .message_bytes_max = conn_role(conn)->limits(shard, conn).message_bytes_max,
        .empty_fragments_max = WS_EMPTY_FRAGMENTS_MAX,
        .require_mask = true,
        .allow_compressed = conn->deflate != DEFLATE_CLASS_PLAIN,
    };
}

static void ws_step(struct shard *shard, struct conn *conn, struct span *input)
{
    struct ws_limits limits = limits_of(shard, conn);
    struct ws_event event;
    size_t before = input->bytes;
    enum ws_event_kind kind = ws_next(&conn->parser, &limits, input, &event);
    work_spend(shard->work, WORK_FRAME, 1);
    work_spend(shard->work, WORK_INPUT, before - input->bytes);
    if (conn->state == CONN_OPEN && !ws_in_message(&conn->parser))
        conn->deadline_ms = 0; /* one is complete: the next has a time of its own, even if it follows without a pause */
    switch (kind) {
    case WS_NEED_MORE:
        input->bytes = 0;
        break;
    case WS_DATA:
        on_data_piece(shard, conn, &event, limits.message_bytes_max);
        break;
    case WS_CONTROL:
        on_control_piece(shard, conn, &event);
        break;
    case WS_ERROR:
        /* The connection is failed (RFC 6455 section 7.1.7): nothing of the peer is waited for behind our close
         * frame. */
        input->bytes = 0;
        conn->peer_closed = true;
        conn_close(shard, conn, reason_of(event.close_code), event.close_code, event.reason);
        conn_advance(shard, conn);
        break;
    }
}

/* A message that has begun has to be complete within message_timeout (K-24). */
static void watch_message(struct shard *shard, struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    bool open = ws_in_message(&conn->parser);
    if (open && conn->deadline_ms == 0) {
        conn->deadline_ms = shard->now_ms + shard->config->server.message_timeout_ms;
        conn_set_timer(shard, conn);
    } else if (!open) {
        conn->deadline_ms = 0;
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

/* Takes input until it is used up, the connection waits, it ends, or it has had enough of this turn; *input is what is left. */
static void process(struct shard *shard, struct conn *conn, struct span *input)
{
    uint64_t until_ps = shard->work->spent_ps + SLICE_PS;
    conn->processing = true;
    while (input->bytes > 0 && !conn->parked) {
        bool goes_on = conn->state == CONN_HTTP || conn->state == CONN_OPEN || conn->state == CONN_CLOSING;
        if (goes_on && shard->work->spent_ps >= until_ps) {
            conn_yield(shard, conn);
            break;
        }
        if (conn->state == CONN_HTTP)
            http_step(shard, conn, input);
        else if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING)
            ws_step(shard, conn, input);
        else
            input->bytes = 0;
    }
    conn->processing = false;
    watch_message(shard, conn);
}

static void stop_receiving(struct shard *shard, struct conn *conn)
{
    struct ring_tag tag = {.index = conn->index, .generation = conn->generation};
    if (!conn->receiving || conn->stopping)
        return;
    if (ring_begin_cancel_op(shard->ring, conn->socket, tag, RING_RECEIVE) != 0)
        return; /* the next piece of input tries again */
    conn->stopping = true;
    conn->cancels++;
}

/* Moves what waits to the front of the stash when its end is reached, so that a stream that never pauses does not grow
 * it. */
static void compact_stash(struct conn_input *input, size_t bytes)
{
    if (input->stash_at == 0 || input->stash_used + bytes <= input->stash_capacity)
        return;
    input->stash_used -= input->stash_at;
    memmove(input->stash, input->stash + input->stash_at, input->stash_used);
    input->stash_at = 0;
}

static void stash(struct shard *shard, struct conn *conn, struct span rest)
{
    struct conn_input *input = input_of(shard, conn);
    if (input != NULL)
        compact_stash(input, rest.bytes);
    if (input == NULL || !append(shard, conn, &input->stash, &input->stash_used, &input->stash_capacity,
                                 STASH_BYTES_MAX, slice_of(rest.data, rest.bytes))) {
        conn_terminate(shard, conn, CLOSE_OVERLOAD);
        return;
    }
    if (input->stash_used - input->stash_at > STASH_STOP_BYTES)
        stop_receiving(shard, conn);
}

void conn_park(struct shard *shard, struct conn *conn)
{
    if (!conn->parked)
        stats_add(&shard->stats, STAT_PARKED, 1);
    shard_note(shard, FLIGHT_PARK, conn->index, conn->state, 0);
    if (conn->yielded) /* what it waits for now is not time */
        list_remove(&conn->wait);
    conn->yielded = false;
    conn->parked = true;
}

void conn_yield(struct shard *shard, struct conn *conn)
{
    check(conn->state != CONN_LINGER && conn->state != CONN_DYING);
    stats_add(&shard->stats, STAT_YIELDED, 1);
    shard_note(shard, FLIGHT_YIELD, conn->index, 0, 0);
    conn->parked = conn->yielded = true;
    if (list_linked(&conn->wait)) /* starved, likewise */
        list_remove(&conn->wait);
    list_push_back(&shard->conns->yielded, &conn->wait);
}

bool conn_resume_yielded(struct shard *shard)
{
    struct list *yielded = &shard->conns->yielded;
    bool any = !list_empty(yielded);
    struct list_node *last = yielded->head.prev, *node = NULL;
    while (node != last && work_left(shard->work) && (node = list_first(yielded)) != NULL) {
        work_spend(shard->work, WORK_COMPLETION, 1);
        conn_unpark(shard, list_entry(node, struct conn, wait));
    }
    return any;
}

void conn_wait(struct conn *conn, struct list *list)
{
    if (conn->state == CONN_DYING)
        return;
    if (list_linked(&conn->wait)) /* starved: its receive is armed when it is unparked */
        list_remove(&conn->wait);
    list_push_back(list, &conn->wait);
}

void conn_wait_for_room(struct shard *shard, struct conn *conn)
{
    conn_wait(conn, &shard->conns->parked);
}

/* The peer's end has come while the connection was parked. */
static void end_late(struct shard *shard, struct conn *conn)
{
    if (conn->state == CONN_HTTP) {
        conn_finish(shard, conn, CLOSE_HTTP_DONE);
    } else if (conn->state == CONN_OPEN &&
               conn->tls != NULL) { /* its close_notify has an answer (RFC 8446 section 6.1) */
        conn_drop_waiting(shard, conn, false);
        conn_finish(shard, conn, CLOSE_PEER_GONE);
    } else if (conn->state == CONN_OPEN) {
        conn_terminate(shard, conn, CLOSE_PEER_GONE);
    }
}

/* With what has waited: plain text, or a handshake's bytes, for whom nothing is computed when it has gone meanwhile. */
static void go_on(struct shard *shard, struct conn *conn, struct span *rest)
{
    if (!conn_tls_opening(conn)) {
        process(shard, conn, rest);
        return;
    }
    if (!conn->eof)
        conn_tls_receive(shard, conn, slice_of(rest->data, rest->bytes));
    rest->bytes = 0;
}

void conn_unpark(struct shard *shard, struct conn *conn)
{
    conn->parked = conn->yielded = false;
    if (list_linked(&conn->wait)) /* for room, in vain: else it could not be starved below */
        list_remove(&conn->wait);
    if (conn->processing)
        return; /* the loop further up goes on */
    struct conn_input *input = conn->input;
    if (input != NULL && input->stash_used > input->stash_at) {
        /* Taken out while it is processed; put back when the connection is parked again. */
        uint8_t *data = input->stash;
        size_t capacity = input->stash_capacity;
        struct span rest = {.data = data + input->stash_at, .bytes = input->stash_used - input->stash_at};
        input->stash = NULL;
        input->stash_at = input->stash_used = input->stash_capacity = 0;
        go_on(shard, conn, &rest);
        bool waits = rest.bytes > 0 && conn->parked;
        input = waits ? input_of(shard, conn) : NULL;
        if (waits && input == NULL)
            conn_terminate(shard, conn, CLOSE_MEMORY); /* input must not be lost from the middle of a stream */
        if (input != NULL) {
            check(input->stash == NULL);
            input->stash = data;
            input->stash_capacity = capacity;
            input->stash_at = (size_t)(rest.data - data);
            input->stash_used = input->stash_at + rest.bytes;
        } else {
            shard->conns->input_bytes -= capacity;
            free(data);
        }
    }
    trim_input(shard, conn);
    if (!conn->parked)
        conn_arm_receive(shard, conn);
    if (conn->eof && !conn->parked)
        end_late(shard, conn);
}

/* It ends, and has sent more than a goodbye: the rest stays with the kernel, until the deadline of the state. */
static bool is_heard_enough(const struct conn *conn)
{
    return (conn->state == CONN_CLOSING || conn->state == CONN_LINGER) && conn->thrown_away > THROWN_AWAY_MAX;
}

void conn_arm_receive(struct shard *shard, struct conn *conn)
{
    if (conn->receiving || conn->eof || conn->state == CONN_DYING || is_heard_enough(conn))
        return;
    if (conn->parked && conn->input != NULL && conn->input->stash_used - conn->input->stash_at > STASH_STOP_BYTES)
        return; /* conn_unpark arms it */
    struct ring_tag tag = {.index = conn->index, .generation = conn->generation};
    if (ring_buffers_free(shard->ring) > 0 && ring_arm_receive(shard->ring, conn->socket, tag) == 0)
        conn->receiving = true;
    else if (!list_linked(&conn->wait))
        list_push_back(&shard->conns->starved, &conn->wait);
}

void conn_on_end_of_stream(struct shard *shard, struct conn *conn)
{
    if (conn->eof)
        return;
    conn->eof = conn->peer_closed = true;
    switch (conn->state) {
    case CONN_HTTP:
        conn->keep_alive = false;
        if (conn->parked)
            break; /* its answer still goes out */
        if (conn->outbox.all.slices == 0)
            conn_terminate(shard, conn, CLOSE_HTTP_DONE);
        else
            conn_finish(shard, conn, CLOSE_HTTP_DONE);
        break;
    case CONN_OPEN:
        if (!conn->yielded) /* else what it has sent is read first: conn_unpark comes to the end */
            conn_terminate(shard, conn, CLOSE_PEER_GONE);
        break;
    default:
        conn_advance(shard, conn);
        break;
    }
}

void conn_take_input(struct shard *shard, struct conn *conn, struct span input)
{
    if (!conn->parked)
        process(shard, conn, &input);
    if (input.bytes > 0 && conn->parked)
        stash(shard, conn, input);
    trim_input(shard, conn);
}

/* Handshakes are computed one a turn as they come, and behind that in line with whoever has yielded: until then the bytes wait. */
static void take_ciphertext(struct shard *shard, struct conn *conn, struct span input)
{
    bool waits =
        conn->state == CONN_HTTP && conn_tls_opening(conn) && (conn->yielded || shard->work->units[WORK_HANDSHAKE] > 0);
    if (!waits) {
        conn_tls_receive(shard, conn, slice_of(input.data, input.bytes));
        return;
    }
    if (!conn->yielded)
        conn_yield(shard, conn);
    stash(shard, conn, input);
}

void conn_on_receive(struct shard *shard, struct conn *conn, const struct ring_completion *completion)
{
    shard_note(shard, FLIGHT_RECEIVE, conn->index, completion->result, completion->more);
    if (!completion->more)
        conn->receiving = conn->stopping = false;
    if (completion->result > 0) {
        conn->heard = true;
        stats_add(&shard->stats, STAT_BYTES_IN, (uint64_t)completion->result);
        conn->received_ms = shard->now_ms;
        if (conn->state == CONN_CLOSING || conn->state == CONN_LINGER) {
            conn->thrown_away += (uint64_t)completion->result;
            if (is_heard_enough(conn))
                stop_receiving(shard, conn);
        }
        if (conn->tls != NULL)
            take_ciphertext(shard, conn, completion->data);
        else
            conn_take_input(shard, conn, completion->data);
    } else if (completion->result == 0) {
        conn_on_end_of_stream(shard, conn);
    } else if (completion->result != -ENOBUFS && completion->result != -ECANCELED) {
        conn_terminate(shard, conn, CLOSE_PEER_GONE);
    }
    if (!conn->receiving)
        conn_arm_receive(shard, conn);
    conn_advance(shard, conn);
}
