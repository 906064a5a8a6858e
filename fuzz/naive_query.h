/* SPDX-License-Identifier: MIT */
/* Queries read the long way, as the oracle of http1_query_get and of what stands on it: every pair split and decoded
 * before anything is compared (WHATWG URL, section 5.1, but a bad escape is a fault). */
#ifndef RINGCAST_FUZZ_NAIVE_QUERY_H
#define RINGCAST_FUZZ_NAIVE_QUERY_H

#include "core/bytes.h"

static inline int naive_hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Decodes into `out`, which has room for all of the text. The bytes, or -1 for a bad escape; *good_bytes: before it. */
static inline long naive_decode(struct slice text, bool form, uint8_t *out)
{
    long used = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            if (i + 2 >= text.bytes || naive_hex(text.data[i + 1]) < 0 || naive_hex(text.data[i + 2]) < 0)
                return -1;
            c = (uint8_t)(naive_hex(text.data[i + 1]) * 16 + naive_hex(text.data[i + 2]));
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        out[used++] = c;
    }
    return used;
}

/* The next pair of the query, without the '&'; false at the end. `first` is true once. */
static inline bool naive_pair(struct slice *query, bool *first, struct slice *key, struct slice *value, bool *has_value)
{
    if (!*first) {
        if (query->bytes == 0)
            return false;
        *query = slice_skip(*query, 1); /* the '&' that ended the last one */
    }
    *first = false;
    size_t end = 0, equals = 0;
    while (end < query->bytes && query->data[end] != '&')
        end++;
    while (equals < end && query->data[equals] != '=')
        equals++;
    *has_value = equals < end;
    *key = slice_of(query->data, equals);
    *value = *has_value ? slice_of(query->data + equals + 1, end - equals - 1) : slice_of(query->data, 0);
    *query = slice_skip(*query, end);
    return true;
}

/* As http1_query_get: 1, 0 or -1, the value in `out` (room for the whole query), its bytes in *bytes. */
static inline int naive_query_get(struct slice query, const char *name, uint8_t *out, long *bytes)
{
    bool first = true, has_value;
    struct slice key, value;
    while (naive_pair(&query, &first, &key, &value, &has_value)) {
        long n = naive_decode(key, true, out);
        if (n < 0 || (size_t)n != strlen(name) || memcmp(out, name, (size_t)n) != 0)
            continue;
        *bytes = naive_decode(value, true, out);
        return *bytes < 0 ? -1 : 1;
    }
    return 0;
}

#endif
