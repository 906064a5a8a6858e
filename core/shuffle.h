/* SPDX-License-Identifier: MIT */
/* A random order of the numbers below a power of two, without memory: a permutation that is computed place by place. For who
 * is next in a walk, never for secrets. */
#ifndef RINGCAST_CORE_SHUFFLE_H
#define RINGCAST_CORE_SHUFFLE_H

#include <stdint.h>

#define SHUFFLE_ROUNDS 3

struct shuffle {
    uint32_t mask;                    /* of the numbers: their count less one */
    uint32_t shift;                   /* more than half their bits: folding high bits onto low ones can be undone */
    uint32_t factors[SHUFFLE_ROUNDS]; /* odd */
    uint32_t terms[SHUFFLE_ROUNDS];
};

/* An order of at least `count` numbers, 1..2^31; the same seed gives the same. */
void shuffle_init(struct shuffle *shuffle, uint32_t count, uint64_t seed);

/* How many numbers there are: `count` rounded up to a power of two. */
static inline uint32_t shuffle_count(const struct shuffle *shuffle)
{
    return shuffle->mask + 1;
}

/* The number at a place below shuffle_count: each number has one place. Every step can be undone within the mask: adding,
 * multiplying by an odd factor, and folding by more than half of the bits. */
static inline uint32_t shuffle_at(const struct shuffle *shuffle, uint32_t place)
{
    uint32_t number = place;
    for (unsigned i = 0; i < SHUFFLE_ROUNDS; i++) {
        number = (number + shuffle->terms[i]) * shuffle->factors[i] & shuffle->mask;
        number ^= number >> shuffle->shift;
    }
    return number;
}

#endif
