/* SPDX-License-Identifier: MIT */
/* Owns the life of a connection: its slot, its deadlines and its one way to end. It never parses and never writes bytes
 * but a close frame. Called by listener (open), by everybody (close, terminate) and by the completion switch in
 * shard.c. */
#include "shards/conn/conn.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/list.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/slab.h"
#include "core/stats.h"
#include "core/wheel.h"
#include "core/work.h"
#include "protocol/handshake.h"
#include "protocol/ws.h"
#include "shards/config/settings.h"
#include "shards/conn/conn_log.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/listener.h"
#include "shards/conn/outbox.h"
#include "shards/conn/pin.h"
#include "shards/mail/home.h"
#include "shards/mail/mail.h"
#include "shards/mail/quota.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <sys/socket.h>

#define LINGER_MS 2000
#define SLOW_CLOSE_MS 10000
#define SLICES_PER_LOOK 32

/* An idle plain connection takes at most 500 bytes in all; the rest is its place in an audience, the ring and the
 * slab. */
_Static_assert(sizeof(struct conn) <= 368, "look for what can be kept elsewhere");

uint64_t conn_id(const struct shard *shard, const struct conn *conn)
{
    return (uint64_t)conn->generation << 32 | (uint64_t)conn->index << 6 | shard->number;
}

struct conn *conn_get(struct shard *shard, struct handle handle)
{
    return slab_get(&shard->conns->slab, handle);
}

static void count_up(_Atomic uint32_t *counter, int change)
{
    uint32_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint32_t)change, memory_order_relaxed);
}

static void count_open(struct shard *shard, const struct conn *conn, int change)
{
    count_up(&shard->conns->open, change);
    if (!conn_role(conn)->operates)
        count_up(&shard->conns->clients, change);
    stats_add(&shard->stats, STAT_CONNECTIONS, (uint64_t)(int64_t)change);
}

/* The name under which connections of this peer are counted: the address, of IPv6 the /64, which is what one customer
 * gets. */
static struct hash128 peer_name(const struct shard *shard, const struct conn *conn)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    struct ring_address peer = ring_peer(shard->ring, conn->socket);
    if (memcmp(peer.bytes, v4, sizeof v4) != 0)
        memset(peer.bytes + 8, 0, 8);
    return home_name(shard, 'p', 0, slice_of(peer.bytes, sizeof peer.bytes));
}

/* Asks for a place among the connections of its address; it is served meanwhile, and ended when there is none. */
static void ask_for_place(struct shard *shard, const struct conn *conn)
{
    uint64_t limit = shard->config->server.connections_per_address;
    if (limit > 0 && !conn_role(conn)->operates)
        quota_acquire(shard, conn_handle(conn), peer_name(shard, conn), QUOTA_PEER, (uint32_t)limit, 0);
}

void conn_on_place(struct shard *shard, const struct mail *mail)
{
    struct conn *conn = conn_get(shard, mail->acquire.conn);
    bool alive = conn != NULL && conn->state != CONN_DYING;
    if (alive && mail->granted) {
        conn->placed = true;
    } else if (mail->granted) {
        quota_release(shard, mail->acquire.name);
    } else if (alive) {
        stats_add(&shard->stats, STAT_QUOTA_REFUSED, 1);
        stats_add(&shard->stats, STAT_REFUSED_QUOTA, 1);
        conn_terminate(shard, conn, CLOSE_ADDRESS);
    }
}

void conn_open(struct shard *shard, uint32_t socket, uint16_t listener)
{
    struct handle handle;
    struct conn *conn = slab_alloc(&shard->conns->slab, &handle);
    if (conn == NULL) {
        stats_add(&shard->stats, STAT_REFUSED_FULL, 1);
        listener_refuse(shard, socket);
        return;
    }
    conn->index = handle.index;
    conn->generation = handle.generation;
    conn->socket = socket;
    conn->listener = listener;
    conn->role = (uint8_t)shard->listeners->items[listener].role;
    conn->dialect = DIALECT_NONE;
    conn->state = CONN_HTTP;
    conn->accepted_ms = conn->received_ms = shard->now_ms;
    conn->deadline_ms = shard->now_ms + shard->config->server.handshake_timeout_ms;
    count_open(shard, conn, 1);
    stats_add(&shard->stats, STAT_ACCEPTED, 1);
    shard_note(shard, FLIGHT_ACCEPT, conn->index, socket, listener);
    if (shard->listeners->items[listener].tls && !conn_tls_open(conn)) {
        conn_terminate(shard, conn, CLOSE_MEMORY);
        return;
    }
    conn_set_timer(shard, conn);
    conn_arm_receive(shard, conn);
    ask_for_place(shard, conn);
}

