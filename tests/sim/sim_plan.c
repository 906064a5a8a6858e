/* SPDX-License-Identifier: MIT */
/* Owns the choices of a seed and the table of what can be left out of them.
 * It never acts on them.
 * Called by the world when it is made, and by the minimiser for the names of the switches. */
#include "tests/sim/sim_plan.h"

#include "core/check.h"

#include <stddef.h>
#include <string.h>

#define KEPT_BUFFERS 32

/* --- switches ----------------------------------------------------------------------------------------------------- */

#define FAULT(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct sim_plan, faults.name), sizeof(uint32_t), 0                                             \
    }
#define FEATURE(name, value)                                                                                           \
    {                                                                                                                  \
#name, offsetof(struct sim_plan, name), sizeof((struct sim_plan){0}.name), (value)                             \
    }

static const struct {
    const char *name;
    size_t offset, bytes;
    uint32_t off; /* the value that takes it out of the run */
} switches[] = {
    FAULT(delay),
    FAULT(chunk),
    FAULT(partial_send),
    FAULT(reset),
    FAULT(no_buffers),
    FAULT(accept_error),
    FAULT(receive_ends),
    FAULT(queue_full),
    FAULT(accept_ends),
    FAULT(accept_burst),
    FAULT(descriptors_out),
    FAULT(receive_error),
    FAULT(send_error),
    FAULT(send_short),
    FAULT(shutdown_error),
    FAULT(close_error),
    FAULT(cancel_error),
    FAULT(cancel_late),
    FAULT(submit_error),
    FAULT(overflow),
    FAULT(hold),
    FAULT(stall),
    FAULT(clock_stop),
    FAULT(clock_jump),
    FAULT(wall_jump),
    FAULT(unpinnable),
    FAULT(copied),
    FAULT(pinned),
    FEATURE(hostiles, 0),
    FEATURE(socket_buffer_bytes, 65536),
    FEATURE(receive_buffers, 64),
    FEATURE(retain, 0),
    FEATURE(retain_age_ms, 0),
    FEATURE(outbox_bytes_max, 4 << 20),
    FEATURE(frame_memory_mib, 1024),
    FEATURE(connections_max, 1000),
    FEATURE(outstanding_max, 1024),
    FEATURE(zero_copy_min, 64U << 20),
    FEATURE(quick_pings, false),
    FEATURE(client_publish, false),
    FEATURE(drain, false),
    FEATURE(reload, false),
    FEATURE(rush, false),
    FEATURE(stall_max, 30),
    FEATURE(work.weave, 0),
    FEATURE(work.compression, false),
    FEATURE(work.addresses, 200),
    FEATURE(work.per_address, 0),
    FEATURE(work.all_per_address, 0),
    FEATURE(work.attempts, 0),
    FEATURE(tls.listeners, 0),
    FEATURE(tls.tls12, false),
    FEATURE(tls.memory, 0),
    FEATURE(tls.buffer_memory, 256U << 20),
    FEATURE(tls.handshakes, 1024),
    FEATURE(tls.updates, 0),
    FEATURE(tls.records, 0),
    FEATURE(tls.intruders, 0),
    FEATURE(heap_chance, 0),
    FEATURE(heap_each, 0),
    FEATURE(heap_at, 0),
    FEATURE(aims, 0),
};

#define SWITCHES (sizeof switches / sizeof switches[0])
_Static_assert(SWITCHES <= 64, "a bit for each in sim_options.without");

const char *sim_switch_name(uint32_t number)
{
    return number < SWITCHES ? switches[number].name : NULL;
}

bool sim_switch_is_on(const struct sim_plan *plan, uint32_t number)
{
    check_op(number, <, SWITCHES);
    uint32_t value = 0; /* the machine is little-endian, as all that the server is for */
    memcpy(&value, (const uint8_t *)plan + switches[number].offset, switches[number].bytes);
    return value != switches[number].off;
}

