/* SPDX-License-Identifier: MIT */
/* Owns the process: rings and shards, the listening sockets, the threads, signals and reloads; the stages of a stop are in server_stop.c. It never
 * touches a connection; it talks to shards through their atomics, and while it waits for anything it hears SIGTERM:
 * files are read and lines are written by other threads. Called by main. */
#include "shards/process/server.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/log.h"
#include "core/log_writer.h"
#include "core/ring.h"
#include "core/sandbox.h"
#include "core/thread.h"
#include "protocol/dialect.h"
#include "protocol/tls/tls.h"
#include "shards/conn/conn.h"
#include "shards/conn/listener.h"
#include "shards/conn/pin.h"
#include "shards/offload/offload.h"
#include "shards/operate/admin.h"
#include "shards/process/keeping.h"
#include "shards/process/offloading.h"
#include "shards/process/server_parts.h"
#include "shards/turn/shard_tick.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define RING_ENTRIES 1024
#define LOG_END_MS 1000 /* at the end, for what still waits to be written */

/* A log line for each line of a text. */
static void log_lines(enum log_level level, const char *message, const char *name, struct slice lines)
{
    while (lines.bytes > 0) {
        const uint8_t *end = memchr(lines.data, '\n', lines.bytes);
        size_t bytes = end == NULL ? lines.bytes : (size_t)(end - lines.data);
        struct log_line line;
        log_begin(&line, level, message);
        log_slice(&line, name, slice_of(lines.data, bytes));
        log_end(&line);
        lines = slice_skip(lines, end == NULL ? bytes : bytes + 1);
    }
}

/* What should be known of settings that are about to count. `before` NULL: a start. */
static void log_notices(const struct config *config, const struct config *before)
{
    log_lines(LOG_WARN, "settings", "notice", slice_text(config_notices(config)));
    uint32_t open = config_open(config) & (before == NULL ? UINT32_MAX : ~config_open(before));
    uint8_t memory[256];
    struct buf names = buf_of(memory, sizeof memory);
    for (uint32_t i = 0; i < config->dialect_count; i++) {
        if ((open & 1U << i) != 0) {
            buf_put_text(&names, names.used == 0 ? "" : ", ");
            buf_put_text(&names, dialects[i]->name);
        }
    }
    struct log_line line;
    if (open == 0)
        return;
    log_begin(&line, before == NULL ? LOG_INFO : LOG_WARN,
              before == NULL ? "open to everybody" : "now open to everybody");
    log_slice(&line, "dialects", buf_slice(&names));
    log_text(&line, "hint", "without keys whoever reaches a listener may read");
    log_end(&line);
}

/* --- start -------------------------------------------------------------------------------------------------------- */

/* What was logged is out, or whoever reads has had his time. */
static _Noreturn void give_up(void)
{
    log_writer_stop(LOG_END_MS);
    _exit(1);
}

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

/* Sockets of one ring: its share of connections_max and the listeners, as far as the limit of open files allows (each
 * ring's table of registered files has that limit of its own). */
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
            .storage = server->storage,
            .offload = server->offload,
            .depots = server->depots.threads,
            .listener_count = server->ports.count,
        };
        memcpy(options.ticket_secret, server->ticket_secret, sizeof options.ticket_secret);
        options.started_s = server->process.started_s;
        server->shards[i] = shard_create(&options);
        explicit_bzero(options.ticket_secret, sizeof options.ticket_secret);
        if (server->shards[i] == NULL) {
            log_message(LOG_ERROR, "out of memory for a shard");
            return false;
        }
    }
    explicit_bzero(server->ticket_secret, sizeof server->ticket_secret); /* the shards walk on from it */
    return true;
}

static bool make_storage(struct server *server)
{
    char text[1024];
    struct buf why = buf_of(text, sizeof text - 1);
    if (keeping_open(server->config, server->shards, server->count, &server->storage, &why))
        return true;
    text[why.used] = '\0';
    log_failure("cannot open the store", text);
    return false;
}

static bool start_storage(struct server *server)
{
    int error = keeping_start(server->storage);
    if (error != 0)
        log_failure("cannot start the thread of storage", strerrordesc_np(-error));
    server->keeping = error == 0;
    return error == 0;
}

