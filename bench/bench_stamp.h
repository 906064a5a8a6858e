/* SPDX-License-Identifier: MIT */
/* What the bench writes at the front of every payload, as hexadecimal text, so that any relay passes it on unchanged.
 *
 *   bytes 0-3    source: which publisher of the channel
 *   bytes 4-11   sequence: of that publisher in that channel, from 0
 *   bytes 12-23  time at which the message was to be sent: nanoseconds of the monotonic clock, modulo 2^48 (78 hours)
 *
 * An ingested message is a JSON string, delivered as its text: a quotation mark then comes before the stamp. */
#ifndef RINGCAST_BENCH_STAMP_H
#define RINGCAST_BENCH_STAMP_H

#include "core/bytes.h"

#include <endian.h>

#define STAMP_BYTES 24
#define STAMP_HEAD_BYTES (1 + STAMP_BYTES) /* of a payload: where a stamp may lie */
#define STAMP_HELLO UINT32_MAX             /* sequence of a message that only asks whether it arrives */
#define STAMP_TIME_MASK ((UINT64_C(1) << 48) - 1)

struct stamp {
    uint16_t source;
    uint32_t sequence;
    uint64_t sent_ns; /* modulo 2^48 */
};

static inline void stamp_write(uint8_t out[STAMP_BYTES], const struct stamp *stamp)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t high = (uint64_t)stamp->source << 32 | stamp->sequence;
    for (int i = 11; i >= 0; i--, high >>= 4)
        out[i] = (uint8_t)digits[high & 15];
    uint64_t low = stamp->sent_ns;
    for (int i = 23; i >= 12; i--, low >>= 4)
        out[i] = (uint8_t)digits[low & 15];
}

/* Eight hexadecimal digits at once. False when a byte is neither in column 3 nor in column 6 of ASCII: enough to
 * tell our payloads from a stranger's, and cheap. */
static inline bool stamp_digits(const uint8_t *text, uint32_t *value)
{
    uint64_t x;
    memcpy(&x, text, sizeof x);
    x = be64toh(x);
    uint64_t letters = (x >> 6) & UINT64_C(0x0101010101010101);
    if ((x & UINT64_C(0xf0f0f0f0f0f0f0f0)) != UINT64_C(0x3030303030303030) + letters * 0x30)
        return false;
    x = (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) + letters * 9;
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    *value = (uint32_t)(x | x >> 16);
    return true;
}

/* Reads the stamp of a payload of which `head` is the beginning. False: it has none. */
static inline bool stamp_read(struct slice head, struct stamp *stamp)
{
    if (head.bytes > 0 && head.data[0] == '"')
        head = slice_skip(head, 1);
    uint32_t words[3];
    if (head.bytes < STAMP_BYTES || !stamp_digits(head.data, &words[0]) || !stamp_digits(head.data + 8, &words[1]) ||
        !stamp_digits(head.data + 16, &words[2]))
        return false;
    stamp->source = (uint16_t)(words[0] >> 16);
    stamp->sequence = words[0] << 16 | words[1] >> 16;
    stamp->sent_ns = (uint64_t)(words[1] & 0xffff) << 32 | words[2];
    return true;
}

/* How long before now_ns the stamp was written; 0 when it lies in the future. */
static inline uint64_t stamp_age_ns(const struct stamp *stamp, uint64_t now_ns)
{
    uint64_t age = (now_ns - stamp->sent_ns) & STAMP_TIME_MASK;
    return age > STAMP_TIME_MASK / 2 ? 0 : age;
}

#endif
