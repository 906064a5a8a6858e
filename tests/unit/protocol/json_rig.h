/* SPDX-License-Identifier: MIT */
/* Whether a text is JSON to the parser, in front of memory that may not be touched; and random characters for texts. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_JSON_RIG_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_JSON_RIG_H

#include "core/random.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "tests/unit/guard.h"

static inline bool valid_bytes(const void *text, size_t bytes, uint32_t depth_max)
{
    uint8_t *guarded = guard_place(text, bytes);
    bool valid = json_valid(slice_of(guarded, bytes), depth_max);
    guard_free(guarded, bytes);
    return valid;
}

static inline bool valid(const char *text)
{
    return valid_bytes(text, strlen(text), JSON_DEPTH_MAX);
}

/* A random code point that can stand in a text, as UTF-8. */
static inline size_t random_character(struct random *random, uint8_t out[4])
{
    static const uint32_t below[] = {0x20, 0x80, 0x800, 0x10000, 0x110000};
    uint32_t c = (uint32_t)random_below(random, below[random_below(random, 5)]);
    if (c >= 0xD800 && c <= 0xDFFF)
        c -= 0x800;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

#endif
