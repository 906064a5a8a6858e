/* SPDX-License-Identifier: MIT */
/* Owns the carrying out of what a dialect asks for: one row of actions in order, and what is left of it while it waits
 * for an answer or for room. It never calls a dialect. Called by session.c, and by shard_tick when there is room
 * again. */
#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "protocol/action.h"
#include "protocol/deflate.h"
#include "protocol/dialect.h"
#include "shards/channel/audience.h"
#include "shards/channel/channel.h"
#include "shards/channel/depot_host.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/listener.h"
#include "shards/mail/errand.h"
#include "shards/mail/quota.h"
#include "shards/session/session.h"
#include "shards/session/session_parts.h"
#include "shards/shard.h"

#include <stdlib.h>

enum step {
    STEP_GO,
    STEP_WAIT_ANSWER,
    STEP_WAIT_ROOM,
    STEP_WAIT_DEPOT,
    STEP_ENDED,
};

/* What is computed long may be a password: wherever it has been copied from, it is wiped. */
static void wipe_work(const struct action *action)
{
    if (action->kind == ACTION_WORK && action->request.body.bytes > 0)
        explicit_bzero((void *)(uintptr_t)action->request.body.data, action->request.body.bytes);
}

void session_drop_pending(struct conn *conn)
{
    struct pending *pending = conn->session.pending;
    for (uint32_t i = 0; pending != NULL && i < pending->run.count; i++)
        wipe_work(&pending->items[i]);
    free(pending);
    conn->session.pending = NULL;
}

/* What a dialect may know of a connection. */
struct dialect_call session_call_about(const struct shard *shard, const struct conn *conn)
{
    return (struct dialect_call){
        .settings = shard->config->dialects[conn->dialect],
        .session = conn->user,
        .now_ms = shard->now_ms,
        .wall_ms = shard->wall_ms,
        .connection = conn_id(shard, conn),
        .received_wall_ms = shard->wall_ms - (shard->now_ms - conn->received_ms),
        .mounts = shard->listeners->items[conn->listener].mounts[conn->dialect],
        .secure = conn->tls != NULL,
    };
}

/* What all shards have counted of a dialect's sessions. */
static void sum_counts(struct shard *shard, uint8_t dialect, struct dialect_call *call)
{
    memset(shard->sessions->recent_counts, 0, sizeof shard->sessions->recent_counts);
    for (uint16_t i = 0; i < shard->count; i++) {
        struct shard *other = shard->all[i];
        call->sessions += atomic_load_explicit(&other->sessions->open[dialect], memory_order_relaxed);
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            shard->sessions->recent_counts[n] +=
                atomic_load_explicit(&other->sessions->counts[dialect][n], memory_order_relaxed);
    }
    call->recent_counts = shard->sessions->recent_counts;
}

struct dialect_call session_call_begin(struct shard *shard, const struct conn *conn)
{
    struct dialect_call call = session_call_about(shard, conn);
    shard->sessions->actions->count = 0;
    shard->sessions->actions->overflow = false;
    shard->sessions->actions->text = buf_of(shard->sessions->text, SCRATCH_BYTES);
    call.out = shard->sessions->actions;
    if (dialects[conn->dialect]->census != NULL)
        sum_counts(shard, conn->dialect, &call);
    return call;
}

/* The slices that an action refers to, for copying: at most 3. */
static unsigned action_slices(struct action *action, struct slice *slices[3])
{
    switch (action->kind) {
    case ACTION_RESPOND:
        slices[0] = &action->respond.content;
        return 1;
    case ACTION_SEND:
        slices[0] = &action->send.payload;
        return 1;
    case ACTION_SUBSCRIBE:
        slices[0] = &action->subscribe.channel;
        slices[1] = &action->subscribe.variant;
        return 2;
    case ACTION_UNSUBSCRIBE:
        slices[0] = &action->unsubscribe.channel;
        return 1;
    case ACTION_PUBLISH:
        slices[0] = &action->publish.channel;
        slices[1] = &action->publish.payload;
        slices[2] = &action->publish.key;
        return 3;
    case ACTION_ACQUIRE:
        slices[0] = &action->acquire.name;
        return 1;
    case ACTION_REQUEST:
    case ACTION_WORK:
        slices[0] = &action->request.body;
        return 1;
    case ACTION_DEPOT:
        slices[0] = &action->depot.head;
        slices[1] = &action->depot.body;
        return 2;
    case ACTION_UNCOUNT:
    case ACTION_ACCEPT:
    case ACTION_CENSUS:
    case ACTION_TIMER:
    case ACTION_CLOSE:
        break;
    }
    return 0;
}

