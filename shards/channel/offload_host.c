/* SPDX-License-Identifier: MIT */
/* Owns the errands that wait for the offload thread. It computes nothing itself, unless there is no thread. Called by
 * the table of errands and by shard_tick. */
#include "shards/channel/offload_host.h"

#include "core/stats.h"
#include "protocol/dialect.h"
#include "shards/channel/service_host.h"
#include "shards/mail/errand.h"
#include "shards/offload/offload.h"
#include "shards/shard.h"

#include <string.h>

static void work_here(struct shard *shard, struct errand *errand, offload_run_fn *run)
{
    uint8_t memory[WORK_REPLY_BYTES_MAX];
    struct buf reply = buf_of(memory, sizeof memory);
    struct slice body = errand->request.body;
    int status =
        run(errand->request.kind, (struct span){errand->data + (body.data - errand->data), body.bytes}, &reply);
    service_fill(errand, status, buf_slice(&reply));
    service_answer(shard, errand);
}

void offload_host_work(struct shard *shard, struct errand *errand)
{
    offload_run_fn *run = dialects[errand->dialect]->work;
    struct slice body = errand->request.body;
    if (shard->offload == NULL) {
        work_here(shard, errand, run);
        return;
    }
    struct offload_task *task = offload_make(run, errand->request.kind, body, errand);
    explicit_bzero(errand->data, body.bytes); /* the body is all that it holds */
    if (task != NULL && offload_post(shard->offload, shard->number, task))
        return;
    if (task != NULL)
        offload_free(task);
    stats_add(&shard->stats, STAT_WORK_REFUSED, 1);
    service_fill(errand, 503, slice_of(NULL, 0));
    service_answer(shard, errand);
}

bool offload_host_take(struct shard *shard)
{
    struct offload_task *task;
    bool any = false;
    if (shard->offload == NULL)
        return false;
    while ((task = offload_take(shard->offload, shard->number)) != NULL) {
        struct errand *errand = task->user;
        service_fill(errand, task->status, slice_of(task->reply, task->reply_bytes));
        offload_free(task);
        service_answer(shard, errand);
        any = true;
    }
    return any;
}

bool offload_host_has_answers(const struct shard *shard)
{
    return shard->offload != NULL && offload_has_answers(shard->offload, shard->number);
}
