/* SPDX-License-Identifier: MIT */
/* RFC 1951 and RFC 7692 section 7.2.2 by the letter, for whole messages, bit by bit: the oracle of inflate and the
 * measure of how far back a stream refers. Shares no code with zlib and is slow. */
#ifndef RINGCAST_TESTS_NAIVE_INFLATE_H
#define RINGCAST_TESTS_NAIVE_INFLATE_H

#include "core/bytes.h"

struct naive_inflate {
    const uint8_t *data; /* the payload with its tail */
    size_t bits, at;     /* of data, in bits */
    uint8_t *out;
    size_t used, capacity;
    size_t set_begin;    /* `used` at the beginning of the present data set */
    size_t distance_max; /* of all back references */
};

/* A Huffman code as section 3.2.2 defines it: the codes of each length follow each other. */
struct naive_code {
    unsigned count[16];
    unsigned symbols[288];
};

/* -1 beyond the end. The first bit is the lowest (section 3.1.1). */
static int naive_bits(struct naive_inflate *n, unsigned count)
{
    int value = 0;
    if (n->bits - n->at < count)
        return -1;
    for (unsigned i = 0; i < count; i++, n->at++)
        value |= (n->data[n->at / 8] >> (n->at % 8) & 1) << i;
    return value;
}

/* False: more codes than there is room for, or room left over. One code of one bit may stand alone, and none at all. */
static bool naive_code_build(struct naive_code *code, const uint8_t *lengths, unsigned count, bool may_be_single)
{
    unsigned at = 0, total = 0;
    int left = 1;

    memset(code, 0, sizeof *code);
    for (unsigned length = 1; length < 16; length++)
        for (unsigned symbol = 0; symbol < count; symbol++)
            if (lengths[symbol] == length) {
                code->symbols[at++] = symbol;
                code->count[length]++;
                total++;
            }
    for (unsigned length = 1; length < 16; length++) {
        left = left * 2 - (int)code->count[length];
        if (left < 0)
            return false;
    }
    return left == 0 || total == 0 || (may_be_single && total == 1 && code->count[1] == 1);
}

/* -1: no such code, or the end. */
static int naive_symbol(struct naive_inflate *n, const struct naive_code *code)
{
    int value = 0, first = 0;
    unsigned index = 0;

    for (unsigned length = 1; length < 16; length++) {
        int bit = naive_bits(n, 1);
        if (bit < 0)
            return -1;
        value = value * 2 + bit;
        first *= 2;
        if (value - first < (int)code->count[length])
            return (int)code->symbols[index + (unsigned)(value - first)];
        index += code->count[length];
        first += (int)code->count[length];
    }
    return -1;
}

static bool naive_put(struct naive_inflate *n, int byte)
{
    if (n->used == n->capacity || byte < 0)
        return false;
    n->out[n->used++] = (uint8_t)byte;
    return true;
}

/* section 3.2.5 */
static bool naive_copy(struct naive_inflate *n, unsigned length_symbol, const struct naive_code *distances)
{
    unsigned length = 3, distance = 1;
    for (unsigned symbol = 257; symbol < length_symbol; symbol++)
        length += symbol < 261 ? 1 : 1U << (symbol - 261) / 4;
    int extra = naive_bits(n, length_symbol < 261 || length_symbol == 285 ? 0 : (length_symbol - 261) / 4);
    if (length_symbol > 285 || extra < 0)
        return false;
    length = length_symbol == 285 ? 258 : length + (unsigned)extra;

    int code = naive_symbol(n, distances);
    if (code < 0 || code > 29)
        return false;
    for (int symbol = 0; symbol < code; symbol++)
        distance += symbol < 2 ? 1 : 1U << (symbol - 2) / 2;
    if ((extra = naive_bits(n, code < 2 ? 0 : (unsigned)(code - 2) / 2)) < 0)
        return false;
    distance += (unsigned)extra;
    if (distance > n->used - n->set_begin || distance > 32768)
        return false;
    if (distance > n->distance_max)
        n->distance_max = distance;
    while (length-- > 0)
        if (!naive_put(n, n->out[n->used - distance]))
            return false;
    return true;
}

