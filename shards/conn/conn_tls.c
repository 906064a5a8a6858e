/* SPDX-License-Identifier: MIT */
/* Owns the bytes of a TLS connection between its socket and its plaintext: admission of handshakes, opening and
 * sealing. It never looks into a message and never decides when a connection ends for other reasons than TLS. Called by
 * conn (open, goodbye, end), conn_read (bytes in), conn_write (flush, sent) and the shard (configuration, tidying). */
#include "shards/conn/conn_tls.h"

#include "core/bucket.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/list.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/stats.h"
#include "core/work.h"
#include "shards/config/config_tls.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_log.h"
#include "shards/conn/flush.h"
#include "shards/conn/listener.h"
#include "shards/conn/outbox.h"
#include "shards/shard.h"

#include <errno.h>
#include <stdlib.h>

/* Plaintext in one send: what a stalled reader holds twice, shared and sealed. */
#define SEAL_BYTES_MAX (128U << 10)
/* The same while more than half of the budget for buffers is taken: one record. */
#define SEAL_BYTES_SHORT TLS_PLAIN_BYTES_MAX
/* What TLS itself may have to say to a peer that does not read. */
#define WAITING_BYTES_MAX (TLS_OUT_ROOM + 4096)

_Static_assert(SEAL_BYTES_MAX + SEAL_BYTES_MAX / 64 + WAITING_BYTES_MAX <= POOL_BYTES_MAX, "one send fits a buffer");

/* --- the shard's half --------------------------------------------------------------------------------------------- */

bool conn_tls_init(struct shard *shard, const uint8_t ticket_secret[32], uint64_t since_s)
{
    struct tls_side *side = shard->tls;
    list_init(&side->unfinished);
    tls_buffers_init(&side->buffers, shard->config->tls.buffer_bytes / shard->count);
    side->tickets = tls_tickets_create(ticket_secret, since_s);
    return side->tickets != NULL;
}

bool conn_tls_configure(struct shard *shard)
{
    const struct tls_material *material = shard->config->tls.material;
    struct tls_context *context = NULL;
    if (material != NULL) {
        struct tls_settings settings = material->settings;
        char why[256];
        settings.tickets = shard->tls->tickets;
        if (!tls_tickets_last(shard->tls->tickets, settings.ticket_lifetime_s, shard->wall_ms / 1000))
            settings.tickets = NULL; /* none rather than none that lasts */
        context = tls_context_create(&settings, why, sizeof why);
        if (context == NULL) { /* config_load has tried it once: memory */
            struct log_line line;
            log_begin(&line, LOG_ERROR, "certificates not taken over");
            log_u64(&line, "shard", shard->number);
            log_text(&line, "error", why);
            log_end(&line);
            return false;
        }
    }
    tls_context_release(shard->tls->context);
    shard->tls->context = context;
    return true;
}

void conn_tls_destroy(struct shard *shard)
{
    tls_context_release(shard->tls->context);
    shard->tls->context = NULL;
    tls_buffers_destroy(&shard->tls->buffers);
    tls_tickets_release(shard->tls->tickets);
    shard->tls->tickets = NULL;
}

void conn_tls_tidy(struct shard *shard)
{
    tls_buffers_tidy(shard);
    stats_set(&shard->stats, STAT_TLS_HANDSHAKING, shard->tls->handshaking);
}

/* --- beginning and end of a session ------------------------------------------------------------------------------- */

bool conn_tls_open(struct conn *conn)
{
    conn->tls = calloc(1, sizeof *conn->tls);
    if (conn->tls == NULL)
        return false;
    conn->tls->conn = conn;
    conn->secure = true;
    return true;
}

static void end_handshake(struct shard *shard, struct conn_tls *tls, enum stat_id result)
{
    if (!tls->handshaking)
        return;
    tls->handshaking = false;
    stats_add(&shard->stats, result, 1);
    if (!list_linked(&tls->unfinished))
        return;
    list_remove(&tls->unfinished);
    shard->tls->handshaking--;
}

static bool refuse(struct shard *shard, struct conn *conn)
{
    stats_add(&shard->stats, STAT_TLS_REFUSED, 1);
    conn_terminate(shard, conn, CLOSE_TLS_BUSY);
    return false;
}

