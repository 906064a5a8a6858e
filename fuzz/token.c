/* SPDX-License-Identifier: MIT */
/* Owns the comparison of two keys with a plain one, and of where a request carries its credential with a list of three
 * rules. It never measures time. The input is a list of keys, a presented key, and the parts of a request. */
#include "protocol/token.h"
#include "fuzz/fuzz.h"
#include "fuzz/naive_query.h"
#include "protocol/http1.h"

#define KEYS_MAX 8

/* A presented key against some known ones, of which it may be one. */
static void expect_equal(struct fuzz_input *input)
{
    struct slice keys[KEYS_MAX];
    uint32_t count = fuzz_below(input, KEYS_MAX + 1);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = fuzz_piece(input);
    uint32_t known = fuzz_below(input, KEYS_MAX);
    struct slice presented = known < count ? keys[known] : fuzz_piece(input);
    uint8_t *copy = fuzz_copy(presented);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *key = fuzz_copy(keys[i]);
        expect(token_equal(slice_of(key, keys[i].bytes), slice_of(copy, presented.bytes)) ==
               slice_equal(keys[i], presented));
        free(key);
    }
    free(copy);
}

/* Without surrounding white space, as a field value is read. */
static struct slice trimmed(struct slice text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* "Bearer" in any case, then spaces, then the token (RFC 6750 section 2.1). */
static bool naive_bearer(struct slice field, struct slice *token)
{
    static const char scheme[] = "bearer";
    size_t n = 0;
    while (n < field.bytes && field.data[n] != ' ')
        n++;
    if (n != sizeof scheme - 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((field.data[i] | 0x20) != (uint8_t)scheme[i])
            return false;
    while (n < field.bytes && field.data[n] == ' ')
        n++;
    *token = slice_skip(field, n);
    return true;
}

struct parts {
    bool has_key, has_authorization;
    struct slice query, key, authorization;
    const char *query_name;
};

/* Whether there is one at all, usable or not. */
static bool naive_given(const struct parts *parts, uint8_t *memory)
{
    struct slice token;
    long bytes;
    return parts->has_key || (parts->has_authorization && naive_bearer(trimmed(parts->authorization), &token)) ||
           (parts->query_name != NULL && naive_query_get(parts->query, parts->query_name, memory, &bytes) != 0);
}

/* What counts as the credential; false: none. */
static bool naive_credential(const struct parts *parts, uint8_t *memory, struct slice *out)
{
    long bytes = 0;
    if (parts->has_key)
        *out = trimmed(parts->key);
    else if (parts->has_authorization && naive_bearer(trimmed(parts->authorization), out))
        ;
    else if (parts->query_name != NULL && naive_query_get(parts->query, parts->query_name, memory, &bytes) == 1)
        *out = slice_of(memory, (size_t)bytes);
    else
        return false;
    return out->bytes > 0 && out->bytes <= KEY_BYTES_MAX;
}

static void put_request(struct buf *out, const struct parts *parts)
{
    buf_put_text(out, "GET /?");
    buf_put(out, parts->query);
    buf_put_text(out, " HTTP/1.1\r\nHost: h\r\n");
    if (parts->has_authorization) {
        buf_put_text(out, "authorization:");
        buf_put(out, parts->authorization);
        buf_put_text(out, "\r\n");
    }
    if (parts->has_key) {
        buf_put_text(out, "X-API-Key: ");
        buf_put(out, parts->key);
        buf_put_text(out, "\r\n");
    }
    buf_put_text(out, "\r\n");
}

static void expect_credential(struct fuzz_input *input)
{
    static uint8_t text[4096], naive[256], memory[2 * KEY_BYTES_MAX];
    static struct http1_request request;
    uint8_t shape = fuzz_byte(input);
    struct parts parts = {.has_key = (shape & 1) != 0,
                          .has_authorization = (shape & 2) != 0,
                          .query_name = (shape & 4) != 0 ? NULL : "token"};
    parts.query = fuzz_piece(input);
    parts.authorization = fuzz_piece(input);
    parts.key = fuzz_take(input, input->left < 600 ? input->left : 600);
    const struct slice values[] = {parts.query, parts.authorization, parts.key};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (fuzz_holds(values[i], slice_text("\n")))
            return; /* would be a line of its own */
    struct buf head = buf_of(text, sizeof text);
    put_request(&head, &parts);
    size_t scanned = 0, head_bytes;
    const char *why;
    if (http1_parse_head(buf_slice(&head), &scanned, &request, &head_bytes, &why) != HTTP1_OK ||
        head_bytes != head.used)
        return; /* a byte that no request holds */
    size_t mark = shape >> 3, room = (shape & 8) != 0 ? sizeof memory : mark + 40;
    struct buf out = buf_of(memory, room);
    out.used = mark;
    struct slice wanted;
    expect(token_given(&request, parts.query_name) == naive_given(&parts, naive));
    bool has = naive_credential(&parts, naive, &wanted) && wanted.bytes <= room - mark;
    expect(token_from_request(&request, parts.query_name, &out) == has);
    expect(!out.overflow && out.used == mark + (has ? wanted.bytes : 0));
    expect(!has || slice_equal(buf_since(&out, mark), wanted));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    expect_equal(&input);
    expect_credential(&input);
    return 0;
}
