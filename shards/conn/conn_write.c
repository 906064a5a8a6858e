/* SPDX-License-Identifier: MIT */
/* Owns the outgoing half of a connection: its own bytes, the flush queues, and the one send in flight. It never decides
 * what is said and never frees a slot in the middle of a send. Called by session, ingest, admin (bytes), audience
 * (dirty marks) and shard_tick (flush, completions). */
#include "core/buf.h"
#include "core/check.h"
#include "core/frame.h"
#include "core/ring.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "shards/config/settings.h"
#include "shards/conn/answers.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_log.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/flush.h"
#include "shards/conn/message.h"
#include "shards/conn/outbox.h"
#include "shards/conn/pin.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>

#define KEEP_ALIVE_MS 75000
/* Bounds of one flush phase: beyond them the tick goes on and the rest waits for the next. */
#define FLUSH_SENDS_MAX 4096
/* Of these, to members of large audiences: a third of a millisecond of a broadcast, then small channels and control
 * frames get a look in. As many as a submission needs to be cheap. */
#define FLUSH_BULK_MAX 64
#define FLUSH_BYTES_MAX (64U << 20)
/* Of these, sealed for TLS connections, in each queue: a quarter of a second-level cache, so that what is sealed still
 * lies there when the kernel copies it. Beyond it the next tick seals, into the buffers that have come back. */
#define FLUSH_SEALED_MAX (256U << 10)
/* Of a batch of lone sends: their number, and the bytes that each stays below. */
#define LONE_MAX 64
#define LONE_BYTES_MAX (64U << 10)

void conn_mark_dirty(struct shard *shard, struct conn *conn, bool bulk)
{
    if (conn->dirty)
        return;
    uint32_t room;
    struct flush_queue *queue = bulk ? &shard->flush->bulk : &shard->flush->express;
    *flush_queue_end(queue, &room) = conn;
    queue->count++;
    conn->dirty = true;
}

static uint64_t waiting_max(const struct shard *shard, const struct conn *conn)
{
    return conn->state == CONN_OPEN ? conn_role(conn)->limits(shard, conn).outbox_bytes_max : RESPONSE_BYTES_MAX;
}

/* Whether so many more bytes of the connection's own may wait; else it has been ended as a slow reader. */
static bool has_room(struct shard *shard, struct conn *conn, size_t bytes)
{
    bool bounded = conn->state == CONN_OPEN || conn->state == CONN_HTTP; /* the rest are our own last words */
    uint64_t waiting = outbox_waiting(&conn->outbox), max = waiting_max(shard, conn);
    const struct frame frame = {.bytes = (uint32_t)bytes};
    bool full = conn->outbox.all.slices == OUTBOX_SLICES_MAX ||
                (waiting + bytes > max && !outbox_takes(&conn->outbox, frame, 0, 0, max));
    if (!bounded || waiting == 0 || !full)
        return true;
    if (!conn->sending && conn->outbox.all.slices < OUTBOX_SLICES_MAX)
        return true; /* nothing has been offered to it, so it is not slow; what bounds it: answers.h */
    stats_add(&shard->stats, STAT_SLOW_CONSUMERS, 1);
    conn_close_slow(shard, conn, CLOSE_SLOW);
    return false;
}

/* Pushes a frame of the connection's own; bytes 0: frame memory was exhausted. */
static bool push_own(struct shard *shard, struct conn *conn, struct frame frame)
{
    if (frame.bytes == 0 || outbox_push(&conn->outbox, &shard->flush->outbox_pool, frame, 0, 0, 0) == OUTBOX_FULL) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return false;
    }
    conn_mark_dirty(shard, conn, false);
    return true;
}

/* Copies bytes into a frame and pushes it. */
static bool push_bytes(struct shard *shard, struct conn *conn, struct slice bytes)
{
    struct answer answer;
    if (bytes.bytes == 0)
        return true;
    if (!answer_begin(shard, conn, bytes.bytes, &answer))
        return false;
    uint8_t *at = frame_append_reserve(answer.memory, shard->idle, &answer.log, (uint32_t)bytes.bytes);
    struct frame frame = {0};
    if (at != NULL) {
        memcpy(at, bytes.data, bytes.bytes);
        frame = frame_append_commit(&answer.log, (uint32_t)bytes.bytes);
    }
    bool pushed = push_own(shard, conn, frame);
    answer_end(shard, conn, &answer);
    return pushed;
}