static void throw_off(struct sim_plan *plan, uint32_t number)
{
    memcpy((uint8_t *)plan + switches[number].offset, &switches[number].off, switches[number].bytes);
}

/* How long the end of a run takes, of its own time. */
#define DRAIN_MS 1000
#define REST_MS 28000

/* --- choosing ----------------------------------------------------------------------------------------------------- */

static uint32_t one_of(struct random *random, const uint32_t *values, uint32_t count)
{
    return values[random_below(random, count)];
}
#define ONE_OF(random, ...)                                                                                            \
    one_of((random), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void choose_faults(struct sim_faults *faults, struct random *random)
{
    *faults = (struct sim_faults){
        .delay = 150,
        .delay_max = 1 + (uint32_t)random_below(random, 12),
        .chunk = 250,
        .partial_send = 250,
        .reset = 2,
        .no_buffers = 40,
        .accept_error = 60,
        .receive_ends = 80,
        .queue_full = ONE_OF(random, 40, 300),
        .accept_ends = 100,
        .accept_burst = 200,
        .descriptors_out = 10,
        .descriptors_out_ms = 400,
        .receive_error = 2,
        .send_error = 2,
        .send_short = 2,
        .shutdown_error = 100,
        .close_error = 100,
        .cancel_error = 200,
        .cancel_late = 400,
        .submit_error = ONE_OF(random, 10, 200),
        .overflow = 100,
        .hold = 5,
        .hold_ms = 40,
        .stall = 1,
        .clock_stop = 300,
        .clock_jump = 2,
        .clock_jump_ms = 10000,
        .wall_jump = 1,
        .unpinnable = 100,
        .copied = 300,
        .pinned = ONE_OF(random, 20, 500),
    };
}

static void choose_features(struct sim_plan *plan, struct random *random)
{
    plan->shards = (uint16_t)(1 + random_below(random, SIM_SHARDS_MAX));
    plan->socket_buffer_bytes = ONE_OF(random, 512, 4096, 65536);
    plan->receive_buffers = ONE_OF(random, 2, 8);
    plan->run_ms = 5000 + random_below(random, 15000);
    plan->clients = 4 + (uint32_t)random_below(random, 48);
    plan->hostiles = 1 + (uint32_t)random_below(random, 8);
    plan->publishers = 1 + (uint32_t)random_below(random, 4);
    plan->message_bytes_max = ONE_OF(random, 16, 200, 3000, 20000);
    plan->retain = ONE_OF(random, 3, 40);
    plan->retain_age_ms = 2000;
    plan->outbox_bytes_max = ONE_OF(random, 2048, 65536);
    plan->frame_memory_mib = plan->shards;
    plan->connections_max = 4U * plan->shards;
    plan->outstanding_max = ONE_OF(random, 1, 4);
    plan->zero_copy_min = ONE_OF(random, 1, 1000, 16384);
    plan->per_key = ONE_OF(random, 1, 3, 10);
    plan->quick_pings = plan->client_publish = plan->drain = plan->reload = plan->rush = true;
    plan->stall_max = 1000;
    sim_work_choose(&plan->work, random);
    sim_tls_plan_choose(&plan->tls, random);
    plan->heap_chance = random_chance(random, 1, 2) ? ONE_OF(random, 20, 200, 1000) : 0;
    plan->heap_each = ONE_OF(random, 1, 8, 100);
    plan->heap_at = 1 + (uint32_t)random_below(random, ONE_OF(random, 100, 2000));
    plan->heap_ms = ONE_OF(random, 0, 0, 20, 2000);
}

/* Some make so much of a difference that most runs are better without. */
static bool is_rare(uint32_t number)
{
    static const char *const rare[] = {
        "frame_memory_mib", "connections_max", "work.all_per_address", "work.attempts", "heap_chance",
        "heap_each",        "heap_at",         "clock_jump",           "stall",         "reset",
        "tls.memory"};
    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++)
        if (strcmp(switches[number].name, rare[i]) == 0)
            return true;
    return false;
}

