/* SPDX-License-Identifier: MIT */
/* Owns the chunks of a pool, its free list and the generations of its slots. Never moves an object, never gives memory
 * back before slab_destroy, never lets a handle of a past life find a present one. Called by the owners of long-lived
 * objects: connections, channels, members. */
#include "core/slab.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

#define OBJECT_ALIGN 16
#define CHUNK_ALIGN 64

_Static_assert((OBJECT_ALIGN << SLAB_CHUNK_SHIFT) % CHUNK_ALIGN == 0, "a chunk is a whole number of alignments");

static struct slab_slot *slot_at(const struct slab *slab, uint32_t index)
{
    return &slab->slots[index >> SLAB_CHUNK_SHIFT][index & (SLAB_CHUNK_COUNT - 1)];
}

static bool is_live(const struct slab *slab, uint32_t index)
{
    return index < slab->count_made && slot_at(slab, index)->next_free == SLAB_LIVE;
}

int slab_init(struct slab *slab, size_t object_bytes, uint32_t count_max)
{
    check_op(object_bytes, >, 0);
    check_op(count_max, >, 0);
    check_op(count_max, <=, 1U << 31);
    size_t chunk_count = ((size_t)count_max + SLAB_CHUNK_COUNT - 1) >> SLAB_CHUNK_SHIFT;
    *slab = (struct slab){
        .chunks = calloc(chunk_count, sizeof *slab->chunks),
        .slots = calloc(chunk_count, sizeof *slab->slots),
        .object_bytes = (object_bytes + OBJECT_ALIGN - 1) & ~(size_t)(OBJECT_ALIGN - 1),
        .count_max = count_max,
        .free_head = SLAB_NONE,
    };
    if (slab->chunks != NULL && slab->slots != NULL)
        return 0;
    slab_destroy(slab);
    return -ENOMEM;
}

void slab_destroy(struct slab *slab)
{
    for (uint32_t first = 0; first < slab->count_made; first += SLAB_CHUNK_COUNT) {
        free(slab->chunks[first >> SLAB_CHUNK_SHIFT]);
        free(slab->slots[first >> SLAB_CHUNK_SHIFT]);
    }
    free(slab->chunks);
    free(slab->slots);
    *slab = (struct slab){.free_head = SLAB_NONE};
}

/* Makes the chunk that begins at the next fresh slot. */
static bool add_chunk(struct slab *slab)
{
    uint32_t chunk = slab->count_made >> SLAB_CHUNK_SHIFT;
    uint8_t *objects = aligned_alloc(CHUNK_ALIGN, SLAB_CHUNK_COUNT * slab->object_bytes);
    struct slab_slot *slots = calloc(SLAB_CHUNK_COUNT, sizeof *slots);
    if (objects == NULL || slots == NULL) {
        free(objects);
        free(slots);
        return false;
    }
    slab->chunks[chunk] = objects;
    slab->slots[chunk] = slots;
    return true;
}

/* A free slot's index, taken off the free list or made; SLAB_NONE when there is none to be had. */
static uint32_t take_slot(struct slab *slab)
{
    uint32_t index = slab->free_head;
    if (index != SLAB_NONE) {
        slab->free_head = slot_at(slab, index)->next_free;
        return index;
    }
    if (slab->count_made == slab->count_max)
        return SLAB_NONE;
    if ((slab->count_made & (SLAB_CHUNK_COUNT - 1)) == 0 && !add_chunk(slab))
        return SLAB_NONE;
    index = slab->count_made++;
    slot_at(slab, index)->generation = 1;
    return index;
}

void *slab_alloc(struct slab *slab, struct handle *handle)
{
    uint32_t index = take_slot(slab);
    if (index == SLAB_NONE)
        return NULL;
    slot_at(slab, index)->next_free = SLAB_LIVE;
    slab->count_live++;
    *handle = slab_handle(slab, index);
    return memset(slab_at(slab, index), 0, slab->object_bytes);
}

void slab_free(struct slab *slab, uint32_t index)
{
    check(is_live(slab, index));
    struct slab_slot *slot = slot_at(slab, index);
    if (++slot->generation == 0)
        slot->generation = 1;
    slot->next_free = slab->free_head;
    slab->free_head = index;
    slab->count_live--;
}

struct handle slab_handle(const struct slab *slab, uint32_t index)
{
    check(is_live(slab, index));
    return (struct handle){.index = index, .generation = slot_at(slab, index)->generation};
}

void *slab_next(const struct slab *slab, uint32_t *cursor, uint32_t *index)
{
    while (*cursor < slab->count_made) {
        uint32_t at = (*cursor)++;
        if (is_live(slab, at)) {
            if (index != NULL)
                *index = at;
            return slab_at(slab, at);
        }
    }
    return NULL;
}
