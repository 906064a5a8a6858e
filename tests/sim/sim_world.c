/* SPDX-License-Identifier: MIT */
/* Owns the shards of a run, the order of their turns, and time.
 * It never plays a peer and never judges: sim_audit.c looks into the shards, sim_model.c at what came out of them.
 * Called by the scenario. */
#include "tests/sim/sim_world.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/log.h"
#include "core/spsc.h"
#include "core/work.h"
#include "shards/note.h"
#include "tests/sim/sim_aim.h"
#include "tests/sim/sim_library.h"
#include "tests/sim/sim_weave.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The law of the turn: its budget, and the units that its phases had begun. */
#define TURN_PS_MAX (2ULL * WORK_TURN_US * WORK_PS_PER_US)
#define RING_ENTRIES 64
#define MS_NS UINT64_C(1000000)
#define WEAVE_DEPTH_MAX 3
#define SPREAD_MS_MAX 4000 /* of the closes of a drain, which has 10 s in all */
#define WEAVE_DRAIN 500    /* in 1000: while a drain waits for shards to be quiet, the order of steps counts most */
#define STEP_NS 20000      /* time goes on even when there is always something to do */

/* --- trace and failure -------------------------------------------------------------------------------------------- */

void sim_trace(struct sim_world *world, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    check(bytes >= 0);
    for (const char *c = line; *c != '\0'; c++)
        world->hash = (world->hash ^ (uint8_t)*c) * 0x100000001b3U; /* FNV-1a */
    world->hash = (world->hash ^ sim_world_ms()) * 0x100000001b3U;
    if (world->verbose)
        printf("%8llu ms  %s\n", (unsigned long long)sim_world_ms(), line);
}

void sim_fail(const struct sim_world *world, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "sim: seed %llu at %llu ms, step %llu: ", (unsigned long long)world->seed,
            (unsigned long long)sim_world_ms(), (unsigned long long)world->steps);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    crash_print(STDERR_FILENO);
    _Exit(1);
}

uint64_t sim_world_ms(void)
{
    return clock_monotonic_ns() / MS_NS;
}

