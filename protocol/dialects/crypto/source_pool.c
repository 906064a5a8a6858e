/* SPDX-License-Identifier: MIT */
/* Owns the choice among the sources of one thing: order of preference, health by age, failover and back.
 * It never holds the data itself, reads a clock or allocates.
 * The schedule service calls it with each object that comes and at each tick. */
#include "protocol/dialects/crypto/source_pool.h"

#include "core/check.h"
#include "protocol/utf8.h"

bool source_name_valid(struct slice name)
{
    return name.bytes >= 1 && name.bytes <= SOURCE_NAME_BYTES_MAX && utf8_valid(name);
}

/* Takes the name at the front of *names and the space behind it. */
static struct slice next_name(struct slice *names)
{
    const uint8_t *space = names->bytes == 0 ? NULL : memchr(names->data, ' ', names->bytes);
    struct slice name = slice_of(names->data, space == NULL ? names->bytes : (size_t)(space - names->data));
    *names = slice_skip(*names, name.bytes + 1);
    return name;
}

static uint32_t find(const struct source_pool *pool, struct slice name)
{
    uint32_t i = 0;
    while (i < pool->count && !slice_equal(source_name(&pool->items[i]), name))
        i++;
    return i;
}

static struct source *append(struct source_pool *pool, struct slice name)
{
    check_op(pool->count, <, SOURCES_MAX);
    struct source *added = &pool->items[pool->count++];
    *added = (struct source){.name_bytes = (uint8_t)name.bytes, .serial = ++pool->serials};
    memcpy(added->name, name.data, name.bytes);
    return added;
}

bool source_names_valid(struct slice names)
{
    struct source_pool seen = {.count = 0};
    bool more = true;
    while (more) {
        more = names.bytes > 0 && memchr(names.data, ' ', names.bytes) != NULL;
        struct slice name = next_name(&names);
        if (!source_name_valid(name) || seen.count == SOURCES_MAX || find(&seen, name) < seen.count)
            return false;
        (void)append(&seen, name);
    }
    return true;
}

void source_pool_configure(struct source_pool *pool, struct slice names)
{
    struct source_pool before = *pool;
    uint64_t active = pool->count == 0 ? 0 : pool->items[pool->active].serial;
    pool->count = 0;
    while (names.bytes > 0) {
        struct slice name = next_name(&names);
        uint32_t known = find(&before, name);
        struct source *item = append(pool, name);
        if (known < before.count)
            *item = before.items[known];
        item->configured = true;
    }
    for (uint32_t i = 0; i < before.count && pool->count < SOURCES_MAX; i++) {
        struct source *old = &before.items[i];
        if (!old->seen || find(pool, source_name(old)) < pool->count)
            continue;
        old->configured = false;
        pool->items[pool->count++] = *old;
    }
    pool->active = 0;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i].serial == active)
            pool->active = i;
}

/* Forgets the source that has been silent for longest among those that are neither configured, healthy nor active.
 * False: there is none. */
static bool make_room(struct source_pool *pool, uint64_t now_ms, uint64_t fresh_ms)
{
    uint32_t oldest = pool->count;
    for (uint32_t i = 0; i < pool->count; i++) {
        const struct source *item = &pool->items[i];
        if (item->configured || i == pool->active || source_healthy(item, now_ms, fresh_ms))
            continue;
        if (oldest == pool->count || item->last_ms < pool->items[oldest].last_ms)
            oldest = i;
    }
    if (oldest == pool->count)
        return false;
    pool->count--;
    memmove(&pool->items[oldest], &pool->items[oldest + 1], (pool->count - oldest) * sizeof pool->items[0]);
    if (pool->active > oldest)
        pool->active--;
    return true;
}

const struct source *source_pool_note(struct source_pool *pool, struct slice name, uint64_t now_ms, uint64_t wall_ms,
                                      uint64_t delay_ms, uint64_t fresh_ms)
{
    uint32_t index = find(pool, name);
    if (index == pool->count) {
        if (pool->count == SOURCES_MAX && !make_room(pool, now_ms, fresh_ms))
            return NULL;
        index = (uint32_t)(append(pool, name) - pool->items);
    }
    struct source *item = &pool->items[index];
    item->seen = true;
    item->last_ms = now_ms;
    item->wall_ms = wall_ms;
    item->delay_ms = delay_ms;
    source_pool_choose(pool, now_ms, fresh_ms);
    return item;
}

void source_pool_choose(struct source_pool *pool, uint64_t now_ms, uint64_t fresh_ms)
{
    uint32_t best = 0;
    while (best < pool->count && !source_healthy(&pool->items[best], now_ms, fresh_ms))
        best++;
    if (best == pool->count || best == pool->active)
        return;
    if (pool->items[pool->active].seen)
        pool->failovers++;
    pool->active = best;
}

const struct source *source_pool_active(const struct source_pool *pool)
{
    return pool->count == 0 ? NULL : &pool->items[pool->active];
}
