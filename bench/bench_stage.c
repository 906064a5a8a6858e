/* SPDX-License-Identifier: MIT */
/* Owns the order of events of a bench and the progress line. It never touches a connection. Called by main. */
#include "bench/bench_stage.h"

#include "bench/bench_process.h"
#include "bench/bench_worker.h"
#include "core/clock.h"

#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 2000000
#define PROGRESS_NS 1000000000
#define DRAIN_QUIET_NS 300000000
#define DRAIN_NS UINT64_C(30000000000)
#define LEAD_NS 20000000 /* a schedule begins so much later than it is announced, so that every worker is in time */

void bench_fail(struct bench *bench, const char *format, ...)
{
    char text[sizeof bench->failure];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    static atomic_flag taken = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&taken))
        return;
    memcpy(bench->failure, text, sizeof text);
    atomic_store_explicit(&bench->failed, true, memory_order_release);
}

static bool failed(const struct bench *bench)
{
    return atomic_load_explicit(&bench->failed, memory_order_acquire);
}

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* --- sums over the workers ---------------------------------------------------------------------------------------- */

struct totals {
    uint64_t opened;
    uint64_t lost_connections;
    uint64_t hellos;
    uint64_t spun_ns;
    uint64_t slow_bytes;
    uint64_t published;
    uint64_t stopped;
    uint64_t deliveries;
    uint64_t delivered_bytes;
    uint64_t copies;
    uint64_t last_ns; /* the latest */
};

static struct totals add_up(const struct bench *bench)
{
    struct totals sum = {0};
    for (uint32_t i = 0; i < bench->worker_count; i++) {
        const struct counts *counts = &bench->workers[i].counts;
        sum.opened += counts_get(&counts->opened);
        sum.lost_connections += counts_get(&counts->lost_connections);
        sum.spun_ns += counts_get(&counts->spun_ns);
        sum.slow_bytes += counts_get(&counts->slow_bytes);
        sum.hellos += counts_get(&counts->hellos);
        sum.published += counts_get(&counts->published);
        sum.stopped += counts_get(&counts->stopped);
        sum.deliveries += counts_get(&counts->deliveries);
        sum.delivered_bytes += counts_get(&counts->delivered_bytes);
        sum.copies += counts_get(&counts->copies);
        uint64_t last_ns = counts_get(&counts->last_ns);
        sum.last_ns = last_ns > sum.last_ns ? last_ns : sum.last_ns;
    }
    return sum;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

struct watch {
    const struct bench *bench;
    const char *name;
    uint64_t begun_ns;
    uint64_t printed_ns;
    uint64_t printed_value;
    uint64_t value;    /* whatever grows while things go well */
    uint64_t moved_ns; /* when it last did */
    bool live;
};

static struct watch watch_begin(const struct bench *bench, const char *name)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool terminal = isatty(STDERR_FILENO);
    if (!bench->options->quiet && !terminal)
        fprintf(stderr, "%s\n", name); /* a log, or a script that waits for a stage */
    return (struct watch){.bench = bench,
                          .name = name,
                          .begun_ns = now_ns,
                          .printed_ns = now_ns,
                          .moved_ns = now_ns,
                          .live = !bench->options->quiet && terminal};
}

/* Sleeps for a moment. False: no progress for --timeout although `waiting`. */
static bool watch_on(struct watch *watch, uint64_t value, bool waiting)
{
    pause_ns(POLL_NS);
    uint64_t now_ns = clock_monotonic_ns();
    if (value != watch->value || !waiting)
        watch->moved_ns = now_ns;
    watch->value = value;
    if (watch->live && now_ns - watch->printed_ns >= PROGRESS_NS) {
        double seconds = (double)(now_ns - watch->printed_ns) / 1e9;
        fprintf(stderr, "\r%-8s %6.1f s %12" PRIu64 " %12.0f/s ", watch->name, (double)(now_ns - watch->begun_ns) / 1e9,
                value, (double)(value - watch->printed_value) / seconds);
        watch->printed_ns = now_ns;
        watch->printed_value = value;
    }
    return now_ns - watch->moved_ns < watch->bench->options->timeout_ms * 1000000;
}

static void watch_end(const struct watch *watch)
{
    if (watch->live && watch->printed_ns != watch->begun_ns)
        fprintf(stderr, "\r%60s\r", "");
}

/* Wakes all workers and waits until each has entered the phase. */
static bool step_to(struct bench *bench, enum phase phase)
{
    bench->phase = phase;
    uint32_t step = atomic_load_explicit(&bench->step, memory_order_relaxed) + 1;
    atomic_store_explicit(&bench->step, step, memory_order_release);
    for (uint32_t i = 0; i < bench->worker_count; i++)
        bench_ring_wake(&bench->workers[i].ring);
    for (uint32_t i = 0; i < bench->worker_count; i++)
        while (atomic_load_explicit(&bench->workers[i].counts.step, memory_order_acquire) != step) {
            if (failed(bench))
                return false;
            pause_ns(20000);
        }
    return !failed(bench);
}