bool conn_send_bytes(struct shard *shard, struct conn *conn, struct slice bytes)
{
    if (conn->state == CONN_DYING || !has_room(shard, conn, bytes.bytes))
        return false;
    return push_bytes(shard, conn, bytes);
}

bool conn_send_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice payload)
{
    bool data = opcode == WS_TEXT || opcode == WS_BINARY;
    if (conn->state == CONN_DYING || !has_room(shard, conn, payload.bytes))
        return false;
    uint8_t class =
        data ? message_class(shard, conn->dialect, conn->deflate, payload.bytes) : (uint8_t)DEFLATE_CLASS_PLAIN;
    struct answer answer;
    if (!answer_begin(shard, conn, payload.bytes + WS_HEADER_BYTES_MAX, &answer))
        return false;
    bool pushed = push_own(shard, conn, message_frame(shard, answer.memory, &answer.log, opcode, payload, class));
    answer_end(shard, conn, &answer);
    return pushed;
}

struct slice conn_date(struct shard *shard)
{
    struct conns *conns = shard->conns;
    uint64_t seconds = shard->wall_ms / 1000;
    if (conns->date_s != seconds) {
        struct buf out = buf_of(conns->date, sizeof conns->date);
        timestamp_put_http(&out, (int64_t)shard->wall_ms);
        check(!out.overflow);
        conns->date_s = seconds;
    }
    return slice_of(conns->date, sizeof conns->date);
}

void conn_respond(struct shard *shard, struct conn *conn, const struct http1_answer *answer)
{
    uint8_t memory[1024];
    struct buf head = buf_of(memory, sizeof memory);
    http1_response(&head, answer,
                   &(struct http1_manner){.date = conn_date(shard),
                                          .keep_alive = conn->keep_alive,
                                          .head_only = true, /* the content is sent by itself */
                                          .minor_version = conn->minor});
    check(!head.overflow);
    if (answer->status >= 400) {
        stats_add(&shard->stats, STAT_REFUSED_HTTP, 1);
        conn_log_refusal(shard, conn, answer->status, answer->content);
    }
    struct slice body = conn->head || answer->status == 204 ? slice_of(NULL, 0) : answer->content;
    if (conn->state == CONN_DYING || !has_room(shard, conn, head.used + body.bytes) ||
        !push_bytes(shard, conn, buf_slice(&head)) || !push_bytes(shard, conn, body))
        return;
    if (!conn->keep_alive) {
        conn_finish(shard, conn, answer->status >= 400 ? CLOSE_HTTP_REFUSED : CLOSE_HTTP_DONE);
        return;
    }
    conn->deadline_ms = shard->now_ms + KEEP_ALIVE_MS;
    conn_set_timer(shard, conn);
}

static void refuse(struct shard *shard, struct conn *conn, struct http1_answer answer, const char *why)
{
    uint8_t memory[512];
    struct buf content = buf_of(memory, sizeof memory);
    buf_put_text(&content, "{\"error\":");
    json_put_string(&content, slice_text(why));
    buf_put_byte(&content, '}');
    check(!content.overflow);
    answer.content_type = "application/json";
    answer.content = buf_slice(&content);
    conn_respond(shard, conn, &answer);
}

void conn_refuse(struct shard *shard, struct conn *conn, int status, const char *why)
{
    refuse(shard, conn, (struct http1_answer){.status = status}, why);
}

void conn_refuse_method(struct shard *shard, struct conn *conn, const char *allow)
{
    refuse(shard, conn, (struct http1_answer){.status = 405, .allow = allow}, "Method not allowed");
}

void conn_refuse_origin(struct shard *shard, struct conn *conn)
{
    refuse(shard, conn, (struct http1_answer){.status = 403, .varies_by_origin = true}, "Origin not allowed");
}

bool conn_continue(struct shard *shard, struct conn *conn)
{
    uint8_t memory[64];
    struct buf head = buf_of(memory, sizeof memory);
    http1_response(&head, &(struct http1_answer){.status = 100}, &(struct http1_manner){.minor_version = 1});
    check(!head.overflow);
    return conn_send_bytes(shard, conn, buf_slice(&head));
}