struct ring_address sim_world_address(const struct sim_world *world, uint32_t number)
{
    return (struct ring_address){
        .bytes = {[10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = (uint8_t)(number % world->plan.work.addresses + 1)},
        .port = (uint16_t)(10000 + number)};
}

struct ring_address sim_world_publisher_address(uint32_t number)
{
    return (struct ring_address){.bytes = {[10] = 0xFF, [11] = 0xFF, [12] = 10, [13] = 1, [15] = (uint8_t)(number + 1)},
                                 .port = (uint16_t)(20000 + number)};
}

uint32_t sim_world_per_key(const struct sim_world *world)
{
    return world->reloaded ? world->plan.work.per_key_reloaded : world->plan.per_key;
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */

static void trace_plan(struct sim_world *world)
{
    const struct sim_plan *p = &world->plan;
    sim_trace(
        world,
        "plan: shards %u, clients %u, hostiles %u, publishers %u, %llu ms, sockets %u B, messages %u B, %u buffers",
        p->shards, p->clients, p->hostiles, p->publishers, (unsigned long long)p->run_ms, p->socket_buffer_bytes,
        p->message_bytes_max, p->receive_buffers);
    sim_trace(world,
              "plan: retain %u for %u ms, outbox %u B, frames %u MiB, connections %u, outstanding %u, per key %u",
              p->retain, p->retain_age_ms, p->outbox_bytes_max, p->frame_memory_mib, p->connections_max,
              p->outstanding_max, p->per_key);
    for (uint32_t i = 0; sim_switch_name(i) != NULL; i++)
        if (sim_switch_is_on(p, i))
            sim_trace(world, "plan: with %s", sim_switch_name(i));
    for (uint32_t i = 0; i < p->aims; i++)
        sim_trace(world, "plan: aims at %s", sim_cell_name(p->aim[i]));
    sim_work_trace(world);
    sim_trust_trace(world);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static void make_ring(struct sim_world *world, uint16_t number, struct listener listeners[SIM_LISTENERS])
{
    struct ring_options options = {
        .entries = RING_ENTRIES,
        .sockets_max = world->plan.connections_max / world->plan.shards + SIM_LISTENERS + 1,
        .receive_buffers = world->plan.receive_buffers,
        .memories_max = PIN_MEMORIES(world->plan.shards),
        .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
        .allow_direct = true,
    };
    char why[256];
    check(ring_create(&world->rings[number], &options, why, sizeof why) == 0);
    sim_config_listen(world->config, world->plan.tls.listeners, world->rings[number], listeners);
}

static bool make_shard(struct sim_world *world, uint16_t number, struct siphash_key key)
{
    struct listener listeners[SIM_LISTENERS];
    make_ring(world, number, listeners);
    struct shard_options options = {
        .number = number,
        .count = world->plan.shards,
        .all = world->shards,
        .key = key,
        .ring = world->rings[number],
        .config = world->config,
        .listeners = listeners,
        .listener_count = SIM_LISTENERS,
    };
    sim_heap_enter();
    world->shards[number] = shard_create(&options);
    sim_heap_leave();
    if (world->shards[number] != NULL)
        crash_register(number, world->shards[number]->flight);
    return world->shards[number] != NULL;
}

bool sim_world_try_create(struct sim_world *world, const struct sim_options *options, const struct sim_heap_plan *heap)
{
    *world = (struct sim_world){.seed = options->seed, .verbose = options->verbose, .hash = 0xcbf29ce484222325U};
    random_init(&world->random, options->seed);
    sim_plan_choose(&world->plan, &world->random, options);
    world->network =
        sim_network_create(random_u64(&world->random), &world->plan.faults, world->plan.socket_buffer_bytes);
    sim_aim_attach(world);
    trace_plan(world);
    sim_library_start(options->seed);
    world->config = sim_config_load(world, false);
    sim_trust_start(world);
    world->model.retain = world->plan.retain_age_ms == 0 ? world->plan.retain : 0;
    for (int i = 0; i < SIM_SERVICES; i++)
        sim_model_series(&world->model);
    sim_events_start(world);
    sim_chain_start(world);
    struct siphash_key key = {.k0 = random_u64(&world->random), .k1 = random_u64(&world->random)};
    bool made = true;
    sim_heap_begin(heap);
    for (uint16_t i = 0; made && i < world->plan.shards; i++)
        made = make_shard(world, i, key);
    sim_heap_end();
    if (!made)
        sim_world_destroy(world);
    return made;
}

void sim_world_create(struct sim_world *world, const struct sim_options *options)
{
    static const struct sim_heap_plan endless = {0};
    check(sim_world_try_create(world, options, &endless));
    sim_trust_on_shards(world);
    const struct sim_heap_plan heap = {.chance = world->plan.heap_chance,
                                       .each = world->plan.heap_each,
                                       .at = world->plan.heap_at,
                                       .ns = world->plan.heap_ms * MS_NS,
                                       .seed = options->seed};
    sim_heap_begin(&heap);
    sim_weave_begin(world);
}

void sim_world_exit(struct sim_world *world)
{
    sim_weave_end();
    sim_heap_end();
    sim_trust_trace_sum(world);
    sim_heap_enter();
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        if (world->shards[i] == NULL)
            continue;
        if (stats_get(&world->shards[i]->stats, STAT_RETAINED_DROPPED) > 0)
            world->model.retain = 0;
        crash_forget(i);
        shard_destroy(world->shards[i]);
    }
    sim_heap_leave();
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (world->rings[i] != NULL)
            ring_destroy(world->rings[i]);
    memset(world->shards, 0, sizeof world->shards);
    memset(world->rings, 0, sizeof world->rings);
    sim_trust_end(world);
}

void sim_world_destroy(struct sim_world *world)
{
    sim_world_exit(world);
    sim_network_destroy(world->network);
    config_free(world->config);
    config_free(world->config_before);
    sim_events_free(world);
    sim_chain_free(world);
    sim_trust_free(world);
    sim_model_free(&world->model);
}

bool sim_world_harmed(const struct sim_world *world, int peer, uint64_t start_ms)
{
    return sim_heap_failed() > 0 || sim_trust_starved(world) || sim_jumped_ns(world->network) / MS_NS > start_ms ||
           (peer >= 0 && sim_peer_harmed(world->network, peer));
}

bool sim_world_wall_jumps(const struct sim_world *world)
{
    return world->plan.faults.wall_jump > 0;
}

bool sim_world_starved(const struct sim_world *world)
{
    return sim_heap_failed() > 0 || sim_trust_starved(world) || world->plan.frame_memory_mib < 1024;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static bool has_mail(const struct shard *shard)
{
    for (uint16_t from = 0; from < shard->count; from++)
        if (spsc_count(&shard->mail->in[from]) > 0)
            return true;
    return false;
}

static bool has_work(const struct shard *shard)
{
    return shard->flush->express.count + shard->flush->bulk.count > 0;
}

/* One turn. Behind it the shard sleeps, as it would in its ring, unless there is mail: whoever posts has to wake it. */
static void turn(struct sim_world *world, uint16_t number)
{
    struct shard *shard = world->shards[number];
    world->running[number] = true;
    world->depth++;
    sim_heap_enter();
    mail_awake(shard);
    if (!shard_tick(shard, true))
        world->stopped[number] = true;
    if (shard->work->spent_ps > TURN_PS_MAX)
        sim_fail(world, "shard %u: a turn of %llu us of priced work", number,
                 (unsigned long long)(shard->work->spent_ps / WORK_PS_PER_US));
    world->asleep[number] = mail_try_sleep(shard);
    sim_heap_leave();
    world->depth--;
    world->running[number] = false;
}

/* Some of those that are not in the middle of a turn take one. */
static void take_turns(struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (!world->running[i] && !world->stopped[i] && world->stalled[i] == 0 && random_chance(&world->random, 3, 4))
            turn(world, i);
}

/* The operator is a thread as well: a drain begins when it likes, and as soon as all say that they are quiet, the
 * farewell. */
static void operate(struct sim_world *world, bool at_data)
{
    if (world->quiesce_in_turn && at_data && random_chance(&world->random, 1, 2)) {
        world->quiesce_in_turn = false;
        world->farewell_when_quiet = true;
        sim_world_set_stage(world, STAGE_QUIESCE);
        take_turns(world);
    } else if (world->farewell_when_quiet && sim_world_quiet(world)) {
        world->farewell_when_quiet = false;
        sim_world_set_stage(world, STAGE_FAREWELL);
        take_turns(world);
    }
}

/* A shard that may take a turn now; in a drain rather one that has mail. */
static uint16_t choose_other(struct sim_world *world, bool draining)
{
    uint16_t first = (uint16_t)random_below(&world->random, world->plan.shards), chosen = first;
    for (uint16_t i = 0; draining && i < world->plan.shards; i++) {
        uint16_t number = (uint16_t)((first + i) % world->plan.shards);
        if (!world->running[number] && has_mail(world->shards[number])) {
            chosen = number;
            break;
        }
    }
    return chosen;
}

void sim_world_interrupt(struct sim_world *world, bool at_data)
{
    bool draining = world->quiesce_in_turn || world->farewell_when_quiet;
    if (world->depth == 0 || world->depth >= WEAVE_DEPTH_MAX)
        return;
    operate(world, at_data);
    if (!random_chance(&world->random, draining ? WEAVE_DRAIN : world->plan.work.weave, 1000))
        return;
    uint16_t number = choose_other(world, draining);
    if (world->running[number] || world->stopped[number] || world->stalled[number] > 0)
        return;
    turn(world, number);
    operate(world, false);
}

static void shuffle(struct random *random, uint16_t *order, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        uint16_t other = (uint16_t)random_below(random, i + 1U);
        order[i] = order[other];
        order[other] = i;
    }
}

/* The old configuration goes when no shard uses it any more, as in the server. */
static void finish_reload(struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (world->shards[i] != NULL && atomic_load(&world->shards[i]->config_seen) != world->config)
            return;
    config_free(world->config_before);
    world->config_before = NULL;
    world->reloaded_at = sim_model_now(&world->model);
}

void sim_world_tick(struct sim_world *world)
{
    uint16_t order[SIM_SHARDS_MAX];
    shuffle(&world->random, order, world->plan.shards);
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        uint16_t number = order[i];
        if (world->stopped[number])
            continue;
        if (world->stalled[number] > 0 && world->stalled[number]-- > 0)
            continue;
        if (!world->calm && random_chance(&world->random, 1, 300))
            world->stalled[number] = (uint32_t)random_below(&world->random, world->plan.stall_max);
        if (world->calm || !random_chance(&world->random, 1, 4))
            turn(world, number);
    }
    if (world->config_before != NULL)
        finish_reload(world);
    sim_clock_advance(STEP_NS);
    world->steps++;
}

bool sim_world_busy(const struct sim_world *world)
{
    bool busy = sim_ready(world->network);
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (!world->stopped[i])
            busy |= has_work(world->shards[i]) || !world->asleep[i];
    return busy;
}

/* The time of the shard's next timer. */
static uint64_t next_timer(const struct shard *shard)
{
    if (!list_empty(&shard->conns->starved) || shard->mail->backlogged > 0)
        return shard->now_ms + 1;
    return wheel_next_ms(shard->wheel);
}

void sim_world_wait(struct sim_world *world, uint64_t until_ms)
{
    uint64_t now = sim_world_ms();
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        struct shard *shard = world->shards[i];
        if (world->stopped[i])
            continue;
        if (world->asleep[i] && has_mail(shard))
            sim_fail(world, "shard %u sleeps on mail: nobody has rung its doorbell", i);
        uint64_t next = next_timer(shard);
        until_ms = next < until_ms ? next : until_ms;
    }
    uint64_t held = sim_next_ns(world->network) / MS_NS + 1;
    until_ms = held < until_ms ? held : until_ms;
    if (until_ms > now)
        sim_clock_advance((until_ms - now) * MS_NS);
}

