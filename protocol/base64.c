/* SPDX-License-Identifier: MIT */
/* Owns the reading of base64, strictly: a text that a lenient reader would take is refused. It never encodes.
 * Called by dialects that pass such values on and by the publisher WebSocket. */
#include "protocol/base64.h"

#define NONE 0x80

/* One more than the six bits of each character of the alphabet; 0: it is none of them. */
static const uint8_t values[256] = {
    ['A'] = 1, 2,  3,  4,  5,          6,  7,  8,  9,  10, 11,         12, 13, 14, 15,         16,
    17,        18, 19, 20, 21,         22, 23, 24, 25, 26, ['a'] = 27, 28, 29, 30, 31,         32,
    33,        34, 35, 36, 37,         38, 39, 40, 41, 42, 43,         44, 45, 46, 47,         48,
    49,        50, 51, 52, ['0'] = 53, 54, 55, 56, 57, 58, 59,         60, 61, 62, ['+'] = 63, ['/'] = 64,
};

/* The six bits, or with NONE among its bits. */
static uint8_t digit(uint8_t c)
{
    return (uint8_t)(values[c] - 1);
}

static size_t padding_of(struct slice text)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.bytes && text.data[text.bytes - 1 - padding] == '=')
        padding++;
    return padding;
}

/* The bits that stand for nothing are zero. */
static bool ends_well(struct slice text, size_t padding)
{
    unsigned left_over = padding == 0 ? 0 : padding == 1 ? 0x03 : 0x0F;
    return (digit(text.data[text.bytes - padding - 1]) & left_over) == 0;
}

bool base64_valid(struct slice text)
{
    uint8_t all = 0;
    if (text.bytes == 0)
        return true;
    if (text.bytes % 4 != 0)
        return false;
    size_t padding = padding_of(text);
    for (size_t i = 0; i < text.bytes - padding; i++)
        all |= digit(text.data[i]);
    return all < NONE && ends_well(text, padding);
}

/* Whole groups of four, three bytes each. What is no digit shows in the result; the bytes are then worth nothing. */
static uint8_t decode_groups(const uint8_t *from, size_t groups, uint8_t *to)
{
    uint8_t all = 0;
    for (; groups > 0; groups--, from += 4, to += 3) {
        uint8_t a = digit(from[0]), b = digit(from[1]), c = digit(from[2]), d = digit(from[3]);
        all |= a | b | c | d;
        to[0] = (uint8_t)(a << 2 | b >> 4);
        to[1] = (uint8_t)(b << 4 | c >> 2);
        to[2] = (uint8_t)(c << 6 | d);
    }
    return all;
}

/* The last group, which has padding. */
static uint8_t decode_end(const uint8_t *from, size_t padding, uint8_t *to)
{
    uint8_t a = digit(from[0]), b = digit(from[1]), c = padding == 1 ? digit(from[2]) : 0;
    to[0] = (uint8_t)(a << 2 | b >> 4);
    if (padding == 1)
        to[1] = (uint8_t)(b << 4 | c >> 2);
    return a | b | c;
}

bool base64_decode(struct slice text, struct buf *out)
{
    if (text.bytes == 0)
        return !out->overflow;
    if (text.bytes % 4 != 0)
        return false;
    size_t padding = padding_of(text), groups = text.bytes / 4 - (padding > 0);
    size_t bytes = text.bytes / 4 * 3 - padding;
    if (!ends_well(text, padding))
        return false;
    if (out->overflow || bytes > out->capacity - out->used) {
        out->overflow |= base64_valid(text); /* what is no base64 is not for want of room */
        return false;
    }
    uint8_t *to = out->data + out->used;
    uint8_t all = decode_groups(text.data, groups, to);
    if (padding > 0)
        all |= decode_end(text.data + 4 * groups, padding, to + 3 * groups);
    out->used += all < NONE ? bytes : 0;
    return all < NONE;
}

void base64_encode(struct slice bytes, struct buf *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t bits = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                        (left > 2 ? bytes.data[i + 2] : 0);
        char text[4] = {letters[bits >> 18], letters[bits >> 12 & 63], left > 1 ? letters[bits >> 6 & 63] : '=',
                        left > 2 ? letters[bits & 63] : '='};
        buf_put(out, slice_of(text, 4));
    }
}
