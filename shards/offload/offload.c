/* SPDX-License-Identifier: MIT */
/* Owns the thread for long computations, and the rings to it. It never looks into a task. Called by the server at start
 * and stop, and by shards through the host of errands (channel/offload_host.c). */
#include "shards/offload/offload.h"

#include "core/check.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int offload_init(struct offload *offload, uint16_t shards, offload_answered_fn *answered, void *user)
{
    memset(offload, 0, sizeof *offload);
    offload->ports = aligned_alloc(64, shards * sizeof *offload->ports);
    if (offload->ports == NULL)
        return -ENOMEM;
    memset(offload->ports, 0, shards * sizeof *offload->ports);
    offload->count = shards;
    offload->answered = answered;
    offload->user = user;
    for (uint16_t i = 0; i < shards; i++) {
        struct offload_port *port = &offload->ports[i];
        if (spsc_init(&port->in, OFFLOAD_TASKS_MAX) != 0 || spsc_init(&port->out, OFFLOAD_TASKS_MAX) != 0) {
            offload_destroy(offload);
            return -ENOMEM;
        }
    }
    return 0;
}

void offload_destroy(struct offload *offload)
{
    for (uint16_t i = 0; i < offload->count; i++) {
        check_op(offload->ports[i].outstanding, ==, 0);
        spsc_destroy(&offload->ports[i].in);
        spsc_destroy(&offload->ports[i].out);
    }
    free(offload->ports);
    offload->ports = NULL;
}

struct offload_task *offload_make(offload_run_fn *run, uint32_t kind, struct slice body, void *user)
{
    struct offload_task *task = malloc(sizeof *task + body.bytes);
    if (task == NULL)
        return NULL;
    task->run = run;
    task->kind = kind;
    task->status = 0;
    task->user = user;
    task->body_bytes = body.bytes;
    task->reply_bytes = 0;
    if (body.bytes > 0)
        memcpy(task->body, body.data, body.bytes);
    return task;
}

void offload_free(struct offload_task *task)
{
    explicit_bzero(task->body, task->body_bytes);
    explicit_bzero(task->reply, task->reply_bytes);
    free(task);
}

/* --- a shard's side ----------------------------------------------------------------------------------------------- */

static void wake(struct offload *offload)
{
    if (atomic_exchange_explicit(&offload->asleep, 0, memory_order_acq_rel) != 0)
        (void)syscall(SYS_futex, &offload->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool offload_post(struct offload *offload, uint16_t origin, struct offload_task *task)
{
    struct offload_port *port = &offload->ports[origin];
    if (port->outstanding == OFFLOAD_TASKS_MAX) {
        atomic_fetch_add_explicit(&port->refused, 1, memory_order_relaxed);
        return false;
    }
    struct spsc_item item = {.words = {(uintptr_t)task}};
    port->outstanding++;
    bool pushed = spsc_push(&port->in, &item);
    check(pushed);
    /* Pairs with the fence in rest: either it sees the task, or we see it asleep. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&offload->asleep, memory_order_relaxed) != 0)
        wake(offload);
    return true;
}

struct offload_task *offload_take(struct offload *offload, uint16_t origin)
{
    struct offload_port *port = &offload->ports[origin];
    struct spsc_item item;
    if (port->outstanding == 0 || !spsc_pop(&port->out, &item))
        return NULL;
    port->outstanding--;
    return (struct offload_task *)(uintptr_t)item.words[0];
}

bool offload_has_answers(const struct offload *offload, uint16_t origin)
{
    return offload->ports[origin].outstanding > 0 && spsc_count(&offload->ports[origin].out) > 0;
}

uint64_t offload_refused(const struct offload *offload)
{
    uint64_t refused = 0;
    for (uint16_t i = 0; i < offload->count; i++)
        refused += atomic_load_explicit(&offload->ports[i].refused, memory_order_relaxed);
    return refused;
}

/* --- the thread's side -------------------------------------------------------------------------------------------- */

static void run_one(struct offload *offload, uint16_t origin, struct offload_task *task)
{
    struct buf reply = buf_of(task->reply, sizeof task->reply);
    struct spsc_item item = {.words = {(uintptr_t)task}};
    task->status = task->run(task->kind, (struct span){task->body, task->body_bytes}, &reply);
    check(!reply.overflow);
    task->reply_bytes = reply.used;
    bool pushed = spsc_push(&offload->ports[origin].out, &item);
    check(pushed);
    atomic_fetch_add_explicit(&offload->done, 1, memory_order_relaxed);
    if (offload->answered == NULL)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    offload->answered(offload->user, origin);
}

/* One task of each shard in turn, so that none waits for all of another's. Whether there was any. */
static bool run_round(struct offload *offload)
{
    bool any = false;
    for (uint16_t i = 0; i < offload->count; i++) {
        struct spsc_item item;
        if (!spsc_pop(&offload->ports[i].in, &item))
            continue;
        run_one(offload, i, (struct offload_task *)(uintptr_t)item.words[0]);
        any = true;
    }
    return any;
}

void offload_run_posted(struct offload *offload)
{
    while (run_round(offload)) {
    }
}

static bool is_idle(const struct offload *offload)
{
    for (uint16_t i = 0; i < offload->count; i++)
        if (spsc_count(&offload->ports[i].in) > 0)
            return false;
    return true;
}

static void rest(struct offload *offload)
{
    atomic_store_explicit(&offload->asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (is_idle(offload) && !atomic_load_explicit(&offload->stopping, memory_order_relaxed))
        (void)syscall(SYS_futex, &offload->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    atomic_store_explicit(&offload->asleep, 0, memory_order_relaxed);
}

static void run(void *argument)
{
    struct offload *offload = argument;
    for (;;) {
        bool stopping = atomic_load_explicit(&offload->stopping, memory_order_acquire);
        offload_run_posted(offload);
        if (stopping)
            return;
        rest(offload);
    }
}

int offload_start(struct offload *offload)
{
    return thread_start(&offload->thread, "offload", -1, run, offload);
}

void offload_stop(struct offload *offload)
{
    atomic_store_explicit(&offload->stopping, true, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    wake(offload);
    thread_join(&offload->thread);
}
