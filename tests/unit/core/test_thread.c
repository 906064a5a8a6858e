/* SPDX-License-Identifier: MIT */
/* Threads: what a started one sees of its name, its core and the signals. And the kernel's clocks, which need no file
 * of their own. */
#include "core/clock.h"
#include "core/thread.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct seen {
    char name[16];
    int cpus;
    int cpu;
    bool signals_blocked;
};

static void look(void *argument)
{
    struct seen *seen = argument;
    sigset_t blocked;
    cpu_set_t set;
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    seen->signals_blocked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGUSR2) == 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        seen->cpus = CPU_COUNT(&set);
    seen->cpu = sched_getcpu();
}

static struct seen run(const char *name, int core)
{
    struct seen seen = {.cpus = -1};
    struct thread thread;
    cr_assert_eq(thread_start(&thread, name, core, look, &seen), 0);
    thread_join(&thread);
    return seen;
}

Test(thread, has_its_name_and_no_signals_while_its_starter_keeps_them)
{
    struct seen seen = run("a-name-that-is-too-long", -1);
    cr_assert_str_eq(seen.name, "a-name-that-is-");
    cr_assert(seen.signals_blocked);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    cr_assert_eq(sigismember(&blocked, SIGTERM), 0);
}

Test(thread, is_pinned_to_one_of_the_allowed_cores_or_to_none)
{
    cr_assert_eq(run("free", -1).cpus, (int)thread_cores());
    cpu_set_t allowed;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    int cores = (int)thread_cores();
    for (int core = 0; core < cores + 1 && core < 4; core++) {
        struct seen seen = run("pinned", core);
        cr_assert_eq(seen.cpus, 1);
        cr_assert(CPU_ISSET((size_t)seen.cpu, &allowed));
        cr_assert_eq(seen.cpu, run("again", core + cores).cpu, "cores are counted modulo their number");
    }
    if (cores > 1)
        cr_assert_neq(run("first", 0).cpu, run("second", 1).cpu);
}

Test(thread, counts_only_cores_that_the_process_may_use)
{
    cpu_set_t before, one;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    cr_assert_eq(sched_setaffinity(getpid(), sizeof one, &one), 0);
    cr_assert_eq(thread_cores(), 1);
    cr_assert_eq(run("only", 5).cpu, (int)first);
}

Test(clock, monotonic_time_does_not_run_backwards_and_wall_time_is_of_this_century)
{
    uint64_t last = clock_monotonic_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_monotonic_ns();
        cr_assert_geq(now, last);
        last = now;
    }
    cr_assert_gt(clock_wall_ms(), 1600000000000U);
    cr_assert_lt(clock_wall_ms(), 4102444800000U);
}

Test(clock, entropy_fills_all_bytes_and_differs_each_time)
{
    unsigned char one[300] = {0}, two[300] = {0};
    cr_assert_eq(clock_entropy(one, sizeof one), 0);
    cr_assert_eq(clock_entropy(two, sizeof two), 0);
    cr_assert_neq(memcmp(one, two, sizeof one), 0);
    int zeros = 0;
    for (size_t i = 0; i < sizeof one; i++)
        zeros += one[i] == 0;
    cr_assert_lt(zeros, 30); /* 1.2 are expected */
    cr_assert_neq(memcmp(one + 284, (unsigned char[16]){0}, 16), 0);
}
