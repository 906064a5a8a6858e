/* SPDX-License-Identifier: MIT */
/* Owns a client thread: its loop, its part in the phases, and the measurement of what arrives. It never decides when a
 * phase ends. Called by the main thread to start and join; all else happens on the thread itself. */
#include "bench/bench_worker.h"

#include "bench/bench_roamer.h"
#include "bench/bench_slow.h"
#include "bench/bench_stream.h"
#include "core/check.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define HELLO_INTERVAL_NS 200000000
#define END_NS 500000000

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* Begins as many connections as may be in flight and are due. When the next one is due. */
static uint64_t open_more(struct worker *worker)
{
    const struct bench *bench = worker->bench;
    const struct options *options = bench->options;
    uint64_t now_ns = clock_monotonic_ns();
    while (worker->begun < worker->connection_count && worker->opening < options->opening) {
        uint64_t due_ns = now_ns;
        if (options->connect_rate > 0) {
            uint64_t number = (uint64_t)worker->begun * bench->worker_count + worker->index;
            due_ns = bench->run.start_ns + (uint64_t)((double)number * 1e9 / (double)options->connect_rate);
            if (due_ns > now_ns)
                return due_ns;
        }
        worker->opening++;
        connection_begin(worker, &worker->connections[worker->begun++], due_ns);
    }
    return UINT64_MAX;
}

void worker_on_open(struct worker *worker, struct connection *connection)
{
    histogram_record(&worker->opening_ns, worker->ring.now_ns - connection->begun_ns);
    worker->opening--;
    worker->open += connection->role != ROLE_PUBLISHER_HTTP;
    if (connection->returning) {
        worker->apart.returned++;
        return;
    }
    connection->returning = connection->role == ROLE_ROAMER;
    atomic_store_explicit(&worker->counts.last_ns, worker->ring.now_ns, memory_order_relaxed);
    counts_add(&worker->counts.opened, 1);
}

void worker_on_lost(struct worker *worker, struct connection *connection, uint16_t code, const char *why)
{
    struct bench *bench = worker->bench;
    connection->state = CONNECTION_CLOSED;
    worker->open--;
    if (worker->phase == PHASE_END)
        return;
    if (connection->role == ROLE_SLOW || connection->role == ROLE_ROAMER) {
        ends_add(connection->role == ROLE_SLOW ? &worker->apart.slow_ends : &worker->apart.roaming_ends, code, 1);
        return;
    }
    counts_add(&worker->counts.lost_connections, 1);
    bool expected = false;
    if (atomic_compare_exchange_strong(&bench->parting, &expected, true))
        snprintf(bench->parting_text, sizeof bench->parting_text, "%s", why);
    if (connection_publishes(connection))
        bench_fail(bench, "a publisher's connection was lost: %s", why);
}

/* --- arriving ----------------------------------------------------------------------------------------------------- */

static void count_fault(struct worker *worker, enum track_result result)
{
    if (result == TRACK_LATE)
        worker->faults.late++;
    else if (result == TRACK_REPEATED)
        worker->faults.repeated++;
}

/* How long it took until everybody had the message, when this was the last one. */
static void count_arrival(struct worker *worker, const struct stream *stream, const struct stamp *stamp)
{
    struct bench *bench = worker->bench;
    size_t at = (size_t)stream->index * bench->arrival_slots;
    if (bench->arrival_slots == 0 || !arrivals_count(&worker->arrivals[at], bench->arrival_slots, stamp->sequence,
                                                     worker->tallies[stream->index].receivers))
        return;
    if (stream->shares == 1 ||
        arrivals_count_shared(&bench->shared[at], bench->arrival_slots, stamp->sequence, stream->shares))
        histogram_record(&worker->last_ns, stamp_age_ns(stamp, worker->ring.now_ns));
}

static void on_delivery(struct worker *worker, struct connection *connection, const struct frames_event *event)
{
    struct bench *bench = worker->bench;
    const struct stamp *stamp = &event->stamp;
    struct track *track = &connection->tracks[stamp->source];
    if (stamp->sequence == STAMP_HELLO) {
        if (!track->hello)
            counts_add(&worker->counts.hellos, 1);
        track->hello = true;
        return;
    }
    enum track_result result = track_take(track, stamp->sequence);
    if (result != TRACK_IN_ORDER)
        count_fault(worker, result);
    if (result == TRACK_REPEATED)
        return;
    histogram_record(&worker->latency_ns, stamp_age_ns(stamp, worker->ring.now_ns));
    counts_add(&worker->counts.deliveries, 1);
    counts_add(&worker->counts.delivered_bytes, event->bytes);
    atomic_store_explicit(&worker->counts.last_ns, worker->ring.now_ns, memory_order_relaxed);
    struct stream *stream = &bench->streams[connection->channel * bench->publishers_per_channel + stamp->source];
    count_arrival(worker, stream, stamp);
    streams_count(worker, stream);
}

