/* SPDX-License-Identifier: MIT */
/* Counts, message by message, how many receivers have it, so that the last one is known. A stream has a few slots, one
 * per message of its near past; a message that falls so far behind that its slot is taken over is never complete. */
#ifndef RINGCAST_BENCH_ARRIVALS_H
#define RINGCAST_BENCH_ARRIVALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct arrival {
    uint32_t sequence;
    uint32_t count;
};

/* Slots per stream: a power of two, at least the messages of a burst, and as many as the budget of all streams
 * allows. */
#define ARRIVALS_SLOTS_MIN 4
#define ARRIVALS_SLOTS_MAX 4096
#define ARRIVALS_BUDGET (UINT64_C(1) << 20)

static inline uint32_t arrivals_slots(uint64_t streams, uint64_t window)
{
    uint64_t slots = ARRIVALS_SLOTS_MIN;
    while (slots < window || (slots < ARRIVALS_SLOTS_MAX && slots * 2 * streams <= ARRIVALS_BUDGET))
        slots *= 2;
    return (uint32_t)slots;
}

/* A message came to one more receiver. True: to the last of `target`. */
static inline bool arrivals_count(struct arrival *slots, uint32_t slot_count, uint32_t sequence, uint32_t target)
{
    struct arrival *slot = &slots[sequence & (slot_count - 1)];
    if (sequence < slot->sequence)
        return false; /* its slot has been taken over */
    if (sequence > slot->sequence)
        *slot = (struct arrival){.sequence = sequence};
    return ++slot->count == target;
}

/* The same among threads: sequence in the upper half, count in the lower one. */
static inline bool arrivals_count_shared(_Atomic uint64_t *slots, uint32_t slot_count, uint32_t sequence,
                                         uint32_t target)
{
    _Atomic uint64_t *slot = &slots[sequence & (slot_count - 1)];
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t new;
    do {
        if (sequence < (uint32_t)(old >> 32))
            return false;
        new = sequence > (uint32_t)(old >> 32) ? (uint64_t)sequence << 32 | 1 : old + 1;
    } while (!atomic_compare_exchange_weak_explicit(slot, &old, new, memory_order_acq_rel, memory_order_relaxed));
    return (uint32_t) new == target;
}

#endif
