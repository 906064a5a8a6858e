/* SPDX-License-Identifier: MIT */
/* Owns the thread for long computations, and what it does with a task. It never looks into one. Called by the server at
 * start and stop, and by shards through the host of errands (channel/offload_host.c). */
#include "shards/offload/offload.h"

#include "core/check.h"

#include <stdlib.h>
#include <string.h>

int offload_init(struct offload *offload, uint16_t shards, desk_answered_fn *answered, void *user)
{
    memset(offload, 0, sizeof *offload);
    return desk_init(&offload->desk, shards, answered, user);
}

void offload_destroy(struct offload *offload)
{
    desk_destroy(&offload->desk);
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

bool offload_post(struct offload *offload, uint16_t origin, struct offload_task *task)
{
    if (desk_post(&offload->desk, origin, task))
        return true;
    atomic_fetch_add_explicit(&offload->refused, 1, memory_order_relaxed);
    return false;
}

struct offload_task *offload_take(struct offload *offload, uint16_t origin)
{
    return desk_take(&offload->desk, origin);
}

bool offload_has_answers(const struct offload *offload, uint16_t origin)
{
    return desk_has_answers(&offload->desk, origin);
}

uint64_t offload_refused(const struct offload *offload)
{
    return atomic_load_explicit(&offload->refused, memory_order_relaxed);
}

void offload_run_posted(struct offload *offload)
{
    struct offload_task *task;
    uint16_t origin;
    while ((task = desk_next(&offload->desk, &origin)) != NULL) {
        struct buf reply = buf_of(task->reply, sizeof task->reply);
        task->status = task->run(task->kind, (struct span){task->body, task->body_bytes}, &reply);
        check(!reply.overflow);
        task->reply_bytes = reply.used;
        atomic_fetch_add_explicit(&offload->done, 1, memory_order_relaxed);
        desk_answer(&offload->desk, origin, task);
    }
}

static uint64_t run_round(void *user)
{
    offload_run_posted(user);
    return UINT64_MAX;
}

int offload_start(struct offload *offload)
{
    return desk_start(&offload->desk, "offload", run_round, offload);
}

void offload_stop(struct offload *offload)
{
    desk_stop(&offload->desk);
}
