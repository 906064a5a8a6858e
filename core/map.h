/* SPDX-License-Identifier: MIT */
/* A hash map from byte strings to pointers: open addressing, SipHash with a key of its own, grows by doubling.
 * It borrows the key bytes: they must live, unchanged, as long as the entry (usually inside the value). */
#ifndef RINGCAST_CORE_MAP_H
#define RINGCAST_CORE_MAP_H

#include "core/siphash.h"

struct map_entry {
    uint64_t hash;
    struct slice key;
    void *value; /* NULL: empty */
};

struct map {
    struct map_entry *entries; /* NULL until the first put */
    size_t capacity;           /* a power of two, or 0 */
    size_t count;
    struct siphash_key key;
};

void map_init(struct map *map, struct siphash_key key);
/* Frees the table, not the values. */
void map_free(struct map *map);
/* The value of `key`, or NULL. */
void *map_get(const struct map *map, struct slice key);
/* Adds `value` (not NULL). 0, -EEXIST when the key is there, -ENOMEM when the table could not grow. */
int map_put(struct map *map, struct slice key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *map, struct slice key);
/* Walks all values in no order: start with *cursor = 0; NULL at the end. The map must not change meanwhile. */
void *map_next(const struct map *map, size_t *cursor);

#endif
