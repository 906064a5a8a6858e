/* SPDX-License-Identifier: MIT */
/* The start of the server with each of its allocations failing, once and from there on. */
#ifndef RINGCAST_TESTS_SIM_SIM_START_H
#define RINGCAST_TESTS_SIM_SIM_START_H

#include "tests/sim/sim_run.h"

/* In place of a run; `steps` of the result is how many allocations there are. */
struct sim_result sim_start(const struct sim_options *options);

#endif
