/* SPDX-License-Identifier: MIT */
/* UTF-8 (RFC 3629), checked incrementally: overlong forms, surrogates and values above U+10FFFF are refused at the
 * first byte that makes them certain. */
#ifndef RINGCAST_PROTOCOL_UTF8_H
#define RINGCAST_PROTOCOL_UTF8_H

#include "core/bytes.h"

/* State between two pieces of a text: UTF8_START when it ends on a character boundary. */
enum { UTF8_START = 0, UTF8_REJECT = 1 };

/* The state behind the bytes; UTF8_REJECT is final. */
uint8_t utf8_next(uint8_t state, struct slice bytes);

static inline bool utf8_valid(struct slice bytes)
{
    return utf8_next(UTF8_START, bytes) == UTF8_START;
}

#endif
