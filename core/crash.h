/* SPDX-License-Identifier: MIT */
/* The last words of a process that a fault of its own ends: a failed check (it aborts), SIGSEGV, SIGBUS, SIGILL or
 * SIGFPE. The flight recorders go to stderr, then the signal does what it would have done, whether anybody reads them
 * or not (dying.h).
 *
 * The table of recorders is the one piece of mutable state that the whole process shares: a signal handler gets no
 * argument and so has no other way to them. It is written when a shard starts and ends, and read by the dying thread
 * only. */
#ifndef RINGCAST_CORE_CRASH_H
#define RINGCAST_CORE_CRASH_H

#include "core/flight.h"

/* Catches the signals; once. `events_max` of each recorder of the failing thread are printed, of other threads at most
 * 256. */
void crash_install(uint32_t events_max);
/* By the thread that is about to run shard `number` (below SHARDS_MAX): its recorder is printed as that thread's. */
void crash_register(uint16_t number, const struct flight *flight);
/* Before the recorder's memory goes. */
void crash_forget(uint16_t number);
/* Prints the recorders now, those of the calling thread last. Safe in a signal handler: write(2) and nothing else. */
void crash_print(int fd);

#endif
