/* SPDX-License-Identifier: MIT */
/* Clients that mean harm, and what the server owes them: an end in time, with the right code. */
#ifndef RINGCAST_TESTS_SIM_SIM_HOSTILE_H
#define RINGCAST_TESTS_SIM_SIM_HOSTILE_H

#include "tests/sim/sim_client.h"

/* Prepares what the attack needs. */
void sim_hostile_make(struct sim_client *client);
/* Where it goes, and whose places it takes. */
uint16_t sim_hostile_port(const struct sim_client *client);
const char *sim_hostile_path(const struct sim_client *client);
enum sim_kind sim_hostile_dialect(const struct sim_client *client);
/* What it says first, in place of an upgrade. */
void sim_hostile_ask(struct sim_world *world, struct sim_client *client);
/* Whether it begins with a good upgrade. */
bool sim_hostile_upgrades(const struct sim_client *client);
void sim_hostile_act(struct sim_world *world, struct sim_client *client);
void sim_hostile_check_rest(struct sim_world *world, struct sim_client *client);

#endif
