/* SPDX-License-Identifier: MIT */
/* Makes a failed run small: which switches of its plan, which clients and how much of its time can be left out while it
 * still fails in the same way. */
#ifndef RINGCAST_TESTS_SIM_SIM_SHRINK_H
#define RINGCAST_TESTS_SIM_SIM_SHRINK_H

#include "tests/sim/sim_run.h"

#include <stdio.h>

/* Tries at most so many runs. `words` is what the run said when it failed. Changes *options to the smallest run that
 * was found; returns how many were tried. */
uint32_t sim_shrink(struct sim_options *options, const char *words, uint32_t tries_max);

/* The command that repeats this run. */
void sim_shrink_print_command(FILE *out, const struct sim_options *options);
/* Adds the switch of that name (as long as `bytes` say); false: there is none. */
bool sim_shrink_parse_switch(const char *name, size_t bytes, uint64_t *without);

#endif
