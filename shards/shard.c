/* SPDX-License-Identifier: MIT */
/* Owns the turn of a shard: the order of its phases, the completion switch, the steps of a stop and of a reload. It never
 * knows what a connection says. Called by the shard's thread (server.c) or by the simulation. */
#include "shards/shard.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "shards/home.h"
#include "shards/ingest.h"
#include "shards/publisher.h"
#include "shards/session.h"

#include <errno.h>
#include <stdlib.h>

/* Bounds of one turn. */
#define COMPLETIONS_MAX 2048
#define SENT_MAX 64    /* of these, taken from the ring in one go */
#define MAILS_MAX 1024 /* per ring and round */
#define MAIL_ROUNDS 4
#define RETRIES_MAX 256
#define FAREWELLS_MAX 1024
#define QUOTA_SWEEP 4096

#define SECOND_MS 1000
#define BACKLOG_WAIT_NS 1000000
#define LOG_LINES_PER_SECOND 100
#define OUTBOX_NODES_PER_CONNECTION 64

/* ---- names ---- */

struct hash128 shard_name(const struct shard *shard, char kind, uint8_t dialect, struct slice bytes)
{
    uint8_t memory[2 + KEY_BYTES_MAX];
    struct buf name = buf_of(memory, sizeof memory);
    buf_put_byte(&name, (uint8_t)kind);
    buf_put_byte(&name, dialect);
    buf_put(&name, bytes);
    check(!name.overflow);
    return siphash128(&shard->key, buf_slice(&name));
}

uint16_t shard_home(const struct shard *shard, struct hash128 name)
{
    return (uint16_t)(name.low % shard->count);
}

void shard_ask(struct shard *shard, struct parcel *parcel, uint16_t home)
{
    parcel->home = home;
    shard->outstanding++;
    shard->outstanding_bytes += parcel->capacity;
    mail_post(shard, home, (struct mail){.kind = MAIL_ASK, .parcel = parcel});
}

void shard_answered(struct shard *shard, const struct parcel *parcel)
{
    check_op(shard->outstanding, >, 0);
    shard->outstanding--;
    shard->outstanding_bytes -= parcel->capacity;
}

/* One more is let in as long as the budget is not used up, so a single one larger than all of it goes too. */
bool shard_has_room(const struct shard *shard)
{
    return shard->stage_seen == STAGE_RUN && shard->mail.backlogged == 0 &&
           shard->outstanding < shard->config->ingest.outstanding_max &&
           shard->outstanding_bytes < shard->config->ingest.outstanding_bytes_max;
}

bool shard_may_log(struct shard *shard)
{
    if (bucket_count(&shard->log_bucket, shard->now_ms, SECOND_MS) <= LOG_LINES_PER_SECOND)
        return true;
    stats_add(&shard->stats, STAT_LOG_SUPPRESSED, 1);
    return false;
}

/* ---- completions ---- */

/* Of a connection that has ended. */
static void on_stale(struct shard *shard, const struct ring_completion *completion)
{
    stats_add(&shard->stats, STAT_RING_STALE, 1);
    shard_note(shard, FLIGHT_STALE, completion->tag.index, completion->op, completion->result);
}