/* --- CPU time ----------------------------------------------------------------------------------------------------- */

struct client_cpu {
    uint64_t used_ns;
    uint64_t spun_ns;
    uint64_t at_ns;
};

static struct client_cpu client_cpu(const struct bench *bench)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (struct client_cpu){.used_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                               .spun_ns = add_up(bench).spun_ns,
                               .at_ns = clock_monotonic_ns()};
}

/* What the client has used since `before`, and how much of what it could have used was work. */
static void count_client(const struct bench *bench, const struct client_cpu *before, struct result *result)
{
    struct client_cpu after = client_cpu(bench);
    result->client_cpu_ns = after.used_ns - before->used_ns;
    uint64_t spun_ns = after.spun_ns - before->spun_ns;
    uint64_t worked_ns = result->client_cpu_ns > spun_ns ? result->client_cpu_ns - spun_ns : 0;
    cpu_set_t allowed;
    int cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    uint32_t usable = bench->worker_count < (uint32_t)cores ? bench->worker_count : (uint32_t)cores;
    result->client_share = (double)worked_ns / ((double)(after.at_ns - before->at_ns) * usable);
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

bool stage_start(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->worker_count; i++) {
        struct worker *worker = &bench->workers[i];
        int error = worker_start(worker);
        if (error < 0) {
            bench->worker_count = i;
            bench_fail(bench, "cannot start a thread: %s", strerror(-error));
            return false;
        }
        while (atomic_load_explicit(&worker->counts.step, memory_order_acquire) != UINT32_MAX)
            pause_ns(20000);
    }
    return !failed(bench);
}

bool stage_open(struct bench *bench, struct result *result)
{
    struct client_cpu client = client_cpu(bench);
    bench->run.start_ns = clock_monotonic_ns();
    struct watch watch = watch_begin(bench, "open");
    if (!step_to(bench, PHASE_OPEN))
        return false;
    for (;;) {
        struct totals sum = add_up(bench);
        result->connections = sum.opened;
        if (failed(bench) || sum.opened == bench->connection_count)
            break;
        if (!watch_on(&watch, sum.opened, bench->options->connect_rate == 0))
            bench_fail(bench, "%" PRIu64 " of %u connections are open, the server does not answer the next ones",
                       sum.opened, bench->connection_count);
    }
    watch_end(&watch);
    result->opening_s = (double)(add_up(bench).last_ns - bench->run.start_ns) / 1e9;
    count_client(bench, &client, result);
    return !failed(bench);
}

bool stage_hello(struct bench *bench)
{
    struct watch watch = watch_begin(bench, "hello");
    if (!step_to(bench, PHASE_HELLO))
        return false;
    uint64_t hellos;
    while ((hellos = add_up(bench).hellos) < bench->hellos_expected && !failed(bench))
        if (!watch_on(&watch, hellos, true))
            bench_fail(bench,
                       "%" PRIu64 " of %" PRIu64
                       " probes arrived: is what is sent to %s delivered to subscribers of %s?",
                       hellos, bench->hellos_expected, bench->options->publish_url, bench->options->url);
    watch_end(&watch);
    return !failed(bench);
}

static void set_run(struct bench *bench, uint64_t duration_ms, uint64_t messages)
{
    const struct options *options = bench->options;
    uint64_t by_time = options->rate > 0 ? options->rate * duration_ms / 1000 : UINT64_MAX;
    bench->run = (struct run){.interval_ns = options->rate > 0 ? 1e9 / (double)options->rate : 0,
                              .messages = messages > 0 ? messages : by_time};
}

static bool server_cpu_ns(struct bench *bench, uint64_t *ns)
{
    uint64_t pid = bench->options->server_pid;
    if (pid == 0 || process_cpu_ns(pid, ns))
        return true;
    bench_fail(bench, "no process %" PRIu64 " (--server-pid)", pid);
    return false;
}

/* Until all streams have stopped and everything has arrived, or nothing comes any more. */
static void wait_for_run(struct bench *bench, const char *name, struct result *result)
{
    struct watch watch = watch_begin(bench, name);
    for (;;) {
        struct totals sum = add_up(bench);
        result->expected = sum.published * bench->receivers_per_stream;
        bool complete = sum.deliveries >= result->expected;
        if (failed(bench) || (complete && sum.stopped == bench->stream_count))
            break;
        if (!watch_on(&watch, sum.deliveries, !complete)) {
            result->stalled = true;
            break;
        }
    }
    watch_end(&watch);
}