static bool make_offload(struct server *server)
{
    if (offloading_open(server->config, server->shards, server->count, &server->offload))
        return true;
    log_message(LOG_ERROR, "out of memory for the thread of long work");
    return false;
}

static bool start_offload(struct server *server)
{
    int error = server->offload == NULL ? 0 : offload_start(server->offload);
    if (error != 0)
        log_failure("cannot start the thread of long work", strerrordesc_np(-error));
    server->offloading = error == 0;
    return error == 0;
}

static bool make_depots(struct server *server)
{
    char text[1024];
    struct buf why = buf_of(text, sizeof text - 1);
    if (depots_open(&server->depots, server->config, server->shards, server->count, &why))
        return true;
    text[why.used] = '\0';
    log_failure("cannot open the folder of uploads", text);
    return false;
}

static bool start_depots(struct server *server)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text - 1);
    if (depots_start(&server->depots, &why))
        return true;
    text[why.used] = '\0';
    log_failure("cannot start a thread for files", text);
    return false;
}

static void shard_main(void *argument)
{
    struct shard *shard = argument;
    crash_register(shard->number, shard->flight);
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
            give_up(); /* some shards run already; nothing has been served */
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

/* --- reload ------------------------------------------------------------------------------------------------------- */

/* Waits for a signal that asks for a stop, at most SERVER_POLL_MS; whether one came. SIGHUP stays pending. */
static bool stop_is_asked(struct server *server)
{
    struct timespec time = {.tv_nsec = SERVER_POLL_MS * 1000000};
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    server->stop_asked = server->stop_asked || sigtimedwait(&stops, NULL, &time) > 0;
    return server->stop_asked;
}

static bool all_have_seen(const struct server *server, const struct config *config)
{
    for (uint16_t i = 0; i < server->count; i++)
        if (atomic_load_explicit(&server->shards[i]->config_seen, memory_order_acquire) != config)
            return false;
    return true;
}

/* False: a stop was asked for before all shards had taken it over. */
static bool hand_out(struct server *server, struct config *next)
{
    server->former = server->owned;
    server->config = server->owned = next;
    for (uint16_t i = 0; i < server->count; i++) {
        atomic_store_explicit(&server->shards[i]->config_next, next, memory_order_release);
        ring_wake(server->rings[i]);
    }
    while (!all_have_seen(server, next))
        if (stop_is_asked(server))
            return false;
    config_free(server->former);
    server->former = NULL;
    return true;
}

static void reload_main(void *argument)
{
    struct reload *reload = argument;
    reload->why = buf_of(reload->memory, sizeof reload->memory);
    if (config_reload(reload->source, reload->now, &reload->next, &reload->why) != 0)
        reload->next = NULL;
}

/* Reads the settings again. False: a stop was asked for meanwhile, the thread goes on. */
static bool read_again(struct server *server)
{
    struct reload *reload = &server->reload;
    reload->source = server->source;
    reload->now = server->config;
    reload->next = NULL;
    int error = thread_start(&reload->thread, "reload", -1, reload_main, reload);
    if (error != 0) {
        reload->why = buf_of(reload->memory, sizeof reload->memory);
        buf_put_text(&reload->why, "cannot start a thread to read the settings: ");
        buf_put_text(&reload->why, strerrordesc_np(-error));
        return true;
    }
    server->reloading = true;
    while (!thread_has_ended(&reload->thread))
        if (stop_is_asked(server))
            return false;
    thread_join(&reload->thread);
    server->reloading = false;
    return true;
}

static void reload(struct server *server)
{
    if (!read_again(server))
        return;
    struct config *next = server->reload.next;
    atomic_store(&server->process.reload_ok, next != NULL);
    if (next == NULL) {
        log_lines(LOG_ERROR, "reload refused, the old configuration stays", "finding", buf_slice(&server->reload.why));
        return;
    }
    uint8_t memory[WHY_BYTES];
    struct buf waiting = buf_of(memory, sizeof memory);
    config_restart_needed(server->config, next, &waiting);
    log_notices(next, server->config);
    log_configure((enum log_level)next->server.log_level, (enum log_format)next->server.log_format);
    if (!hand_out(server, next))
        return;
    struct log_line line;
    log_begin(&line, LOG_INFO, "configuration reloaded");
    if (waiting.used > 0)
        log_slice(&line, "needs_restart", buf_slice(&waiting));
    log_end(&line);
}

/* False: the thread of a reload has not ended, and will not soon. */
static bool end_reload(struct server *server)
{
    if (!server->reloading)
        return true;
    if (!thread_has_ended(&server->reload.thread))
        return false;
    thread_join(&server->reload.thread);
    if (server->reload.next != NULL)
        config_free(server->reload.next);
    return true;
}

/* --- end --------------------------------------------------------------------------------------------------------- */

static void destroy(struct server *server)
{
    if (server->keeping)
        keeping_stop(server->storage);
    offloading_close(server->offload, server->offloading);
    depots_close(&server->depots);
    for (uint16_t i = 0; i < server->count; i++)
        if (server->shards[i] != NULL)
            shard_destroy(server->shards[i]);
    keeping_close(server->storage);
    for (uint16_t i = 0; i < server->count; i++)
        if (server->rings[i] != NULL)
            ring_destroy(server->rings[i]);
    config_free(server->owned);
    config_free(server->former);
    free(server);
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

/* What log rotation sends (USR1, USR2) changes nothing: the log is stderr, there is no file to open again. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigprocmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
}

static void serve(struct server *server, const sigset_t *signals)
{
    while (!server->stop_asked) {
        int signal = sigwaitinfo(signals, NULL);
        if (signal == SIGHUP)
            reload(server);
        else if (signal == SIGTERM || signal == SIGINT)
            server->stop_asked = true;
    }
    server_drain(server, signals);
}

/* Before any thread: each takes its filter when it starts. The main thread's comes last, it starts the others. */
static bool start_sandbox(const struct config *config)
{
    int error = config->server.sandbox == SANDBOX_OFF ? 0 : sandbox_begin();
    if (error == 0)
        return true;
    struct log_line line;
    bool goes_on = config->server.sandbox == SANDBOX_AUTO;
    log_begin(&line, goes_on ? LOG_WARN : LOG_ERROR, goes_on ? "no sandbox" : "cannot start the sandbox");
    log_errno(&line, "error", error);
    log_text(&line, "hint", "kernel or build without filters of system calls; sandbox: off goes without");
    log_end(&line);
    return goes_on;
}

static bool enter_sandbox(void)
{
    int error = sandbox_enter("ringcast");
    if (error != 0)
        log_failure("the main thread cannot enter the sandbox", strerrordesc_np(-error));
    return error == 0;
}

static bool start_log(void)
{
    int error = log_writer_start();
    if (error != 0)
        log_failure("cannot start the thread that writes the log", strerrordesc_np(-error));
    return error == 0;
}

static bool start(struct server *server)
{
    uint64_t shards = server->config->server.shards;
    server->count = (uint16_t)(shards != 0 ? shards : thread_cores() < SHARDS_MAX ? thread_cores() : SHARDS_MAX);
    raise_descriptor_limit();
    if (clock_entropy(&server->key, sizeof server->key) != 0 ||
        clock_entropy(server->ticket_secret, sizeof server->ticket_secret) != 0 ||
        !ports_collect(&server->ports, server->config) || !ports_settle(&server->ports))
        return false;
    if (!make_rings(server) || !make_storage(server) || !make_offload(server) || !make_depots(server) ||
        !make_shards(server) || !start_storage(server) || !start_offload(server) || !start_depots(server))
        return false;
    log_notices(server->config, NULL);
    return start_threads(server);
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
    if (!start_sandbox(config) || !start_log() || !start(server)) {
        log_writer_stop(LOG_END_MS);
        destroy(server);
        return 1;
    }
    log_ready(server);
    if (!enter_sandbox())
        give_up(); /* no word has been served to anybody who would mind */
    serve(server, &signals);
    if (!server_wait_for_end(server)) {
        log_message(LOG_ERROR, "the kernel has not ended all operations in time");
        give_up();
    }
    if (!server_join_shards(server)) {
        log_message(LOG_ERROR, "a shard has not ended in time");
        give_up();
    }
    sandbox_say();
    log_message(LOG_INFO, "stopped");
    log_writer_stop(LOG_END_MS);
    if (!end_reload(server))
        _exit(0); /* a file that does not answer: its reader still has the settings */
    destroy(server);
    return 0;
}
