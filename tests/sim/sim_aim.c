/* SPDX-License-Identifier: MIT */
/* Owns where an operation happens (the state of its connection or listener), the ways in which a run hits the cells
 * that it aims at, and the count of what was hit. It never changes a shard: it asks the simulated ring for outcomes,
 * and for completions to wait. Called by the simulated ring, through its hooks. */
#include "tests/sim/sim_aim.h"

#include "core/check.h"
#include "core/work.h"

#define KEPT_ALONE_MAX 6
#define KEEP_ALONE_STEPS 125000
#define KEPT_MAX 40
#define KEEP_STEPS 3000
#define AIMED_MAX 3 /* a run aims at a cell so many times */
#define SPIN_MS 100
#define SPIN_FAILED_MAX 4

static uint16_t shard_of(const struct sim_world *world, const struct ring *ring)
{
    uint16_t number = 0;
    while (world->rings[number] != ring)
        check_op(++number, <, world->plan.shards);
    return number;
}

static enum sim_place place_of_listener(const struct shard *shard, const struct listener *listener)
{
    if (shard->stage_seen != STAGE_RUN)
        return SIM_AT_STOPPING;
    return listener->paused ? SIM_AT_PAUSED : SIM_AT_LISTENING;
}

/* Where an operation with this tag happens; SIM_PLACES: nowhere, which sim_audit.c reports. */
static enum sim_place place_of(const struct sim_world *world, const struct ring *ring, enum ring_op op,
                               struct ring_tag tag)
{
    struct shard *shard = world->shards[shard_of(world, ring)];
    struct handle handle = {.index = tag.index, .generation = tag.generation};
    if (shard == NULL)
        return SIM_AT_LISTENING; /* it is just being made: the first accepts */
    if (op == RING_SEND_ZERO_COPY) {
        const struct pin *pin = slab_get(&shard->pins->slab, handle);
        const struct conn *sender = pin == NULL ? NULL : conn_get(shard, pin->conn);
        return sender == NULL ? SIM_AT_NOBODY : (enum sim_place)sender->state;
    }
    if (tag.generation == 0)
        return op == RING_CLOSE ? SIM_AT_NOBODY : place_of_listener(shard, &shard->listeners->items[tag.index]);
    const struct conn *conn = conn_get(shard, handle);
    return conn == NULL ? SIM_PLACES : (enum sim_place)conn->state;
}

/* Whether what is in the first place may come to the second. */
static bool comes_before(enum sim_place first, enum sim_place second)
{
    if (second <= SIM_AT_DYING)
        return first < second;
    if (second == SIM_AT_NOBODY)
        return first <= SIM_AT_DYING;
    return first != second && first >= SIM_AT_LISTENING && first <= SIM_AT_STOPPING && second <= SIM_AT_STOPPING;
}

/* Whether no opportunity for such an outcome comes in that place: it comes before, and its completion waits (keep). */
static bool only_kept(const struct sim_cell *aim)
{
    return (aim->op == RING_SHUTDOWN && aim->place == SIM_AT_DYING) ||
           ((aim->op == RING_SEND || aim->op == RING_SEND_ZERO_COPY) && aim->place == SIM_AT_DYING &&
            aim->outcome > SIM_NOT_BEGUN) ||
           (aim->op == RING_CANCEL && aim->outcome == SIM_ENOMEM &&
            (aim->place == SIM_AT_CLOSING || aim->place == SIM_AT_LINGER || aim->place == SIM_AT_LISTENING));
}

static enum sim_outcome direct(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag)
{
    const struct sim_world *world = context;
    if (world->calm || world->plan.aims == 0)
        return SIM_OUTCOMES;
    enum sim_place place = place_of(world, ring, op, tag);
    for (uint32_t i = 0; i < world->plan.aims; i++) {
        uint32_t at =
            (uint32_t)((world->steps + i) % world->plan.aims); /* one that cannot be hit does not stand before others */
        const struct sim_cell *aim = &world->plan.aim[at];
        bool there = aim->place == place || (comes_before(place, aim->place) && only_kept(aim));
        if (aim->op == op && there && world->aimed[at] < AIMED_MAX)
            return aim->outcome;
    }
    return SIM_OUTCOMES;
}

/* A completion that would hit a cell if its connection were in a later state waits for that a while. */
static bool keep(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag, enum sim_outcome outcome)
{
    struct sim_world *world = context;
    for (uint32_t i = 0; !world->calm && i < world->plan.aims; i++) {
        const struct sim_cell *aim = &world->plan.aim[i];
        struct sim_kept *kept = &world->kept[i];
        if (aim->op != op || aim->outcome != outcome || world->aimed[i] >= AIMED_MAX ||
            !comes_before(place_of(world, ring, op, tag), aim->place))
            continue;
        bool same = kept->ring == ring && kept->tag.index == tag.index && kept->tag.generation == tag.generation;
        bool alone = world->plan.aims == 1; /* then it may take its time, longer than a connection lingers */
        if (!same && world->steps >= kept->until_step && kept->tries < (alone ? KEPT_ALONE_MAX : KEPT_MAX)) {
            uint32_t steps = alone ? KEEP_ALONE_STEPS : KEEP_STEPS;
            *kept = (struct sim_kept){ring, tag, world->steps + steps, kept->tries + 1};
            same = true;
        }
        if (same && world->steps < kept->until_step)
            return true;
    }
    return false;
}

/* A multishot accept that fails for want of a descriptor must not be armed again at once; it may when one is freed. */
static void watch_accepts(struct sim_world *world, uint16_t number, enum ring_op op, enum sim_outcome outcome)
{
    struct sim_spin *spin = &world->spins[number];
    if (sim_world_ms() >= spin->since_ms + SPIN_MS)
        *spin = (struct sim_spin){.since_ms = sim_world_ms()};
    spin->allowed += op == RING_CLOSE;
    spin->failed += op == RING_ACCEPT && outcome == SIM_EMFILE;
    if (spin->failed > SIM_LISTENERS * (SPIN_FAILED_MAX + spin->allowed))
        sim_fail(world, "shard %u: %u accepts in %u ms have found no descriptor", number, spin->failed, SPIN_MS);
}

static void watch(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag,
                  enum sim_outcome outcome)
{
    struct sim_world *world = context;
    struct sim_cell cell = {.op = op, .outcome = outcome, .place = place_of(world, ring, op, tag)};
    if (cell.place == SIM_PLACES)
        return;
    sim_matrix_count(cell);
    watch_accepts(world, shard_of(world, ring), op, outcome);
    for (uint32_t i = 0; i < world->plan.aims; i++) {
        const struct sim_cell *aim = &world->plan.aim[i];
        world->aimed[i] += aim->op == op && aim->outcome == outcome && aim->place == cell.place;
    }
}

void sim_aim_attach(struct sim_world *world)
{
    const struct sim_hooks hooks = {.context = world, .direct = direct, .keep = keep, .watch = watch};
    sim_set_hooks(world->network, &hooks);
}
