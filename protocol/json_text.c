/* SPDX-License-Identifier: MIT */
/* Owns what a JSON number is worth, and how strings are written (RFC 8259 sections 6 and 7). It reads no text. Called by
 * whoever reads or writes JSON. */
#include "protocol/json.h"

bool json_u64(struct slice raw, uint64_t *value)
{
    uint64_t sum = 0;
    if (raw.bytes == 0 || (raw.bytes > 1 && raw.data[0] == '0'))
        return false;
    for (size_t i = 0; i < raw.bytes; i++) {
        if (raw.data[i] < '0' || raw.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(raw.data[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool json_i64(struct slice raw, int64_t *value)
{
    bool negative = raw.bytes > 0 && raw.data[0] == '-';
    uint64_t magnitude;
    if (!json_u64(slice_skip(raw, negative ? 1 : 0), &magnitude))
        return false;
    if (negative) {
        if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1)
            return false;
        *value = -(int64_t)(magnitude - 1) - 1;
        return true;
    }
    if (magnitude > INT64_MAX)
        return false;
    *value = (int64_t)magnitude;
    return true;
}

/* The letter of a short escape, 'u' for a byte that needs the long form, 0 for one that stands for itself. */
static uint8_t escape_letter(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return byte < 0x20 ? 'u' : 0;
    }
}

void json_put_string(struct buf *out, struct slice text)
{
    size_t written = 0;
    buf_put_byte(out, '"');
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t letter = escape_letter(text.data[i]);
        if (letter == 0)
            continue;
        buf_put(out, slice_of(text.data + written, i - written));
        buf_put_byte(out, '\\');
        buf_put_byte(out, letter);
        if (letter == 'u')
            buf_put_hex(out, text.data[i], 4);
        written = i + 1;
    }
    if (written < text.bytes)
        buf_put(out, slice_of(text.data + written, text.bytes - written));
    buf_put_byte(out, '"');
}
