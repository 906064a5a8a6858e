/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) of bytes that are all there, as people and protocols write it: 64 hexadecimal digits. */
#ifndef RINGCAST_PROTOCOL_SHA256_H
#define RINGCAST_PROTOCOL_SHA256_H

#include "core/bytes.h"

#define SHA256_TEXT_BYTES 64

/* NUL-terminated, lower case. */
void sha256_text(struct slice data, char text[SHA256_TEXT_BYTES + 1]);

#endif
