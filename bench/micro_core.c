/* SPDX-License-Identifier: MIT */
/* Owns the cases of ringcast-micro about queues and timers. The cases across threads need two cores; on one they time
 * the scheduler. It never reads a clock. Called by micro_main. */
#include "bench/micro.h"
#include "core/check.h"
#include "core/random.h"
#include "core/spsc.h"
#include "core/thread.h"
#include "core/wheel.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 4096
#define TIMERS 10000
#define SPINS 10000 /* before a side that waits lets others run */

/* --- SPSC --------------------------------------------------------------------------------------------------------- */

struct queues {
    struct spsc there, back;
    struct thread thread; /* of the cases across threads: sends back what comes */
    _Atomic bool stop;
    bool echo; /* every item; else one per ITEMS */
};

static void wait_a_little(unsigned *spins)
{
    if (++*spins % SPINS == 0)
        sched_yield();
}

static void other_side(void *argument)
{
    struct queues *queues = argument;
    struct spsc_item item;
    uint64_t seen = 0;
    unsigned spins = 0;
    while (!atomic_load_explicit(&queues->stop, memory_order_relaxed)) {
        if (!spsc_pop(&queues->there, &item)) {
            wait_a_little(&spins);
            continue;
        }
        seen++;
        if (queues->echo || seen % ITEMS == 0)
            while (!spsc_push(&queues->back, &item))
                wait_a_little(&spins);
    }
}

static void free_queues(struct queues *queues)
{
    spsc_destroy(&queues->there);
    spsc_destroy(&queues->back);
    free(queues);
}

static int open_queues(void **state, const struct micro_case *self)
{
    (void)self;
    struct queues *queues = aligned_alloc(64, (sizeof *queues + 63) & ~(size_t)63);
    if (queues == NULL)
        return -ENOMEM;
    memset(queues, 0, sizeof *queues);
    int error = spsc_init(&queues->there, ITEMS);
    if (error == 0)
        error = spsc_init(&queues->back, ITEMS);
    if (error < 0)
        free_queues(queues);
    else
        *state = queues;
    return error;
}

static void close_queues(void *state)
{
    free_queues(state);
}

static int open_threads(void **state, const struct micro_case *self, bool echo)
{
    int error = open_queues(state, self);
    if (error < 0)
        return error;
    struct queues *queues = *state;
    queues->echo = echo;
    error = thread_start(&queues->thread, "other side", -1, other_side, queues);
    if (error < 0)
        free_queues(queues);
    return error;
}

static int open_stream(void **state, const struct micro_case *self)
{
    return open_threads(state, self, false);
}

static int open_echo(void **state, const struct micro_case *self)
{
    return open_threads(state, self, true);
}

static void close_threads(void *state)
{
    struct queues *queues = state;
    atomic_store(&queues->stop, true);
    thread_join(&queues->thread);
    free_queues(queues);
}

static uint64_t run_same(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct queues *queues = state;
    struct spsc_item item = {{0}};
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        item.words[0] = i;
        check(spsc_push(&queues->there, &item) && spsc_pop(&queues->there, &item));
        sum += item.words[0];
    }
    return sum;
}

/* As many as the other side reports back on: `count` rounded up to whole rings. */
static uint64_t run_stream(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct queues *queues = state;
    struct spsc_item item = {{0}};
    unsigned spins = 0;
    uint64_t reports = 0, rings = (count + ITEMS - 1) / ITEMS;
    for (uint64_t i = 0; i < rings * ITEMS; i++) {
        item.words[0] = i;
        while (!spsc_push(&queues->there, &item))
            wait_a_little(&spins);
        struct spsc_item report;
        reports += spsc_pop(&queues->back, &report);
    }
    while (reports < rings) {
        wait_a_little(&spins);
        reports += spsc_pop(&queues->back, &item);
    }
    return item.words[0];
}

static uint64_t run_echo(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct queues *queues = state;
    struct spsc_item item = {{0}};
    unsigned spins = 0;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        item.words[0] = i;
        check(spsc_push(&queues->there, &item));
        while (!spsc_pop(&queues->back, &item))
            wait_a_little(&spins);
        sum += item.words[0];
    }
    return sum;
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

struct timers {
    struct wheel wheel;
    struct wheel_timer all[TIMERS];
    struct random random;
    uint64_t now_ms;
};

static int open_wheel(void **state, const struct micro_case *self)
{
    (void)self;
    struct timers *timers = calloc(1, sizeof *timers);
    if (timers == NULL)
        return -ENOMEM;
    wheel_init(&timers->wheel, 0);
    random_init(&timers->random, 1);
    for (uint32_t i = 0; i < TIMERS; i++)
        wheel_set(&timers->wheel, &timers->all[i], 1 + random_below(&timers->random, 60000));
    *state = timers;
    return 0;
}

/* A deadline that is moved before it is reached: what most timers of connections do. */
static uint64_t run_move(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct timers *timers = state;
    for (uint64_t i = 0; i < count; i++)
        wheel_set(&timers->wheel, &timers->all[i % TIMERS], timers->now_ms + 1 + random_below(&timers->random, 60000));
    return timers->wheel.count;
}

static uint64_t run_expire(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct timers *timers = state;
    uint64_t sum = 0;
    for (uint64_t popped = 0; popped < count;) {
        struct wheel_timer *timer;
        wheel_advance(&timers->wheel, ++timers->now_ms);
        for (; (timer = wheel_pop(&timers->wheel)) != NULL; popped++) {
            sum += timer->expiry_ms;
            wheel_set(&timers->wheel, timer, timers->now_ms + 1 + random_below(&timers->random, 60000));
        }
    }
    return sum;
}

const struct micro_case micro_core[] = {
    {"spsc/same_thread", "one item pushed and popped", 64, open_queues, run_same, close_queues},
    {"spsc/stream", "one item to another thread, many under way", 64, open_stream, run_stream, close_threads},
    {"spsc/round_trip", "one item to another thread and back", 64, open_echo, run_echo, close_threads},
    {"wheel/move", "one of 10,000 timers set anew", 0, open_wheel, run_move, free},
    {"wheel/expire", "one of 10,000 timers expired and set anew", 0, open_wheel, run_expire, free},
    {.name = NULL},
};
