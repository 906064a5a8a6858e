/* SPDX-License-Identifier: MIT */
/* Owns the turn of a shard: the order of its phases, the completion switch, the steps of a stop and of a reload. It
 * never knows what a connection says. Called by the shard's thread (server.c) or by the simulation. */
#include "core/check.h"
#include "core/clock.h"
#include "core/ring.h"
#include "core/sandbox.h"
#include "core/work.h"
#include "shards/channel/depot_host.h"
#include "shards/channel/offload_host.h"
#include "shards/channel/service_host.h"
#include "shards/config/settings.h"
#include "shards/note.h"
#include "shards/session/session.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"
#include "shards/turn/turn_time.h"
#include "shards/turn/walks.h"

/* Bounds of one turn. */
#define COMPLETIONS_MAX 2048
#define SENT_MAX 64    /* of these, taken from the ring in one go */
#define MAILS_MAX 1024 /* per ring and round */
#define MAIL_ROUNDS 4
#define RETRIES_MAX 256
#define SECOND_MS 1000
#define ABSENCE_MS 2000 /* between the beginnings of two turns: longer is no turn's work */
#define BACKLOG_WAIT_NS 1000000

/* --- completions -------------------------------------------------------------------------------------------------- */

/* Of a connection that has ended. */
static void on_stale(struct shard *shard, const struct ring_completion *completion)
{
    stats_add(&shard->stats, STAT_RING_STALE, 1);
    shard_note(shard, FLIGHT_STALE, completion->tag.index, completion->op, completion->result);
}

static void on_conn_completion(struct shard *shard, const struct ring_completion *completion)
{
    struct handle handle = {.index = completion->tag.index, .generation = completion->tag.generation};
    struct conn *conn = slab_get(&shard->conns->slab, handle);
    if (conn == NULL) {
        if (handle.generation != 0)
            on_stale(shard, completion);
        else if (completion->op == RING_SHUTDOWN)
            listener_on_shut(shard, handle.index,
                             completion->result); /* else nobody's, such as the close of a socket that found no slot */
        return;
    }
    switch (completion->op) {
    case RING_RECEIVE:
        conn_on_receive(shard, conn, completion);
        break;
    case RING_SEND:
        conn_on_sent(shard, conn, completion->result);
        break;
    case RING_SHUTDOWN:
        conn->shutting = false;
        conn_advance(shard, conn);
        break;
    case RING_CANCEL:
        conn_on_cancelled(shard, conn, completion->result);
        break;
    case RING_CLOSE:
        conn_on_close_completed(shard, conn->index);
        break;
    default:
        check(false);
    }
}

static void on_completion(struct shard *shard, const struct ring_completion *completion)
{
    if (completion->op == RING_ACCEPT)
        listener_on_accept(shard, completion);
    else if (completion->op == RING_SEND_ZERO_COPY)
        pin_on_completion(shard, completion);
    else
        on_conn_completion(shard, completion);
    if (completion->op == RING_RECEIVE && completion->result > 0)
        ring_give_back(shard->ring, completion->buffer);
}

static void on_sends(struct shard *shard, const struct ring_sent *sent, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        i += conn_on_sends(shard, sent + i, count - i);
        if (i == count)
            break;
        const struct ring_completion unusual = {.op = RING_SEND, .tag = sent[i].tag, .result = sent[i].result};
        on_conn_completion(shard, &unusual);
    }
}

/* Sends of one flush end in a row. */
__attribute__((no_stack_protector)) static uint32_t take_sends(struct shard *shard, uint32_t max)
{
    struct ring_sent sent[SENT_MAX];
    uint32_t taken = 0, count;
    do {
        count = ring_next_sent(shard->ring, sent, max - taken < SENT_MAX ? max - taken : SENT_MAX);
        work_spend(shard->work, WORK_COMPLETION, count);
        on_sends(shard, sent, count);
        taken += count;
    } while (count == SENT_MAX && work_left(shard->work));
    return taken;
}

