/* SPDX-License-Identifier: MIT */
/* Owns the order of events of a run: who comes, how long it is busy, how it ends, and when the oracle is asked.
 *
 *   busy (faults on) -> calm, at rest: all is checked -> everybody leaves: nothing may be left -> places are free again
 *                    -> or a drain: every session gets 1001, nothing acknowledged is lost
 *
 * It never looks at bytes. Called by sim_main.c. */
#include "tests/sim/sim_run.h"

#include "core/work.h"
#include "tests/sim/sim_audit.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_intruder.h"
#include "tests/sim/sim_library.h"
#include "tests/sim/sim_operator.h"
#include "tests/sim/sim_publisher.h"

#include <stdio.h>

#define CLIENTS_MAX 128
#define PUBLISHERS_MAX 4
#define INTRUDERS_MAX 8
#define CHANNELS 4
#define OPERATORS 2
#define AUDIT_STEPS 16
#define WAIT_MS 50
#define REST_MS 14000 /* longer than any deadline of a connection that ends */
#define REST_STEPS_MAX 400000
#define DRAIN_MS 10000
#define LAST_MS 200
#define HURRY_STEPS 40
#define RUSH 24
#define RUSH_MS 8
#define ARRIVAL_STEPS 600

struct run {
    struct sim_world world;
    struct sim_client clients[CLIENTS_MAX];
    uint32_t client_count;
    uint64_t absent_until_ms[CLIENTS_MAX]; /* each client; UINT64_MAX: it has gone */
    struct sim_publisher publishers[PUBLISHERS_MAX];
    struct sim_operator operators[OPERATORS];
    struct sim_intruder intruders[INTRUDERS_MAX];
    uint32_t intruder_count;
    bool may_publish, may_look;
};

/* --- steps -------------------------------------------------------------------------------------------------------- */

static uint64_t next_due(const struct run *run)
{
    uint64_t now = sim_world_ms(), due = now + WAIT_MS;
    for (uint32_t i = 0; i < run->client_count; i++) {
        uint64_t of_client = sim_client_due(&run->clients[i]);
        if (of_client > now && of_client < due)
            due = of_client;
    }
    for (uint32_t i = 0; run->may_publish && i < run->world.plan.publishers; i++)
        if (run->publishers[i].wake_ms < due)
            due = run->publishers[i].wake_ms;
    for (uint32_t i = 0; run->may_look && i < OPERATORS; i++)
        if (run->operators[i].wake_ms < due)
            due = run->operators[i].wake_ms;
    return due;
}

/* Most have gone or not yet come: only who is there is looked at. */
static bool step_client(struct run *run, uint32_t number, uint64_t now)
{
    struct sim_client *client = &run->clients[number];
    if (run->absent_until_ms[number] > now)
        return false;
    bool moved = sim_client_step(&run->world, client);
    if (client->phase == SIM_ENDED)
        run->absent_until_ms[number] = UINT64_MAX;
    else if (client->phase == SIM_WAITING)
        run->absent_until_ms[number] = client->start_ms;
    return moved;
}

static void step(struct run *run)
{
    struct sim_world *world = &run->world;
    bool moved = false;
    sim_world_tick(world);
    uint64_t now = sim_world_ms();
    uint32_t first = run->client_count == 0 ? 0 : (uint32_t)random_below(&world->random, run->client_count);
    for (uint32_t i = first; i < run->client_count; i++)
        moved |= step_client(run, i, now);
    for (uint32_t i = 0; i < first; i++)
        moved |= step_client(run, i, now);
    for (uint32_t i = 0; i < world->plan.publishers; i++)
        moved |= sim_publisher_step(world, &run->publishers[i], run->may_publish);
    for (uint32_t i = 0; i < run->intruder_count; i++)
        moved |= sim_intruder_step(world, &run->intruders[i]);
    for (uint32_t i = 0; run->may_look && i < OPERATORS; i++)
        moved |= sim_operator_step(world, &run->operators[i]);
    if (world->steps % AUDIT_STEPS == 0 && world->shards[0] != NULL)
        sim_audit_always(world);
    if (!moved && !sim_world_busy(world))
        sim_world_wait(world, next_due(run));
}

static void run_until(struct run *run, uint64_t ms)
{
    while (sim_world_ms() < ms)
        step(run);
}

/* Lets so much time pass, and then until nothing is to be done. */
static void come_to_rest(struct run *run)
{
    uint64_t until = sim_world_ms() + REST_MS, most = run->world.steps + REST_STEPS_MAX;
    while (sim_world_ms() < until || sim_world_busy(&run->world)) {
        step(run);
        if (run->world.steps > most)
            sim_fail(&run->world, "it does not come to rest");
    }
}

/* --- the cast ----------------------------------------------------------------------------------------------------- */

