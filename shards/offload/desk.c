/* SPDX-License-Identifier: MIT */
/* Owns the rings between shards and a thread beside them, and that thread's sleep. It never looks into a task. Called by
 * offload.c and by depots. */
#include "shards/offload/desk.h"

#include "core/check.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int desk_init(struct desk *desk, uint16_t shards, desk_answered_fn *answered, void *user)
{
    memset(desk, 0, sizeof *desk);
    desk->ports = aligned_alloc(64, shards * sizeof *desk->ports);
    if (desk->ports == NULL)
        return -ENOMEM;
    memset(desk->ports, 0, shards * sizeof *desk->ports);
    desk->count = shards;
    desk->answered = answered;
    desk->user = user;
    for (uint16_t i = 0; i < shards; i++) {
        struct desk_port *port = &desk->ports[i];
        if (spsc_init(&port->in, DESK_TASKS_MAX) != 0 || spsc_init(&port->out, DESK_TASKS_MAX) != 0) {
            desk_destroy(desk);
            return -ENOMEM;
        }
    }
    return 0;
}

void desk_destroy(struct desk *desk)
{
    for (uint16_t i = 0; i < desk->count; i++) {
        check_op(desk->ports[i].outstanding, ==, 0);
        spsc_destroy(&desk->ports[i].in);
        spsc_destroy(&desk->ports[i].out);
    }
    free(desk->ports);
    desk->ports = NULL;
}

/* --- a shard's side ----------------------------------------------------------------------------------------------- */

static void wake(struct desk *desk)
{
    if (atomic_exchange_explicit(&desk->asleep, 0, memory_order_acq_rel) != 0)
        (void)syscall(SYS_futex, &desk->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool desk_post(struct desk *desk, uint16_t origin, void *task)
{
    struct desk_port *port = &desk->ports[origin];
    if (port->outstanding == DESK_TASKS_MAX)
        return false;
    struct spsc_item item = {.words = {(uintptr_t)task}};
    port->outstanding++;
    bool pushed = spsc_push(&port->in, &item);
    check(pushed);
    /* Pairs with the fence in rest: either it sees the task, or we see it asleep. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&desk->asleep, memory_order_relaxed) != 0)
        wake(desk);
    return true;
}

void *desk_take(struct desk *desk, uint16_t origin)
{
    struct desk_port *port = &desk->ports[origin];
    struct spsc_item item;
    if (port->outstanding == 0 || !spsc_pop(&port->out, &item))
        return NULL;
    port->outstanding--;
    return (void *)(uintptr_t)item.words[0];
}

bool desk_has_answers(const struct desk *desk, uint16_t origin)
{
    return desk->ports[origin].outstanding > 0 && spsc_count(&desk->ports[origin].out) > 0;
}

/* --- the thread's side -------------------------------------------------------------------------------------------- */

void *desk_next(struct desk *desk, uint16_t *origin)
{
    for (uint16_t i = 0; i < desk->count; i++) {
        struct spsc_item item;
        *origin = desk->next;
        desk->next = desk->next + 1 == desk->count ? 0 : desk->next + 1;
        if (spsc_pop(&desk->ports[*origin].in, &item))
            return (void *)(uintptr_t)item.words[0];
    }
    return NULL;
}

void desk_answer(struct desk *desk, uint16_t origin, void *task)
{
    struct spsc_item item = {.words = {(uintptr_t)task}};
    bool pushed = spsc_push(&desk->ports[origin].out, &item);
    check(pushed);
    if (desk->answered == NULL)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    desk->answered(desk->user, origin);
}

bool desk_is_stopping(const struct desk *desk)
{
    return atomic_load_explicit(&desk->stopping, memory_order_acquire);
}

static bool is_idle(const struct desk *desk)
{
    for (uint16_t i = 0; i < desk->count; i++)
        if (spsc_count(&desk->ports[i].in) > 0)
            return false;
    return true;
}

static void rest(struct desk *desk, uint64_t most_ms)
{
    struct timespec most = {.tv_sec = (time_t)(most_ms / 1000), .tv_nsec = (long)(most_ms % 1000) * 1000000};
    if (most_ms == 0)
        return;
    atomic_store_explicit(&desk->asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (is_idle(desk) && !atomic_load_explicit(&desk->stopping, memory_order_relaxed))
        (void)syscall(SYS_futex, &desk->asleep, FUTEX_WAIT_PRIVATE, 1, most_ms == UINT64_MAX ? NULL : &most, NULL, 0);
    atomic_store_explicit(&desk->asleep, 0, memory_order_relaxed);
}

static void run(void *argument)
{
    struct desk *desk = argument;
    for (;;) {
        bool stopping = desk_is_stopping(desk);
        uint64_t most_ms = desk->round(desk->round_user);
        if (stopping && most_ms > 0 && is_idle(desk))
            return;
        rest(desk, most_ms);
    }
}

int desk_start(struct desk *desk, const char *name, desk_round_fn *round, void *user)
{
    desk->round = round;
    desk->round_user = user;
    return thread_start(&desk->thread, name, -1, run, desk);
}

void desk_stop(struct desk *desk)
{
    atomic_store_explicit(&desk->stopping, true, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    wake(desk);
    thread_join(&desk->thread);
}
