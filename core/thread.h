/* SPDX-License-Identifier: MIT */
/* Threads, pinned to a core. */
#ifndef RINGCAST_CORE_THREAD_H
#define RINGCAST_CORE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef void thread_main_fn(void *argument);

struct thread {
    pthread_t id;
    thread_main_fn *main;
    void *argument;
    char name[16];
    _Atomic bool ended; /* its main has returned */
};

/* Starts a thread that blocks all signals but those of its own faults, with the filter for its name (sandbox.h). `core` is the n-th of the cores that this
 * process may use (modulo their number), or -1: not pinned. 0 or -errno. `thread` must live until the join. */
int thread_start(struct thread *thread, const char *name, int core, thread_main_fn *main, void *argument);
void thread_join(struct thread *thread);
/* Whether thread_join would return at once. */
bool thread_has_ended(struct thread *thread);
/* How many cores this process may use (sched_getaffinity), at least 1. */
uint32_t thread_cores(void);

#endif