static struct sim_client *add_client(struct run *run, enum sim_kind kind, uint64_t start_ms)
{
    struct sim_client *client = &run->clients[run->client_count];
    sim_client_make(&run->world, client, run->client_count, kind, start_ms);
    run->client_count++;
    return client;
}

static void cast(struct run *run)
{
    static const enum sim_kind kinds[] = {SIM_PLAIN,     SIM_PLAIN,  SIM_PLAIN, SIM_PLAIN, SIM_RUSTORIUM,
                                          SIM_RUSTORIUM, SIM_ECHO,   SIM_JOBS,  SIM_JOBS,  SIM_EVENTS,
                                          SIM_EVENTS,    SIM_CRYPTO, SIM_CRYPTO};
    struct sim_world *world = &run->world;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "news%u", i);
        sim_model_channel(&world->model, name, false);
    }
    for (uint32_t i = 0; i < world->plan.publishers; i++)
        sim_publisher_make(world, &run->publishers[i], i);
    for (uint32_t i = 0; i < OPERATORS; i++)
        sim_operator_make(&run->operators[i], i > 0);
    for (uint32_t i = 0; i < world->plan.clients; i++)
        add_client(run, kinds[random_below(&world->random, sizeof kinds / sizeof kinds[0])],
                   random_below(&world->random, world->plan.run_ms));
    for (uint32_t i = 0; i < world->plan.hostiles; i++)
        add_client(run, SIM_HOSTILE, random_below(&world->random, world->plan.run_ms));
    if (world->plan.tls.listeners != 0)
        run->intruder_count = world->plan.tls.intruders;
    for (uint32_t i = 0; i < run->intruder_count; i++)
        sim_intruder_make(world, &run->intruders[i], i, random_below(&world->random, world->plan.run_ms));
}

/* Many come within milliseconds, most of them go at once, and all shards but one stand still meanwhile: slots are used
 * again while answers to their past are on the way. */
static void rush(struct run *run)
{
    struct sim_world *world = &run->world;
    uint64_t now = sim_world_ms();
    sim_world_stall(world, (uint16_t)random_below(&world->random, world->plan.shards), RUSH_MS * 60);
    for (uint32_t i = 0; i < RUSH; i++) {
        enum sim_kind kind = random_chance(&world->random, 2, 3) ? SIM_PLAIN : SIM_RUSTORIUM;
        struct sim_client *client = add_client(run, kind, now + random_below(&world->random, RUSH_MS));
        if (random_chance(&world->random, 1, 4))
            continue;
        client->leaving = SIM_RESETS;
        client->leave_ms = client->start_ms + 1;
    }
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* What the pages tell of crypto's clients, when all of them know their own state. */
static void check_pages(struct run *run)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < run->client_count; i++) {
        const struct sim_client *client = &run->clients[i];
        if (client->kind == SIM_CRYPTO && client->pauses)
            return;
        open += client->kind == SIM_CRYPTO && client->phase == SIM_OPEN;
    }
    for (uint32_t i = 0; i < OPERATORS; i++)
        sim_operator_check_rest(&run->world, &run->operators[i], open);
}

static void rest(struct run *run)
{
    struct sim_world *world = &run->world;
    run->may_publish = false;
    sim_world_calm(world);
    come_to_rest(run);
    sim_trace(world, "at rest");
    for (uint32_t i = 0; i < run->client_count; i++)
        sim_client_check_rest(world, &run->clients[i]);
    for (uint32_t i = 0; i < world->plan.publishers; i++)
        sim_publisher_check_rest(world, &run->publishers[i]);
    for (uint32_t i = 0; i < run->intruder_count; i++)
        sim_intruder_check_rest(world, &run->intruders[i]);
    check_pages(run);
    sim_audit_rest(world);
}

static void everybody_leaves(struct run *run)
{
    for (uint32_t i = 0; i < run->client_count; i++)
        sim_client_leave(&run->world, &run->clients[i]);
    for (uint32_t i = 0; i < run->world.plan.publishers; i++)
        sim_publisher_leave(&run->publishers[i]);
    for (uint32_t i = 0; i < run->intruder_count; i++)
        sim_intruder_leave(&run->world, &run->intruders[i]);
    run->may_look = false;
    for (uint32_t i = 0; i < OPERATORS; i++)
        sim_operator_leave(&run->operators[i]);
    come_to_rest(run);
    sim_trace(&run->world, "everybody has gone");
    sim_audit_empty(&run->world);
}

