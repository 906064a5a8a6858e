/* SPDX-License-Identifier: MIT */
/* A heap that runs out: the program is linked with --wrap for malloc, calloc, realloc and aligned_alloc, and between
 * sim_heap_enter and sim_heap_leave the plan's allocations of the server fail. The simulated network and the clients
 * have memory of their own (ring_sim.h) or allocate outside. Each place in the code that allocates is a site; the sites
 * that have been seen and those that have failed are counted over all processes of a run. */
#ifndef RINGCAST_TESTS_SIM_SIM_HEAP_H
#define RINGCAST_TESTS_SIM_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_heap_plan {
    uint32_t chance; /* one in so many fails; 0: none */
    uint32_t each;   /* of the first so many calls of each site one fails; 0: none */
    uint32_t at;     /* the so many-th call fails; 0: none */
    uint64_t ns;     /* and all that follow within this time of the simulated clock; UINT64_MAX: for good */
    uint64_t seed;
};

/* Before the first run. */
void sim_heap_init(void);
/* Allocations are counted from here on. */
void sim_heap_begin(const struct sim_heap_plan *plan);
/* They succeed again. */
void sim_heap_end(void);
/* The server's code runs; may be nested. */
void sim_heap_enter(void);
void sim_heap_leave(void);
/* Since sim_heap_begin. */
uint32_t sim_heap_failed(void);
/* Pieces of memory that were allocated inside and not given back. */
int64_t sim_heap_live(void);
/* Whether each site that was seen often has failed. */
bool sim_heap_is_whole(void);
/* Prints the sum, and each site that was seen often and has never failed. Whether there was none. */
bool sim_heap_print(bool all);

#endif
