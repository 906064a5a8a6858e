/* SPDX-License-Identifier: MIT */
/* Which seeds run: a fixed number, and then, in rounds, seeds that aim at what has not been seen by then. The next
 * round is chosen when the one before is over, from its counts alone: so which seeds run follows from the tree and
 * the first seed, whatever the number of processes and however long each takes. */
#ifndef RINGCAST_TESTS_SIM_SIM_SEEDS_H
#define RINGCAST_TESTS_SIM_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_ROUND_MAX 512
#define SIM_HEAP_SEEDS_MAX 60

struct sim_seeds {
    uint64_t first, count; /* that run in any case, and behind seed 0, the start with a heap that fails */
    uint64_t begun;        /* of them */
    uint64_t round[SIM_ROUND_MAX];
    uint32_t round_count, round_begun;
    uint32_t tries, heap_seeds; /* in the rounds: at cells of the fault matrix, at allocations */
};

/* The next seed to run; false: there is none as long as others are running (`idle` false), or there is none at all. */
bool sim_seeds_next(struct sim_seeds *seeds, bool idle, uint64_t *seed);

#endif
