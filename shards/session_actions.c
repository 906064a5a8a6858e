/* SPDX-License-Identifier: MIT */
/* Owns the carrying out of what a dialect asks for: one row of actions in order, and what is left of it while it waits for an
 * answer or for room. It never calls a dialect. Called by session.c, and by shard_tick when there is room again. */
#include "core/check.h"
#include "shards/session_parts.h"

#include <stdlib.h>

enum step {
    STEP_GO,
    STEP_WAIT_ANSWER,
    STEP_WAIT_ROOM,
    STEP_ENDED,
};

void session_drop_pending(struct conn *conn)
{
    free(conn->session.pending);
    conn->session.pending = NULL;
}

/* What a dialect may know of a connection. */
struct dialect_call session_call_about(const struct shard *shard, const struct conn *conn)
{
    return (struct dialect_call){
        .settings = shard->config->dialects[conn->dialect],
        .session = conn->session.state,
        .now_ms = shard->now_ms,
        .wall_ms = shard->wall_ms,
        .connection = conn_id(shard, conn),
        .received_wall_ms = shard->wall_ms - (shard->now_ms - conn->received_ms),
        .mounts = shard->listeners[conn->listener].mounts[conn->dialect],
        .secure = conn->tls != NULL,
    };
}

/* What all shards have counted of a dialect's sessions. */
static void sum_counts(struct shard *shard, uint8_t dialect, struct dialect_call *call)
{
    memset(shard->recent_counts, 0, sizeof shard->recent_counts);
    for (uint16_t i = 0; i < shard->count; i++) {
        struct shard *other = shard->all[i];
        call->sessions += atomic_load_explicit(&other->sessions[dialect], memory_order_relaxed);
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            shard->recent_counts[n] += atomic_load_explicit(&other->counts[dialect][n], memory_order_relaxed);
    }
    call->recent_counts = shard->recent_counts;
}

struct dialect_call session_call_begin(struct shard *shard, const struct conn *conn)
{
    struct dialect_call call = session_call_about(shard, conn);
    shard->actions.count = 0;
    shard->actions.overflow = false;
    shard->actions.text = buf_of(shard->text, sizeof shard->text);
    call.out = &shard->actions;
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
        slices[0] = &action->request.body;
        return 1;
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
    uint8_t memory[HANDSHAKE_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory);
    check(handshake != NULL && conn->state == CONN_HTTP);
    handshake_write(&out, handshake);
    check(!out.overflow);
    if (!conn_send_bytes(shard, conn, buf_slice(&out)))
        return STEP_ENDED;
    conn_upgrade(shard, conn, CONN_ROLE_SESSION);
    conn->deflate = deflate_class(&handshake->deflate);
    session_count(shard, conn->dialect, 1);
    return STEP_GO;
}

static enum step do_subscribe(struct shard *shard, struct conn *conn, const struct action *action)
{
    check_op(conn->state, ==, CONN_OPEN);
    struct slice channel = action->subscribe.channel, variant = action->subscribe.variant;
    struct parcel *parcel = parcel_make(&shard->parcels, PARCEL_SUBSCRIBE, channel.bytes + variant.bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->conn = conn_handle(conn);
    parcel->event.channel = parcel_put(parcel, channel);
    parcel->variant = parcel_put(parcel, variant);
    parcel->encoding = conn->deflate;
    parcel->history_max = action->subscribe.history_max;
    shard_ask(shard, parcel, channel_home(shard, conn->dialect, channel));
    return STEP_WAIT_ANSWER;
}

static enum step do_publish(struct shard *shard, struct conn *conn, const struct event *event)
{
    if (!shard_has_room(shard))
        return STEP_WAIT_ROOM;
    struct parcel *parcel =
        parcel_make(&shard->parcels, PARCEL_PUBLISH, event->channel.bytes + event->payload.bytes + event->key.bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->event = *event;
    parcel->event.channel = parcel_put(parcel, event->channel);
    parcel->event.payload = parcel_put(parcel, event->payload);
    parcel->event.key = parcel_put(parcel, event->key);
    shard_ask(shard, parcel, channel_home(shard, conn->dialect, event->channel));
    return STEP_GO;
}

static enum step do_acquire(struct shard *shard, struct conn *conn, const struct action *action)
{
    struct hash128 name = session_quota_name(shard, conn, action->acquire.quota, action->acquire.name);
    quota_acquire(shard, conn_handle(conn), name, (uint8_t)action->acquire.quota, action->acquire.limit,
                  action->acquire.window_ms);
    return STEP_WAIT_ANSWER;
}

/* A question whose answer goes to dialect.replied. */
static enum step ask_for(struct shard *shard, struct conn *conn, enum parcel_kind kind, const struct action *action)
{
    bool census = kind == PARCEL_CENSUS;
    struct slice body = census ? slice_of(NULL, 0) : action->request.body;
    size_t counts_bytes = census ? CENSUS_COUNTS * sizeof(uint64_t) : 0;
    struct parcel *parcel = parcel_make(&shard->parcels, kind, body.bytes + counts_bytes);
    if (parcel == NULL) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
        return STEP_ENDED;
    }
    parcel->dialect = conn->dialect;
    parcel->conn = conn_handle(conn);
    parcel->for_session = true;
    parcel->ticket = census ? action->census.tag : action->request.tag;
    if (census) {
        parcel->status = 200;
        parcel->counts = (uint64_t *)(void *)parcel->data;
        memset(parcel->counts, 0, counts_bytes);
        parcel->used = counts_bytes;
        shard_ask(shard, parcel, 0);
    } else {
        parcel->request_kind = action->request.kind;
        parcel->body = parcel_put(parcel, body);
        shard_ask(shard, parcel, channel_home(shard, conn->dialect, slice_of(NULL, 0)));
    }
    return STEP_WAIT_ANSWER;
}

static enum step do_action(struct shard *shard, struct conn *conn, const struct run *run, const struct action *action)
{
    switch (action->kind) {
    case ACTION_RESPOND:
        conn_respond(shard, conn, action->respond.status, action->respond.content_type, action->respond.extra,
                     action->respond.content);
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
        return ask_for(shard, conn, PARCEL_REQUEST, action);
    case ACTION_CENSUS:
        return ask_for(shard, conn, PARCEL_CENSUS, action);
    case ACTION_TIMER:
        conn->session.timer_ms = action->timer.after_ms == 0 ? 0 : shard->now_ms + action->timer.after_ms;
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
        if (step != STEP_WAIT_ROOM)
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
        return;
    }
    session_drop_pending(conn);
    if (conn->state == CONN_HTTP)
        session_give_back_places(shard, conn); /* answered by a response: the next request asks for its own */
    if (conn->corked) {
        conn->corked = false;
        conn_mark_dirty(shard, conn, false);
    }
    if (conn->parked)
        conn_unpark(shard, conn);
}

void session_run_call(struct shard *shard, struct conn *conn, const struct handshake *handshake)
{
    struct actions *actions = &shard->actions;
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