static bool is_cancelled_accept(struct sim_cell cell)
{
    return cell.op == RING_ACCEPT && cell.outcome == SIM_ECANCELED;
}

/* Some places are rare. */
static void prepare_aim(struct sim_plan *plan, struct sim_cell cell)
{
    if (cell.place == SIM_AT_PAUSED || cell.place == SIM_AT_NOBODY ||
        (cell.op == RING_CANCEL && cell.place == SIM_AT_LISTENING) || is_cancelled_accept(cell))
        plan->connections_max = 4U * plan->shards; /* places run out */
    if (cell.op == RING_RECEIVE && cell.outcome == SIM_LAST && plan->receive_buffers < KEPT_BUFFERS)
        plan->receive_buffers = KEPT_BUFFERS; /* those that wait hold theirs, and the others need some */
    if (cell.place == SIM_AT_STOPPING)
        plan->drain = plan->arrivals = true;
    if (cell.place == SIM_AT_LINGER || cell.place == SIM_AT_DYING || cell.place == SIM_AT_CLOSING) { /* many ends */
        plan->hostiles = plan->hostiles < 16 ? 16 : plan->hostiles;
        plan->quick_pings = true;
    }
    if (cell.op == RING_SEND)
        plan->zero_copy_min = 64U << 20;
    if (cell.op == RING_SEND_ZERO_COPY) {
        plan->zero_copy_min = 1;
        plan->tls.listeners = 0; /* records are never sent like that */
    }
    if ((cell.op == RING_SEND || cell.op == RING_SEND_ZERO_COPY) && cell.place == SIM_AT_DYING) { /* sends that pend */
        plan->socket_buffer_bytes = 512;
        plan->drain = true;
    }
    if ((cell.op == RING_CANCEL && cell.place >= SIM_AT_LISTENING) || is_cancelled_accept(cell))
        plan->faults.accept_error = 300;
    if (cell.op == RING_CANCEL && cell.place <= SIM_AT_LINGER) { /* input piles up */
        plan->floods = true;
        plan->hostiles = 16;
        plan->socket_buffer_bytes = 65536;
        plan->receive_buffers = 64;
        plan->outstanding_max = 1;
        plan->stall_max = 1000;
        plan->shards = plan->shards < 2 ? 2 : plan->shards;
    }
}

void sim_plan_choose(struct sim_plan *plan, struct random *random, const struct sim_options *options)
{
    choose_features(plan, random);
    choose_faults(&plan->faults, random);
    uint32_t off = ONE_OF(random, 20, 50, 80, 95);
    for (uint32_t i = 0; i < SWITCHES; i++) {
        bool thrown = random_chance(random, off, 100);
        thrown |= is_rare(i) && random_chance(random, 3, 4);
        if (thrown)
            throw_off(plan, i);
    }
    plan->aims = sim_matrix_aims(options->seed, plan->aim, SIM_AIMS);
    for (uint32_t i = 0; i < plan->aims; i++)
        prepare_aim(plan, plan->aim[i]);
    if (options->seed >= SIM_SEEDS_AT_HEAP && options->seed < 2 * SIM_SEEDS_AT_HEAP)
        plan->heap_each = ONE_OF(random, 1, 8, 100);
    for (uint32_t i = 0; i < SWITCHES; i++)
        if (options->without >> i & 1)
            throw_off(plan, i);
    if (plan->clients > options->clients_max)
        plan->clients = options->clients_max;
    uint64_t end_ms = plan->drain ? DRAIN_MS : REST_MS;
    if (options->whole_ms != 0)
        plan->run_ms = options->whole_ms > 2 * end_ms ? options->whole_ms - end_ms : end_ms;
    if (options->run_ms != 0)
        plan->run_ms = options->run_ms;
}
