/* SPDX-License-Identifier: MIT */
/* Owns the process: rings and shards, the listening sockets, the threads, signals, and the stages of a stop. It never touches a
 * connection; it talks to shards through their atomics. Called by main. */
#include "shards/server.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/thread.h"
#include "shards/shard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

#define RING_ENTRIES 1024
#define BACKLOG 4096
#define POLL_MS 10       /* while stopping or reloading */
#define GRACE_MS 2000    /* for the kernel to end what STOP has cancelled */
#define WHY_BYTES 8192

struct server {
    const struct config *config;
    const struct config_source *source;
    const struct server_build *build;
    struct config *owned; /* config, as its owner sees it */
    struct shard *shards[SHARDS_MAX];
    struct ring *rings[SHARDS_MAX];
    struct thread threads[SHARDS_MAX];
    uint16_t count;
    struct listener listeners[LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t sockets_max; /* per shard */
    struct siphash_key key;
    uint64_t started_s;
    _Atomic bool reload_ok;
    struct ring_features features;
};

/* ---- metrics ---- */

static void put_gauge(struct buf *out, const char *name, const char *labels, const char *help, uint64_t value)
{
    buf_put_text(out, "# HELP ");
    buf_put_text(out, name);
    buf_put_byte(out, ' ');
    buf_put_text(out, help);
    buf_put_text(out, "\n# TYPE ");
    buf_put_text(out, name);
    buf_put_text(out, " gauge\n");
    buf_put_text(out, name);
    buf_put_text(out, labels);
    buf_put_byte(out, ' ');
    buf_put_u64(out, value);
    buf_put_byte(out, '\n');
}

void server_print_metrics(const struct server *server, struct buf *out)
{
    uint8_t memory[256];
    struct buf labels = buf_of(memory, sizeof memory - 1);
    buf_put_text(&labels, "{version=\"");
    buf_put_text(&labels, server->build->version);
    buf_put_text(&labels, "\",commit=\"");
    buf_put_text(&labels, server->build->commit);
    buf_put_text(&labels, "\"}");
    memory[labels.used] = '\0';
    put_gauge(out, "ringcast_build_info", (char *)memory, "Always 1; the labels say what runs.", 1);
    put_gauge(out, "ringcast_start_time_seconds", "", "When the process started, seconds since 1970.", server->started_s);
    put_gauge(out, "ringcast_shards", "", "Shards.", server->count);
    put_gauge(out, "ringcast_config_last_reload_successful", "", "Whether the last reload was taken over (1 before any).",
              atomic_load(&server->reload_ok));
}

/* ---- listeners ---- */

static void log_failure(const char *message, const char *what, const char *why)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, message);
    log_text(&line, "listen", what);
    log_text(&line, "error", why);
    log_end(&line);
}