/* The first bytes: nothing is computed for them, and no more than a record is held. */
static bool begin_session(struct shard *shard, struct conn *conn)
{
    if (shard->tls->context == NULL)
        return refuse(shard, conn);
    conn->tls->session = tls_create(shard->tls->context, shard->listeners->items[conn->listener].client);
    if (conn->tls->session == NULL) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return false;
    }
    conn->tls->handshaking = true;
    return true;
}

bool conn_tls_opening(const struct conn *conn)
{
    return conn->tls != NULL && !conn->tls->closed && (conn->tls->session == NULL || conn->tls->handshaking);
}

/* The handshake that has gone on for longest makes room for the next. */
static void end_oldest(struct shard *shard)
{
    struct conn_tls *oldest = list_entry(list_first(&shard->tls->unfinished), struct conn_tls, unfinished);
    end_handshake(shard, oldest, STAT_TLS_FAILED);
    conn_terminate(shard, oldest->conn, CLOSE_TLS_BUSY);
}

/* The hello is complete, so the peer has gone to some length: its handshake is counted from here on. */
static bool admit(struct shard *shard, struct conn *conn)
{
    const struct tls_config *config = &shard->config->tls;
    struct tls_side *side = shard->tls;
    if (config->handshakes_per_second != 0 &&
        bucket_count(&side->handshakes, shard->now_ms, 1000) > config->handshakes_per_second)
        return refuse(shard, conn);
    while (side->handshaking >= config->handshakes_max)
        end_oldest(shard);
    list_push_back(&side->unfinished, &conn->tls->unfinished);
    side->handshaking++;
    return true;
}

static void on_established(struct shard *shard, struct conn *conn)
{
    struct tls *session = conn->tls->session;
    struct log_line line;
    end_handshake(shard, conn->tls, tls_resumed(session) ? STAT_TLS_RESUMED : STAT_TLS_FULL);
    if (!conn_log_begin(shard, conn, LOG_DEBUG, "tls established", &line))
        return;
    log_text(&line, "version", tls_version(session));
    log_text(&line, "cipher", tls_cipher(session));
    log_text(&line, "resumed", tls_resumed(session) ? "true" : "false");
    log_end(&line);
}

static bool is_established(const struct conn *conn)
{
    return conn->tls != NULL && conn->tls->session != NULL && tls_established(conn->tls->session);
}

struct slice conn_tls_subject(const struct conn *conn)
{
    return is_established(conn) ? tls_subject(conn->tls->session) : slice_of(NULL, 0);
}

struct slice conn_tls_common_name(const struct conn *conn)
{
    return is_established(conn) ? tls_common_name(conn->tls->session) : slice_of(NULL, 0);
}

/* What the outbox still has in flight was not sent. */
static void cut(struct shard *shard, struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (conn->outbox.inflight.bytes > 0)
        conn_count_sent(shard, outbox_cut(&conn->outbox, &shard->flush->outbox_pool, tls->taken));
    tls->taken = 0;
    tls->sealed = 0;
}

void conn_tls_end(struct shard *shard, struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (tls == NULL)
        return;
    cut(shard, conn);
    end_handshake(shard, tls, STAT_TLS_FAILED);
    if (list_linked(&tls->wait))
        list_remove(&tls->wait);
    tls_buffers_give(shard, &tls->sending);
    tls_buffers_give(shard, &tls->waiting);
    if (tls->woken)
        tls_buffers_resume(shard);
    if (tls->session != NULL)
        tls_destroy(tls->session);
    free(tls);
    conn->tls = NULL;
    conn->secure = false;
}

/* --- bytes in ----------------------------------------------------------------------------------------------------- */

/* Puts what TLS has to say behind what waits. False: the connection has been ended. */
static bool say(struct shard *shard, struct conn *conn, struct slice bytes)
{
    struct buf *waiting = &conn->tls->waiting;
    if (bytes.bytes == 0)
        return true;
    if (waiting->used + bytes.bytes > WAITING_BYTES_MAX) {
        conn_terminate(shard, conn, CLOSE_SLOW);
        return false;
    }
    if (waiting->capacity - waiting->used < bytes.bytes) {
        struct buf larger;
        if (!tls_buffers_take(shard, waiting->used + bytes.bytes, &larger)) {
            conn_terminate(shard, conn, CLOSE_MEMORY);
            return false;
        }
        buf_put(&larger, buf_slice(waiting));
        tls_buffers_give(shard, waiting);
        *waiting = larger;
    }
    buf_put(waiting, bytes);
    conn_mark_dirty(shard, conn, false);
    return true;
}

