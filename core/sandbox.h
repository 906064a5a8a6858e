/* SPDX-License-Identifier: MIT */
/* A seccomp filter for each thread: the system calls of sandbox.def and no other.
 *
 * A call that is not on the list does not happen and fails with EPERM: the filter traps (SIGSYS), the handler notes it
 * and goes on. The process lives, because a C library that makes a new call somewhere must not take down a server whose
 * other shards are well; the call that an intruder needs fails all the same. It is said once for each thread and call,
 * and counted each time. Operations of a ring are no system calls, the
 * filter does not see them: each ring has a list of its own (ring_uring.c). */
#ifndef RINGCAST_CORE_SANDBOX_H
#define RINGCAST_CORE_SANDBOX_H

#include <stdint.h>

/* Before the first thread is started: threads that thread_start starts from here on get their filters. 0, or -errno:
 * nothing has changed, -ENOTSUP in a build with sanitizers (which make calls of their own) and on a kernel without
 * filters or for another processor, -EACCES and others as prctl(2). */
int sandbox_begin(void);
/* The calling thread has the filter for that name (its first word counts) from here on, and whatever it starts has too.
 * A name without a list is a mistake of ours (check). Without sandbox_begin nothing happens. 0 or -errno, the
 * thread has none then. */
int sandbox_enter(const char *name);
/* Logs what has been refused and not been said yet. Cheap when there is nothing; any thread, not in a handler. */
void sandbox_say(void);
/* Calls that were refused, all threads. */
uint64_t sandbox_refused(void);

#endif
