/* SPDX-License-Identifier: MIT */
/* Seeds at work: so many processes at a time, and what has become of those before. */
#ifndef RINGCAST_TESTS_SIM_SIM_FARM_H
#define RINGCAST_TESTS_SIM_SIM_FARM_H

#include "tests/sim/sim_child.h"
#include "tests/sim/sim_seeds.h"

#define SIM_JOBS_MAX 64

struct sim_farm {
    struct sim_options options; /* of each seed but for the seed */
    const uint64_t *named;      /* run these, and no others; NULL: those of `seeds` */
    uint32_t named_count;
    struct sim_seeds seeds;
    uint32_t jobs;
    uint32_t brake_seconds; /* wall time; 0: none */

    struct sim_child children[SIM_JOBS_MAX];
    struct sim_result first[SIM_JOBS_MAX]; /* of a seed that runs for the second time */
    bool again[SIM_JOBS_MAX];
    uint32_t named_begun, passed, failed, running;
    uint64_t virtual_ms, allocations;
    int64_t begin_seconds, seconds; /* wall time: it is printed, and compared with the brake's */
    bool braked;                    /* the brake has ended the run before all seeds had been begun */
};

/* Runs all of them to the end, or until so many have failed that it is enough to look at. */
void sim_farm_run(struct sim_farm *farm);

#endif
