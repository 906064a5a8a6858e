/* SPDX-License-Identifier: MIT */
/* Owns free buffers by class and the budget of all. It never looks into a buffer that is taken and never blocks. Called
 * by conn_tls (records on their way to the wire) and by the shard once a second (trim). */
#include "core/pool.h"

#include "core/check.h"

#include <stdlib.h>

_Static_assert(POOL_BYTES_MIN << (POOL_CLASSES - 1) == POOL_BYTES_MAX, "one class for each power of two");

static size_t class_bytes(unsigned class)
{
    return (size_t)POOL_BYTES_MIN << class;
}

static unsigned class_for(size_t bytes)
{
    unsigned class = 0;
    while (class_bytes(class) < bytes)
        class ++;
    check_op(class, <, POOL_CLASSES);
    return class;
}

void pool_init(struct pool *pool, size_t bytes_max)
{
    *pool = (struct pool){.bytes_max = bytes_max};
}

static void *class_pop(struct pool_class *class)
{
    void *data = class->free;
    memcpy(&class->free, data, sizeof class->free);
    class->count--;
    if (class->count < class->low)
        class->low = class->count;
    return data;
}

static void free_kept(struct pool *pool, unsigned class, uint32_t count)
{
    for (; count > 0; count--) {
        free(class_pop(&pool->classes[class]));
        pool->bytes -= class_bytes(class);
    }
}

void pool_destroy(struct pool *pool)
{
    check_op(pool->taken, ==, 0);
    for (unsigned class = 0; class < POOL_CLASSES; class ++)
        free_kept(pool, class, pool->classes[class].count);
}

/* Lets kept buffers of any class go until there is room for `bytes` more. */
static bool make_room(struct pool *pool, size_t bytes)
{
    for (unsigned class = POOL_CLASSES; pool->bytes + bytes > pool->bytes_max && class > 0; class --)
        while (pool->bytes + bytes > pool->bytes_max && pool->classes[class - 1].count > 0)
            free_kept(pool, class - 1, 1);
    return pool->bytes + bytes <= pool->bytes_max;
}

bool pool_take(struct pool *pool, size_t bytes, struct buf *out)
{
    unsigned class = class_for(bytes);
    void *data;
    if (pool->classes[class].count > 0) {
        data = class_pop(&pool->classes[class]);
    } else {
        if (!make_room(pool, class_bytes(class)) || (data = malloc(class_bytes(class))) == NULL)
            return false;
        pool->bytes += class_bytes(class);
    }
    pool->taken++;
    *out = buf_of(data, class_bytes(class));
    return true;
}

void pool_give(struct pool *pool, struct buf *buffer)
{
    struct pool_class *class = &pool->classes[class_for(buffer->capacity)];
    check_op(pool->taken, >, 0);
    pool->taken--;
    memcpy(buffer->data, &class->free, sizeof class->free);
    class->free = buffer->data;
    class->count++;
    *buffer = (struct buf){0};
}

void pool_trim(struct pool *pool)
{
    for (unsigned class = 0; class < POOL_CLASSES; class ++) {
        free_kept(pool, class, pool->classes[class].low);
        pool->classes[class].low = pool->classes[class].count;
    }
}