static void on_conn_completion(struct shard *shard, const struct ring_completion *completion)
{
    struct handle handle = {.index = completion->tag.index, .generation = completion->tag.generation};
    struct conn *conn = slab_get(&shard->conns, handle);
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
static uint32_t take_sends(struct shard *shard, uint32_t max)
{
    struct ring_sent sent[SENT_MAX];
    uint32_t taken = 0, count;
    do {
        count = ring_next_sent(shard->ring, sent, max - taken < SENT_MAX ? max - taken : SENT_MAX);
        on_sends(shard, sent, count);
        taken += count;
    } while (count == SENT_MAX);
    return taken;
}

static bool take_completions(struct shard *shard)
{
    struct ring_completion completion;
    uint32_t taken = 0;
    while (taken < COMPLETIONS_MAX && ring_next(shard->ring, &completion)) {
        on_completion(shard, &completion);
        taken++;
        if (completion.op == RING_SEND)
            taken += take_sends(shard, COMPLETIONS_MAX - taken);
    }
    return taken > 0;
}

/* ---- mail ---- */

/* Goes on with connections that waited for room to publish. */
static void resume_parked(struct shard *shard)
{
    struct list_node *last = shard->parked.head.prev;
    /* In a stop what waits is refused instead: an ingest request gets its answer. */
    while (!list_empty(&shard->parked) && (shard_has_room(shard) || shard->stage_seen != STAGE_RUN)) {
        struct list_node *node = list_pop_front(&shard->parked);
        struct conn *conn = list_entry(node, struct conn, wait);
        if (conn->role == CONN_ROLE_SESSION || conn->session.pending != NULL)
            session_resume(shard, conn);
        else if (conn->role == CONN_ROLE_PUBLISHER)
            publisher_resume(shard, conn);
        else
            ingest_resume(shard, conn);
        if (node == last)
            break;
    }
}

static bool exchange_mail(struct shard *shard)
{
    bool any = false;
    mail_push_backlog(shard);
    for (unsigned round = 0; round < MAIL_ROUNDS; round++) {
        bool taken = mail_drain(shard, MAILS_MAX) > 0;
        bool mailed = fanout_flush(shard);
        publisher_send_acks(shard);
        any |= taken || mailed;
        if (!taken && !mailed)
            break;
    }
    resume_parked(shard);
    mail_ring_doorbells(shard);
    return any;
}

/* ---- timers ---- */

/* Connections whose receive or next step of ending found the submission queue full or no buffers. */
static void retry_starved(struct shard *shard)
{
    for (uint32_t i = 0; i < RETRIES_MAX; i++) {
        struct list_node *node = list_first(&shard->starved);
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
    stats_set(stats, STAT_FRAME_BYTES, shard->frames.bytes);
    stats_set(stats, STAT_OUTBOX_BYTES, (uint64_t)shard->outbox_pool.count * sizeof(struct outbox_node));
    stats_set(stats, STAT_INPUT_BYTES, shard->input_bytes);
    stats_set(stats, STAT_PARCEL_BYTES, shard->parcels.bytes);
    stats_set(stats, STAT_OUTSTANDING, shard->outstanding);
    stats_set(stats, STAT_OUTSTANDING_BYTES, shard->outstanding_bytes);
    stats_set(stats, STAT_RING_ENTERS, ring.enter_calls);
    stats_set(stats, STAT_RING_BUFFERS_OUT, ring.buffers_out);
    stats_set(stats, STAT_RING_OVERFLOW, ring.overflow);
    stats_set(stats, STAT_RING_QUEUE_FULL, ring.queue_full);
}

static void on_second(struct shard *shard)
{
    channels_begin_sweep(shard);
    quota_sweep(&shard->quotas, QUOTA_SWEEP + (uint32_t)(shard->quotas.map.count / 8), shard->now_ms);
    session_count_all(shard);
    conn_tls_tidy(shard);
    ring_tidy(shard->ring);
    update_gauges(shard);
    if (shard->stage_seen >= STAGE_FAREWELL)
        shard->farewell_at = 0; /* who was waiting for an answer may be done by now */
    wheel_set(&shard->wheel, &shard->second, shard->now_ms + SECOND_MS);
}

static bool is_listener_timer(const struct shard *shard, const struct wheel_timer *timer)
{
    for (uint32_t i = 0; i < shard->listener_count; i++)
        if (timer == &shard->listeners[i].retry)
            return true;
    return false;
}

static void run_timers(struct shard *shard)
{
    struct wheel_timer *timer;
    listener_retry_refused(shard);
    if (shard->stage_seen != STAGE_RUN)
        listener_stop(shard);
    retry_starved(shard);
    wheel_advance(&shard->wheel, shard->now_ms);
    while ((timer = wheel_pop(&shard->wheel)) != NULL) {
        if (timer == &shard->second)
            on_second(shard);
        else if (is_listener_timer(shard, timer))
            listener_resume(shard);
        else if (!service_host_on_timer(shard, timer))
            conn_on_timer(shard, timer);
    }
    channels_sweep(shard);
}

/* ---- a stop ---- */

static void say_farewell(struct shard *shard)
{
    struct conn *conn;
    for (uint32_t n = 0; n < FAREWELLS_MAX; n++) {
        if ((conn = slab_next(&shard->conns, &shard->farewell_at, NULL)) == NULL)
            return;
        if (shard->stage_seen == STAGE_STOP)
            conn_terminate(shard, conn, CLOSE_SHUTDOWN);
        else if (shard->listeners[conn->listener].kind == LISTENER_ADMIN)
            continue; /* operators are answered to the end */
        else if (conn->state == CONN_OPEN)
            conn_close(shard, conn, CLOSE_SHUTDOWN, 0, NULL);
        else if (conn->state == CONN_HTTP && !conn->parked)
            conn_finish(shard, conn, CLOSE_SHUTDOWN);
    }
}

/* Whether nothing that this shard has acknowledged, or will, is still on its way from here. */
static bool is_quiet(const struct shard *shard)
{
    return shard->outstanding == 0 && list_empty(&shard->answers) && list_empty(&shard->channels.pending) &&
           list_empty(&shard->acking) && shard->mail.backlogged == 0;
}

static void follow_stage(struct shard *shard)
{
    uint32_t stage = atomic_load_explicit(&shard->stage, memory_order_acquire);
    if (stage == shard->stage_seen)
        return;
    if (stage >= STAGE_FAREWELL)
        while (mail_drain(shard, MAILS_MAX) > 0)
            ; /* all that was published before the stop is in our rings: it goes out before the farewell */
    shard_note(shard, FLIGHT_STAGE, shard->number, stage, shard->stage_seen);
    shard->stage_seen = stage;
    shard->farewell_at = 0;
    listener_stop(shard);
}

/* ---- a reload ---- */

static void follow_config(struct shard *shard)
{
    const struct config *next = atomic_load_explicit(&shard->config_next, memory_order_acquire);
    if (next == shard->config)
        return;
    shard->config = next;
    shard_note(shard, FLIGHT_RELOAD, shard->number, shard->conns.count_live, 0);
    conn_tls_configure(shard);
    service_host_settings(shard);
    channels_settings(shard);
    uint32_t cursor = 0;
    for (struct audience *audience; (audience = slab_next(&shard->audiences.slab, &cursor, NULL)) != NULL;)
        audience->outbox_bytes_max = shard_dialect_settings(shard, audience->dialect)->outbox_bytes_max;
    cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns, &cursor, NULL)) != NULL;) {
        session_revoke(shard, conn);
        publisher_revoke(shard, conn);
        conn_settings(shard, conn);
    }
    stats_add(&shard->stats, STAT_RELOADS, 1);
    atomic_store_explicit(&shard->config_seen, next, memory_order_release);
}

