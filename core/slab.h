/* SPDX-License-Identifier: MIT */
/* A pool of objects of one size, in chunks that never move, addressed by index and generation. The generation of a slot
 * changes when it is freed, so a handle of a past life is recognised. Memory grows chunk by chunk up to count_max and
 * is kept until slab_destroy. */
#ifndef RINGCAST_CORE_SLAB_H
#define RINGCAST_CORE_SLAB_H

#include "core/bytes.h"

struct handle {
    uint32_t index;
    uint32_t generation; /* 0 is never valid, so a zeroed handle is "none" */
};

#define SLAB_CHUNK_SHIFT 8 /* 256 objects a chunk */
#define SLAB_CHUNK_COUNT (1U << SLAB_CHUNK_SHIFT)
#define SLAB_NONE UINT32_MAX
#define SLAB_LIVE (UINT32_MAX - 1)

struct slab_slot { /* bookkeeping of one object, apart from it */
    uint32_t generation;
    uint32_t next_free; /* SLAB_NONE at the end; SLAB_LIVE while in use */
};

struct slab {
    uint8_t **chunks;         /* chunk_count pointers to SLAB_CHUNK_COUNT objects each, 64-byte aligned */
    struct slab_slot **slots; /* the same shape */
    size_t object_bytes;      /* rounded up to 16 */
    uint32_t count_max;
    uint32_t count_made; /* slots that exist; the first free index of a fresh chunk */
    uint32_t count_live;
    uint32_t free_head;
};

/* 0 or -ENOMEM (only the chunk table is allocated here). count_max 1..2^31. */
int slab_init(struct slab *slab, size_t object_bytes, uint32_t count_max);
void slab_destroy(struct slab *slab);
/* A zeroed object and its handle; NULL when count_max is reached or memory is out. The slot that was freed last comes
 * first; fresh slots are handed out in rising order, so objects made in a row lie in a row. */
void *slab_alloc(struct slab *slab, struct handle *handle);
void slab_free(struct slab *slab, uint32_t index);
/* The handle of the live object at `index`. */
struct handle slab_handle(const struct slab *slab, uint32_t index);
/* Walks the live objects in rising order: start with *cursor = 0; NULL at the end. `index` may be NULL. Freeing the
 * object just returned is allowed. */
void *slab_next(const struct slab *slab, uint32_t *cursor, uint32_t *index);

/* The object at an index that the caller knows to be live. */
static inline void *slab_at(const struct slab *slab, uint32_t index)
{
    return slab->chunks[index >> SLAB_CHUNK_SHIFT] + (size_t)(index & (SLAB_CHUNK_COUNT - 1)) * slab->object_bytes;
}

/* The live object of a handle, NULL when stale or out of range. */
static inline void *slab_get(const struct slab *slab, struct handle handle)
{
    if (handle.index >= slab->count_made)
        return NULL;
    const struct slab_slot *slot =
        &slab->slots[handle.index >> SLAB_CHUNK_SHIFT][handle.index & (SLAB_CHUNK_COUNT - 1)];
    return slot->next_free == SLAB_LIVE && slot->generation == handle.generation ? slab_at(slab, handle.index) : NULL;
}

#endif