/* As many as may come of one key do, and one more does not. */
static void places_are_free(struct run *run)
{
    struct sim_world *world = &run->world;
    uint32_t first = run->client_count, places = sim_world_per_key(world), open = 0;
    for (uint32_t i = 0; i < places + 1; i++) {
        struct sim_client *client = add_client(run, SIM_RUSTORIUM, sim_world_ms());
        client->key = 0;
        client->pauses = false;
        client->pause_ms = client->leave_ms = UINT64_MAX;
        client->speed = 65536;
    }
    come_to_rest(run);
    for (uint32_t i = first; i < run->client_count; i++)
        open += run->clients[i].phase == SIM_OPEN;
    if (open != places)
        sim_fail(world, "%u connections of one key are open, %u places were free", open, places);
    everybody_leaves(run);
}

static bool all_stopped(const struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (!world->stopped[i])
            return false;
    return true;
}

/* In the middle of a turn if it can be, and when something is on its way. */
static void begin_drain(struct run *run)
{
    struct sim_world *world = &run->world;
    for (uint32_t n = 0; n < HURRY_STEPS && world->stage == STAGE_RUN; n++) {
        for (uint32_t i = 0; i < world->plan.publishers; i++)
            run->publishers[i].wake_ms = 0;
        world->quiesce_in_turn = n > HURRY_STEPS / 2;
        step(run);
    }
    if (world->stage != STAGE_RUN)
        return;
    world->quiesce_in_turn = false;
    world->farewell_when_quiet = true;
    sim_world_set_stage(world, STAGE_QUIESCE);
}

static void drain(struct run *run)
{
    struct sim_world *world = &run->world;
    uint64_t deadline = sim_world_ms() + DRAIN_MS;
    begin_drain(run);
    while (world->farewell_when_quiet && !sim_world_quiet(world) && sim_world_ms() < deadline)
        step(run);
    if (world->farewell_when_quiet) {
        if (!sim_world_quiet(world))
            sim_fail(world, "the shards do not become quiet");
        world->farewell_when_quiet = false;
        sim_world_set_stage(world, STAGE_FAREWELL);
    }
    while (sim_world_open(world) > 0 && sim_world_ms() < deadline)
        step(run);
    sim_world_set_stage(world, STAGE_STOP);
    deadline = sim_world_ms() + DRAIN_MS;
    while (sim_world_open(world) > 0 && sim_world_ms() < deadline)
        step(run);
    if (sim_world_open(world) > 0)
        sim_fail(world, "%u connections are left behind the stop", sim_world_open(world));
    while (!all_stopped(world) && sim_world_ms() < deadline)
        step(run);
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (!world->stopped[i])
            sim_fail(world, "shard %u has not stopped", i);
    sim_world_exit(world);
    run_until(run, sim_world_ms() + LAST_MS); /* what the clients see of it */
    for (uint32_t i = 0; i < run->client_count; i++)
        sim_client_check_drained(world, &run->clients[i]);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static struct sim_result finish(struct run *run)
{
    struct sim_world *world = &run->world;
    struct sim_result result = {.hash = world->hash,
                                .virtual_ms = sim_world_ms(),
                                .steps = world->steps,
                                .published = world->model.count,
                                .deliveries = world->model.deliveries,
                                .repeats = world->plan.tls.listeners == 0 || sim_library_is_ours()};
    for (uint32_t i = 0; i < run->client_count; i++)
        sim_client_free(&run->clients[i]);
    for (uint32_t i = 0; i < world->plan.publishers; i++)
        sim_publisher_free(&run->publishers[i]);
    for (uint32_t i = 0; i < OPERATORS; i++)
        sim_operator_free(&run->operators[i]);
    for (uint32_t i = 0; i < run->intruder_count; i++)
        sim_intruder_free(&run->intruders[i]);
    sim_world_destroy(world);
    return result;
}

struct sim_result sim_run(const struct sim_options *options)
{
    static struct run run;
    run = (struct run){.may_publish = true, .may_look = true};
    sim_world_create(&run.world, options);
    cast(&run);
    uint64_t half_ms = run.world.plan.run_ms / 2;
    if (run.world.plan.rush) {
        run_until(&run, random_below(&run.world.random, half_ms));
        rush(&run);
    }
    if (run.world.plan.reload) {
        run_until(&run, half_ms + random_below(&run.world.random, half_ms));
        sim_world_reload(&run.world);
    }
    run_until(&run, run.world.plan.run_ms);
    if (run.world.plan.arrivals && run.client_count + RUSH <= CLIENTS_MAX) {
        rush(&run);
        for (uint64_t i = random_below(&run.world.random, ARRIVAL_STEPS); i > 0; i--)
            step(&run);
    }
    if (run.world.plan.drain) {
        drain(&run);
    } else {
        rest(&run);
        everybody_leaves(&run);
        if (run.world.plan.connections_max >= CLIENTS_MAX && run.world.plan.work.attempts == 0 &&
            run.world.plan.work.all_per_address == 0 && !sim_trust_crowded(&run.world))
            places_are_free(&run);
    }
    return finish(&run);
}