bool conn_accept(struct shard *shard, struct conn *conn, const struct handshake *handshake, enum role role)
{
    uint8_t memory[HANDSHAKE_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory);
    check_op(conn->state, ==, CONN_HTTP);
    handshake_write(&out, handshake, conn_date(shard));
    check(!out.overflow);
    if (!conn_send_bytes(shard, conn, buf_slice(&out)))
        return false;
    conn->state = CONN_OPEN;
    conn->role = (uint8_t)role;
    conn->deadline_ms = 0;
    ws_parser_init(&conn->parser);
    uint64_t ping = conn_role(conn)->limits(shard, conn).ping_interval_ms;
    conn->ping_ms = ping == 0 ? 0 : shard->now_ms + ping;
    stats_add(&shard->stats, STAT_HANDSHAKES, 1);
    shard_note(shard, FLIGHT_UPGRADE, conn->index, role, conn->dialect);
    conn_set_timer(shard, conn);
    struct log_line line;
    if (conn_log_begin(shard, conn, LOG_DEBUG, "connection opened", &line))
        log_end(&line);
    return true;
}

/* --- deadlines ---------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* base + period, or never when the period is 0 */
static uint64_t after(uint64_t base, uint64_t period)
{
    return period == 0 ? UINT64_MAX : base + period;
}

void conn_set_timer(struct shard *shard, struct conn *conn)
{
    uint64_t next = conn->deadline_ms == 0 ? UINT64_MAX : conn->deadline_ms;
    if (conn->state == CONN_OPEN) {
        struct role_limits limits = conn_role(conn)->limits(shard, conn);
        next = earlier(next, conn->ping_ms == 0 ? UINT64_MAX : conn->ping_ms);
        next = earlier(next, conn->due_ms == 0 ? UINT64_MAX : conn->due_ms);
        next = earlier(next, after(conn->received_ms, limits.idle_timeout_ms));
        next = earlier(next, after(conn->accepted_ms, limits.duration_max_ms));
    }
    if (next == UINT64_MAX)
        wheel_cancel(shard->wheel, &conn->timer);
    else
        wheel_set(shard->wheel, &conn->timer, next);
}

void conn_settings(struct shard *shard, struct conn *conn)
{
    if (conn->state == CONN_OPEN && conn_role(conn)->reload != NULL)
        conn_role(conn)->reload(shard, conn);
    if (conn->state != CONN_OPEN)
        return;
    uint64_t next = after(shard->now_ms, conn_role(conn)->limits(shard, conn).ping_interval_ms);
    if (next == UINT64_MAX)
        conn->ping_ms = 0;
    else if (conn->ping_ms == 0 || conn->ping_ms > next)
        conn->ping_ms = next;
    conn_set_timer(shard, conn);
}

void conns_absent(struct shard *shard, uint64_t ms)
{
    uint32_t cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;) {
        if (conn->state == CONN_DYING)
            continue;
        conn->received_ms += ms;
        if (conn->deadline_ms != 0)
            conn->deadline_ms += ms;
        if (conn->tls != NULL)
            conn->tls->begun_ms += ms;
        conn_set_timer(shard, conn);
    }
}

static void open_timer(struct shard *shard, struct conn *conn)
{
    static const uint8_t ping[2] = {0x80 | WS_PING, 0};
    uint64_t now = shard->now_ms;
    struct role_limits limits = conn_role(conn)->limits(shard, conn);
    if (now >= after(conn->received_ms, limits.idle_timeout_ms)) {
        conn_close(shard, conn, CLOSE_IDLE, 0, NULL);
    } else if (now >= after(conn->accepted_ms, limits.duration_max_ms)) {
        conn_close(shard, conn, CLOSE_DURATION, 0, NULL);
    } else if (conn->deadline_ms != 0 && now >= conn->deadline_ms) {
        conn_close(shard, conn, CLOSE_MESSAGE_TIMEOUT, 0, NULL);
    } else {
        if (conn->ping_ms != 0 && now >= conn->ping_ms) {
            conn->ping_ms = limits.ping_interval_ms == 0 ? 0 : now + limits.ping_interval_ms;
            conn_send_bytes(shard, conn, slice_of(ping, sizeof ping));
        }
        if (conn->state == CONN_OPEN && conn->due_ms != 0 && now >= conn->due_ms)
            conn_role(conn)->timer(shard, conn);
    }
}

