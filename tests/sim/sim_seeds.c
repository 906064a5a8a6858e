/* SPDX-License-Identifier: MIT */
/* Owns the order of the seeds of a run, and how many tries there are at what has not been seen.
 * It never looks at a clock: the number of seeds is a count or follows from counts.
 * Called by the farm whenever a process is free. */
#include "tests/sim/sim_seeds.h"

#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_plan.h"

#define HEAP_ROUND 4

/* First the matrix, then the heap: what aims at cells lets allocations fail as well. */
static void begin_round(struct sim_seeds *seeds)
{
    seeds->round_begun = 0;
    seeds->round_count = sim_matrix_round(seeds->round, SIM_ROUND_MAX);
    seeds->tries += seeds->round_count;
    if (seeds->round_count > 0 || sim_heap_is_whole())
        return;
    while (seeds->round_count < HEAP_ROUND && seeds->heap_seeds < SIM_HEAP_SEEDS_MAX)
        seeds->round[seeds->round_count++] = SIM_SEEDS_AT_HEAP + seeds->heap_seeds++;
}

bool sim_seeds_next(struct sim_seeds *seeds, bool idle, uint64_t *seed)
{
    if (seeds->begun <= seeds->count) {
        *seed = seeds->begun == 0 ? 0 : seeds->first + seeds->begun - 1;
        seeds->begun++;
        return true;
    }
    if (seeds->round_begun == seeds->round_count && idle)
        begin_round(seeds);
    if (seeds->round_begun == seeds->round_count)
        return false;
    *seed = seeds->round[seeds->round_begun++];
    return true;
}
