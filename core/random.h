/* SPDX-License-Identifier: MIT */
/* A small, fast, seeded generator (xoshiro256**), for shuffles and simulations; never for secrets. */
#ifndef RINGCAST_CORE_RANDOM_H
#define RINGCAST_CORE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
};

/* The same seed gives the same sequence on every machine (seeded through splitmix64; 0 is a valid seed). */
void random_init(struct random *random, uint64_t seed);
uint64_t random_u64(struct random *random);
/* Uniform in [0, bound), bound > 0, without modulo bias. */
uint64_t random_below(struct random *random, uint64_t bound);
/* True with probability numerator / denominator. */
bool random_chance(struct random *random, uint32_t numerator, uint32_t denominator);

#endif