/* An HTTP request where TLS was expected: the answer goes out in plain text, and nothing else. */
static void answer_plain(struct shard *shard, struct conn *conn)
{
    end_handshake(shard, conn->tls, STAT_TLS_FAILED);
    conn_tls_end(shard, conn);
    conn->keep_alive = false;
    conn_refuse(shard, conn, 400, "this port speaks TLS: use https:// or wss://");
}

/* Nothing more can be sealed: what waits is dropped. */
static void drop_all(struct shard *shard, struct conn *conn)
{
    cut(shard, conn);
    conn_drop_waiting(shard, conn, false);
}

static void fail(struct shard *shard, struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    struct log_line line;
    bool handshake = tls->handshaking;
    end_handshake(shard, tls, STAT_TLS_FAILED);
    tls->closed = true;
    if (conn_log_begin(shard, conn, LOG_INFO, handshake ? "tls handshake failed" : "tls failed", &line)) {
        log_text(&line, "error", tls_why(tls->session));
        log_end(&line);
    }
    if (!conn->sending) /* else conn_tls_on_sent does it */
        drop_all(shard, conn);
    conn_finish(shard, conn, CLOSE_TLS_FAILED); /* the alert goes out, nothing behind it */
}

/* The peer's close_notify: ours is the answer, so the connection is finished, not cut (RFC 8446 section 6.1). */
static void on_close_notify(struct shard *shard, struct conn *conn)
{
    bool idle = conn->state == CONN_HTTP && !conn->parked && conn->outbox.all.slices == 0;
    if (!idle && (conn->state != CONN_OPEN || conn->yielded)) {
        conn_on_end_of_stream(shard, conn);
        return;
    }
    conn->eof = conn->peer_closed = true;
    conn_drop_waiting(shard, conn, false);
    conn_finish(shard, conn, conn->state == CONN_OPEN ? CLOSE_PEER_GONE : CLOSE_HTTP_DONE);
}

static bool reads_on(const struct conn *conn)
{
    return (conn->state == CONN_HTTP || conn->state == CONN_OPEN || conn->state == CONN_CLOSING) && !conn->eof &&
           conn->tls != NULL && !conn->tls->closed;
}

void conn_tls_receive(struct shard *shard, struct conn *conn, struct slice ciphertext)
{
    struct conn_tls *tls = conn->tls;
    if (!reads_on(conn) || (tls->session == NULL && !begin_session(shard, conn)))
        return;
    if (tls->handshaking && tls_completes_hello(tls->session, ciphertext) && !admit(shard, conn))
        return;
    enum tls_result result;
    do {
        struct buf plain = buf_of(shard->tls->scratch->plain, sizeof shard->tls->scratch->plain);
        struct buf out = buf_of(shard->tls->scratch->out, sizeof shard->tls->scratch->out);
        result = tls_read(tls->session, &ciphertext, &plain, &out, shard->wall_ms / 1000);
        check(!out.overflow && !plain.overflow);
        work_spend(shard->work, WORK_HANDSHAKE, tls->handshaking && out.used > 0);
        work_spend(shard->work, WORK_RECORD, plain.used);
        if (!say(shard, conn, buf_slice(&out)))
            return;
        if (tls->handshaking && result != TLS_ERROR && result != TLS_NOT_TLS && tls_established(tls->session))
            on_established(shard, conn);
        switch (result) {
        case TLS_NEED_MORE:
            break;
        case TLS_DATA:
            conn_take_input(shard, conn, (struct span){.data = plain.data, .bytes = plain.used});
            break;
        case TLS_CLOSED:
            on_close_notify(shard, conn);
            break;
        case TLS_NOT_TLS:
            answer_plain(shard, conn);
            break;
        case TLS_ERROR:
            fail(shard, conn);
            break;
        }
    } while (result == TLS_DATA && reads_on(conn));
}

