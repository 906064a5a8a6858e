/* SPDX-License-Identifier: MIT */
/* Owns the table of a hash map: open addressing, linear probing, at most three quarters full, so that every probe ends
 * at an empty entry. Never shrinks, never leaves tombstones (a removal shifts back what followed), never touches the
 * values. Called by whoever looks things up by name: channels, audiences, quotas, services. */
#include "core/map.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 16

void map_init(struct map *map, struct siphash_key key)
{
    *map = (struct map){.key = key};
}

void map_free(struct map *map)
{
    free(map->entries);
    map_init(map, map->key);
}

/* The entry that holds the key, or the empty one where it would be put. The table has at least one empty entry. */
static struct map_entry *find(const struct map *map, uint64_t hash, struct slice key)
{
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *entry = &map->entries[i];
        if (entry->value == NULL || (entry->hash == hash && slice_equal(entry->key, key)))
            return entry;
    }
}

/* The first empty entry for a key of this hash; the caller knows that the key is not there. */
static struct map_entry *find_empty(const struct map *map, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    size_t i = hash & mask;
    while (map->entries[i].value != NULL)
        i = (i + 1) & mask;
    return &map->entries[i];
}

/* Moves everything into a table of twice the size. On failure the map stays as it is. */
static int grow(struct map *map)
{
    struct map bigger = *map;
    bigger.capacity = map->capacity == 0 ? CAPACITY_MIN : 2 * map->capacity;
    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->entries[i].value != NULL)
            *find_empty(&bigger, map->entries[i].hash) = map->entries[i];
    free(map->entries);
    *map = bigger;
    return 0;
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    return find(map, siphash(&map->key, key), key)->value;
}

int map_put(struct map *map, struct slice key, void *value)
{
    check(value != NULL);
    uint64_t hash = siphash(&map->key, key);
    if (map->count != 0 && find(map, hash, key)->value != NULL)
        return -EEXIST;
    if ((map->count + 1) * 4 > map->capacity * 3) {
        int error = grow(map);
        if (error != 0)
            return error;
    }
    *find_empty(map, hash) = (struct map_entry){.hash = hash, .key = key, .value = value};
    map->count++;
    return 0;
}

/* Empties `hole` and closes the gap, so that no probe stops too early: every entry of the run behind it moves into the
 * hole unless its home lies behind the hole already. */
static void shift_back(struct map *map, size_t hole)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (hole + 1) & mask; map->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t from_home = (i - map->entries[i].hash) & mask;
        size_t from_hole = (i - hole) & mask;
        if (from_home >= from_hole) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct map_entry){.value = NULL};
}

void *map_remove(struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    struct map_entry *entry = find(map, siphash(&map->key, key), key);
    void *value = entry->value;
    if (value == NULL)
        return NULL;
    shift_back(map, (size_t)(entry - map->entries));
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        void *value = map->entries[(*cursor)++].value;
        if (value != NULL)
            return value;
    }
    return NULL;
}