/* Keeps the rest of a row until an answer comes. A row that is kept already only moves on. */
static bool keep_rest(struct conn *conn, const struct run *run)
{
    struct pending *held = conn->session.pending;
    if (held != NULL && run->items == held->items) {
        held->run.next = run->next;
        return true;
    }
    uint32_t count = run->count - run->next;
    size_t bytes = 0;
    struct slice *slices[3];
    for (uint32_t i = 0; i < count; i++)
        for (unsigned n = action_slices(&run->items[run->next + i], slices); n-- > 0;)
            bytes += slices[n]->bytes;
    struct pending *pending = malloc(sizeof *pending + count * sizeof *pending->items + bytes);
    if (pending == NULL)
        return false;
    struct buf text = buf_of(pending->items + count, bytes);
    for (uint32_t i = 0; i < count; i++) {
        pending->items[i] = run->items[run->next + i];
        for (unsigned n = action_slices(&pending->items[i], slices); n-- > 0;) {
            size_t from = text.used;
            buf_put(&text, *slices[n]);
            *slices[n] = buf_since(&text, from);
        }
        wipe_work(&run->items[run->next + i]);
    }
    pending->run = (struct run){.items = pending->items, .count = count};
    if (run->handshake != NULL) {
        pending->handshake = *run->handshake;
        pending->run.handshake = &pending->handshake;
    }
    session_drop_pending(conn);
    conn->session.pending = pending;
    return true;
}

static enum step do_accept(struct shard *shard, struct conn *conn, const struct handshake *handshake)
{
    check(handshake != NULL);
    if (!conn_accept(shard, conn, handshake, ROLE_SESSION))
        return STEP_ENDED;
    conn->deflate = deflate_class(&handshake->deflate);
    session_count(shard, conn->dialect, 1);
    if (dialects[conn->dialect]->heartbeat_ms != 0) {
        conn->session.heartbeat_ms = shard->now_ms + dialects[conn->dialect]->heartbeat_ms;
        session_set_due(conn);
        conn_set_timer(shard, conn);
    }
    return STEP_GO;
}

static enum step do_subscribe(struct shard *shard, struct conn *conn, const struct action *action)
{
    check_op(conn->state, ==, CONN_OPEN);
    struct slice channel = action->subscribe.channel, variant = action->subscribe.variant;
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_SUBSCRIBE, channel.bytes + variant.bytes);
    if (errand == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    errand->dialect = conn->dialect;
    errand->conn = conn_handle(conn);
    errand->subscribe.channel = errand_put(errand, channel);
    errand->subscribe.variant = errand_put(errand, variant);
    errand->subscribe.encoding = conn->deflate;
    errand->subscribe.history_max = action->subscribe.history_max;
    errand_ask(shard, errand, channel_home(shard, conn->dialect, channel));
    return STEP_WAIT_ANSWER;
}

static enum step do_publish(struct shard *shard, struct conn *conn, const struct event *event)
{
    if (!errand_has_room(shard))
        return STEP_WAIT_ROOM;
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_PUBLISH,
                                        event->channel.bytes + event->payload.bytes + event->key.bytes);
    if (errand == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    errand->dialect = conn->dialect;
    errand->publish.event = *event;
    errand->publish.event.channel = errand_put(errand, event->channel);
    errand->publish.event.payload = errand_put(errand, event->payload);
    errand->publish.event.key = errand_put(errand, event->key);
    errand_ask(shard, errand, channel_home(shard, conn->dialect, event->channel));
    return STEP_GO;
}

static enum step do_acquire(struct shard *shard, struct conn *conn, const struct action *action)
{
    struct hash128 name = session_quota_name(shard, conn, action->acquire.quota, action->acquire.name);
    quota_acquire(shard, conn_handle(conn), name, (uint8_t)action->acquire.quota, action->acquire.limit,
                  action->acquire.window_ms);
    return STEP_WAIT_ANSWER;
}

/* Sends an errand whose answer goes to dialect.replied; `errand` NULL: memory was out. */
static enum step ask(struct shard *shard, struct conn *conn, struct errand *errand, uint32_t tag, uint16_t home)
{
    if (errand == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    errand->dialect = conn->dialect;
    errand->conn = conn_handle(conn);
    errand->ticket = tag;
    errand_ask(shard, errand, home);
    return STEP_WAIT_ANSWER;
}

static enum step do_request(struct shard *shard, struct conn *conn, const struct action *action)
{
    struct slice body = action->request.body;
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_REQUEST, body.bytes);
    if (errand != NULL) {
        errand->request.kind = action->request.kind;
        errand->request.body = errand_put(errand, body);
    }
    return ask(shard, conn, errand, action->request.tag, channel_home(shard, conn->dialect, slice_of(NULL, 0)));
}

static enum step do_work(struct shard *shard, struct conn *conn, const struct action *action)
{
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_WORK, action->request.body.bytes);
    if (errand != NULL) {
        errand->request.kind = action->request.kind;
        errand->request.body = errand_put(errand, action->request.body);
    }
    wipe_work(action);
    return ask(shard, conn, errand, action->request.tag, shard->number);
}

