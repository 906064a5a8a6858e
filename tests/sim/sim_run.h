/* SPDX-License-Identifier: MIT */
/* One run: what happens in it, from the seed. */
#ifndef RINGCAST_TESTS_SIM_SIM_RUN_H
#define RINGCAST_TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_result.h"

/* Does not return when something broke: it says what and ends the process. */
struct sim_result sim_run(const struct sim_options *options);

#endif