/* ---- the turn ---- */

static void begin_turn(struct shard *shard)
{
    shard->began_ns = clock_monotonic_ns();
    shard->now_ms = shard->began_ns / 1000000;
    shard->wall_ms = clock_wall_ms();
    atomic_store_explicit(&shard->beat_ms, shard->now_ms, memory_order_relaxed);
    stats_add(&shard->stats, STAT_TICKS, 1);
    follow_stage(shard);
    follow_config(shard);
}

/* How long the ring may wait: until the next timer, never longer than a second. */
static uint64_t wait_ns(const struct shard *shard)
{
    if (!list_empty(&shard->parked) && shard_has_room(shard))
        return 0;
    if (shard->mail.backlogged > 0 || !list_empty(&shard->starved) || shard->refused_count > 0 ||
        shard->channels.sweep_left > 0)
        return BACKLOG_WAIT_NS;
    uint64_t next_ms = wheel_next_ms(&shard->wheel);
    if (next_ms <= shard->now_ms)
        return 0;
    return (next_ms - shard->now_ms < SECOND_MS ? next_ms - shard->now_ms : SECOND_MS) * 1000000;
}

static void submit_and_wait(struct shard *shard, bool worked, bool may_wait)
{
    uint64_t timeout = 0, spin_ns = shard->config->server.spin_us * 1000;
    if (worked && spin_ns > 0)
        spin_worked(&shard->spin, spin_ns, shard->began_ns, clock_monotonic_ns());
    else if (!worked && may_wait && (spin_ns == 0 || !spin_on(&shard->spin, spin_ns, clock_monotonic_ns())))
        timeout = wait_ns(shard);
    bool asleep = timeout > 0 && mail_try_sleep(shard);
    int error = ring_wait(shard->ring, asleep ? timeout : 0);
    if (asleep)
        mail_awake(shard);
    if (error == 0)
        shard->vectors_used = 0;
    else
        stats_add(&shard->stats, STAT_RING_ERRORS, 1); /* out of memory for a moment: what is queued is tried again */
}

bool shard_tick(struct shard *shard, bool may_wait)
{
    begin_turn(shard);
    bool worked = take_completions(shard);
    worked |= exchange_mail(shard);
    run_timers(shard);
    worked |= fanout_flush(shard); /* what services have published by time */
    if (shard->stage_seen >= STAGE_FAREWELL)
        say_farewell(shard);
    worked |= conn_flush_queues(shard);
    mail_return_idle(shard);
    mail_ring_doorbells(shard);
    if (shard->stage_seen == STAGE_STOP && atomic_load_explicit(&shard->open, memory_order_relaxed) == 0 &&
        shard->pins.bytes == 0 && listener_all_ended(shard))
        return false;
    atomic_store_explicit(&shard->quiet, shard->stage_seen >= STAGE_QUIESCE && is_quiet(shard), memory_order_release);
    submit_and_wait(shard, worked, may_wait);
    return true;
}

