/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) as people and protocols write it, 64 hexadecimal digits: of bytes that are all there, or that come
 * piece by piece. */
#ifndef RINGCAST_PROTOCOL_SHA256_H
#define RINGCAST_PROTOCOL_SHA256_H

#include "core/bytes.h"

#define SHA256_TEXT_BYTES 64

/* NUL-terminated, lower case. */
void sha256_text(struct slice data, char text[SHA256_TEXT_BYTES + 1]);

/* The library's state; owns nothing beside it. */
struct sha256 {
    _Alignas(64) uint8_t state[320];
};

void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, struct slice data);
/* NUL-terminated, lower case; the state is used up. */
void sha256_end(struct sha256 *sha, char text[SHA256_TEXT_BYTES + 1]);

#endif
