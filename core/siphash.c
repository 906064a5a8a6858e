/* SPDX-License-Identifier: MIT */
/* Owns the SipHash-2-4 rounds and both finalizations, 64 and 128 bits. Never keeps a key or state between calls, never
 * reads beyond the slice. Called by map for its keys, and wherever a name must become a short identity that its sender
 * cannot foresee. */
#include "core/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* The first `count` (0-8) bytes as a little-endian number. */
static uint64_t load_le(const uint8_t *p, size_t count)
{
    uint64_t v = 0;
    for (size_t i = 0; i < count; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* SipRound: figure 2.1 of the paper. */
static void rounds(struct state *s, int count)
{
    while (count-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

/* Section 2.1 of the paper: the constants spell "somepseudorandomlygeneratedbytes". */
static struct state start(const struct siphash_key *key)
{
    return (struct state){
        .v0 = key->k0 ^ 0x736f6d6570736575U,
        .v1 = key->k1 ^ 0x646f72616e646f6dU,
        .v2 = key->k0 ^ 0x6c7967656e657261U,
        .v3 = key->k1 ^ 0x7465646279746573U,
    };
}

static void absorb_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* Section 2.2: whole words, then a last one of the 0-7 bytes left over and the length modulo 256 in its top byte. */
static void absorb(struct state *s, struct slice bytes)
{
    size_t whole = bytes.bytes & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        absorb_word(s, load_le(bytes.data + i, 8));
    struct slice rest = slice_skip(bytes, whole);
    absorb_word(s, load_le(rest.data, rest.bytes) | (uint64_t)bytes.bytes << 56);
}

static uint64_t squeeze(struct state *s)
{
    rounds(s, 4);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t siphash(const struct siphash_key *key, struct slice bytes)
{
    struct state s = start(key);
    absorb(&s, bytes);
    s.v2 ^= 0xff;
    return squeeze(&s);
}

/* The 128-bit variant of the authors' reference code: other constants at start and end, so that neither half of it is
 * the 64-bit hash. */
struct hash128 siphash128(const struct siphash_key *key, struct slice bytes)
{
    struct state s = start(key);
    s.v1 ^= 0xee;
    absorb(&s, bytes);
    s.v2 ^= 0xee;
    uint64_t low = squeeze(&s);
    s.v1 ^= 0xdd;
    return (struct hash128){.low = low, .high = squeeze(&s)};
}