/* ---- making and ending ---- */

static void init_lists(struct shard *shard)
{
    list_init(&shard->starved);
    list_init(&shard->parked);
    list_init(&shard->doomed);
    list_init(&shard->answers);
    list_init(&shard->acking);
}

static uint32_t connections_max(const struct shard_options *options)
{
    uint64_t share = options->config->server.connections_max / options->count;
    if (share > CONNECTIONS_PER_SHARD_MAX)
        share = CONNECTIONS_PER_SHARD_MAX;
    return share == 0 ? 1 : (uint32_t)share;
}

static bool flush_queue_init(struct flush_queue *queue, uint32_t capacity)
{
    *queue = (struct flush_queue){.places = calloc(capacity, sizeof *queue->places), .capacity = capacity};
    return queue->places != NULL;
}

static bool init_parts(struct shard *shard, const struct shard_options *options)
{
    uint32_t connections = connections_max(options);
    shard->ingest_memory = malloc(INGEST_TEXT_BYTES);
    shard->listeners = calloc(options->listener_count, sizeof *shard->listeners);
    if (shard->ingest_memory == NULL || shard->listeners == NULL)
        return false;
    memcpy(shard->listeners, options->listeners, options->listener_count * sizeof *shard->listeners);
    shard->listener_count = options->listener_count;
    frame_memory_init(&shard->frames, shard->number, shard->count,
                      options->config->server.frame_memory_bytes / shard->count);
    outbox_pool_init(&shard->outbox_pool,
                     connections > UINT32_MAX / 2 / OUTBOX_NODES_PER_CONNECTION
                         ? UINT32_MAX
                         : connections * OUTBOX_NODES_PER_CONNECTION + 4 * OUTBOX_SLICES_MAX,
                     shard->number, &shard->idle);
    parcel_pool_init(&shard->parcels, shard->number);
    quotas_init(&shard->quotas, shard->key);
    return conn_tls_init(shard, options->ticket_secret, options->started_s) &&
           slab_init(&shard->conns, sizeof(struct conn), connections) == 0 &&
           flush_queue_init(&shard->express, connections) && flush_queue_init(&shard->bulk, connections) &&
           pins_init(&shard->pins, shard->count) == 0 && audiences_init(&shard->audiences, shard->count) == 0 &&
           channels_init(&shard->channels, shard->key) == 0 && mailbox_init(&shard->mail, shard->count) == 0 &&
           conn_tls_configure(shard);
}

struct shard *shard_create(const struct shard_options *options)
{
    struct shard *shard = aligned_alloc(64, (sizeof *shard + 63) & ~(size_t)63);
    if (shard == NULL)
        return NULL;
    memset(shard, 0, offsetof(struct shard, vectors));
    shard->vectors_used = 0;
    shard->number = options->number;
    shard->count = options->count;
    shard->server = options->server;
    shard->all = options->all;
    shard->key = options->key;
    shard->ring = options->ring;
    shard->config = options->config;
    atomic_store(&shard->config_next, options->config);
    atomic_store(&shard->config_seen, options->config);
    shard->now_ms = clock_monotonic_ns() / 1000000;
    shard->wall_ms = clock_wall_ms();
    atomic_store(&shard->beat_ms, shard->now_ms);
    init_lists(shard);
    wheel_init(&shard->wheel, shard->now_ms);
    if (!init_parts(shard, options)) {
        shard_destroy(shard);
        return NULL;
    }
    wheel_set(&shard->wheel, &shard->second, shard->now_ms + SECOND_MS);
    for (uint32_t i = 0; i < shard->listener_count; i++)
        listener_arm(shard, &shard->listeners[i]);
    return shard;
}

void shard_destroy(struct shard *shard)
{
    service_host_destroy(shard);
    if (shard->conns.object_bytes != 0) {
        channels_destroy(shard);
        audiences_destroy(&shard->audiences, shard->count);
        slab_destroy(&shard->conns);
        conn_tls_destroy(shard);
        pins_destroy(&shard->pins);
        quotas_destroy(&shard->quotas);
    }
    tls_tickets_release(shard->tls.tickets); /* of a start that has failed before the rest was there */
    codec_destroy(&shard->codec);
    mailbox_destroy(&shard->mail, shard->count);
    parcel_pool_destroy(&shard->parcels);
    outbox_pool_destroy(&shard->outbox_pool);
    frame_log_release(&shard->frames, &shard->idle, &shard->replies);
    frame_memory_destroy(&shard->frames);
    free(shard->express.places);
    free(shard->bulk.places);
    free(shard->listeners);
    free(shard->ingest_memory);
    free(shard);
}
