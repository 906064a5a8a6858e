/* SPDX-License-Identifier: MIT */
/* Owns the process: rings and shards, the listening sockets, the threads, signals, and the stages of a stop. It never touches a
 * connection; it talks to shards through their atomics. Called by main. */
#include "shards/process/server.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/log.h"
#include "core/thread.h"
#include "shards/conn/conn.h"
#include "shards/conn/listener.h"
#include "shards/conn/pin.h"
#include "shards/operate/admin.h"
#include "shards/process/ports.h"
#include "shards/turn/shard_tick.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define RING_ENTRIES 1024
#define POLL_MS 10    /* while stopping or reloading */
#define GRACE_MS 2000 /* for the kernel to end what STOP has cancelled */
#define WHY_BYTES 8192

struct server {
    const struct config *config;
    const struct config_source *source;
    struct process_state process;
    struct config *owned; /* config, as its owner sees it */
    struct shard *shards[SHARDS_MAX];
    struct ring *rings[SHARDS_MAX];
    struct thread threads[SHARDS_MAX];
    uint16_t count;
    struct ports ports;
    struct siphash_key key;
    uint8_t ticket_secret[32];
    struct ring_features features;
};

/* ---- start ---- */

static void log_failure(const char *message, const char *why)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, message);
    log_text(&line, "error", why);
    log_end(&line);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Sockets of one ring: its share of connections_max and the listeners, as far as the limit of open files allows (each ring's
 * table of registered files has that limit of its own). */
static uint32_t sockets_per_shard(const struct server *server)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t wanted = server->config->server.connections_max / server->count + server->ports.count + 1;
    uint64_t sockets = wanted < limit.rlim_cur ? wanted : limit.rlim_cur;
    if (sockets < wanted) {
        struct log_line line;
        log_begin(&line, LOG_INFO, "connections limited by open files");
        log_u64(&line, "connections_max", server->config->server.connections_max);
        log_u64(&line, "per_shard", sockets - server->ports.count);
        log_text(&line, "hint", "raise ulimit -n for more");
        log_end(&line);
    }
    return (uint32_t)sockets;
}

static bool make_rings(struct server *server)
{
    char why[256] = "";
    int error = ring_probe(&server->features, why, sizeof why);
    if (error != 0) {
        log_failure("io_uring cannot be used", why);
        return false;
    }
    struct ring_options options = {
        .entries = RING_ENTRIES,
        .sockets_max = sockets_per_shard(server),
        .receive_buffers = RECEIVE_BUFFER_COUNT,
        .memories_max = PIN_MEMORIES(server->count),
        .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
        .allow_direct = server->config->server.direct_descriptors,
    };
    for (uint16_t i = 0; i < server->count; i++) {
        if (ring_create(&server->rings[i], &options, why, sizeof why) != 0) {
            log_failure("cannot make a ring", why);
            return false;
        }
    }
    return true;
}

static bool make_shards(struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++) {
        struct listener listeners[LISTENERS_MAX];
        if (!ports_listen(&server->ports, server->rings[i], i == 0, listeners))
            return false;
        struct shard_options options = {
            .number = i,
            .count = server->count,
            .process = &server->process,
            .all = server->shards,
            .key = server->key,
            .ring = server->rings[i],
            .config = server->config,
            .listeners = listeners,
            .listener_count = server->ports.count,
        };
        memcpy(options.ticket_secret, server->ticket_secret, sizeof options.ticket_secret);
        server->shards[i] = shard_create(&options);
        if (server->shards[i] == NULL) {
            log_message(LOG_ERROR, "out of memory for a shard");
            return false;
        }
    }
    return true;
}

static void shard_main(void *argument)
{
    struct shard *shard = argument;
    crash_register(shard->number, &shard->flight);
    while (shard_tick(shard, true))
        ;
    crash_forget(shard->number);
}

