/* SPDX-License-Identifier: MIT */
/* Starting, naming, pinning and joining threads. It never tells a thread to end: its main returns when the work says
 * so. All signals but those of a fault stay with the thread that main runs on, which alone waits for them. Called by
 * the server for its shards, its log and its reloads, and by the storage; by nothing that runs inside a shard. */
#include "core/thread.h"

#include "core/check.h"
#include "core/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CPUS_MAX (1U << 16) /* more than any kernel is built for */

/* The processors that this process (its first thread) may use, to be freed with CPU_FREE; *bytes is the size of the
 * set. NULL when the kernel does not tell. */
static cpu_set_t *allowed_cpus(size_t *bytes)
{
    for (unsigned cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        *bytes = CPU_ALLOC_SIZE(cpus);
        if (set == NULL)
            return NULL;
        if (sched_getaffinity(getpid(), *bytes, set) == 0)
            return set;
        CPU_FREE(set);
        if (errno != EINVAL) /* EINVAL: the kernel's own set is larger */
            return NULL;
    }
    return NULL;
}

uint32_t thread_cores(void)
{
    size_t bytes;
    cpu_set_t *set = allowed_cpus(&bytes);
    if (set == NULL)
        return 1;
    int count = CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    return count < 1 ? 1 : (uint32_t)count;
}

/* Leaves only the n-th member of the set, modulo their number. */
static void keep_nth(cpu_set_t *set, size_t bytes, int n)
{
    int left = n % CPU_COUNT_S(bytes, set);
    for (size_t cpu = 0; cpu < bytes * 8; cpu++) {
        if (!CPU_ISSET_S(cpu, bytes, set))
            continue;
        if (left != 0)
            CPU_CLR_S(cpu, bytes, set);
        left--;
    }
}

/* Writes the pinning into the attributes. 0 or -errno. */
static int pin(pthread_attr_t *attributes, int core)
{
    size_t bytes;
    cpu_set_t *set = allowed_cpus(&bytes);
    if (set == NULL)
        return -ENOMEM;
    keep_nth(set, bytes, core);
    int result = pthread_attr_setaffinity_np(attributes, bytes, set);
    CPU_FREE(set);
    return -result;
}

static void *begin(void *argument)
{
    struct thread *thread = argument;
    (void)pthread_setname_np(pthread_self(), thread->name);
    check_op(sandbox_enter(thread->name), ==, 0);
    thread->main(thread->argument);
    atomic_store_explicit(&thread->ended, true, memory_order_release);
    return NULL;
}

/* pthread_create with every signal blocked, which the new thread inherits, but those of the thread's own faults:
 * blocked, they would end the process without its last words (crash.c), or for one system call (sandbox.c). 0 or -errno. */
static int create_without_signals(struct thread *thread, const pthread_attr_t *attributes)
{
    static const int own[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread->id, attributes, begin, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -result;
}

int thread_start(struct thread *thread, const char *name, int core, thread_main_fn *main, void *argument)
{
    thread->main = main;
    thread->argument = argument;
    atomic_store_explicit(&thread->ended, false, memory_order_relaxed);
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);

    pthread_attr_t attributes;
    int result = -pthread_attr_init(&attributes);
    if (result < 0)
        return result;
    if (core >= 0)
        result = pin(&attributes, core);
    if (result == 0)
        result = create_without_signals(thread, &attributes);
    (void)pthread_attr_destroy(&attributes);
    return result;
}

void thread_join(struct thread *thread)
{
    int result = pthread_join(thread->id, NULL);
    check_op(result, ==, 0);
}

bool thread_has_ended(struct thread *thread)
{
    return atomic_load_explicit(&thread->ended, memory_order_acquire);
}
