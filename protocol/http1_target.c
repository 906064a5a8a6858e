/* SPDX-License-Identifier: MIT */
/* Owns the decoding of request targets: percent-encoding and the values of a query. It never decides what a path
 * means and writes only to the caller's buffer. Called by conn_read.c (every path, before anybody looks at it),
 * token.c, ingest_http.c and the dialects. */
#include "protocol/http1.h"

#include "core/check.h"
#include "protocol/http1_grammar.h"

/* The next byte of percent-encoded text, *at moving behind it; -1 on a bad escape. */
static int decoded_byte(struct slice text, size_t *at)
{
    uint8_t c = text.data[(*at)++];
    if (c != '%')
        return c;
    if (text.bytes - *at < 2)
        return -1;
    int high = http1_hex_value(text.data[*at]), low = http1_hex_value(text.data[*at + 1]);
    if (high < 0 || low < 0)
        return -1;
    *at += 2;
    return high << 4 | low;
}

/* As decoded_byte, '+' being a space (application/x-www-form-urlencoded). */
static int form_byte(struct slice text, size_t *at)
{
    if (text.data[*at] != '+')
        return decoded_byte(text, at);
    (*at)++;
    return ' ';
}

typedef int decode_fn(struct slice text, size_t *at);

/* Appends all of the text decoded, or nothing. */
static bool decode(struct slice text, decode_fn *next, struct buf *out)
{
    size_t mark = out->used;

    for (size_t at = 0; at < text.bytes && !out->overflow;) {
        int c = next(text, &at);
        if (c < 0) {
            out->used = mark;
            return false;
        }
        buf_put_byte(out, (uint8_t)c);
    }
    return !out->overflow;
}

bool http1_percent_decode(struct slice text, struct buf *out)
{
    return decode(text, decoded_byte, out);
}

/* RFC 3986 section 2.3 */
static bool is_unreserved(uint8_t c)
{
    uint8_t low = ascii_lower(c);
    return (low >= 'a' && low <= 'z') || http1_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

struct slice http1_path_normalize(struct slice path, struct buf *out)
{
    size_t mark = out->used;

    if (path.bytes == 0 || memchr(path.data, '%', path.bytes) == NULL)
        return path;
    check_op(out->capacity - out->used, >=, path.bytes);
    for (size_t at = 0, next = 0; at < path.bytes; at = next) {
        int c = decoded_byte(path, &next);
        if (c < 0) {
            out->used = mark;
            return path;
        }
        if (is_unreserved((uint8_t)c))
            buf_put_byte(out, (uint8_t)c);
        else
            buf_put(out, slice_of(path.data + at, next - at));
    }
    return buf_since(out, mark);
}

/* Whether an encoded name of a query is `name`. */
static bool form_name_is(struct slice encoded, const char *name)
{
    size_t at = 0;

    for (; at < encoded.bytes && *name != '\0'; name++) {
        int c = form_byte(encoded, &at);
        if (c < 0 || c != (uint8_t)*name)
            return false;
    }
    return at == encoded.bytes && *name == '\0';
}

int http1_query_get(struct slice query, const char *name, struct buf *out)
{
    struct slice pair, key;

    while (http1_split_next(&query, '&', &pair)) {
        http1_split_next(&pair, '=', &key);
        if (form_name_is(key, name))
            return decode(pair, form_byte, out) ? 1 : -1;
    }
    return 0;
}
