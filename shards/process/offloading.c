/* SPDX-License-Identifier: MIT */
/* Owns the making and the end of the thread for long work. It computes nothing. Called by server.c. */
#include "shards/process/offloading.h"

#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/offload/offload.h"
#include "shards/process/bell.h"

#include <stdlib.h>

static bool is_wanted(const struct config *config)
{
    for (uint8_t i = 0; i < config->dialect_count; i++)
        if (dialects[i]->work != NULL && config_dialect(config, i)->listen.count > 0)
            return true;
    return false;
}

bool offloading_open(const struct config *config, struct shard *const *shards, uint16_t count, struct offload **out)
{
    *out = NULL;
    if (!is_wanted(config))
        return true;
    struct offload *offload = aligned_alloc(64, (sizeof *offload + 63) & ~(size_t)63);
    if (offload == NULL || offload_init(offload, count, bell_ring, (void *)(uintptr_t)shards) != 0) {
        free(offload);
        return false;
    }
    *out = offload;
    return true;
}

void offloading_close(struct offload *offload, bool runs)
{
    struct offload_task *task;
    if (offload == NULL)
        return;
    if (runs)
        offload_stop(offload);
    for (uint16_t i = 0; i < offload->desk.count; i++)
        while ((task = offload_take(offload, i)) != NULL)
            offload_free(task);
    offload_destroy(offload);
    free(offload);
}
