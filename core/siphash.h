/* SPDX-License-Identifier: MIT */
/* SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash that a peer who does not know the key cannot flood. */
#ifndef RINGCAST_CORE_SIPHASH_H
#define RINGCAST_CORE_SIPHASH_H

#include "core/bytes.h"

struct siphash_key {
    uint64_t k0;
    uint64_t k1;
};

/* A 128-bit hash, used as an identity where names are secrets or too long for a mail. */
struct hash128 {
    uint64_t low;
    uint64_t high;
};
_Static_assert(sizeof(struct hash128) == 16, "no padding: it is a key of maps, as bytes");

uint64_t siphash(const struct siphash_key *key, struct slice bytes);
struct hash128 siphash128(const struct siphash_key *key, struct slice bytes);

#endif
