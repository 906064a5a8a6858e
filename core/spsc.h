/* SPDX-License-Identifier: MIT */
/* A bounded queue of 64-byte items between exactly one producing and one consuming thread, without locks: each side
 * owns its index and caches the other's. Engine part: the only shared memory with atomics besides statistics. */
#ifndef RINGCAST_CORE_SPSC_H
#define RINGCAST_CORE_SPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spsc_item {
    uint64_t words[8];
};
_Static_assert(sizeof(struct spsc_item) == 64, "no padding: a cache line that is copied and compared whole");

struct spsc {
    _Alignas(64) _Atomic uint32_t tail; /* written by the producer */
    uint32_t head_seen;                 /* producer's copy of head */
    _Alignas(64) _Atomic uint32_t head; /* written by the consumer */
    uint32_t tail_seen;                 /* consumer's copy of tail */
    _Alignas(64) uint32_t mask;
    struct spsc_item *items;
};

/* `count`: a power of two. 0 or -ENOMEM. */
int spsc_init(struct spsc *ring, uint32_t count);
void spsc_destroy(struct spsc *ring);
/* Producer: false when full. */
bool spsc_push(struct spsc *ring, const struct spsc_item *item);
/* Consumer: false when empty. */
bool spsc_pop(struct spsc *ring, struct spsc_item *item);
/* Either side: how many items wait (exact for the caller's own side, a moment old for the other's). */
uint32_t spsc_count(const struct spsc *ring);

#endif