bool stage_run(struct bench *bench, const char *name, uint64_t duration_ms, uint64_t messages, struct result *result)
{
    if (!step_to(bench, PHASE_REST))
        return false;
    set_run(bench, duration_ms, messages);
    if (!step_to(bench, PHASE_RESET))
        return false;
    uint64_t server_before = 0;
    uint64_t server_after = 0;
    if (!server_cpu_ns(bench, &server_before))
        return false;
    struct client_cpu client = client_cpu(bench);
    bench->run.start_ns = clock_monotonic_ns() + (bench->options->rate > 0 ? LEAD_NS : 0);
    bench->run.end_ns = messages > 0 ? UINT64_MAX : bench->run.start_ns + duration_ms * 1000000;
    if (!step_to(bench, PHASE_RUN))
        return false;
    wait_for_run(bench, name, result);
    if (failed(bench) || !server_cpu_ns(bench, &server_after))
        return false;
    struct totals sum = add_up(bench);
    result->server_measured = bench->options->server_pid > 0;
    result->server_cpu_ns = server_after - server_before;
    count_client(bench, &client, result);
    result->published = sum.published;
    result->deliveries = sum.deliveries;
    result->delivered_bytes = sum.delivered_bytes;
    result->copies = sum.copies;
    result->seconds = sum.last_ns > bench->run.start_ns ? (double)(sum.last_ns - bench->run.start_ns) / 1e9 : 0;
    return true;
}

bool stage_hold(struct bench *bench, uint64_t duration_ms)
{
    struct watch watch = watch_begin(bench, "idle");
    uint64_t end_ns = watch.begun_ns + duration_ms * 1000000;
    while (clock_monotonic_ns() < end_ns && !failed(bench))
        watch_on(&watch, add_up(bench).opened - add_up(bench).lost_connections, false);
    watch_end(&watch);
    return !failed(bench);
}

bool stage_drain(struct bench *bench)
{
    struct watch watch = watch_begin(bench, "drain");
    if (!step_to(bench, PHASE_DRAIN))
        return false;
    uint64_t bytes = 0;
    uint64_t now_ns = watch.begun_ns;
    for (uint64_t moved_ns = now_ns; now_ns - moved_ns < DRAIN_QUIET_NS && !failed(bench);) {
        uint64_t read = add_up(bench).slow_bytes;
        watch_on(&watch, read, false);
        now_ns = clock_monotonic_ns();
        if (read != bytes && now_ns - watch.begun_ns < DRAIN_NS)
            moved_ns = now_ns;
        bytes = read;
    }
    watch_end(&watch);
    return !failed(bench);
}

/* Faults are counted over the whole life, warm-up included. */
static void count_lost(const struct bench *bench, const struct worker *worker, struct faults *faults)
{
    for (uint32_t i = 0; i < worker->connection_count; i++) {
        const struct connection *connection = &worker->connections[i];
        for (uint32_t p = 0; connection->tracks && connection->role != ROLE_ROAMER && p < bench->publishers_per_channel;
             p++) {
            const struct stream *stream = &bench->streams[connection->channel * bench->publishers_per_channel + p];
            faults->lost += track_lost(&connection->tracks[p], stream->next);
        }
    }
}

static void merge_apart(struct apart *into, const struct apart *from)
{
    ends_merge(&into->slow_ends, &from->slow_ends);
    ends_merge(&into->roaming_ends, &from->roaming_ends);
    into->left += from->left;
    into->returned += from->returned;
    into->stayed_out += from->stayed_out;
    into->roaming_messages += from->roaming_messages;
    into->roaming.lost += from->roaming.lost;
    into->roaming.repeated += from->roaming.repeated;
    into->roaming.late += from->roaming.late;
}

void stage_end(struct bench *bench, struct result *result)
{
    /* Not step_to: after a failure a worker may have ended without a word. */
    result->lost_connections = add_up(bench).lost_connections;
    bench->phase = PHASE_END;
    atomic_fetch_add_explicit(&bench->step, 1, memory_order_release);
    for (uint32_t i = 0; i < bench->worker_count; i++)
        if (bench->workers[i].usable)
            bench_ring_wake(&bench->workers[i].ring);
    histogram_init(&result->latency_ns);
    histogram_init(&result->last_ns);
    histogram_init(&result->lag_ns);
    histogram_init(&result->opening_ns);
    for (uint32_t i = 0; i < bench->worker_count; i++) {
        struct worker *worker = &bench->workers[i];
        worker_join(worker);
        histogram_merge(&result->latency_ns, &worker->latency_ns);
        histogram_merge(&result->last_ns, &worker->last_ns);
        histogram_merge(&result->lag_ns, &worker->lag_ns);
        merge_apart(&result->apart, &worker->apart);
        result->backlogs += worker->backlogs;
        histogram_merge(&result->opening_ns, &worker->opening_ns);
        result->faults.repeated += worker->faults.repeated;
        result->faults.late += worker->faults.late;
        result->faults.foreign += worker->faults.foreign;
        result->receive_stops += worker->ring.out_of_buffers;
        count_lost(bench, worker, &result->faults);
    }
    result->parting = bench->parting_text;
}