void conn_drop_waiting(struct shard *shard, struct conn *conn, bool slow)
{
    uint32_t messages = outbox_drop_waiting(&conn->outbox, &shard->flush->outbox_pool);
    stats_add(&shard->stats, slow ? STAT_DROPPED_SLOW : STAT_DROPPED_CLOSED, messages);
    stats_sub(&shard->stats, STAT_IN_FLIGHT, messages);
}

/* The send that the outbox has named. 0 or -EAGAIN. */
static int begin_send(struct shard *shard, struct conn *conn, const struct iovec *vector, uint32_t count)
{
    struct ring_tag tag = {.index = conn->index, .generation = conn->generation};
    if (pin_begin_send(shard, conn, vector, count))
        return 0;
    if (count == 1)
        return ring_begin_send(shard->ring, conn->socket, tag, vector->iov_base, (uint32_t)vector->iov_len);
    return ring_begin_send_vector(shard->ring, conn->socket, tag, vector, count);
}

/* The submission queue is full: the send is tried again in the next tick. */
static void put_off(struct shard *shard, struct conn *conn)
{
    conn->sending = false;
    outbox_cut(&conn->outbox, &shard->flush->outbox_pool, 0);
    conn_mark_dirty(shard, conn, true);
}

/* Begins one send of all that waits, unless one is in flight. */
static void flush(struct shard *shard, struct conn *conn)
{
    if (conn->tls != NULL) {
        conn_tls_flush(shard, conn);
        return;
    }
    if (conn->sending || conn->corked || conn->state == CONN_DYING || conn->outbox.all.slices == 0)
        return;
    uint32_t max = conn->outbox.all.slices < SEND_SLICES_MAX ? conn->outbox.all.slices : SEND_SLICES_MAX;
    if (max > FLUSH_VECTORS - shard->flush->vectors_used) {
        if (ring_submit(shard->ring) < 0) {
            conn_mark_dirty(shard, conn, true);
            return;
        }
        shard->flush->vectors_used = 0;
    }
    struct iovec *vector = &shard->flush->vectors[shard->flush->vectors_used];
    uint32_t count = outbox_begin_send(&conn->outbox, vector, max);
    if (count > 1)
        shard->flush->vectors_used += count;
    if (begin_send(shard, conn, vector, count) != 0) {
        put_off(shard, conn);
        return;
    }
    conn->sending = true;
    conn->greeted = conn->state != CONN_HTTP;
}

/* Takes the first `count` off a queue, which lie in a row. */
static inline void queue_skip(struct flush_queue *queue, uint32_t count)
{
    queue->head += count;
    queue->count -= count;
    if (queue->head == queue->capacity || queue->count == 0)
        queue->head = 0;
}

/* A member to whom nothing was due but one slice, short enough to be copied: nearly all members of nearly all
 * deliveries. */
static inline bool is_lone(const struct conn *conn, uint64_t bytes_max)
{
    const uint64_t mask = CONN_HOT(.state = UINT8_MAX, .dirty = true, .sending = true, .corked = true, .greeted = true,
                                   .gone = true, .secure = true);
    return (conn->hot & mask) == CONN_HOT(.state = CONN_OPEN, .dirty = true, .greeted = true) &&
           conn->outbox.all.slices == 1 && conn->outbox.all.bytes < bytes_max;
}

static uint64_t lone_bytes_max(const struct shard *shard)
{
    uint64_t zero_copy_min = shard->config->server.zero_copy_bytes_min;
    return zero_copy_min < LONE_BYTES_MAX ? zero_copy_min : LONE_BYTES_MAX;
}

/* How many of the first of a queue may be begun in one go: they lie in a row, and only the last of them can reach the
 * bound. */
static uint32_t lone_max(const struct flush_queue *queue, uint32_t sends, uint64_t bytes)
{
    uint64_t max = (FLUSH_BYTES_MAX - bytes - 1) / LONE_BYTES_MAX + 1;
    max = max < LONE_MAX ? max : LONE_MAX;
    max = max < sends ? max : sends;
    return max < queue->capacity - queue->head ? (uint32_t)max : queue->capacity - queue->head;
}

/* Begins the sends of the first connections of a queue, at most `sends`: of the very first, which is a lone one, and of
 * those behind it as long as they are. Their number. */
