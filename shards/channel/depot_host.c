/* SPDX-License-Identifier: MIT */
/* Owns the errands that wait for a depot, and the bound of what is under way to it. It never looks into a request. Called
 * by the table of errands, by sessions and by shard_tick. */
#include "shards/channel/depot_host.h"

#include "core/check.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "shards/channel/service_host.h"
#include "shards/conn/conn.h"
#include "shards/depot/depot_thread.h"
#include "shards/mail/errand.h"
#include "shards/shard.h"

#define FOR_LEFT 4 /* places that only departures may take */

static struct depot_thread *thread_of(const struct shard *shard, uint8_t dialect)
{
    return shard->depots->threads == NULL ? NULL : shard->depots->threads[dialect];
}

bool depot_host_has_room(const struct shard *shard)
{
    return shard->depots->outstanding < DESK_TASKS_MAX - FOR_LEFT && shard->depots->bytes < DEPOT_BYTES_MAX;
}

void depot_host_wait(struct shard *shard, struct conn *conn)
{
    stats_add(&shard->stats, STAT_DEPOT_WAITS, 1);
    conn_wait(conn, &shard->depots->waiting);
}

void depot_host_begin(struct shard *shard, size_t bytes)
{
    shard->depots->outstanding++;
    shard->depots->bytes += bytes;
    stats_set(&shard->stats, STAT_DEPOT_BYTES, shard->depots->bytes);
}

static void end(struct shard *shard, size_t bytes)
{
    shard->depots->outstanding--;
    shard->depots->bytes -= bytes;
    stats_set(&shard->stats, STAT_DEPOT_BYTES, shard->depots->bytes);
}

static void answer(struct shard *shard, struct errand *errand, int status, struct slice reply)
{
    end(shard, errand->depot.body.bytes);
    service_fill(errand, status, reply);
    service_answer(shard, errand);
}

void depot_host_request(struct shard *shard, struct errand *errand)
{
    struct depot_thread *thread = thread_of(shard, errand->dialect);
    struct depot_task *task = thread == NULL ? NULL : depot_task_make(errand);
    struct slice body = errand->depot.body;
    stats_add(&shard->stats, STAT_DEPOT_REQUESTS, 1);
    if (task == NULL) {
        answer(shard, errand, 503, slice_of(NULL, 0));
        return;
    }
    task->request.kind = errand->depot.kind;
    task->request.connection = errand->depot.connection;
    task->request.head = errand->depot.head;
    task->request.body = (struct span){errand->data + (body.data - errand->data), body.bytes};
    bool posted = depot_thread_post(thread, shard->number, task);
    check(posted); /* there was room when it began */
}

void depot_host_left(struct shard *shard, uint8_t dialect, uint64_t connection)
{
    struct depot_thread *thread = thread_of(shard, dialect);
    bool room = shard->depots->outstanding < DESK_TASKS_MAX;
    struct depot_task *task = thread == NULL || !room ? NULL : depot_task_make(NULL);
    if (task == NULL) {
        stats_add(&shard->stats, STAT_DEPOT_UNTOLD, thread != NULL);
        return;
    }
    task->request.kind = DEPOT_LEFT;
    task->request.connection = connection;
    depot_host_begin(shard, 0);
    bool posted = depot_thread_post(thread, shard->number, task);
    check(posted);
}

static void take(struct shard *shard, struct depot_task *task)
{
    if (task->user != NULL)
        answer(shard, task->user, task->status, buf_slice(&task->reply));
    else
        end(shard, 0);
    depot_task_free(task);
}

bool depot_host_take(struct shard *shard)
{
    struct depot_task *task;
    bool any = false;
    for (unsigned i = 0; dialects[i] != NULL && shard->depots->outstanding > 0; i++) {
        struct depot_thread *thread = thread_of(shard, (uint8_t)i);
        while (thread != NULL && (task = depot_thread_take(thread, shard->number)) != NULL) {
            take(shard, task);
            any = true;
        }
    }
    return any;
}

bool depot_host_all_up(const struct shard *shard)
{
    for (unsigned i = 0; dialects[i] != NULL; i++) {
        const struct depot_thread *thread = thread_of(shard, (uint8_t)i);
        if (thread != NULL && depot_thread_count(thread, DEPOT_LOST) != 0)
            return false;
    }
    return true;
}

bool depot_host_has_answers(const struct shard *shard)
{
    for (unsigned i = 0; dialects[i] != NULL && shard->depots->outstanding > 0; i++) {
        const struct depot_thread *thread = thread_of(shard, (uint8_t)i);
        if (thread != NULL && desk_has_answers(&thread->desk, shard->number))
            return true;
    }
    return false;
}
