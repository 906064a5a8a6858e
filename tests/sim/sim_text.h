/* SPDX-License-Identifier: MIT */
/* Finding pieces in texts that the server has written, without a parser of ours: what stands between two marks. */
#ifndef RINGCAST_TESTS_SIM_SIM_TEXT_H
#define RINGCAST_TESTS_SIM_SIM_TEXT_H

#include "core/bytes.h"

/* The first day of the simulation in seconds since 1970, and the day from which messages have their times. */
#define SIM_WALL_START_S 1767225600U
#define SIM_STAMP_BYTES 21 /* with its NUL */

/* Everything behind the first `mark`; nothing (data NULL) when it does not occur. */
struct slice sim_text_behind(struct slice text, const char *mark);
/* What stands between the first `mark` and the next `end`; nothing when it does not occur. */
struct slice sim_text_between(struct slice text, const char *mark, char end);
/* The digits at its beginning; SIM_NONE when there are none. */
uint32_t sim_text_number(struct slice text);

/* A time that tells a message's number. Whether it is one, and its number. */
void sim_text_stamp(char out[SIM_STAMP_BYTES], uint32_t message);
bool sim_text_stamped(struct slice text, uint32_t *message);
/* Milliseconds since the start of the simulation from a time with milliseconds, which the server has read from its
 * clock. */
bool sim_text_clock(struct slice text, uint64_t *ms);

#endif