__attribute__((no_stack_protector)) static uint32_t flush_lone(struct shard *shard, struct flush_queue *queue,
                                                               uint32_t sends, uint64_t *bytes)
{
    struct ring_send batch[LONE_MAX], *send = batch;
    struct conn **place = queue->places + queue->head, **end = place + lone_max(queue, sends, *bytes);
    uint64_t bytes_max = lone_bytes_max(shard), sum = 0;
    do {
        struct conn *conn = *place++;
        *send++ = (struct ring_send){.tag = {.generation = conn->generation, .index = conn->index},
                                     .data = {frame_data(conn->outbox.first.frame), conn->outbox.all.bytes},
                                     .socket = conn->socket};
        sum += conn->outbox.all.bytes;
        conn->outbox.inflight = conn->outbox.all;
        conn->hot ^= CONN_HOT(.dirty = true, .sending = true);
    } while (place < end && is_lone(*place, bytes_max));
    uint32_t count = (uint32_t)(send - batch);
    queue_skip(queue, count);
    for (uint32_t i = ring_begin_sends(shard->ring, batch, count); i < count; i++) {
        sum -= batch[i].data.bytes;
        put_off(shard, conn_at(&shard->conns->slab, batch[i].tag.index));
    }
    *bytes += sum;
    return count;
}

void conn_count_sent(struct shard *shard, uint64_t messages)
{
    stats_add(&shard->stats, STAT_DELIVERED, messages);
    stats_sub(&shard->stats, STAT_IN_FLIGHT, messages);
}

static bool on_sent_plain(struct shard *shard, struct conn *conn, uint64_t taken)
{
    struct outbox *outbox = &conn->outbox;
    bool whole = taken == outbox->inflight.bytes;
    conn_count_sent(shard, whole ? outbox_sent(outbox, &shard->flush->outbox_pool)
                                 : outbox_cut(outbox, &shard->flush->outbox_pool, taken));
    if (whole && outbox->all.slices > 0 && conn->state != CONN_DYING)
        conn_mark_dirty(shard, conn, false);
    return whole;
}

static inline void count_send(struct shard *shard, struct conn *conn, uint64_t bytes)
{
    conn->bytes_out += bytes;
    stats_add(&shard->stats, STAT_SENDS, 1);
}

/* The kernel would not pin memory for the send (RLIMIT_MEMLOCK, of a process that is not privileged): it is begun again
 * with a copy, and so are all that follow it here. */
static void send_again(struct shard *shard, struct conn *conn)
{
    stats_add(&shard->stats, STAT_PINNED_FULL, 1);
    outbox_cut(&conn->outbox, &shard->flush->outbox_pool, 0);
    conn->copied = true;
    if (conn->state != CONN_DYING)
        conn_mark_dirty(shard, conn, true);
    conn_advance(shard, conn);
}

void conn_on_sent(struct shard *shard, struct conn *conn, int32_t result)
{
    conn->sending = false;
    uint64_t taken = result > 0 ? (uint64_t)result : 0;
    bool zero_copy = conn->pin != 0;
    conn->pin = 0;
    if (zero_copy && result == -ENOMEM) {
        send_again(shard, conn);
        return;
    }
    bool whole = conn->tls != NULL ? conn_tls_on_sent(shard, conn, result) : on_sent_plain(shard, conn, taken);
    if (!zero_copy) /* else counted when it is known whether it was copied */
        stats_add(&shard->stats, STAT_BYTES_OUT, taken);
    count_send(shard, conn, taken);
    if (!whole) {
        shard_note(shard, FLIGHT_SHORT, conn->index, result, 0);
        conn_terminate(shard, conn, CLOSE_SEND_FAILED);
    }
    conn_advance(shard, conn);
}

/* Whether the send has taken its only slice, which is all there was, and the connection goes on. A send takes no more
 * than it named (ring.h) and what is in flight is no more than there is: so whoever took all has been sent all. */
static inline bool is_done(const struct conn *conn, const struct ring_sent *sent, const struct segment *segment)
{
    const struct outbox *outbox = &conn->outbox;
    const uint64_t mask = CONN_HOT(.state = UINT8_MAX, .sending = true, .secure = true, .pin = UINT16_MAX);
    return conn->generation == sent->tag.generation &&
           (conn->hot & mask) == CONN_HOT(.state = CONN_OPEN, .sending = true) && outbox->all.slices == 1 &&
           (uint64_t)sent->result == outbox->all.bytes && outbox->first.frame.segment == segment;
}

