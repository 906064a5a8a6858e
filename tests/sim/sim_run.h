/* SPDX-License-Identifier: MIT */
/* One run: what happens in it, from the seed. */
#ifndef RINGCAST_TESTS_SIM_SIM_RUN_H
#define RINGCAST_TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim_plan.h"

struct sim_result {
    uint64_t hash; /* of the trace: the same whenever the seed is the same */
    uint64_t virtual_ms;
    uint64_t steps;
    uint64_t published;
    uint64_t deliveries;
    bool repeats; /* not when a library draws from the system */
};

/* Does not return when something broke: it says what and ends the process. */
struct sim_result sim_run(const struct sim_options *options);

#endif