/* --- bytes out ---------------------------------------------------------------------------------------------------- */

/* Seals the ranges in as few records as they need: what lies in one piece as it is, pieces gathered to whole
 * records. */
static bool seal(struct shard *shard, struct tls *session, const struct iovec *vector, uint32_t count, struct buf *out)
{
    struct buf record = buf_of(shard->tls->scratch->plain, sizeof shard->tls->scratch->plain);
    for (uint32_t i = 0; i < count; i++) {
        struct slice piece = slice_of(vector[i].iov_base, vector[i].iov_len);
        while (piece.bytes > 0) {
            bool direct = record.used == 0 && (piece.bytes >= record.capacity || i + 1 == count);
            size_t part = record.capacity - record.used < piece.bytes ? record.capacity - record.used : piece.bytes;
            if (!direct)
                buf_put(&record, slice_of(piece.data, part));
            if (direct && !tls_seal(session, slice_of(piece.data, part), out))
                return false;
            piece = slice_skip(piece, part);
            if (record.used == record.capacity) {
                if (!tls_seal(session, buf_slice(&record), out))
                    return false;
                buf_reset(&record);
            }
        }
    }
    return record.used == 0 || tls_seal(session, buf_slice(&record), out);
}

/* How much plaintext the next send takes. */
static uint64_t next_part(const struct shard *shard, const struct conn *conn)
{
    const struct pool *pool = &shard->tls->buffers.pool;
    uint64_t max = pool->bytes > pool->bytes_max / 2 ? SEAL_BYTES_SHORT : SEAL_BYTES_MAX;
    uint64_t left = conn->outbox.inflight.bytes - conn->tls->taken;
    return left < max ? left : max;
}

/* Puts what waits, and `part` bytes of plaintext sealed behind it, into `sending`. 0; -ENOMEM: no buffer now; -EIO:
 * failed. */
static int prepare(struct shard *shard, struct conn *conn, uint64_t part)
{
    struct conn_tls *tls = conn->tls;
    size_t room = tls->waiting.used + (part == 0 ? 0 : tls_sealed_bytes_max(part));
    if (tls->waiting.capacity >= room) {
        tls->sending = tls->waiting;
        tls->waiting = (struct buf){0};
    } else {
        if (!tls_buffers_take(shard, room, &tls->sending))
            return -ENOMEM;
        buf_put(&tls->sending, buf_slice(&tls->waiting));
        tls_buffers_give(shard, &tls->waiting);
    }
    tls->own = (uint32_t)tls->sending.used;
    tls->sealed = (uint32_t)part;
    shard->tls->sealed += part;
    if (part == 0)
        return 0;
    uint32_t count = outbox_in_flight(&conn->outbox, tls->taken, part, shard->tls->scratch->vectors, SEND_SLICES_MAX);
    return seal(shard, tls->session, shard->tls->scratch->vectors, count, &tls->sending) ? 0 : -EIO;
}

/* The ring could not take the send: the records are made and numbered, so they wait as they are. */
static void send(struct shard *shard, struct conn *conn)
{
    struct ring_tag tag = {.index = conn->index, .generation = conn->generation};
    struct conn_tls *tls = conn->tls;
    if (ring_begin_send(shard->ring, conn->socket, tag, tls->sending.data, (uint32_t)tls->sending.used) != 0) {
        conn_mark_dirty(shard, conn, true);
        return;
    }
    conn->sending = true;
    tls->begun_ms = shard->now_ms;
    list_push_back(&shard->tls->buffers.sends, &tls->wait);
}

/* New keys before the present ones are worn; what tells the peer goes out in front. False: the connection has been
 * ended. */
static bool renew(struct shard *shard, struct conn *conn)
{
    struct buf out = buf_of(shard->tls->scratch->out, sizeof shard->tls->scratch->out);
    if (!tls_renew(conn->tls->session, &out)) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return false;
    }
    return say(shard, conn, buf_slice(&out));
}