static bool take_completions(struct shard *shard)
{
    struct ring_completion completion;
    uint32_t taken = 0;
    work_begin_phase(shard->work, PHASE_COMPLETIONS);
    while (taken < COMPLETIONS_MAX && work_left(shard->work) && ring_next(shard->ring, &completion)) {
        work_spend(shard->work, WORK_COMPLETION, 1);
        on_completion(shard, &completion);
        taken++;
        if (completion.op == RING_SEND)
            taken += take_sends(shard, COMPLETIONS_MAX - taken);
    }
    return taken > 0;
}

/* --- mail --------------------------------------------------------------------------------------------------------- */

/* Goes on with connections that waited for room to publish. */
static void resume_parked(struct shard *shard)
{
    struct list_node *last = shard->conns->parked.head.prev;
    /* In a stop what waits is refused instead: an ingest request gets its answer. */
    work_begin_phase(shard->work, PHASE_ROOM);
    while (!list_empty(&shard->conns->parked) && work_left(shard->work) &&
           (errand_has_room(shard) || shard->stage_seen != STAGE_RUN)) {
        struct list_node *node = list_pop_front(&shard->conns->parked);
        struct conn *conn = list_entry(node, struct conn, wait);
        conn_role(conn)->resume(shard, conn);
        if (node == last)
            break;
    }
}

/* Goes on with connections that waited for room at a depot. */
static void resume_depot_waiting(struct shard *shard)
{
    struct list_node *last = shard->depots->waiting.head.prev;
    while (!list_empty(&shard->depots->waiting) && work_left(shard->work) &&
           (depot_host_has_room(shard) || shard->stage_seen != STAGE_RUN)) {
        struct list_node *node = list_pop_front(&shard->depots->waiting);
        struct conn *conn = list_entry(node, struct conn, wait);
        conn_role(conn)->resume(shard, conn);
        if (node == last)
            break;
    }
}

