/* SPDX-License-Identifier: MIT */
/* Aims of a run: the cells of the fault matrix that its seed has to hit, and the count of all that it hits. */
#ifndef RINGCAST_TESTS_SIM_SIM_AIM_H
#define RINGCAST_TESTS_SIM_SIM_AIM_H

#include "tests/sim/sim_world.h"

/* The world's network asks and tells from here on. */
void sim_aim_attach(struct sim_world *world);

#endif
