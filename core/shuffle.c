/* SPDX-License-Identifier: MIT */
/* Owns how the factors of an order are drawn. It never keeps the order itself. Called by whoever walks in a random order. */
#include "core/shuffle.h"

#include "core/check.h"
#include "core/random.h"

void shuffle_init(struct shuffle *shuffle, uint32_t count, uint64_t seed)
{
    check_op(count, >, 0);
    check_op(count, <=, 1U << 31);
    struct random random;
    uint32_t bits = 0;
    while (1U << bits < count)
        bits++;
    random_init(&random, seed);
    *shuffle = (struct shuffle){.mask = (1U << bits) - 1, .shift = bits / 2 + 1};
    for (unsigned i = 0; i < SHUFFLE_ROUNDS; i++) {
        shuffle->factors[i] = (uint32_t)random_u64(&random) | 1;
        shuffle->terms[i] = (uint32_t)random_u64(&random);
    }
}
