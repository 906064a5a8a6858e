/* SPDX-License-Identifier: MIT */
/* A block of the caller's memory, given out from its front and taken back only as a whole. zlib allocates from one, so
 * that what it takes is bounded by what it was given. */
#ifndef RINGCAST_PROTOCOL_ARENA_H
#define RINGCAST_PROTOCOL_ARENA_H

#include "core/bytes.h"

#define ARENA_ALIGNMENT 16U /* of all that is given out, and demanded of the block */

struct arena {
    uint8_t *data;
    size_t used;
    size_t capacity;
};

/* zlib's alloc_func; `arena` is a struct arena. NULL when it does not fit. */
static inline void *arena_alloc(void *arena, unsigned count, unsigned bytes)
{
    struct arena *from = arena;
    size_t wanted = ((size_t)count * bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (wanted > from->capacity - from->used)
        return NULL;
    void *taken = from->data + from->used;
    from->used += wanted;
    return taken;
}

/* zlib's free_func: nothing comes back singly. */
static inline void arena_free(void *arena, void *taken)
{
    (void)arena;
    (void)taken;
}

#endif
