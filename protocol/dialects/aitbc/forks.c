/* SPDX-License-Identifier: MIT */
/* Owns the hashes of the heights that came last.
 * It never sees a block and never decides whether a fork is told.
 * The service of the dialect aitbc calls it. */
#include "protocol/dialects/aitbc/forks.h"

#include "core/check.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"

#include <stdlib.h>

struct fork_height {
    struct list_node node;
    uint8_t key[8];
    uint64_t height;
    uint32_t count;
    struct slice hashes[FORK_HASHES_MAX]; /* owned */
};

void forks_init(struct forks *forks, struct siphash_key key)
{
    *forks = (struct forks){0};
    map_init(&forks->by_height, key);
    list_init(&forks->heights);
}

static void forget_oldest(struct forks *forks)
{
    struct fork_height *oldest = list_entry(list_pop_front(&forks->heights), struct fork_height, node);
    map_remove(&forks->by_height, slice_of(oldest->key, sizeof oldest->key));
    for (uint32_t i = 0; i < oldest->count; i++)
        free((void *)(uintptr_t)oldest->hashes[i].data);
    free(oldest);
    forks->count--;
}

void forks_close(struct forks *forks)
{
    while (forks->count > 0)
        forget_oldest(forks);
    map_free(&forks->by_height);
}

static struct fork_height *add_height(struct forks *forks, uint64_t height)
{
    struct fork_height *added = calloc(1, sizeof *added);
    if (added == NULL)
        return NULL;
    added->height = height;
    store_be64(added->key, height);
    if (map_put(&forks->by_height, slice_of(added->key, sizeof added->key), added) != 0) {
        free(added);
        return NULL;
    }
    list_push_back(&forks->heights, &added->node);
    if (++forks->count > FORK_HEIGHTS_MAX)
        forget_oldest(forks);
    return added;
}

static bool add_hash(struct fork_height *height, struct slice hash)
{
    for (uint32_t i = 0; i < height->count; i++)
        if (slice_equal(height->hashes[i], hash))
            return false;
    uint8_t *copy = height->count == FORK_HASHES_MAX ? NULL : malloc(hash.bytes);
    if (copy == NULL)
        return false;
    memcpy(copy, hash.data, hash.bytes);
    height->hashes[height->count++] = slice_of(copy, hash.bytes);
    return true;
}

const struct fork_height *forks_add(struct forks *forks, uint64_t height, struct slice hash)
{
    uint8_t key[8];
    store_be64(key, height);
    check(hash.bytes > 0 && hash.bytes <= FORK_HASH_BYTES_MAX);
    struct fork_height *found = map_get(&forks->by_height, slice_of(key, sizeof key));
    if (found == NULL)
        found = add_height(forks, height);
    if (found == NULL || !add_hash(found, hash))
        return NULL;
    return found->count > 1 ? found : NULL;
}

void forks_print(const struct fork_height *height, uint64_t wall_ms, struct buf *out)
{
    buf_put_text(out, "{\"type\":\"fork_detected\",\"height\":");
    buf_put_u64(out, height->height);
    buf_put_text(out, ",\"hashes\":[");
    for (uint32_t i = 0; i < height->count; i++) {
        if (i > 0)
            buf_put_byte(out, ',');
        json_put_string(out, height->hashes[i]);
    }
    buf_put_text(out, "],\"timestamp\":\"");
    timestamp_put_iso(out, (int64_t)wall_ms);
    buf_put_text(out, "\"}");
}