static bool same_address(const struct ring_address *a, const struct ring_address *b)
{
    return a->port == b->port && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* `dialect` and `mount` count for LISTENER_DIALECTS only. */
static bool add_listener(struct server *server, enum listener_kind kind, uint32_t dialect, unsigned mount, const char *text)
{
    struct ring_address addresses[2];
    int count = config_parse_listen(text, addresses);
    check(count > 0); /* config_load has checked it */
    for (int a = 0; a < count; a++) {
        struct listener *found = NULL;
        for (uint32_t i = 0; i < server->listener_count; i++)
            if (same_address(&server->listeners[i].address, &addresses[a]))
                found = &server->listeners[i];
        if (found == NULL && server->listener_count == LISTENERS_MAX) {
            log_failure("too many listeners", text, "at most 32 addresses; merge or remove some");
            return false;
        }
        if (found == NULL) {
            found = &server->listeners[server->listener_count++];
            *found = (struct listener){.kind = kind, .address = addresses[a], .socket = RING_SOCKET_NONE};
        } else if (found->kind != kind) {
            log_failure("address used twice", text, "ingest, admin and dialects need addresses of their own");
            return false;
        }
        if (kind == LISTENER_DIALECTS) {
            found->dialects |= 1U << dialect;
            found->mounts[dialect] |= 1U << mount;
        }
    }
    return true;
}

/* Two owners of one path on one listener are never decided silently (G-2). */
static bool paths_are_disjoint(const struct server *server, const struct listener *listener)
{
    for (uint32_t a = 0; a < server->config->dialect_count; a++) {
        for (uint32_t b = 0; b < server->config->dialect_count; b++) {
            if (a == b || !(listener->dialects & 1U << a) || !(listener->dialects & 1U << b))
                continue;
            const struct dialect_settings *of_a = server->config->dialects[a], *of_b = server->config->dialects[b];
            for (const char *const *path = dialects[a]->paths; *path != NULL; path++) {
                uint8_t memory[512];
                struct buf whole = buf_of(memory, sizeof memory);
                buf_put_text(&whole, of_a->prefix);
                buf_put_text(&whole, *path);
                struct slice prefix = slice_text(of_b->prefix);
                if (!slice_starts(buf_slice(&whole), prefix) ||
                    dialects[b]->route(of_b, slice_skip(buf_slice(&whole), prefix.bytes)) == DIALECT_PATH_NONE)
                    continue;
                struct log_line line;
                log_begin(&line, LOG_ERROR, "two dialects own one path");
                log_text(&line, "first", dialects[a]->name);
                log_text(&line, "second", dialects[b]->name);
                log_slice(&line, "path", buf_slice(&whole));
                log_u64(&line, "port", listener->address.port);
                log_text(&line, "hint", "give one of them a prefix, or another port");
                log_end(&line);
                return false;
            }
        }
    }
    return true;
}

static bool collect_listeners(struct server *server)
{
    const struct config *config = server->config;
    for (uint32_t d = 0; d < config->dialect_count; d++) {
        const struct option_texts *texts;
        for (unsigned mount = 0; (texts = dialect_listen(dialects[d], config->dialects[d], mount)) != NULL; mount++)
            for (uint32_t i = 0; i < texts->count; i++)
                if (!add_listener(server, LISTENER_DIALECTS, d, mount, texts->items[i]))
                    return false;
    }
    for (uint32_t i = 0; i < config->ingest.listen.count; i++)
        if (!add_listener(server, LISTENER_INGEST, 0, 0, config->ingest.listen.items[i]))
            return false;
    for (uint32_t i = 0; i < config->admin.listen.count; i++)
        if (!add_listener(server, LISTENER_ADMIN, 0, 0, config->admin.listen.items[i]))
            return false;
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (!paths_are_disjoint(server, &server->listeners[i]))
            return false;
    return true;
}

static void address_text(const struct ring_address *address, char *out, size_t bytes)
{
    struct buf text = buf_of(out, bytes - 1);
    conn_put_address(&text, address);
    out[text.used] = '\0';
}

/* Every shard listens with SO_REUSEPORT, which a second instance could join unseen: a plain bind finds out first. */
static int probe_port(const struct ring_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    bool v4 = memcmp(address->bytes, mapped, sizeof mapped) == 0;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    memcpy(&in6.sin6_addr, address->bytes, sizeof address->bytes);
    memcpy(&in.sin_addr, address->bytes + 12, 4);
    int one = 1;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int result = v4 ? bind(fd, (struct sockaddr *)&in, sizeof in) : bind(fd, (struct sockaddr *)&in6, sizeof in6);
    result = result != 0 ? -errno : listen(fd, 1) != 0 ? -errno : 0;
    close(fd);
    return result;
}

static bool listen_everywhere(struct server *server, struct listener *of_shard, uint16_t number)
{
    const struct server_settings *settings = &server->config->server;
    for (uint32_t i = 0; i < server->listener_count; i++) {
        struct listener *listener = &server->listeners[i];
        char text[64];
        address_text(&listener->address, text, sizeof text);
        struct ring_listen_options options = {
            .address = listener->address,
            .backlog = BACKLOG,
            .send_buffer_bytes = (uint32_t)settings->send_buffer_bytes,
            .receive_buffer_bytes = (uint32_t)settings->receive_buffer_bytes,
            .notsent_lowat_bytes = (uint32_t)settings->notsent_lowat_bytes,
        };
        int error = number == 0 ? probe_port(&listener->address) : 0;
        int socket = error != 0 ? error : ring_listen(server->rings[number], &options, NULL);
        if (socket < 0) {
            struct log_line line;
            log_begin(&line, LOG_ERROR, "cannot listen");
            log_text(&line, "listen", text);
            log_errno(&line, "error", socket);
            if (socket == -EADDRINUSE)
                log_text(&line, "hint", "another process uses this port; stop it or configure another");
            log_end(&line);
            return false;
        }
        of_shard[i] = *listener;
        of_shard[i].socket = (uint32_t)socket;
        if (number > 0)
            continue;
        struct log_line line;
        log_begin(&line, LOG_INFO, "listening");
        log_text(&line, "listen", text);
        log_text(&line, "for",
                 listener->kind == LISTENER_INGEST  ? "ingest"
                 : listener->kind == LISTENER_ADMIN ? "admin"
                                                    : "dialects");
        for (uint32_t d = 0; d < server->config->dialect_count; d++)
            if (listener->dialects & 1U << d)
                log_text(&line, "dialect", dialects[d]->name);
        log_end(&line);
    }
    return true;
}

/* ---- start ---- */

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
    uint64_t wanted = server->config->server.connections_max / server->count + server->listener_count + 1;
    uint64_t sockets = wanted < limit.rlim_cur ? wanted : limit.rlim_cur;
    if (sockets < wanted) {
        struct log_line line;
        log_begin(&line, LOG_INFO, "connections limited by open files");
        log_u64(&line, "connections_max", server->config->server.connections_max);
        log_u64(&line, "per_shard", sockets - server->listener_count);
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
        log_failure("io_uring cannot be used", "ring", why);
        return false;
    }
    struct ring_options options = {
        .entries = RING_ENTRIES,
        .sockets_max = sockets_per_shard(server),
        .receive_buffers = RECEIVE_BUFFER_COUNT,
        .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
        .allow_direct = server->config->server.direct_descriptors,
    };
    for (uint16_t i = 0; i < server->count; i++) {
        if (ring_create(&server->rings[i], &options, why, sizeof why) != 0) {
            log_failure("cannot make a ring", "ring", why);
            return false;
        }
    }
    return true;
}