static bool start_threads(struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++) {
        char name[16] = "shard-";
        struct buf text = buf_of(name + 6, sizeof name - 7);
        buf_put_u64(&text, i);
        int core = server->config->server.pin ? i : -1;
        int error = thread_start(&server->threads[i], name, core, shard_main, server->shards[i]);
        if (error != 0) {
            struct log_line line;
            log_begin(&line, LOG_ERROR, "cannot start a thread");
            log_errno(&line, "error", error);
            log_end(&line);
            _exit(1); /* some shards run already; nothing has been served */
        }
    }
    return true;
}

static void log_ready(const struct server *server)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "ready");
    log_text(&line, "version", server->process.version);
    log_u64(&line, "shards", server->count);
    log_text(&line, "ring", server->features.summary);
    log_text(&line, "tls", tls_library());
    log_u64(&line, "pid", (uint64_t)getpid());
    log_end(&line);
}

/* ---- reload ---- */

static void sleep_ms(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void report_findings(const char *message, struct slice findings)
{
    while (findings.bytes > 0) {
        const uint8_t *end = memchr(findings.data, '\n', findings.bytes);
        size_t bytes = end == NULL ? findings.bytes : (size_t)(end - findings.data);
        struct log_line line;
        log_begin(&line, LOG_ERROR, message);
        log_slice(&line, "finding", slice_of(findings.data, bytes));
        log_end(&line);
        findings = slice_skip(findings, bytes + 1);
    }
}

static void hand_out(struct server *server, struct config *next)
{
    struct config *before = server->owned;
    server->config = server->owned = next;
    for (uint16_t i = 0; i < server->count; i++) {
        atomic_store_explicit(&server->shards[i]->config_next, next, memory_order_release);
        ring_wake(server->rings[i]);
    }
    for (uint16_t i = 0; i < server->count; i++)
        while (atomic_load_explicit(&server->shards[i]->config_seen, memory_order_acquire) != next)
            sleep_ms(POLL_MS);
    config_free(before);
}

static void reload(struct server *server)
{
    static uint8_t memory[WHY_BYTES];
    struct buf why = buf_of(memory, sizeof memory);
    struct config *next;
    bool good = config_load(server->source, &next, &why) == 0;
    atomic_store(&server->process.reload_ok, good);
    if (!good) {
        report_findings("reload refused, the old configuration stays", buf_slice(&why));
        return;
    }
    buf_reset(&why);
    config_restart_needed(server->config, next, &why);
    log_configure((enum log_level)next->server.log_level, (enum log_format)next->server.log_format);
    hand_out(server, next);
    struct log_line line;
    log_begin(&line, LOG_INFO, "configuration reloaded");
    if (why.used > 0)
        log_slice(&line, "needs_restart", buf_slice(&why));
    log_end(&line);
}

/* ---- stop ---- */

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static void set_stage(struct server *server, enum stage stage)
{
    for (uint16_t i = 0; i < server->count; i++) {
        atomic_store_explicit(&server->shards[i]->stage, stage, memory_order_release);
        ring_wake(server->rings[i]);
    }
}

static bool all_quiet(const struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++)
        if (!atomic_load_explicit(&server->shards[i]->quiet, memory_order_acquire))
            return false;
    return true;
}

/* Open connections of all shards, those of operators left out until the end. */
static uint32_t count_clients(const struct server *server)
{
    uint32_t clients = 0;
    for (uint16_t i = 0; i < server->count; i++)
        clients += atomic_load_explicit(&server->shards[i]->conns->clients, memory_order_relaxed);
    return clients;
}

static uint32_t count_open(const struct server *server)
{
    uint32_t open = 0;
    for (uint16_t i = 0; i < server->count; i++)
        open += atomic_load_explicit(&server->shards[i]->conns->open, memory_order_relaxed);
    return open;
}

/* Whether the kernel still has something of a shard's: a connection, or frames that it reads. */
static bool any_open(const struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++)
        if (stats_get(&server->shards[i]->stats, STAT_PINNED_BYTES) > 0)
            return true;
    return count_open(server) > 0;
}

