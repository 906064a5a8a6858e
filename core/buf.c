/* SPDX-License-Identifier: MIT */
/* Owns the rule of bounded output: a piece is written whole or not at all, and nothing follows the first that
 * did not fit. It never allocates, never terminates with NUL and never writes behind the capacity. Called by all that
 * builds text or wire bytes. */
#include "core/buf.h"

#include "core/check.h"

#define U64_DIGITS_MAX 20

void buf_put(struct buf *b, struct slice bytes)
{
    if (b->overflow || bytes.bytes > b->capacity - b->used) {
        b->overflow = true;
        return;
    }
    if (bytes.bytes == 0)
        return; /* either pointer may be NULL */
    memcpy(b->data + b->used, bytes.data, bytes.bytes);
    b->used += bytes.bytes;
}

void buf_put_text(struct buf *b, const char *text)
{
    buf_put(b, slice_text(text));
}

void buf_put_byte(struct buf *b, uint8_t byte)
{
    buf_put(b, slice_of(&byte, 1));
}

void buf_put_u64(struct buf *b, uint64_t value)
{
    uint8_t digits[U64_DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    buf_put(b, slice_of(digits + at, sizeof digits - at));
}

void buf_put_i64(struct buf *b, int64_t value)
{
    size_t used = b->used;
    if (value < 0)
        buf_put_byte(b, '-');
    buf_put_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    if (b->overflow)
        b->used = used; /* no lone sign */
}

void buf_put_hex(struct buf *b, uint64_t value, unsigned digits)
{
    check(digits >= 1 && digits <= 16);
    uint8_t text[16];
    for (unsigned i = digits; i-- > 0; value >>= 4)
        text[i] = (uint8_t) "0123456789abcdef"[value & 15];
    buf_put(b, slice_of(text, digits));
}
