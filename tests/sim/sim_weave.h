/* SPDX-License-Identifier: MIT */
/* Turns within turns: what other threads do while a shard is in the middle of its turn. Wherever a shard looks at its
 * ring or at mail, another one may take a whole turn of its own first, as if it had run between two instructions of the
 * first. So the order of steps inside a turn shows: an answer that is posted before what it promises, a flag that is
 * set too early. */
#ifndef RINGCAST_TESTS_SIM_SIM_WEAVE_H
#define RINGCAST_TESTS_SIM_SIM_WEAVE_H

#include "tests/sim/sim_world.h"

/* From now on turns of this world are interrupted, as often as its plan says. */
void sim_weave_begin(struct sim_world *world);
void sim_weave_end(void);

#endif
