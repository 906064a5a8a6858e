/* SPDX-License-Identifier: MIT */
/* Owns the names of the keys that a reload has brought, by which open sessions are asked whether theirs is still there. It never keeps a
 * key and never ends a session. Called by the walk of a reload (walks.c), and by session.c for each session that it comes to. */
#include "core/work.h"
#include "protocol/action.h"
#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/session/session.h"
#include "shards/session/session_parts.h"
#include "shards/shard.h"

#include <stdlib.h>

static const struct grant_list *grants_of(const struct shard *shard, uint8_t dialect)
{
    return &config_dialect(shard->config, dialect)->grants;
}

void session_reload_end(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    map_free(&sessions->names);
    free(sessions->name_memory);
    sessions->name_memory = NULL;
}

void session_reload_begin(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    session_reload_end(shard); /* of one that this one has overtaken */
    map_init(&sessions->names, shard->key);
    sessions->name_count = sessions->name_at = 0;
    sessions->name_dialect = 0;
}

static bool has_memory(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    size_t keys = 1;
    if (sessions->name_memory != NULL)
        return true;
    for (uint8_t d = 0; d < shard->config->dialect_count; d++)
        keys += grants_of(shard, d)->count;
    sessions->name_memory = malloc(keys * sizeof *sessions->name_memory);
    return sessions->name_memory != NULL;
}

/* False: memory is out, and a later turn tries it again. A key that stands there twice has one name. */
static bool name_key(struct shard *shard, uint8_t dialect, struct slice key)
{
    struct sessions *sessions = shard->sessions;
    struct hash128 *name = &sessions->name_memory[sessions->name_count];
    *name = session_key_name(shard, dialect, key);
    if (map_get(&sessions->names, slice_of(name, sizeof *name)) != NULL)
        return true;
    if (map_put(&sessions->names, slice_of(name, sizeof *name), name) != 0)
        return false;
    sessions->name_count++;
    return true;
}

bool session_reload_keys(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    if (!has_memory(shard))
        return false;
    while (sessions->name_dialect < shard->config->dialect_count) {
        const struct grant_list *grants = grants_of(shard, sessions->name_dialect);
        if (sessions->name_at == grants->count) {
            sessions->name_at = 0;
            sessions->name_dialect++;
            continue;
        }
        if (!work_left(shard->work))
            return false;
        work_spend(shard->work, WORK_KEY, 1);
        if (!name_key(shard, sessions->name_dialect, grants->items[sessions->name_at].key))
            return false;
        sessions->name_at++;
    }
    return true;
}

bool session_reload_knows(const struct shard *shard, struct hash128 name)
{
    return map_get(&shard->sessions->names, slice_of(&name, sizeof name)) != NULL;
}
