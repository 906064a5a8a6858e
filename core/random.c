/* SPDX-License-Identifier: MIT */
/* Owns the generator xoshiro256** (Blackman, Vigna 2018) and its seeding. Never asks the system for entropy, never
 * serves secrets: whoever has seen a few numbers knows all that follow. Called by shuffles, the simulation and property
 * tests, which all want a run to be repeatable from its seed. */
#include "core/random.h"

#include "core/check.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* Steele, Lea, Flood 2014: spreads a seed over the state, as the authors of xoshiro recommend. */
static uint64_t splitmix64(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15U;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void random_init(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->s[i] = splitmix64(&seed);
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The lowest 2^64 mod bound numbers are drawn again, so that a whole multiple of the bound is left. */
uint64_t random_below(struct random *random, uint64_t bound)
{
    check_op(bound, >, 0);
    uint64_t excess = (0 - bound) % bound;
    uint64_t x;
    do
        x = random_u64(random);
    while (x < excess);
    return x % bound;
}

bool random_chance(struct random *random, uint32_t numerator, uint32_t denominator)
{
    return random_below(random, denominator) < numerator;
}