static void flush(struct shard *shard, struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (conn->sending || conn->state == CONN_DYING || list_linked(&tls->wait))
        return;
    if (tls->sending.data != NULL) {
        send(shard, conn);
        return;
    }
    bool sealing = !conn->corked && !tls->closed && tls->session != NULL && conn->outbox.all.slices > 0 &&
                   tls_established(tls->session);
    if (sealing && tls_is_worn(tls->session) && !renew(shard, conn))
        return;
    if (sealing && conn->outbox.inflight.bytes == 0)
        outbox_begin_send(&conn->outbox, shard->tls->scratch->vectors, SEND_SLICES_MAX);
    uint64_t part = sealing ? next_part(shard, conn) : 0;
    if (tls->waiting.used == 0 && part == 0)
        return;
    int error = prepare(shard, conn, part);
    if (error == -ENOMEM) {
        list_push_back(&shard->tls->buffers.short_of, &tls->wait);
    } else if (error != 0) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
    } else {
        conn->greeted |= sealing && conn->state != CONN_HTTP;
        send(shard, conn);
    }
}

void conn_tls_prefetch(const struct conn *conn)
{
    if (conn->tls != NULL && conn->tls->session != NULL)
        tls_prefetch(conn->tls->session);
}

void conn_tls_flush(struct shard *shard, struct conn *conn)
{
    bool woken = conn->tls->woken;
    conn->tls->woken = false;
    flush(shard, conn);
    bool in_vain = list_linked(&conn->tls->wait) && !conn->sending;
    if (woken && !in_vain)
        tls_buffers_resume(shard);
}

bool conn_tls_on_sent(struct shard *shard, struct conn *conn, int32_t result)
{
    struct conn_tls *tls = conn->tls;
    struct outbox *outbox = &conn->outbox;
    uint64_t sent = result > 0 ? (uint64_t)result : 0;
    bool whole = sent == tls->sending.used;
    list_remove(&tls->wait);
    if (whole)
        tls->taken += tls->sealed;
    else if (sent > tls->own)
        tls->taken += tls_plain_within(tls->session, slice_skip(buf_slice(&tls->sending), tls->own), sent - tls->own);
    tls->own = tls->sealed = 0;
    tls_buffers_give(shard, &tls->sending);
    if (!whole) {
        cut(shard, conn);
    } else if (tls->taken > 0 && tls->taken == outbox->inflight.bytes) {
        conn_count_sent(shard, outbox_sent(outbox, &shard->flush->outbox_pool));
        tls->taken = 0;
    }
    if (tls->closed)
        drop_all(shard, conn);
    if (whole && (tls->waiting.used > 0 || outbox->all.slices > 0) && conn->state != CONN_DYING)
        conn_mark_dirty(shard, conn, false);
    return whole;
}

bool conn_tls_goodbye(struct shard *shard, struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (!tls->closed && tls->session != NULL) {
        struct buf out = buf_of(shard->tls->scratch->out, sizeof shard->tls->scratch->out);
        tls->closed = true;
        end_handshake(shard, tls, STAT_TLS_FAILED); /* it will not be gone on with */
        tls_close(tls->session, &out);
        if (!say(shard, conn, buf_slice(&out)))
            return false;
    }
    return tls->waiting.used == 0 && tls->sending.data == NULL;
}

void conn_tls_check(const struct conn *conn)
{
    const struct conn_tls *tls = conn->tls;
    check((tls->waiting.data != NULL) == (tls->waiting.used > 0));
    check(!conn->sending || tls->sending.data != NULL);
    check_op(tls->own, <=, tls->sending.used);
    check_op(tls->taken + tls->sealed, <=, conn->outbox.inflight.bytes);
    check(!conn->sending || list_linked(&tls->wait));
    check(!list_linked(&tls->wait) || conn->sending || tls->sending.data == NULL);
    check(conn->sending || list_linked(&tls->wait) || conn->dirty || conn->state == CONN_DYING ||
          (tls->waiting.data == NULL && tls->sending.data == NULL));
    check(!tls->woken || conn->dirty);
    check(conn->state == CONN_DYING ||
          tls->handshaking == (tls->session != NULL && !tls->closed && !tls_established(tls->session)));
    check(!list_linked(&tls->unfinished) || tls->handshaking);
    check(tls->session != NULL || (tls->waiting.data == NULL && tls->sending.data == NULL && !tls->handshaking));
}
