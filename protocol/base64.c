/* SPDX-License-Identifier: MIT */
/* Owns the reading of base64, strictly: a text that a lenient reader would take is refused. It never encodes.
 * Called by dialects that pass such values on and by the publisher WebSocket. */
#include "protocol/base64.h"

/* The six bits of a character, or -1. */
static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t padding_of(struct slice text)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.bytes && text.data[text.bytes - 1 - padding] == '=')
        padding++;
    return padding;
}

bool base64_valid(struct slice text)
{
    if (text.bytes == 0)
        return true;
    if (text.bytes % 4 != 0)
        return false;
    size_t padding = padding_of(text), digits = text.bytes - padding;
    for (size_t i = 0; i < digits; i++)
        if (value_of(text.data[i]) < 0)
            return false;
    int left_over = padding == 0 ? 0 : padding == 1 ? 0x03 : 0x0F;
    return (value_of(text.data[digits - 1]) & left_over) == 0;
}

bool base64_decode(struct slice text, struct buf *out)
{
    if (!base64_valid(text))
        return false;
    size_t digits = text.bytes - padding_of(text);
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < digits; i++) {
        bits = bits << 6 | (uint32_t)value_of(text.data[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            buf_put_byte(out, (uint8_t)(bits >> held));
        }
    }
    return !out->overflow;
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
