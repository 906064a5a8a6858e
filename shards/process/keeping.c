/* SPDX-License-Identifier: MIT */
/* Owns the making and the end of storage for a server: which tables there are, where they are, and how a shard is woken
 * for an answer. It never reads or writes a record. Called by server.c. */
#include "shards/process/keeping.h"

#include "core/check.h"
#include "protocol/dialect.h"
#include "protocol/service.h"
#include "shards/config/settings.h"
#include "shards/process/bell.h"
#include "shards/storage/storage.h"
#include "shards/storage/store.h"

#include <stdio.h>
#include <stdlib.h>

struct tables {
    const char *names[STORE_TABLES_MAX + 1];
    char text[STORE_TABLES_MAX][STORE_TABLE_NAME_BYTES_MAX + 1];
    uint32_t count;
};

static bool is_on(const struct config *config, uint8_t dialect)
{
    const struct service *service = dialects[dialect]->service;
    return service != NULL && service->tables != NULL && config_dialect(config, dialect)->listen.count > 0;
}

/* In the order of the dialects, as service_life.c counts them. */
static void name_tables(const struct config *config, struct tables *tables)
{
    for (uint8_t d = 0; d < config->dialect_count; d++) {
        if (!is_on(config, d))
            continue;
        for (const struct service_table *table = dialects[d]->service->tables; table->name != NULL; table++) {
            check_op(tables->count, <, STORE_TABLES_MAX);
            char *text = tables->text[tables->count];
            int bytes = snprintf(text, STORE_TABLE_NAME_BYTES_MAX + 1, "%s_%s", dialects[d]->name, table->name);
            check_op(bytes, <=, STORE_TABLE_NAME_BYTES_MAX);
            tables->names[tables->count++] = text;
        }
    }
}

/* The configuration has been checked: those that are on name the same one. */
static const char *path_of(const struct config *config)
{
    for (uint8_t d = 0; d < config->dialect_count; d++)
        if (is_on(config, d))
            return config_dialect(config, d)->store;
    return NULL;
}

bool keeping_open(const struct config *config, struct shard *const *shards, uint16_t count, struct storage **out,
                  struct buf *why)
{
    struct tables tables = {.count = 0};
    struct store *store;
    *out = NULL;
    name_tables(config, &tables);
    if (tables.count == 0)
        return true;
    if (store_open(&store, path_of(config), tables.names, why) != 0)
        return false;
    struct storage *storage = aligned_alloc(64, (sizeof *storage + 63) & ~(size_t)63);
    if (storage == NULL || storage_init(storage, store, count, bell_ring, (void *)(uintptr_t)shards) != 0) {
        buf_put_text(why, "out of memory for storage");
        free(storage);
        store_close(store);
        return false;
    }
    *out = storage;
    return true;
}

int keeping_start(struct storage *storage)
{
    return storage == NULL ? 0 : storage_start(storage, -1);
}

void keeping_stop(struct storage *storage)
{
    if (storage != NULL)
        storage_stop(storage);
}

void keeping_close(struct storage *storage)
{
    if (storage == NULL)
        return;
    storage_destroy(storage);
    free(storage);
}
