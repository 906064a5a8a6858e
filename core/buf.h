/* SPDX-License-Identifier: MIT */
/* Bounded output: appends into memory that the caller owns. When it does not fit, nothing more is written and the
 * sticky flag `overflow` is set; the writer checks it once at the end. */
#ifndef RINGCAST_CORE_BUF_H
#define RINGCAST_CORE_BUF_H

#include "core/bytes.h"

struct buf {
    uint8_t *data;
    size_t used;
    size_t capacity;
    bool overflow;
};

static inline struct buf buf_of(void *memory, size_t capacity)
{
    return (struct buf){.data = memory, .used = 0, .capacity = capacity, .overflow = false};
}

static inline void buf_reset(struct buf *b)
{
    b->used = 0;
    b->overflow = false;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->used);
}

/* What was written since the mark `from` (an earlier value of `used`). */
static inline struct slice buf_since(const struct buf *b, size_t from)
{
    return slice_of(b->data + from, b->used - from);
}

void buf_put(struct buf *b, struct slice bytes);
void buf_put_text(struct buf *b, const char *text);
void buf_put_byte(struct buf *b, uint8_t byte);
/* Decimal, no padding. */
void buf_put_u64(struct buf *b, uint64_t value);
void buf_put_i64(struct buf *b, int64_t value);
/* Lower-case hexadecimal, exactly `digits` digits (1-16), leading zeros kept. */
void buf_put_hex(struct buf *b, uint64_t value, unsigned digits);

#endif