void conn_on_timer(struct shard *shard, struct wheel_timer *timer)
{
    struct conn *conn = list_entry(timer, struct conn, timer);
    bool due = conn->deadline_ms != 0 && shard->now_ms >= conn->deadline_ms;
    shard_note(shard, FLIGHT_TIMER, conn->index, conn->state, 0);
    switch (conn->state) {
    case CONN_HTTP:
        if (due && conn->parked) /* it waits for us, not we for it */
            conn->deadline_ms = shard->now_ms + shard->config->server.handshake_timeout_ms;
        else if (due)
            conn_terminate(shard, conn, CLOSE_HANDSHAKE_TIMEOUT);
        break;
    case CONN_OPEN:
        open_timer(shard, conn);
        break;
    case CONN_CLOSING:
        if (due)
            conn_terminate(shard, conn, CLOSE_CLOSE_TIMEOUT);
        break;
    case CONN_LINGER:
        if (due)
            conn_terminate(shard, conn, conn->why);
        break;
    case CONN_DYING:
        break;
    }
    if (conn->state != CONN_DYING)
        conn_set_timer(shard, conn);
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

/* Whatever the connection was part of lets it go: audiences, quotas, waiting lists. */
static void leave(struct shard *shard, struct conn *conn, enum close_reason why)
{
    if (list_linked(&conn->wait))
        list_remove(&conn->wait);
    if (conn_role(conn)->leave != NULL)
        conn_role(conn)->leave(shard, conn, (uint8_t)why);
    conn->corked = false;
}

void conn_close(struct shard *shard, struct conn *conn, enum close_reason why, uint16_t code, const char *reason_text)
{
    if (conn->state == CONN_HTTP) {
        conn_finish(shard, conn, why);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    leave(shard, conn, why);
    if (conn->state != CONN_OPEN)
        return; /* it could not take what was said */
    conn->why = (uint8_t)why;
    conn->state = CONN_CLOSING;
    conn->thrown_away = 0;
    conn->deadline_ms = shard->now_ms + shard->config->server.close_timeout_ms;
    uint8_t frame[127];
    conn->close_code = code != 0 ? code : close_code(why);
    shard_note(shard, FLIGHT_CLOSE, conn->index, why, conn->close_code);
    size_t bytes = ws_close_write(frame, conn->close_code, reason_text != NULL ? reason_text : close_text(why));
    if (!conn_send_bytes(shard, conn, slice_of(frame, bytes)))
        return;
    conn_set_timer(shard, conn);
    if (conn->parked)
        conn_unpark(shard, conn);  /* the peer's close frame may be waiting there */
    conn_arm_receive(shard, conn); /* it may have waited for buffers */
}

void conn_close_slow(struct shard *shard, struct conn *conn, enum close_reason why)
{
    conn_drop_waiting(shard, conn, true);
    if (conn->state != CONN_OPEN || !conn->greeted) { /* without the 101 a close frame would be noise */
        conn_terminate(shard, conn, why);
        return;
    }
    conn_close(shard, conn, why, 0, NULL);
    if (conn->state == CONN_CLOSING) {
        conn->deadline_ms = shard->now_ms + SLOW_CLOSE_MS;
        conn_set_timer(shard, conn);
    }
}

void conn_finish(struct shard *shard, struct conn *conn, enum close_reason why)
{
    if (conn->state == CONN_DYING || conn->state == CONN_LINGER)
        return;
    leave(shard, conn, CLOSE_NONE);
    if (conn->why == CLOSE_NONE)
        conn->why = (uint8_t)why;
    if (conn->state != CONN_CLOSING)
        conn->thrown_away = 0;
    conn->state = CONN_LINGER;
    shard_note(shard, FLIGHT_FINISH, conn->index, conn->why, 0);
    conn->parked = conn->yielded = false;
    conn->deadline_ms = shard->now_ms + shard->config->server.handshake_timeout_ms;
    conn_free_input(shard, conn);
    conn_mark_dirty(shard, conn, false);
    conn_set_timer(shard, conn);
    conn_arm_receive(shard, conn);
    conn_advance(shard, conn);
}

void conn_terminate(struct shard *shard, struct conn *conn, enum close_reason why)
{
    if (conn->state == CONN_DYING)
        return;
    leave(shard, conn, CLOSE_NONE);
    if (conn->why == CLOSE_NONE)
        conn->why = (uint8_t)why;
    shard_note(shard, FLIGHT_TERMINATE, conn->index, conn->why, conn->state);
    conn_log_end(shard, conn);
    if (conn->placed)
        quota_release(shard, peer_name(shard, conn));
    conn->placed = false;
    conn_drop_waiting(shard, conn, conn->why == CLOSE_SLOW);
    conn->state = CONN_DYING;
    conn->parked = conn->yielded = false;
    wheel_cancel(shard->wheel, &conn->timer);
    conn_advance(shard, conn);
}

static struct ring_tag tag_of(const struct conn *conn)
{
    return (struct ring_tag){.index = conn->index, .generation = conn->generation};
}

/* The submission queue is full: tries the step again in the next tick. */
static void retry_later(struct shard *shard, struct conn *conn)
{
    if (!list_linked(&conn->wait))
        list_push_back(&shard->conns->starved, &conn->wait);
}

static void advance_linger(struct shard *shard, struct conn *conn)
{
    if (!conn->shut && conn->outbox.all.slices == 0 && (conn->tls == NULL || conn_tls_goodbye(shard, conn))) {
        if (ring_begin_shutdown(shard->ring, conn->socket, tag_of(conn), SHUT_WR) != 0) {
            retry_later(shard, conn);
            return;
        }
        conn->shut = conn->shutting = true;
        conn->deadline_ms = shard->now_ms + LINGER_MS;
        conn_set_timer(shard, conn);
    }
    if (conn->shut && !conn->shutting && conn->eof && conn->pins == 0)
        conn_terminate(shard, conn, conn->why);
}

static int begin_cancel(struct shard *shard, const struct conn *conn)
{
    return conn->pin == 0 ? ring_begin_cancel(shard->ring, conn->socket, tag_of(conn))
                          : ring_begin_cancel_zero_copy(shard->ring, conn->socket, tag_of(conn), pin_tag(shard, conn));
}

static void advance_dying(struct shard *shard, struct conn *conn)
{
    bool busy = conn->receiving || conn->sending;
    if (busy && !conn->cancelled) {
        if (begin_cancel(shard, conn) != 0) {
            retry_later(shard, conn);
            return;
        }
        conn->cancelled = true;
        conn->cancels++;
    }
    if (busy || conn->shutting || conn->cancels > 0 || conn->closed)
        return;
    bool reset = !conn->eof || conn->pins > 0; /* a reset makes the kernel give back what is pinned */
    if (ring_begin_close(shard->ring, conn->socket, tag_of(conn), reset) != 0)
        retry_later(shard, conn);
    else
        conn->closed = true;
}

void conn_advance(struct shard *shard, struct conn *conn)
{
    if (conn->state == CONN_CLOSING && conn->peer_closed && conn->outbox.all.slices == 0)
        conn_finish(shard, conn, conn->why);
    else if (conn->state == CONN_LINGER)
        advance_linger(shard, conn);
    else if (conn->state == CONN_DYING)
        advance_dying(shard, conn);
}

void conn_on_cancelled(struct shard *shard, struct conn *conn, int32_t result)
{
    check_op(conn->cancels, >, 0);
    conn->cancels--;
    if (result < 0) { /* what it should have found goes on: without another one it may never end */
        conn->cancelled = conn->stopping = false;
        if (conn->state == CONN_DYING) {
            retry_later(shard, conn);
            return;
        }
    }
    conn_advance(shard, conn);
}

static void slot_free(struct shard *shard, struct conn *conn)
{
    check(!list_linked(&conn->wait));
    shard_note(shard, FLIGHT_FREE, conn->index, conn->generation, 0);
    conn_free_input(shard, conn);
    if (conn_role(conn)->end != NULL)
        conn_role(conn)->end(shard, conn);
    check(conn->user == NULL);
    count_open(shard, conn, -1);
    slab_free(&shard->conns->slab, conn->index);
    listener_resume(shard);
}

void conn_on_close_completed(struct shard *shard, uint32_t index)
{
    struct conn *conn = slab_at(&shard->conns->slab, index);
    conn_tls_end(shard, conn);
    conn_drop_waiting(shard, conn, false);
    if (list_linked(&conn->wait))
        list_remove(&conn->wait);
    if (conn->dirty)
        conn->gone = true; /* the flush queue still names the slot */
    else
        slot_free(shard, conn);
}

void conn_let_go(struct shard *shard, struct conn *conn)
{
    slot_free(shard, conn);
}

void conn_on_cut(struct shard *shard, const struct mail *mail)
{
    struct conns *conns = shard->conns;
    pin_cut(shard, mail->cut.segment, mail->cut.serial);
    if (conns->cut_count < CUTS_MAX)
        conns->cuts[conns->cut_count++] = (struct cut){mail->cut.segment, mail->cut.serial};
}

static void cut_if_holds(struct shard *shard, struct conn *conn, const struct cut *cut)
{
    work_spend(shard->work, WORK_LOOK, 1 + conn->outbox.all.slices / SLICES_PER_LOOK);
    if (conn->state == CONN_DYING || !outbox_holds(&conn->outbox, cut->segment, cut->serial))
        return;
    stats_add(&shard->stats, STAT_SLOW_CUT, 1);
    conn_drop_waiting(shard, conn, true);
    conn_terminate(shard, conn, CLOSE_SLOW);
}

void conn_cut_go_on(struct shard *shard)
{
    struct conns *conns = shard->conns;
    while (conns->cut_count > 0 && work_left(shard->work)) {
        struct conn *conn = slab_next(&conns->slab, &conns->cut_at, NULL);
        if (conn != NULL) {
            cut_if_holds(shard, conn, &conns->cuts[0]);
            continue;
        }
        conns->cut_at = 0;
        conns->cut_count--;
        memmove(conns->cuts, conns->cuts + 1, conns->cut_count * sizeof *conns->cuts);
    }
}