/* Waits for a further signal at most POLL_MS; whether one came that asks to hurry. */
static bool hurried(const sigset_t *signals)
{
    struct timespec time = {.tv_nsec = POLL_MS * 1000000};
    int signal = sigtimedwait(signals, NULL, &time);
    return signal == SIGTERM || signal == SIGINT;
}

/* The stages of a drain; returns when every connection has ended or time is up. */
static void drain(struct server *server, const sigset_t *signals)
{
    uint64_t deadline = now_ms() + server->config->server.drain_timeout_ms;
    bool hurry = false;
    struct log_line line;
    log_begin(&line, LOG_INFO, "draining");
    log_u64(&line, "connections", count_clients(server));
    log_end(&line);
    set_stage(server, STAGE_QUIESCE);
    while (!hurry && !all_quiet(server) && now_ms() < deadline)
        hurry = hurried(signals);
    set_stage(server, STAGE_FAREWELL);
    while (!hurry && count_clients(server) > 0 && now_ms() < deadline)
        hurry = hurried(signals);
    log_begin(&line, LOG_INFO, "stopping");
    log_u64(&line, "connections_cut", count_clients(server));
    log_end(&line);
    set_stage(server, STAGE_STOP);
}

/* Whether all shards have ended what was open, within the grace. */
static bool wait_for_end(const struct server *server)
{
    uint64_t deadline = now_ms() + GRACE_MS;
    while (any_open(server) && now_ms() < deadline)
        sleep_ms(POLL_MS);
    return !any_open(server);
}

static void destroy(struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++)
        if (server->shards[i] != NULL)
            shard_destroy(server->shards[i]);
    for (uint16_t i = 0; i < server->count; i++)
        if (server->rings[i] != NULL)
            ring_destroy(server->rings[i]);
    config_free(server->owned);
    free(server);
}

/* ---- run ---- */

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigprocmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void serve(struct server *server, const sigset_t *signals)
{
    for (;;) {
        int signal = sigwaitinfo(signals, NULL);
        if (signal == SIGHUP)
            reload(server);
        else if (signal == SIGTERM || signal == SIGINT)
            break;
    }
    drain(server, signals);
}

static bool start(struct server *server)
{
    uint64_t shards = server->config->server.shards;
    server->count = (uint16_t)(shards != 0 ? shards : thread_cores() < SHARDS_MAX ? thread_cores() : SHARDS_MAX);
    raise_descriptor_limit();
    if (clock_entropy(&server->key, sizeof server->key) != 0 ||
        clock_entropy(server->ticket_secret, sizeof server->ticket_secret) != 0 ||
        !ports_collect(&server->ports, server->config))
        return false;
    return make_rings(server) && make_shards(server) && start_threads(server);
}

int server_run(struct config *config, const struct config_source *source, const struct server_build *build)
{
    sigset_t signals;
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        config_free(config);
        return 1;
    }
    server->config = server->owned = config;
    server->source = source;
    server->process.version = build->version;
    server->process.commit = build->commit;
    server->process.started_s = clock_wall_ms() / 1000;
    atomic_store(&server->process.reload_ok, true);
    log_configure((enum log_level)config->server.log_level, (enum log_format)config->server.log_format);
    crash_install(FLIGHT_EVENTS);
    prctl(PR_SET_DUMPABLE, 0); /* keys are in memory: no core file */
    block_signals(&signals);
    if (!start(server)) {
        destroy(server);
        return 1;
    }
    log_ready(server);
    serve(server, &signals);
    if (!wait_for_end(server)) {
        log_message(LOG_ERROR, "the kernel has not ended all operations in time");
        _exit(1);
    }
    for (uint16_t i = 0; i < server->count; i++) {
        ring_wake(server->rings[i]);
        thread_join(&server->threads[i]);
    }
    destroy(server);
    log_message(LOG_INFO, "stopped");
    return 0;
}