static bool exchange_mail(struct shard *shard)
{
    bool any = false;
    work_begin_phase(shard->work, PHASE_MAIL);
    mail_push_backlog(shard);
    for (unsigned round = 0; round < MAIL_ROUNDS && work_left(shard->work); round++) {
        bool taken = mail_drain(shard, MAILS_MAX) > 0;
        bool mailed = errands_flush(shard);
        publisher_send_acks(shard);
        any |= taken || mailed;
        if (!taken && !mailed)
            break;
    }
    resume_parked(shard);
    mail_ring_doorbells(shard);
    return any;
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

/* Connections whose receive or next step of ending found the submission queue full or no buffers. */
static void retry_starved(struct shard *shard)
{
    for (uint32_t i = 0; i < RETRIES_MAX; i++) {
        struct list_node *node = list_first(&shard->conns->starved);
        if (node == NULL)
            return;
        struct conn *conn = list_entry(node, struct conn, wait);
        bool ends = conn->state == CONN_DYING || conn->state == CONN_LINGER;
        if (!ends && ring_buffers_free(shard->ring) == 0)
            return;
        list_remove(node);
        conn_arm_receive(shard, conn);
        conn_advance(shard, conn);
    }
}

static void update_gauges(struct shard *shard)
{
    struct ring_counters ring;
    struct stats *stats = &shard->stats;
    ring_counters_read(shard->ring, &ring);
    stats_set(stats, STAT_FRAME_BYTES, shard->frames->bytes);
    stats_set(stats, STAT_ANSWER_BYTES, shard->frames[FRAMES_ANSWERS].bytes);
    stats_set(stats, STAT_OPERATOR_BYTES, shard->frames[FRAMES_OPERATORS].bytes);
    stats_set(stats, STAT_OUTBOX_BYTES, (uint64_t)shard->flush->outbox_pool.count * sizeof(struct outbox_node));
    stats_set(stats, STAT_INPUT_BYTES, shard->conns->input_bytes);
    stats_set(stats, STAT_ERRAND_BYTES, shard->errands->pool.bytes);
    stats_set(stats, STAT_OUTSTANDING, shard->errands->outstanding);
    stats_set(stats, STAT_OUTSTANDING_BYTES, shard->errands->outstanding_bytes);
    stats_set(stats, STAT_RING_ENTERS, ring.enter_calls);
    stats_set(stats, STAT_RING_BUFFERS_OUT, ring.buffers_out);
    stats_set(stats, STAT_RING_OVERFLOW, ring.overflow);
    stats_set(stats, STAT_RING_QUEUE_FULL, ring.queue_full);
}

static void on_second(struct shard *shard)
{
    turn_time_gauges(shard, &shard->turn->times);
    channels_begin_sweep(shard);
    walks_begin_second(shard);
    service_host_retry(shard);
    conn_tls_tidy(shard);
    ring_tidy(shard->ring);
    update_gauges(shard);
    if (shard->number == 0)
        sandbox_say();
    if (shard->stage_seen >= STAGE_FAREWELL)
        farewell_again(shard);
    wheel_set(shard->wheel, &shard->turn->second, shard->now_ms + SECOND_MS);
}

static bool is_listener_timer(const struct shard *shard, const struct wheel_timer *timer)
{
    for (uint32_t i = 0; i < shard->listeners->count; i++)
        if (timer == &shard->listeners->items[i].retry)
            return true;
    return false;
}

static void run_timers(struct shard *shard)
{
    struct wheel_timer *timer;
    work_begin_phase(shard->work, PHASE_TIMERS);
    listener_retry_refused(shard);
    if (shard->stage_seen != STAGE_RUN)
        listener_stop(shard);
    retry_starved(shard);
    wheel_advance(shard->wheel, shard->now_ms);
    while (work_left(shard->work) && (timer = wheel_pop(shard->wheel)) != NULL) {
        work_spend(shard->work, WORK_TIMER, 1);
        if (timer == &shard->turn->second)
            on_second(shard);
        else if (is_listener_timer(shard, timer))
            listener_resume(shard);
        else if (timer != &shard->turn->farewell.timer && /* that one only ends the wait: farewell_go_on looks itself */
                 !service_host_on_timer(shard, timer))
            conn_on_timer(shard, timer);
    }
    session_close_some(shard);
    progress_go_on(shard);
}

/* --- a stop ------------------------------------------------------------------------------------------------------- */

/* Whether nothing that this shard has acknowledged, or will, is still on its way from here. */
static bool is_quiet(const struct shard *shard)
{
    return shard->errands->outstanding == 0 && list_empty(&shard->errands->behind) &&
           list_empty(&shard->channels->pending) && list_empty(&shard->publishers->acking) &&
           shard->mail->backlogged == 0 && service_host_is_quiet(shard);
}

static void follow_stage(struct shard *shard)
{
    uint32_t stage = atomic_load_explicit(&shard->stage, memory_order_acquire);
    if (stage == shard->stage_seen)
        return;
    if (stage == STAGE_FAREWELL && mail_waits(shard))
        return; /* all that was published before the stop is in our rings: it goes out before the farewell */
    shard_note(shard, FLIGHT_STAGE, shard->number, stage, shard->stage_seen);
    shard->stage_seen = stage;
    if (stage >= STAGE_FAREWELL)
        farewell_begin(shard);
    listener_stop(shard);
}

/* --- the turn ----------------------------------------------------------------------------------------------------- */

/* A turn begins at least once a second. When it did not (the process stood still: a snapshot, a suspend, a debugger),
 * its peers are not blamed for what they could not say or take meanwhile (K-24). */
static void note_absence(struct shard *shard)
{
    uint64_t last_ms = shard->turn->last_ms;
    shard->turn->last_ms = shard->now_ms;
    if (shard->now_ms - last_ms <= ABSENCE_MS)
        return;
    conns_absent(shard, shard->now_ms - last_ms);
    progress_absent(shard, shard->now_ms - last_ms);
    stats_add(&shard->stats, STAT_ABSENCES, 1);
    shard_note(shard, FLIGHT_ABSENCE, shard->number, (int64_t)(shard->now_ms - last_ms), 0);
}

static void begin_turn(struct shard *shard)
{
    struct turn *turn = shard->turn;
    uint64_t now_ns = clock_monotonic_ns();
    if (turn->began_ns != 0)
        turn_time_note(shard, &turn->times, (turn->waited_ns != 0 ? turn->waited_ns : now_ns) - turn->began_ns);
    turn->began_ns = now_ns;
    turn->waited_ns = 0;
    shard->now_ms = now_ns / 1000000;
    shard->wall_ms = clock_wall_ms();
    note_absence(shard);
    atomic_store_explicit(&shard->beat_ms, shard->now_ms, memory_order_relaxed);
    stats_add(&shard->stats, STAT_TICKS, 1);
    work_begin_turn(shard->work);
    follow_stage(shard);
    walks_follow_config(shard);
}

/* How long the ring may wait: until the next timer, never longer than a second. */
static uint64_t wait_ns(const struct shard *shard)
{
    if ((!list_empty(&shard->conns->parked) && errand_has_room(shard)) || !list_empty(&shard->conns->yielded) ||
        (!list_empty(&shard->depots->waiting) && depot_host_has_room(shard)) || walks_left(shard))
        return 0;
    if (shard->mail->backlogged > 0 || !list_empty(&shard->conns->starved) || shard->listeners->refused_count > 0 ||
        shard->channels->sweep_left > 0 || shard->progress->walking)
        return BACKLOG_WAIT_NS;
    uint64_t next_ms = wheel_next_ms(shard->wheel);
    if (next_ms <= shard->now_ms)
        return 0;
    return (next_ms - shard->now_ms < SECOND_MS ? next_ms - shard->now_ms : SECOND_MS) * 1000000;
}

static void submit_and_wait(struct shard *shard, bool worked, bool may_wait)
{
    uint64_t timeout = 0, spin_ns = shard->config->server.spin_us * 1000;
    if (worked && spin_ns > 0)
        spin_worked(&shard->turn->spin, spin_ns, shard->turn->began_ns, clock_monotonic_ns());
    else if (!worked && may_wait && (spin_ns == 0 || !spin_on(&shard->turn->spin, spin_ns, clock_monotonic_ns())))
        timeout = wait_ns(shard);
    bool asleep = timeout > 0 && mail_try_sleep(shard);
    if (asleep &&
        (service_host_has_answers(shard) || offload_host_has_answers(shard) || depot_host_has_answers(shard))) {
        mail_awake(shard);
        asleep = false;
    }
    if (asleep)
        shard->turn->waited_ns = clock_monotonic_ns();
    int error = ring_wait(shard->ring, asleep ? timeout : 0);
    if (asleep)
        mail_awake(shard);
    if (error == 0)
        shard->flush->vectors_used = 0;
    else
        stats_add(&shard->stats, STAT_RING_ERRORS, 1); /* out of memory for a moment: what is queued is tried again */
}

bool shard_tick(struct shard *shard, bool may_wait)
{
    begin_turn(shard);
    bool worked = take_completions(shard);
    work_begin_phase(shard->work, PHASE_INPUT);
    worked |= conn_resume_yielded(shard);
    worked |= exchange_mail(shard);
    worked |= service_host_take_answers(shard);
    worked |= offload_host_take(shard);
    worked |= depot_host_take(shard);
    resume_depot_waiting(shard);
    run_timers(shard);
    walks_run(shard);
    worked |= errands_flush(shard); /* what services have published by time */
    if (shard->stage_seen >= STAGE_FAREWELL)
        farewell_go_on(shard);
    work_begin_phase(shard->work, PHASE_FLUSH);
    worked |= conn_flush_queues(shard);
    mail_return_idle(shard);
    mail_ring_doorbells(shard);
    if (shard->stage_seen == STAGE_STOP && atomic_load_explicit(&shard->conns->open, memory_order_relaxed) == 0 &&
        shard->pins->bytes == 0 && list_empty(&shard->errands->tours) && listener_all_ended(shard))
        return false;
    atomic_store_explicit(&shard->quiet, shard->stage_seen >= STAGE_QUIESCE && is_quiet(shard), memory_order_release);
    work_end_turn(shard->work);
    submit_and_wait(shard, worked, may_wait);
    return true;
}
