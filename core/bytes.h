/* SPDX-License-Identifier: MIT */
/* Slices: borrowed views of bytes, and big-endian loads and stores. Owns nothing, allocates nothing. */
#ifndef RINGCAST_CORE_BYTES_H
#define RINGCAST_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns and that do not change while the slice is used. */
struct slice {
    const uint8_t *data;
    size_t bytes;
};

/* Bytes that the holder may change in place (a receive buffer that is unmasked where it lies). */
struct span {
    uint8_t *data;
    size_t bytes;
};

static inline struct slice slice_of(const void *data, size_t bytes)
{
    return (struct slice){.data = data, .bytes = bytes};
}

/* The slice of a NUL-terminated string, without the NUL. */
static inline struct slice slice_text(const char *text)
{
    return (struct slice){.data = (const uint8_t *)text, .bytes = strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_text(text));
}

static inline bool slice_starts(struct slice a, struct slice prefix)
{
    return a.bytes >= prefix.bytes && (prefix.bytes == 0 || memcmp(a.data, prefix.data, prefix.bytes) == 0);
}

/* The slice behind the first `bytes` bytes (at most all of them). */
static inline struct slice slice_skip(struct slice a, size_t bytes)
{
    size_t n = bytes < a.bytes ? bytes : a.bytes;
    return (struct slice){.data = n == 0 ? a.data : a.data + n, .bytes = a.bytes - n};
}

/* Takes the first word off a text of words between blanks and tabs; no bytes at the end. */
static inline struct slice slice_next_word(struct slice *text)
{
    size_t begin = 0;
    while (begin < text->bytes && (text->data[begin] == ' ' || text->data[begin] == '\t'))
        begin++;
    size_t end = begin;
    while (end < text->bytes && text->data[end] != ' ' && text->data[end] != '\t')
        end++;
    struct slice word = slice_of(text->bytes == 0 ? text->data : text->data + begin, end - begin);
    *text = slice_skip(*text, end);
    return word;
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Compares without regard to ASCII case (field names, tokens: RFC 9110 section 5.1). */
static inline bool slice_is_nocase(struct slice a, const char *text)
{
    size_t n = strlen(text);
    if (a.bytes != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (ascii_lower(a.data[i]) != ascii_lower((uint8_t)text[i]))
            return false;
    return true;
}

static inline uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = (v << 8) | p[i];
    return v;
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load_le64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

#endif
