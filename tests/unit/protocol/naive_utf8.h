/* SPDX-License-Identifier: MIT */
/* UTF-8 read the long way, as the oracle of the automaton: code points by arithmetic, then the rules of RFC 3629 on
 * them. */
#ifndef RINGCAST_TESTS_NAIVE_UTF8_H
#define RINGCAST_TESTS_NAIVE_UTF8_H

#include "core/bytes.h"

enum naive_utf8 {
    NAIVE_UTF8_WHOLE,   /* valid, and ends between two characters */
    NAIVE_UTF8_CUT,     /* some bytes more can make it valid */
    NAIVE_UTF8_INVALID, /* nothing can */
};

/* Writes the character as if every value had an encoding; returns its bytes. */
static inline size_t naive_utf8_put(uint32_t point, uint8_t out[4])
{
    size_t tails = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0x00, 0xC0, 0xE0, 0xF0};

    out[0] = (uint8_t)(leads[tails] | (point >> (6 * tails)));
    for (size_t i = 1; i <= tails; i++)
        out[i] = (uint8_t)(0x80 | ((point >> (6 * (tails - i))) & 0x3F));
    return tails + 1;
}

static inline enum naive_utf8 naive_utf8_read(struct slice text)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};

    for (size_t at = 0; at < text.bytes;) {
        uint8_t lead = text.data[at];
        size_t tails = lead < 0x80 ? 0 : lead >= 0xC0 && lead < 0xE0 ? 1 : lead >= 0xE0 && lead < 0xF0 ? 2 : 3;
        if ((lead >= 0x80 && lead < 0xC0) || lead >= 0xF8)
            return NAIVE_UTF8_INVALID;
        /* The least and the greatest character that can begin with the bytes there are. */
        uint32_t low = tails == 0 ? lead : lead & (0x3FU >> tails), high = low;
        size_t here = text.bytes - at - 1 < tails ? text.bytes - at - 1 : tails;
        for (size_t i = 1; i <= tails; i++) {
            if (i <= here && (text.data[at + i] & 0xC0) != 0x80)
                return NAIVE_UTF8_INVALID;
            low = low << 6 | (i <= here ? text.data[at + i] & 0x3FU : 0);
            high = high << 6 | (i <= here ? text.data[at + i] & 0x3FU : 0x3FU);
        }
        if (high < smallest[tails] || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF))
            return NAIVE_UTF8_INVALID;
        if (here < tails)
            return NAIVE_UTF8_CUT;
        at += tails + 1;
    }
    return NAIVE_UTF8_WHOLE;
}

#endif
