/* SPDX-License-Identifier: MIT */
/* Owns the making and the end of depots for a server, and how a shard is woken for their answers. It never looks into
 * one. Called by server.c. */
#include "shards/process/depots.h"

#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/depot/depot_thread.h"
#include "shards/process/bell.h"

#include <stdlib.h>

static const char *root_of(const struct config *config, uint8_t dialect)
{
    const struct depot *depot = dialects[dialect]->depot;
    if (depot == NULL || config_dialect(config, dialect)->listen.count == 0)
        return "";
    return depot->root(config->dialects[dialect]);
}

bool depots_open(struct depots *depots, const struct config *config, struct shard *const *shards, uint16_t count,
                 struct buf *why)
{
    for (uint8_t i = 0; i < config->dialect_count; i++) {
        const char *root = root_of(config, i);
        if (root[0] == '\0')
            continue;
        struct depot_thread *thread = aligned_alloc(64, (sizeof *thread + 63) & ~(size_t)63);
        if (thread == NULL)
            buf_put_text(why, "out of memory");
        if (thread == NULL || depot_thread_open(thread, dialects[i]->depot, root, count, bell_ring,
                                                (void *)(uintptr_t)shards, why) != 0) {
            free(thread);
            return false;
        }
        depots->threads[i] = thread;
    }
    return true;
}

bool depots_start(struct depots *depots, struct buf *why)
{
    depots->running = true;
    for (unsigned i = 0; i < DIALECTS_MAX; i++) {
        int error = depots->threads[i] == NULL ? 0 : depot_thread_start(depots->threads[i]);
        if (error == 0)
            continue;
        buf_put_text(why, strerrordesc_np(-error));
        for (unsigned n = 0; n < i; n++)
            if (depots->threads[n] != NULL)
                depot_thread_stop(depots->threads[n]);
        depots->running = false;
        return false;
    }
    return true;
}

void depots_close(struct depots *depots)
{
    struct depot_task *task;
    for (unsigned i = 0; i < DIALECTS_MAX; i++) {
        struct depot_thread *thread = depots->threads[i];
        if (thread == NULL)
            continue;
        if (depots->running)
            depot_thread_stop(thread);
        for (uint16_t n = 0; n < thread->desk.count; n++)
            while ((task = depot_thread_take(thread, n)) != NULL)
                depot_task_free(task);
        depot_thread_close(thread);
        free(thread);
        depots->threads[i] = NULL;
    }
}
