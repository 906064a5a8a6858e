/* SPDX-License-Identifier: MIT */
/* What differs between the kinds of clients besides what they say: where they go, how they ask, what they are owed. */
#ifndef RINGCAST_TESTS_SIM_SIM_KIND_H
#define RINGCAST_TESTS_SIM_SIM_KIND_H

#include "tests/sim/sim_client.h"

#define SIM_PATH_BYTES 256

/* Chooses what a client of its kind needs. */
void sim_kind_make(struct sim_world *world, struct sim_client *client);
/* The kind that stands for the dialect whose places it takes. */
enum sim_kind sim_kind_dialect(const struct sim_client *client);
uint16_t sim_kind_port(const struct sim_client *client);
/* The path of its upgrade, which is asked for right now; false: it asks for none. */
bool sim_kind_path(struct sim_world *world, struct sim_client *client, char path[SIM_PATH_BYTES]);
/* The upgrade has succeeded. */
void sim_kind_on_open(struct sim_world *world, struct sim_client *client);
/* NULL, or what has not come. */
const char *sim_kind_complete(struct sim_world *world, struct sim_client *client);
void sim_kind_free(struct sim_client *client);

#endif
