/* SPDX-License-Identifier: MIT */
/* What honest clients say in each dialect, and how they judge what they are told. */
#ifndef RINGCAST_TESTS_SIM_SIM_TALK_H
#define RINGCAST_TESTS_SIM_SIM_TALK_H

#include "tests/sim/sim_client.h"

/* Says something, or lets it be, and chooses when to act again. */
void sim_talk_act(struct sim_world *world, struct sim_client *client);
void sim_talk_on_message(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame);

#endif
