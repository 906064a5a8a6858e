/* SPDX-License-Identifier: MIT */
/* Owns the stages of a stop: nothing new begins, everybody is closed at a pace, what is left is cut, the threads end. It
 * never touches a connection. Called by server.c. */
#include "shards/process/server_parts.h"

#include "core/clock.h"
#include "core/log.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/listener.h"
#include "shards/conn/pin.h"
#include "shards/turn/shard_tick.h"

#include <time.h>

#define PROGRESS_MS 1000 /* between two lines about a drain */
#define SPREAD_TENTHS 7  /* of the time left, at most, for the closes of a drain */
#define GRACE_MS 2000    /* for the kernel to end what STOP has cancelled */

void server_sleep_ms(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

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

/* Waits for a further signal at most SERVER_POLL_MS; whether one came that asks to hurry. */
static bool hurried(const sigset_t *signals)
{
    struct timespec time = {.tv_nsec = SERVER_POLL_MS * 1000000};
    int signal = sigtimedwait(signals, NULL, &time);
    return signal == SIGTERM || signal == SIGINT;
}

/* The time over which the closes of a drain are spread, in milliseconds: the same for each shard, whose own share of the
 * closes is so the share that it has of the clients. The rest of the time is the peers', for their half of a close. */
static uint64_t spread_ms(const struct server *server, uint64_t left_ms)
{
    uint64_t rate = server->config->server.drain_rate, most_ms = left_ms * SPREAD_TENTHS / 10;
    uint64_t wanted_ms = rate == 0 ? 0 : (uint64_t)count_clients(server) * 1000 / rate;
    return wanted_ms < most_ms ? wanted_ms : most_ms;
}

static void begin_farewell(struct server *server, uint64_t deadline_ms)
{
    uint64_t now = now_ms(), spread = spread_ms(server, deadline_ms > now ? deadline_ms - now : 0);
    struct log_line line;
    for (uint16_t i = 0; i < server->count; i++)
        atomic_store_explicit(&server->shards[i]->farewell_ms, spread, memory_order_relaxed);
    set_stage(server, STAGE_FAREWELL); /* releases what was stored before */
    log_begin(&line, LOG_INFO, "closing connections");
    log_u64(&line, "connections", count_clients(server));
    log_u64(&line, "spread_ms", spread);
    log_end(&line);
}

/* Waits until the clients have ended, time is up or somebody asks to hurry; says once a second how many are left. */
static void wait_for_clients(const struct server *server, const sigset_t *signals, uint64_t deadline_ms)
{
    uint64_t said_ms = now_ms();
    while (count_clients(server) > 0 && now_ms() < deadline_ms) {
        if (hurried(signals))
            return;
        if (now_ms() - said_ms < PROGRESS_MS)
            continue;
        struct log_line line;
        said_ms = now_ms();
        log_begin(&line, LOG_INFO, "draining");
        log_u64(&line, "connections", count_clients(server));
        log_end(&line);
    }
}

/* The stages of a drain; returns when every connection has ended or time is up. */
void server_drain(struct server *server, const sigset_t *signals)
{
    uint64_t deadline = now_ms() + server->config->server.drain_timeout_ms;
    bool hurry = false;
    struct log_line line;
    set_stage(server, STAGE_QUIESCE); /* first: whoever has read the line finds that we are not ready */
    log_begin(&line, LOG_INFO, "draining");
    log_u64(&line, "connections", count_clients(server));
    log_end(&line);
    while (!hurry && !all_quiet(server) && now_ms() < deadline)
        hurry = hurried(signals);
    if (!hurry) {
        begin_farewell(server, deadline);
        wait_for_clients(server, signals, deadline);
    }
    log_begin(&line, LOG_INFO, "stopping");
    log_u64(&line, "connections_cut", count_clients(server));
    log_end(&line);
    set_stage(server, STAGE_STOP);
}

bool server_wait_for_end(const struct server *server)
{
    uint64_t deadline = now_ms() + GRACE_MS;
    while (any_open(server) && now_ms() < deadline)
        server_sleep_ms(SERVER_POLL_MS);
    return !any_open(server);
}

bool server_join_shards(struct server *server)
{
    uint64_t deadline = now_ms() + GRACE_MS;
    for (uint16_t i = 0; i < server->count; i++) {
        ring_wake(server->rings[i]);
        while (!thread_has_ended(&server->threads[i]) && now_ms() < deadline)
            server_sleep_ms(1);
        if (!thread_has_ended(&server->threads[i]))
            return false;
        thread_join(&server->threads[i]);
    }
    return true;
}
