/* SPDX-License-Identifier: MIT */
/* Looks into the shards, as no client could: accounts that must balance, places that must be exact, and memory that
 * must have come back. */
#ifndef RINGCAST_TESTS_SIM_SIM_AUDIT_H
#define RINGCAST_TESTS_SIM_SIM_AUDIT_H

#include "tests/sim/sim_world.h"

/* What holds when a shard posts a mail: an answer to a publisher comes behind what it promises. */
void sim_audit_posted(const struct sim_world *world, const struct mail *mail);
/* What holds between any two turns: shard_check with all its parts, and quotas within their limits. */
void sim_audit_always(const struct sim_world *world);
/* What holds when nothing moves: nothing on its way between shards, homes and audiences agree, lendings add up, places
 * in quotas are those that connections hold. */
void sim_audit_rest(const struct sim_world *world);
/* What holds when everybody has gone as well: nothing is left but what channels retain. */
void sim_audit_empty(const struct sim_world *world);

#endif