void worker_on_message(struct worker *worker, struct connection *connection, const struct frames_event *event)
{
    if (connection->role == ROLE_SLOW)
        return;
    if (!event->stamped)
        worker->faults.foreign += !connection_publishes(connection); /* to those it is an answer */
    else if (connection_publishes(connection))
        counts_add(&worker->counts.copies, event->stamp.sequence != STAMP_HELLO);
    else if (!connection->tracks || event->stamp.source >= worker->bench->publishers_per_channel)
        worker->faults.foreign++;
    else if (connection->role == ROLE_ROAMER)
        roamer_on_delivery(worker, connection, event);
    else
        on_delivery(worker, connection, event);
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

static void reset(struct worker *worker)
{
    struct counts *counts = &worker->counts;
    _Atomic uint64_t *all[] = {&counts->published,       &counts->stopped, &counts->deliveries,
                               &counts->delivered_bytes, &counts->copies,  &counts->last_ns};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        atomic_store_explicit(all[i], 0, memory_order_relaxed);
    histogram_init(&worker->latency_ns);
    histogram_init(&worker->last_ns);
    histogram_init(&worker->lag_ns);
    worker->backlogs = 0;
    roamers_begin(worker);
    streams_begin(worker); /* not at PHASE_RUN: another worker's first burst may arrive before this one enters it */
}

static void begin_end(struct worker *worker)
{
    uint8_t code[2];
    store_be16(code, WS_CLOSE_NORMAL);
    for (uint32_t i = 0; i < worker->begun; i++) {
        struct connection *connection = &worker->connections[i];
        if (connection->state != CONNECTION_OPEN || connection->role == ROLE_PUBLISHER_HTTP)
            continue;
        connection_put_frame(worker, connection, WS_CLOSE, slice_of(code, sizeof code));
        connection_flush(worker, connection);
    }
    worker->end_ns = clock_monotonic_ns() + END_NS;
}

static void enter_phase(struct worker *worker, uint32_t step)
{
    worker->step = step;
    worker->phase = worker->bench->phase;
    switch (worker->phase) {
    case PHASE_REST:
    case PHASE_OPEN:
    case PHASE_RUN:
        break;
    case PHASE_HELLO:
        worker->hello_ns = clock_monotonic_ns();
        break;
    case PHASE_RESET:
        reset(worker);
        break;
    case PHASE_DRAIN:
        slow_drain(worker);
        break;
    case PHASE_END:
        begin_end(worker);
        break;
    }
    atomic_store_explicit(&worker->counts.step, step, memory_order_release);
}

static uint64_t hello(struct worker *worker)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns >= worker->hello_ns) {
        streams_hello(worker, now_ns);
        worker->hello_ns = now_ns + HELLO_INTERVAL_NS;
    }
    return worker->hello_ns;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* What the phase has to do now; when it has to be asked again at the latest. */
static uint64_t work(struct worker *worker)
{
    switch (worker->phase) {
    case PHASE_OPEN:
        return open_more(worker);
    case PHASE_HELLO:
        return hello(worker);
    case PHASE_RUN:
        return earlier(streams_work(worker), roamers_work(worker));
    case PHASE_REST:
    case PHASE_RESET:
    case PHASE_DRAIN:
    case PHASE_END:
        return UINT64_MAX;
    }
    check_failed(__FILE__, __LINE__, "a known phase");
}

static bool ended(const struct worker *worker)
{
    return worker->phase == PHASE_END && (worker->open == 0 || worker->ring.now_ns >= worker->end_ns);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void loop(struct worker *worker)
{
    struct bench *bench = worker->bench;
    struct bench_ring_event event;
    while (!ended(worker)) {
        uint32_t step = atomic_load_explicit(&bench->step, memory_order_acquire);
        if (step != worker->step)
            enter_phase(worker, step);
        uint64_t deadline_ns = earlier(work(worker), slow_work(worker));
        uint64_t latest_ns = clock_monotonic_ns() + END_NS;
        int error = bench_ring_wait(&worker->ring, earlier(deadline_ns, latest_ns));
        atomic_store_explicit(&worker->counts.spun_ns, worker->ring.spun_ns, memory_order_relaxed);
        if (error < 0) {
            bench_fail(bench, "io_uring: %s", strerror(-error));
            return;
        }
        while (bench_ring_next(&worker->ring, &event)) {
            if (event.op == BENCH_RING_WAKE)
                streams_collect(worker);
            else
                connection_on_event(worker, &worker->connections[event.slot], &event);
        }
    }
}

/* Contexts of TLS belong to one thread each, so every worker makes its own. */
static bool open_secure(struct worker *worker)
{
    struct bench *bench = worker->bench;
    char why[256];
    if (!bench_speaks_tls(bench) || secure_side_open(&worker->secure, &bench->trust, why, sizeof why))
        return true;
    bench_fail(bench, "TLS cannot be used: %s", why);
    return false;
}

static void worker_main(void *argument)
{
    struct worker *worker = argument;
    struct bench *bench = worker->bench;
    prctl(PR_SET_TIMERSLACK, 1UL);
    int error = bench_ring_open(&worker->ring, worker->connection_count, bench->options->spin_us * 1000);
    if (error < 0)
        bench_fail(bench, "io_uring cannot be used: %s (Linux 6.1 or later is needed; see kernel.io_uring_disabled)",
                   strerror(-error));
    worker->usable = error == 0;
    bool ready = worker->usable && open_secure(worker);
    /* The main thread may wake the ring from now on. */
    atomic_store_explicit(&worker->counts.step, UINT32_MAX, memory_order_release);
    if (ready)
        loop(worker);
    /* The ring stays open until the join: other workers may still wake it. */
}

int worker_start(struct worker *worker)
{
    char name[16];
    snprintf(name, sizeof name, "bench-%u", worker->index);
    random_init(&worker->random, clock_monotonic_ns() + worker->index);
    histogram_init(&worker->latency_ns);
    histogram_init(&worker->last_ns);
    histogram_init(&worker->lag_ns);
    histogram_init(&worker->opening_ns);
    return thread_start(&worker->thread, name, -1, worker_main, worker);
}

void worker_join(struct worker *worker)
{
    thread_join(&worker->thread);
    if (worker->usable)
        bench_ring_close(&worker->ring);
}

void worker_free(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->connection_count; i++)
        connection_free(&worker->connections[i]);
    secure_side_close(&worker->secure);
    free(worker->connections);
    free(worker->tracks);
    free(worker->streams);
    free(worker->tallies);
    free(worker->arrivals);
    free(worker->slow);
    free(worker->roamers);
    free(worker->ready);
}
