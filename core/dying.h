/* SPDX-License-Identifier: MIT */
/* The time between a fault of our own and the end of the process: bounded, whatever stderr is. */
#ifndef RINGCAST_CORE_DYING_H
#define RINGCAST_CORE_DYING_H

#include "core/bytes.h"

/* From here on the process lives DYING_S seconds at most (SIGALRM ends it). A second call changes nothing. Safe in a
 * signal handler. */
void dying_begin(void);
/* Writes as much as the descriptor takes until half of that time is over; without dying_begin as long as it takes.
 * Safe in a signal handler. */
void dying_write(int fd, struct slice text);

#define DYING_S 4

#endif