/* --- what the operator does --------------------------------------------------------------------------------------- */

void sim_world_calm(struct sim_world *world)
{
    static const struct sim_faults none = {0};
    sim_set_faults(world->network, &none);
    sim_heap_end();
    sim_trust_calm(world);
    world->calm = true;
    world->calm_ms = sim_world_ms();
    memset(world->stalled, 0, sizeof world->stalled);
    sim_trace(world, "faults off");
}

void sim_world_stall(struct sim_world *world, uint16_t but, uint32_t steps)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (i != but)
            world->stalled[i] = steps;
    sim_trace(world, "all shards but %u stand still", but);
}

void sim_world_reload(struct sim_world *world)
{
    check(world->config_before == NULL);
    world->config_before = world->config;
    world->config = sim_config_load(world, true);
    world->reloaded = true;
    sim_trust_on_shards(world);
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        atomic_store(&world->shards[i]->config_next, world->config);
        ring_wake(world->rings[i]);
    }
    sim_trace(world, "reload");
}

void sim_world_set_stage(struct sim_world *world, enum stage stage)
{
    static const char *const names[] = {"run", "quiesce", "farewell", "stop"};
    world->stage = stage;
    uint64_t spread_ms =
        stage == STAGE_QUIESCE && random_chance(&world->random, 3, 4) ? random_below(&world->random, SPREAD_MS_MAX) : 0;
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        if (stage == STAGE_QUIESCE)
            atomic_store(&world->shards[i]->farewell_ms, spread_ms);
        atomic_store(&world->shards[i]->stage, stage);
        ring_wake(world->rings[i]);
    }
    sim_trace(world, "stage %s", names[stage]);
}

bool sim_world_quiet(const struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (!atomic_load(&world->shards[i]->quiet))
            return false;
    return true;
}

uint32_t sim_world_open(const struct sim_world *world)
{
    uint32_t open = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++)
        open += atomic_load(&world->shards[i]->conns->open);
    return open;
}
