/* SPDX-License-Identifier: MIT */
/* The queue between two threads: each side publishes its own index with a release and looks at the other's, with an
 * acquire, only when its copy says full or empty. It never blocks, wakes or allocates after the start; waking a sleeper
 * is the ring's matter. Called by mail.c, where one shard produces and one consumes, and by whatever else hands over to
 * exactly one thread. */
#include "core/spsc.h"

#include "core/check.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

/* Indices run freely and wrap at 2^32: tail - head is the count, index & mask the place. */
_Static_assert(sizeof(struct spsc_item) == CACHE_LINE, "an item is a cache line");
_Static_assert(offsetof(struct spsc, head) - offsetof(struct spsc, tail) >= CACHE_LINE,
               "the sides share no cache line");

int spsc_init(struct spsc *ring, uint32_t count)
{
    check(count > 0 && (count & (count - 1)) == 0);
    memset(ring, 0, sizeof *ring);
    ring->items = aligned_alloc(CACHE_LINE, (size_t)count * sizeof *ring->items);
    if (ring->items == NULL)
        return -ENOMEM;
    ring->mask = count - 1;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    return 0;
}

void spsc_destroy(struct spsc *ring)
{
    free(ring->items);
    ring->items = NULL;
}

bool spsc_push(struct spsc *ring, const struct spsc_item *item)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return false;
    }
    ring->items[tail & ring->mask] = *item;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

bool spsc_pop(struct spsc *ring, struct spsc_item *item)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return false;
    }
    *item = ring->items[head & ring->mask];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

uint32_t spsc_count(const struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
}