static bool naive_coded_block(struct naive_inflate *n, const struct naive_code *literals,
                              const struct naive_code *distances)
{
    for (;;) {
        int symbol = naive_symbol(n, literals);
        if (symbol == 256)
            return true;
        if (symbol < 256 ? !naive_put(n, symbol) : !naive_copy(n, (unsigned)symbol, distances))
            return false;
    }
}

/* section 3.2.4 */
static bool naive_stored_block(struct naive_inflate *n)
{
    n->at = (n->at + 7) / 8 * 8;
    int length = naive_bits(n, 16), complement = naive_bits(n, 16);
    if (length < 0 || complement < 0 || (length ^ complement) != 0xFFFF)
        return false;
    while (length-- > 0)
        if (!naive_put(n, naive_bits(n, 8)))
            return false;
    return true;
}

/* section 3.2.6 */
static bool naive_fixed_block(struct naive_inflate *n)
{
    struct naive_code literals, distances;
    uint8_t lengths[288];
    for (unsigned i = 0; i < 288; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    naive_code_build(&literals, lengths, 288, false);
    memset(lengths, 5, 32);
    naive_code_build(&distances, lengths, 32, false);
    return naive_coded_block(n, &literals, &distances);
}

/* section 3.2.7: the run-length coded lengths of both codes */
static bool naive_lengths(struct naive_inflate *n, const struct naive_code *code, uint8_t *lengths, unsigned count)
{
    unsigned at = 0;
    while (at < count) {
        int symbol = naive_symbol(n, code), times = 1;
        uint8_t value = (uint8_t)symbol;
        if (symbol < 0)
            return false;
        if (symbol >= 16) {
            times = naive_bits(n, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
            if (times < 0 || (symbol == 16 && at == 0))
                return false;
            times += symbol == 18 ? 11 : 3;
            value = symbol == 16 ? lengths[at - 1] : 0;
        }
        if ((unsigned)times > count - at)
            return false;
        while (times-- > 0)
            lengths[at++] = value;
    }
    return true;
}

static bool naive_dynamic_block(struct naive_inflate *n)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    struct naive_code code, literals, distances;
    uint8_t lengths[320] = {0};
    int hlit = naive_bits(n, 5), hdist = naive_bits(n, 5), hclen = naive_bits(n, 4);
    if (hlit < 0 || hdist < 0 || hclen < 0 || hlit > 29 || hdist > 29)
        return false;
    for (int i = 0; i < hclen + 4; i++) {
        int length = naive_bits(n, 3);
        if (length < 0)
            return false;
        lengths[order[i]] = (uint8_t)length;
    }
    if (!naive_code_build(&code, lengths, 19, false))
        return false;
    unsigned literal_count = (unsigned)hlit + 257, distance_count = (unsigned)hdist + 1;
    if (!naive_lengths(n, &code, lengths, literal_count + distance_count) || lengths[256] == 0 ||
        !naive_code_build(&literals, lengths, literal_count, true) ||
        !naive_code_build(&distances, lengths + literal_count, distance_count, true))
        return false;
    return naive_coded_block(n, &literals, &distances);
}

static bool naive_block(struct naive_inflate *n, bool *final)
{
    int header = naive_bits(n, 3);
    *final = (header & 1) != 0;
    switch (header < 0 ? 3 : header >> 1) {
    case 0:
        return naive_stored_block(n);
    case 1:
        return naive_fixed_block(n);
    case 2:
        return naive_dynamic_block(n);
    default:
        return false;
    }
}

/* The content of a whole message. `data` has the payload and behind it four bytes of room for the tail. False: it is
 * none, or longer than the capacity. */
static bool naive_inflate_message(struct naive_inflate *n, uint8_t *data, size_t payload_bytes, uint8_t *out,
                                  size_t capacity)
{
    *n = (struct naive_inflate){.data = data, .bits = (payload_bytes + 4) * 8, .out = out, .capacity = capacity};
    memcpy(data + payload_bytes, "\x00\x00\xFF\xFF", 4);
    if (payload_bytes == 0)
        return true;
    while (n->at < n->bits) {
        bool final;
        if (!naive_block(n, &final))
            return false;
        if (!final)
            continue;
        n->at = (n->at + 7) / 8 * 8;
        n->set_begin = n->used;
        if (n->at == payload_bytes * 8)
            return true;
    }
    return true;
}

#endif
