/* SPDX-License-Identifier: MIT */
/* What a seed has chosen for its run. Everything that can be left out of a plan is a switch with a name: a seed throws
 * some of them off by itself, and a failed one is made small by throwing off more (sim_shrink.h). */
#ifndef RINGCAST_TESTS_SIM_SIM_PLAN_H
#define RINGCAST_TESTS_SIM_SIM_PLAN_H

#include "core/random.h"
#include "core/ring_sim.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_trust.h"
#include "tests/sim/sim_work.h"

#include <stdbool.h>

#define SIM_SHARDS_MAX 4
#define SIM_AIMS 8
/* From here on seeds let the heap fail wherever there is an allocation, below those that aim at one cell
 * (sim_matrix.c). */
#define SIM_SEEDS_AT_HEAP (UINT64_C(1) << 61)

/* From the command line. */
struct sim_options {
    uint64_t seed;
    uint64_t without;     /* a bit per switch */
    uint32_t clients_max; /* UINT32_MAX: what the seed has chosen */
    uint64_t run_ms;      /* 0: what the seed has chosen */
    uint64_t whole_ms;    /* the run with its end; 0: what the seed has chosen */
    bool verbose;
};

struct sim_plan {
    uint16_t shards;
    struct sim_faults faults;
    uint32_t socket_buffer_bytes;
    uint32_t receive_buffers;
    uint64_t run_ms; /* how long publishers publish */
    uint32_t clients, hostiles, publishers;
    uint32_t message_bytes_max;
    uint32_t retain;
    uint32_t retain_age_ms;
    uint32_t outbox_bytes_max;
    uint32_t frame_memory_mib;
    uint32_t connections_max;
    uint32_t outstanding_max;
    uint32_t zero_copy_min;
    uint32_t per_key;
    bool quick_pings; /* idle connections end within seconds */
    bool client_publish;
    bool drain; /* the run ends with a drain instead of everybody leaving */
    bool reload;
    bool rush;          /* see sim_run.c */
    uint32_t stall_max; /* steps for which a shard may get no turn */
    bool arrivals;      /* many come in the moment in which the drain begins */
    bool floods;        /* all hostiles publish more than is taken in */
    uint32_t aims;      /* cells of the fault matrix that this run tries to hit */
    struct sim_cell aim[SIM_AIMS];
    uint32_t heap_chance; /* of the shards' allocations, one in so many fails; 0: none */
    uint32_t heap_each;   /* at each place that allocates one of the first so many; 0: none */
    uint32_t heap_at;     /* this one; 0: none */
    uint32_t heap_ms;     /* and all that follow within this time */
    struct sim_work work;
    struct sim_tls_plan tls;
};

void sim_plan_choose(struct sim_plan *plan, struct random *random, const struct sim_options *options);

/* The switches by number; NULL behind the last one. */
const char *sim_switch_name(uint32_t number);
/* Whether throwing it off would change anything. */
bool sim_switch_is_on(const struct sim_plan *plan, uint32_t number);

#endif
