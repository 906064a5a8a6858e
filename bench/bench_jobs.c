/* SPDX-License-Identifier: MIT */
/* Owns the order of ringcast-bench jobs: connections open, stages follow each other, everything is closed. It never
 * reads what becomes of a job: bench_jobs_submit.c and bench_jobs_work.c do. Called by main.
 *
 * Each turn takes what has come, then asks everybody for more to say: what is allowed (--ahead, --lockstep) changes by
 * the words of others. Listeners only hear. */
#include "bench/bench_jobs.h"

#include "bench/bench_jobs_client.h"
#include "bench/bench_process.h"
#include "core/clock.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 5000000
#define HEARTBEAT_NS UINT64_C(20000000000)
#define END_NS 500000000

void jobs_fail(struct jobs *jobs, const char *format, ...)
{
    va_list arguments;
    if (jobs->failed)
        return;
    va_start(arguments, format);
    vsnprintf(jobs->failure, sizeof jobs->failure, format, arguments);
    va_end(arguments);
    jobs->failed = true;
}

uint32_t client_number(const struct jobs *jobs, const struct client *client)
{
    return (uint32_t)(client - jobs->clients);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void on_message(struct jobs *jobs, struct client *client, struct slice text)
{
    enum { TYPE, JOB_ID, PAYLOAD, RESULT, STATUS, ORIGINAL, FIELDS };
    struct json_member fields[FIELDS] = {{.name = "type"},   {.name = "job_id"}, {.name = "payload"},
                                         {.name = "result"}, {.name = "status"}, {.name = "original_type"}};
    if (json_find_members(text, JSON_DEPTH_MAX, false, fields, FIELDS) != JSON_MEMBERS_OK) {
        jobs_fail(jobs, "the server sends no JSON object: %.*s", (int)text.bytes, (const char *)text.data);
        return;
    }
    struct jobs_message message = {.text = text,
                                   .type = fields[TYPE].raw,
                                   .job_id = fields[JOB_ID].raw,
                                   .payload = fields[PAYLOAD].text,
                                   .result = fields[RESULT].text,
                                   .status = fields[STATUS].raw,
                                   .original = fields[ORIGINAL].raw,
                                   .now_ns = jobs->side.ring.now_ns};
    jobs->progress++;
    if (slice_is(message.type, "error")) {
        jobs_fail(jobs, "the server refuses: %.*s", (int)text.bytes, (const char *)text.data);
    } else if (slice_is(message.type, "connection_established")) {
        (client->role == CLIENT_SUBMITTER ? submit_begin : work_begin)(jobs, client);
    } else if (slice_is(message.type, "client_registered") || slice_is(message.type, "worker_registered")) {
        jobs->registered += !client->registered;
        jobs->opening -= !client->registered;
        client->registered = true;
    } else if (slice_is(message.type, "ping")) {
        peer_put(&jobs->side, &client->peer, slice_text("{\"type\":\"pong\"}"));
    } else {
        (client->role == CLIENT_SUBMITTER ? submit_on_message : work_on_message)(jobs, client, &message);
    }
    if (client->peer.out.fill.bytes > 0)
        peer_flush(&jobs->side, &client->peer);
}

static void on_event(struct jobs *jobs, struct bench_ring_event *event)
{
    struct client *client = &jobs->clients[event->slot];
    struct peer_event news;
    for (;;) {
        switch (peer_next(&jobs->side, &client->peer, event, &news)) {
        case PEER_NOTHING:
            return;
        case PEER_OPENED: /* the greeting follows */
            break;
        case PEER_MESSAGE:
            on_message(jobs, client, news.text);
            break;
        case PEER_LOST:
            jobs_fail(jobs, "a %s's connection was lost: %s", client->role == CLIENT_SUBMITTER ? "submitter" : "worker",
                      news.why);
            return;
        }
    }
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static void open_more(struct jobs *jobs)
{
    while (jobs->begun < jobs->client_count && jobs->opening < jobs->options->opening && !jobs->failed) {
        char why[PEER_WHY_BYTES];
        jobs->opening++;
        if (!peer_begin(&jobs->side, &jobs->clients[jobs->begun].peer, jobs->begun, why))
            jobs_fail(jobs, "%s", why);
        jobs->begun++;
    }
}

static void beat_hearts(struct jobs *jobs, uint64_t now_ns)
{
    if (now_ns < jobs->heartbeat_ns)
        return;
    jobs->heartbeat_ns = now_ns + HEARTBEAT_NS;
    for (uint32_t i = jobs->submitters; i < jobs->client_count; i++)
        if (jobs->clients[i].registered)
            work_heartbeat(jobs, &jobs->clients[i]);
}

static void turn(struct jobs *jobs)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t wait_ns =
        jobs->options->poll_ms > 0 && jobs->mode == JOBS_LOAD ? jobs->options->poll_ms * 500000 : TURN_NS;
    int error = bench_ring_wait(&jobs->side.ring, now_ns + (wait_ns < TURN_NS ? wait_ns : TURN_NS));
    if (error < 0) {
        jobs_fail(jobs, "io_uring: %s", strerror(-error));
        return;
    }
    struct bench_ring_event event;
    while (!jobs->failed && bench_ring_next(&jobs->side.ring, &event))
        if (event.op != BENCH_RING_WAKE)
            on_event(jobs, &event);
    now_ns = clock_monotonic_ns();
    beat_hearts(jobs, now_ns);
    for (uint32_t i = 0; i < jobs->submitters && jobs->mode != JOBS_REST; i++)
        submit_more(jobs, &jobs->clients[i], now_ns);
    for (uint32_t i = 0; i < jobs->workers && jobs->mode != JOBS_REST; i++)
        work_more(jobs, &jobs->clients[jobs->submitters + i], now_ns);
}

/* Turns until `done`, or nothing has come for --timeout. */
static bool turn_until(struct jobs *jobs, const char *stage, bool (*done)(struct jobs *))
{
    uint64_t progress = jobs->progress, progress_ns = clock_monotonic_ns();
    if (!jobs->options->quiet)
        fprintf(stderr, "%s\n", stage);
    while (!done(jobs) && !jobs->failed) {
        turn(jobs);
        uint64_t now_ns = clock_monotonic_ns();
        if (jobs->progress != progress) {
            progress = jobs->progress;
            progress_ns = now_ns;
        } else if (now_ns - progress_ns > jobs->options->timeout_ms * 1000000) {
            jobs_fail(jobs,
                      "%s: the server says nothing more: %" PRIu32 " of %" PRIu32 " registered, %" PRIu64
                      " jobs submitted, %" PRIu64 " acknowledged, %" PRIu64 " assigned, %" PRIu64 " completed, %" PRIu64
                      " notified, %" PRIu64 " times told of jobs",
                      stage, jobs->registered, jobs->client_count, jobs->submitted, jobs->ledger->acknowledged,
                      jobs->ledger->assigned, jobs->ledger->finished, jobs->ledger->notified, jobs->told);
        }
    }
    return !jobs->failed;
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

static bool all_registered(struct jobs *jobs)
{
    open_more(jobs);
    return jobs->registered == jobs->client_count;
}

static bool all_filled(struct jobs *jobs)
{
    return jobs->filled == jobs->options->unfit;
}

static bool all_claimed(struct jobs *jobs)
{
    return jobs->claims->count == jobs->options->claims;
}

static bool all_done(struct jobs *jobs)
{
    const struct ledger *ledger = jobs->ledger;
    bool submitting = jobs->left > 0 && jobs->side.ring.now_ns < jobs->end_ns;
    if (submitting || ledger->acknowledged < jobs->submitted || jobs->told < jobs->submitted * jobs->listeners)
        return false;
    return jobs->workers == 0 || (ledger->notified == jobs->submitted && ledger->finished == jobs->submitted);
}

static uint64_t server_cpu(const struct jobs *jobs)
{
    uint64_t ns = 0;
    if (jobs->options->server_pid > 0)
        process_cpu_ns(jobs->options->server_pid, &ns);
    return ns;
}

static bool read_memory(struct jobs *jobs, enum moment moment)
{
    uint64_t pid = jobs->options->server_pid;
    if (pid == 0 || memory_read(pid, &jobs->result->memory[moment]))
        return true;
    jobs_fail(jobs, "no process %" PRIu64 " (--server-pid)", pid);
    return false;
}

static bool run_claims(struct jobs *jobs, const char *stage, struct jobs_claims *claims)
{
    uint64_t cpu_ns = server_cpu(jobs);
    if (jobs->options->claims == 0)
        return true;
    jobs->claims = claims;
    jobs->left = jobs->options->claims;
    jobs->end_ns = UINT64_MAX;
    jobs->mode = JOBS_CLAIMS;
    bool done = turn_until(jobs, stage, all_claimed);
    jobs->mode = JOBS_REST;
    claims->server_cpu_ns = server_cpu(jobs) - cpu_ns;
    return done;
}

static bool run_fill(struct jobs *jobs)
{
    if (jobs->options->unfit == 0)
        return true;
    jobs->left = jobs->options->unfit;
    jobs->end_ns = UINT64_MAX;
    jobs->mode = JOBS_FILL;
    bool done = turn_until(jobs, "waiting jobs", all_filled);
    jobs->mode = JOBS_REST;
    return done;
}

struct usage {
    uint64_t server_ns, client_ns, spun_ns, at_ns;
};

static struct usage usage_now(const struct jobs *jobs)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (struct usage){.server_ns = server_cpu(jobs),
                          .client_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                          .spun_ns = jobs->side.ring.spun_ns,
                          .at_ns = clock_monotonic_ns()};
}

static void count_usage(struct jobs *jobs, const struct usage *before)
{
    struct usage after = usage_now(jobs);
    struct jobs_result *result = jobs->result;
    result->server_measured = jobs->options->server_pid > 0;
    result->server_cpu_ns = after.server_ns - before->server_ns;
    result->client_cpu_ns = after.client_ns - before->client_ns;
    uint64_t spun_ns = after.spun_ns - before->spun_ns;
    uint64_t worked_ns = result->client_cpu_ns > spun_ns ? result->client_cpu_ns - spun_ns : 0;
    result->client_share = (double)worked_ns / (double)(after.at_ns - before->at_ns);
}

/* The load for that long, or so many jobs if not 0, and then until everybody has been told of everything. */
static bool run_load(struct jobs *jobs, const char *stage, uint64_t duration_ms, uint64_t count)
{
    uint64_t start_ns = clock_monotonic_ns();
    struct usage before = usage_now(jobs);
    ledger_reset(jobs->ledger);
    histogram_init(&jobs->result->claim_ns);
    histogram_init(&jobs->result->bare_ns);
    jobs->submitted = jobs->told = jobs->result->empty = 0;
    jobs->last_ns = start_ns;
    jobs->left = count > 0 ? count : UINT64_MAX;
    jobs->end_ns = count > 0 ? UINT64_MAX : start_ns + duration_ms * 1000000;
    jobs->mode = JOBS_LOAD;
    for (uint32_t i = jobs->submitters; i < jobs->client_count; i++)
        jobs->clients[i].due_ns = 0;
    bool done = turn_until(jobs, stage, all_done);
    jobs->mode = JOBS_REST;
    jobs->result->seconds = (double)(jobs->last_ns - start_ns) / 1e9;
    jobs->result->submitted = jobs->submitted;
    jobs->result->told = jobs->told;
    count_usage(jobs, &before);
    return done;
}

static bool run_stages(struct jobs *jobs)
{
    const struct options *options = jobs->options;
    struct jobs_result *result = jobs->result;
    if (!read_memory(jobs, MOMENT_START) || !turn_until(jobs, "open", all_registered) ||
        !run_claims(jobs, "claims", &result->claims[0]) || !read_memory(jobs, MOMENT_OPEN) || !run_fill(jobs) ||
        !read_memory(jobs, MOMENT_LOADED) ||
        (options->unfit > 0 && !run_claims(jobs, "claims beside waiting jobs", &result->claims[1])))
        return false;
    if (jobs->submitters == 0)
        return true;
    return (options->warmup_ms == 0 || run_load(jobs, "warm-up", options->warmup_ms, 0)) &&
           run_load(jobs, "measure", options->duration_ms, options->messages);
}

/* Says goodbye to whom it can, and takes what comes for a moment. */
static void end(struct jobs *jobs)
{
    bool failed = jobs->failed;
    uint64_t end_ns = clock_monotonic_ns() + END_NS;
    uint32_t open = 0;
    for (uint32_t i = 0; i < jobs->begun; i++) {
        struct peer *peer = &jobs->clients[i].peer;
        if (peer->state != PEER_OPEN)
            continue;
        open++;
        peer_put_close(&jobs->side, peer);
        peer_flush(&jobs->side, peer);
    }
    struct bench_ring_event event;
    while (open > 0 && clock_monotonic_ns() < end_ns && bench_ring_wait(&jobs->side.ring, end_ns) == 0) {
        while (bench_ring_next(&jobs->side.ring, &event)) {
            struct peer_event news;
            enum peer_news what = PEER_MESSAGE;
            if (event.op == BENCH_RING_WAKE)
                continue;
            while (what == PEER_MESSAGE || what == PEER_OPENED)
                what = peer_next(&jobs->side, &jobs->clients[event.slot].peer, &event, &news);
            open -= what == PEER_LOST;
        }
    }
    jobs->failed = failed;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static bool make(struct jobs *jobs, const struct options *options)
{
    jobs->submitters = (uint32_t)options->submitters;
    jobs->workers = (uint32_t)options->workers;
    jobs->listeners = (uint32_t)options->listeners;
    jobs->client_count = jobs->submitters + jobs->workers + jobs->listeners;
    jobs->clients = calloc(jobs->client_count, sizeof *jobs->clients);
    if (jobs->clients == NULL)
        return false;
    for (uint32_t i = 0; i < jobs->client_count; i++) {
        struct client *client = &jobs->clients[i];
        client->role = i < jobs->submitters                   ? CLIENT_SUBMITTER
                       : i < jobs->submitters + jobs->workers ? CLIENT_WORKER
                                                              : CLIENT_LISTENER;
        if (client->role == CLIENT_SUBMITTER)
            client->waiting = calloc(options->window, sizeof *client->waiting);
        if (client->role == CLIENT_SUBMITTER && client->waiting == NULL)
            return false;
    }
    struct buf run = buf_of(jobs->run, sizeof jobs->run - 1);
    buf_put_hex(&run, random_u64(&jobs->side.random), 16);
    histogram_init(&jobs->result->claims[0].ns);
    histogram_init(&jobs->result->claims[1].ns);
    histogram_init(&jobs->result->claim_ns);
    histogram_init(&jobs->result->bare_ns);
    return ledger_init(jobs->ledger, (uint32_t)options->size, random_u64(&jobs->side.random)) == 0;
}

static void release(struct jobs *jobs)
{
    for (uint32_t i = 0; jobs->clients != NULL && i < jobs->client_count; i++) {
        peer_free(&jobs->clients[i].peer);
        free(jobs->clients[i].waiting);
    }
    free(jobs->clients);
}

bool jobs_run(const struct options *options, const struct url *url, const struct sockaddr_storage *sources,
              uint32_t source_count, struct jobs_result *result, struct buf *why)
{
    struct jobs jobs = {.options = options, .result = result, .ledger = &result->ledger, .bare = -1};
    jobs.side.url = url;
    jobs.side.key = options->key;
    jobs.side.sources = sources;
    jobs.side.source_count = source_count;
    jobs.heartbeat_ns = clock_monotonic_ns() + HEARTBEAT_NS;
    result->options = options;
    random_init(&jobs.side.random, clock_monotonic_ns());
    if (!make(&jobs, options)) {
        jobs_fail(&jobs, "out of memory");
    } else if (options->bare[0] != '\0' &&
               (jobs.bare = open(options->bare, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) {
        jobs_fail(&jobs, "--bare %s: %s", options->bare, strerror(errno));
    } else {
        int error = bench_ring_open(&jobs.side.ring, jobs.client_count, options->spin_us * 1000);
        if (error < 0) {
            jobs_fail(&jobs, "io_uring cannot be used: %s (Linux 6.1 or later is needed; see kernel.io_uring_disabled)",
                      strerror(-error));
        } else {
            if (run_stages(&jobs) && jobs.workers > 0)
                ledger_close(&result->ledger);
            end(&jobs);
            bench_ring_close(&jobs.side.ring);
        }
    }
    if (jobs.bare >= 0)
        (void)close(jobs.bare);
    buf_put_text(why, jobs.failure);
    release(&jobs);
    return !jobs.failed;
}

void jobs_free(struct jobs_result *result)
{
    ledger_free(&result->ledger);
}

enum verdict jobs_verdict(const struct jobs_result *result)
{
    const struct ledger_faults *faults = &result->ledger.faults;
    if (faults->lost + faults->doubled + faults->altered + faults->unasked > 0)
        return VERDICT_FAULTY;
    return result->client_share > CLIENT_SHARE_MAX ? VERDICT_CLIENT_LIMITED : VERDICT_CLEAN;
}