static enum step do_depot(struct shard *shard, struct conn *conn, const struct action *action)
{
    if (!depot_host_has_room(shard))
        return STEP_WAIT_DEPOT;
    struct errand *errand =
        errand_make(&shard->errands->pool, ERRAND_DEPOT, action->depot.head.bytes + action->depot.body.bytes);
    if (errand != NULL) {
        errand->depot.kind = action->depot.kind;
        errand->depot.head = errand_put(errand, action->depot.head);
        errand->depot.body = errand_put(errand, action->depot.body);
        errand->depot.connection = conn_id(shard, conn);
    }
    if (errand != NULL)
        depot_host_begin(shard, action->depot.body.bytes);
    conn->session.at_depot = true;
    return ask(shard, conn, errand, action->depot.tag, shard->number);
}

static enum step do_census(struct shard *shard, struct conn *conn, const struct action *action)
{
    static const uint64_t zeros[CENSUS_COUNTS];
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_CENSUS, sizeof zeros);
    if (errand != NULL) {
        errand->status = 200;
        errand->census.counts = (uint64_t *)(void *)errand->data;
        errand_put(errand, slice_of(zeros, sizeof zeros));
    }
    return ask(shard, conn, errand, action->census.tag, 0);
}

static enum step do_action(struct shard *shard, struct conn *conn, const struct run *run, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        conn_respond(shard, conn, &action->respond);
        return conn->state == CONN_HTTP ? STEP_GO : STEP_ENDED;
    case ACTION_ACCEPT:
        return do_accept(shard, conn, run->handshake);
    case ACTION_SEND:
        return conn_send_message(shard, conn, action->send.opcode, action->send.payload) ? STEP_GO : STEP_ENDED;
    case ACTION_SUBSCRIBE:
        return do_subscribe(shard, conn, action);
    case ACTION_UNSUBSCRIBE:
        audience_leave(shard, conn, channel_id(shard, conn->dialect, action->unsubscribe.channel));
        return STEP_GO;
    case ACTION_PUBLISH:
        return do_publish(shard, conn, &action->publish);
    case ACTION_ACQUIRE:
        return do_acquire(shard, conn, action);
    case ACTION_REQUEST:
        return do_request(shard, conn, action);
    case ACTION_CENSUS:
        return do_census(shard, conn, action);
    case ACTION_WORK:
        return do_work(shard, conn, action);
    case ACTION_DEPOT:
        return do_depot(shard, conn, action);
    case ACTION_UNCOUNT:
        bucket_take_back(&conn->session.messages);
        return STEP_GO;
    case ACTION_TIMER:
        conn->session.timer_ms = action->timer.after_ms == 0 ? 0 : shard->now_ms + action->timer.after_ms;
        session_set_due(conn);
        conn_set_timer(shard, conn);
        return STEP_GO;
    case ACTION_CLOSE:
        conn_close(shard, conn, CLOSE_DIALECT, action->close.code, action->close.reason);
        return STEP_ENDED;
    }
    check(false);
    return STEP_ENDED;
}

/* Carries out a row until it is done or has to wait. */
static void run_actions(struct shard *shard, struct conn *conn, struct run run)
{
    while (run.next < run.count) {
        struct action *action = &run.items[run.next];
        enum step step = do_action(shard, conn, &run, action);
        if (step == STEP_ENDED)
            return;
        if (step != STEP_WAIT_ROOM && step != STEP_WAIT_DEPOT)
            run.next++;
        if (step == STEP_GO)
            continue;
        if (!keep_rest(conn, &run)) {
            conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
            return;
        }
        conn_park(shard, conn);
        if (step == STEP_WAIT_ROOM)
            conn_wait_for_room(shard, conn);
        if (step == STEP_WAIT_DEPOT)
            depot_host_wait(shard, conn);
        return;
    }
    session_drop_pending(conn);
    if (conn->state == CONN_HTTP)
        session_give_back_places(shard, conn); /* answered by a response: the next request asks for its own */
    if (conn->corked) {
        conn->corked = false;
        conn_mark_dirty(shard, conn, false);
    }
    if (conn->parked && !conn->yielded)
        conn_unpark(shard, conn);
}

void session_run_call(struct shard *shard, struct conn *conn, const struct handshake *handshake)
{
    struct actions *actions = shard->sessions->actions;
    if (actions->overflow || actions->text.overflow) {
        conn_close(shard, conn, CLOSE_INTERNAL, 0, NULL);
        return;
    }
    run_actions(shard, conn, (struct run){.items = actions->items, .count = actions->count, .handshake = handshake});
}

void session_resume(struct shard *shard, struct conn *conn)
{
    if (conn->session.pending != NULL)
        run_actions(shard, conn, conn->session.pending->run);
}