uint32_t conn_on_sends(struct shard *shard, const struct ring_sent *sent, uint32_t count)
{
    const struct slab *conns = &shard->conns->slab;
    if (count == 0 || sent->tag.index >= conns->count_made)
        return 0;
    /* The same for all that are taken at once, so it is released once. */
    struct segment *segment = conn_at(conns, sent->tag.index)->outbox.first.frame.segment;
    uint32_t done = 0;
    uint64_t messages = 0, bytes = 0;
    for (; done < count && sent[done].tag.index < conns->count_made; done++) {
        struct conn *conn = conn_at(conns, sent[done].tag.index);
        if (!is_done(conn, &sent[done], segment))
            break;
        messages += conn->outbox.all.messages;
        bytes += conn->outbox.all.bytes;
        conn->bytes_out += conn->outbox.all.bytes;
        conn->sending = false;
        outbox_empty(&conn->outbox);
    }
    if (done == 0)
        return 0;
    frame_release(shard->idle, segment, shard->number, done);
    stats_add(&shard->stats, STAT_BYTES_OUT, bytes);
    stats_add(&shard->stats, STAT_SENDS, done);
    conn_count_sent(shard, messages);
    return done;
}

/* A session's keys and state are a dozen cache lines that nobody has touched since its last send: they are asked for
 * while the one before is sealed, and the way to them one connection earlier. */
static void prefetch_next(const struct flush_queue *queue)
{
    if (queue->count == 0)
        return;
    conn_tls_prefetch(queue->places[queue->head]);
    if (queue->count > 1)
        __builtin_prefetch(queue->places[queue->head + 1 == queue->capacity ? 0 : queue->head + 1]->tls);
}

/* Takes the first connection off a queue and flushes it, or lets its slot go. How many sends that was: one or none. */
static uint32_t flush_first(struct shard *shard, struct flush_queue *queue, uint64_t *bytes)
{
    struct conn *conn = queue->places[queue->head];
    queue_skip(queue, 1);
    conn->dirty = false;
    if (conn->gone) {
        conn_let_go(shard, conn);
        return 0;
    }
    if (conn->tls != NULL)
        prefetch_next(queue);
    flush(shard, conn);
    *bytes += conn->outbox.inflight.bytes;
    return 1;
}

/* Flushes up to `sends` connections and FLUSH_BYTES_MAX bytes of one queue; returns how many sends are left of the
 * bound. */
static uint32_t flush_queue(struct shard *shard, struct flush_queue *queue, uint32_t sends, uint64_t *bytes)
{
    uint32_t count = queue->count; /* what is marked again meanwhile waits for the next tick */
    shard->tls->sealed = 0;
    while (count > 0 && sends > 0 && *bytes < FLUSH_BYTES_MAX && shard->tls->sealed < FLUSH_SEALED_MAX &&
           work_left(shard->work)) {
        if (is_lone(queue->places[queue->head], lone_bytes_max(shard))) {
            uint32_t begun = flush_lone(shard, queue, count < sends ? count : sends, bytes);
            work_spend(shard->work, WORK_SEND, begun);
            count -= begun;
            sends -= begun;
        } else {
            work_spend(shard->work, WORK_SEND, 1);
            sends -= flush_first(shard, queue, bytes);
            count--;
        }
    }
    return sends;
}

bool conn_flush_queues(struct shard *shard)
{
    uint64_t bytes = 0;
    uint32_t left = flush_queue(shard, &shard->flush->express, FLUSH_SENDS_MAX, &bytes);
    uint32_t bulk = left < FLUSH_BULK_MAX ? left : FLUSH_BULK_MAX;
    left -= bulk - flush_queue(shard, &shard->flush->bulk, bulk, &bytes);
    if (left < FLUSH_SENDS_MAX)
        shard_note(shard, FLIGHT_FLUSH, FLUSH_SENDS_MAX - left, (int64_t)bytes,
                   shard->flush->express.count + shard->flush->bulk.count);
    return shard->flush->express.count + shard->flush->bulk.count > 0;
}