static bool make_shards(struct server *server)
{
    for (uint16_t i = 0; i < server->count; i++) {
        struct listener listeners[LISTENERS_MAX];
        if (!listen_everywhere(server, listeners, i))
            return false;
        struct shard_options options = {
            .number = i,
            .count = server->count,
            .server = server,
            .all = server->shards,
            .key = server->key,
            .ring = server->rings[i],
            .config = server->config,
            .listeners = listeners,
            .listener_count = server->listener_count,
        };
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
    while (shard_tick(shard, true))
        ;
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
    log_text(&line, "version", server->build->version);
    log_u64(&line, "shards", server->count);
    log_text(&line, "ring", server->features.summary);
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
    atomic_store(&server->reload_ok, good);
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

static uint32_t open_connections(const struct server *server)
{
    uint32_t open = 0;
    for (uint16_t i = 0; i < server->count; i++)
        open += atomic_load_explicit(&server->shards[i]->open, memory_order_relaxed);
    return open;
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
    log_u64(&line, "connections", open_connections(server));
    log_end(&line);
    set_stage(server, STAGE_QUIESCE);
    while (!hurry && !all_quiet(server) && now_ms() < deadline)
        hurry = hurried(signals);
    set_stage(server, STAGE_FAREWELL);
    while (!hurry && open_connections(server) > 0 && now_ms() < deadline)
        hurry = hurried(signals);
    log_begin(&line, LOG_INFO, "stopping");
    log_u64(&line, "connections_cut", open_connections(server));
    log_end(&line);
    set_stage(server, STAGE_STOP);
}

/* Whether all shards have ended what was open, within the grace. */
static bool wait_for_end(const struct server *server)
{
    uint64_t deadline = now_ms() + GRACE_MS;
    while (open_connections(server) > 0 && now_ms() < deadline)
        sleep_ms(POLL_MS);
    return open_connections(server) == 0;
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
    if (clock_entropy(&server->key, sizeof server->key) != 0 || !collect_listeners(server))
        return false;
    if (server->listener_count == 0) {
        log_failure("nothing to serve", "none", "configure at least one listener");
        return false;
    }
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
    server->build = build;
    server->started_s = clock_wall_ms() / 1000;
    atomic_store(&server->reload_ok, true);
    log_configure((enum log_level)config->server.log_level, (enum log_format)config->server.log_format);
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
