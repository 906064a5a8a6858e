/* SPDX-License-Identifier: MIT */
/* A play against the dialect emprops: what clients, workers, time and the end of the process do, one step at a time,
 * with the messages that the model (hub_model.h) foretells of each. Who decides what happens next is the caller: a seed
 * or a fuzzer's input. */
#ifndef RINGCAST_TESTS_SUPPORT_HUB_PLAY_H
#define RINGCAST_TESTS_SUPPORT_HUB_PLAY_H

#include "tests/support/hub_model.h"

/* A host with the settings of the model, everybody there. `play` is zeroed, but for choose and context. */
void play_begin(struct play *play);
/* One step, and whether all is as foretold. False: play->error says what was not, or the play is ambiguous. */
bool play_step(struct play *play);
/* At the end every job is what the model says. */
void play_end(struct play *play);

#endif
