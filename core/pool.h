/* SPDX-License-Identifier: MIT */
/* Byte buffers that come and go, in classes of powers of two, within a hard budget. What is given back is kept for the
 * next taker, the last one first, because it is still in the cache; pool_trim lets go of what nobody has needed for a
 * while. */
#ifndef RINGCAST_CORE_POOL_H
#define RINGCAST_CORE_POOL_H

#include "core/buf.h"

#define POOL_BYTES_MIN 1024U
#define POOL_BYTES_MAX (256U << 10)
#define POOL_CLASSES 9

struct pool_class {
    void *free; /* the first bytes of a free buffer point to the next one */
    uint32_t count;
    uint32_t low; /* least count since the last trim */
};

struct pool {
    struct pool_class classes[POOL_CLASSES];
    size_t bytes;     /* of all buffers, taken and kept */
    size_t bytes_max; /* never exceeded */
    uint32_t taken;   /* buffers that have not come back */
};

void pool_init(struct pool *pool, size_t bytes_max);
/* All buffers have come back. */
void pool_destroy(struct pool *pool);
/* An empty buffer with room for at least `bytes` (1 to POOL_BYTES_MAX); false when the budget or the machine's memory
 * is exhausted. */
bool pool_take(struct pool *pool, size_t bytes, struct buf *out);
/* Gives it back; *buffer is then empty and without memory. */
void pool_give(struct pool *pool, struct buf *buffer);
/* Frees the buffers that were kept and not needed since the last call. */
void pool_trim(struct pool *pool);

#endif
