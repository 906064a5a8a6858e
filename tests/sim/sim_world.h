/* SPDX-License-Identifier: MIT */
/* The world of one run: shards over the simulated network in one thread, and time. Everything in it follows from the
 * seed. */
#ifndef RINGCAST_TESTS_SIM_SIM_WORLD_H
#define RINGCAST_TESTS_SIM_SIM_WORLD_H

#include "core/ring.h"
#include "core/ring_sim.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"
#include "tests/sim/sim_chain.h"
#include "tests/sim/sim_config.h"
#include "tests/sim/sim_crypto.h"
#include "tests/sim/sim_events.h"
#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_jobs.h"
#include "tests/sim/sim_limits.h"
#include "tests/sim/sim_model.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_trust.h"

/* A shard that accepts again and again although there is no descriptor. */
struct sim_spin {
    uint64_t since_ms;
    uint32_t failed, allowed;
};

/* A completion that waits for its connection to come into the state that a run aims at. */
struct sim_kept {
    const struct ring *ring;
    struct ring_tag tag;
    uint64_t until_step;
    uint32_t tries;
};

struct sim_world {
    uint64_t seed;
    bool verbose;
    uint64_t hash; /* of all trace lines */
    struct random random;
    struct sim_plan plan;
    struct sim_network *network;
    struct config *config;
    bool reloaded;
    uint64_t reloaded_at;         /* sim_model_now, when every shard had taken it */
    struct config *config_before; /* of a reload: until every shard has taken the new one */
    struct shard *shards[SIM_SHARDS_MAX];
    struct ring *rings[SIM_SHARDS_MAX];
    bool asleep[SIM_SHARDS_MAX];
    bool stopped[SIM_SHARDS_MAX];
    uint32_t stalled[SIM_SHARDS_MAX]; /* steps for which the shard gets no turn */
    bool running[SIM_SHARDS_MAX];     /* in the middle of a turn; so many are: */
    uint32_t depth;
    bool calm;           /* no more stalls, since: */
    uint64_t clients_ms; /* when a client last came, left or ended */
    uint64_t calm_ms;
    bool quiesce_in_turn;     /* the operator begins the drain while a shard has bytes of a peer in its hands */
    bool farewell_when_quiet; /* the operator waits for that */
    enum stage stage;
    uint64_t steps;
    struct sim_spin spins[SIM_SHARDS_MAX];
    uint32_t aimed[SIM_AIMS]; /* how often the cell was hit */
    struct sim_kept kept[SIM_AIMS];
    struct sim_model model;
    struct sim_limits limits;
    struct sim_grid grids[SIM_SERVICES];
    struct sim_jobs jobs;
    struct sim_events events;
    struct sim_chain chain;
    struct sim_trust trust;
};

void sim_world_create(struct sim_world *world, const struct sim_options *options);
/* The same with a heap of which that fails while the shards are made. False: one of them could not be made, and all is
 * destroyed again. */
bool sim_world_try_create(struct sim_world *world, const struct sim_options *options, const struct sim_heap_plan *heap);
/* The process ends: all its shards have stopped, what the rings still hold is reset. */
void sim_world_exit(struct sim_world *world);
void sim_world_destroy(struct sim_world *world);

/* Each shard gets a turn or none, in an order of the seed. */
void sim_world_tick(struct sim_world *world);
/* In the middle of a shard's turn: another one may take a turn now (see sim_weave.h). `at_data`: the shard has just
 * taken bytes of a peer. */
void sim_world_interrupt(struct sim_world *world, bool at_data);
/* Whether any shard has something to do now: then time stands (almost) still. */
bool sim_world_busy(const struct sim_world *world);
/* Moves time on to `until_ms`, or to the next timer of a shard when that comes first. */
void sim_world_wait(struct sim_world *world, uint64_t until_ms);
uint64_t sim_world_ms(void);
/* Whether a fault has been done to this peer that may have ended its connection: to the connection itself, to the
 * memory of the server, or to time since `start_ms`. */
bool sim_world_harmed(const struct sim_world *world, int peer, uint64_t start_ms);
/* Whether the server's wall clock is set now and then: then its times tell nothing. */
bool sim_world_wall_jumps(const struct sim_world *world);
/* Whether memory has been out: services may have refused, or forgotten what they keep. */
bool sim_world_starved(const struct sim_world *world);

/* No faults from here on. */
void sim_world_calm(struct sim_world *world);
/* All shards but one get no turn for so many steps. */
void sim_world_stall(struct sim_world *world, uint16_t but, uint32_t steps);
void sim_world_reload(struct sim_world *world);
void sim_world_set_stage(struct sim_world *world, enum stage stage);
bool sim_world_quiet(const struct sim_world *world);
uint32_t sim_world_open(const struct sim_world *world);

/* Of a client; several share one. */
struct ring_address sim_world_address(const struct sim_world *world, uint32_t number);
struct ring_address sim_world_publisher_address(uint32_t number);
/* How many connections of one key of rustorium may be open, by the newest configuration. */
uint32_t sim_world_per_key(const struct sim_world *world);

/* One line of the run's trace: part of its hash, printed when verbose. */
void sim_trace(struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The oracle has spoken: says what broke, and ends the process of this seed. */
_Noreturn void sim_fail(const struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
