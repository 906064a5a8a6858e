/* SPDX-License-Identifier: MIT */
/* Owns the comparison of queries and percent-encoding with naive_query.h. It never parses a request. The input is one
 * byte, which chooses a name, and a target. */
#include "fuzz/fuzz.h"
#include "fuzz/naive_query.h"
#include "protocol/http1.h"

static void expect_decoded(struct slice text)
{
    uint8_t *naive = malloc(text.bytes + 1), *memory = malloc(text.bytes + 1);
    long bytes = naive_decode(text, false, naive);
    struct buf out = buf_of(memory, text.bytes);

    expect(http1_percent_decode(text, &out) == (bytes >= 0));
    expect(out.used == (bytes >= 0 ? (size_t)bytes : 0));
    expect(bytes < 0 || slice_equal(buf_slice(&out), slice_of(naive, (size_t)bytes)));
    if (bytes > 0) { /* one byte too little room */
        out = buf_of(memory, (size_t)bytes - 1);
        expect(!http1_percent_decode(text, &out) && out.overflow);
    }
    free(naive);
    free(memory);
}

/* Unreserved characters stand for themselves, all else is as it was; and what it means has not changed. */
static void expect_normalized(struct slice path)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    uint8_t *naive = malloc(path.bytes + 1), *memory = malloc(path.bytes + 1), *decoded = malloc(path.bytes + 1);
    struct buf out = buf_of(memory, path.bytes);
    struct slice normal = http1_path_normalize(path, &out);
    long bytes = naive_decode(path, false, naive);

    expect(!out.overflow && (bytes >= 0 || slice_equal(normal, path)));
    if (bytes >= 0) {
        size_t used = 0;
        for (size_t i = 0; i < path.bytes; i++) {
            bool escape = path.data[i] == '%';
            int c = escape ? naive_hex(path.data[i + 1]) * 16 + naive_hex(path.data[i + 2]) : path.data[i];
            if (escape && (c == 0 || strchr(unreserved, c) == NULL)) {
                memcpy(naive + used, path.data + i, 3);
                used += 3;
            } else {
                naive[used++] = (uint8_t)c;
            }
            i += escape ? 2 : 0;
        }
        expect(slice_equal(normal, slice_of(naive, used)));
        expect(naive_decode(normal, false, naive) == naive_decode(path, false, decoded));
        expect(memcmp(naive, decoded, (size_t)bytes) == 0);
    }
    free(naive);
    free(memory);
    free(decoded);
}

static void expect_value(struct slice query, const char *name)
{
    uint8_t *naive = malloc(query.bytes + 1), *memory = malloc(query.bytes + 1);
    long bytes = 0;
    struct buf out = buf_of(memory, query.bytes);
    int found = http1_query_get(query, name, &out);

    expect(found == naive_query_get(query, name, naive, &bytes));
    expect(found == 1 || out.used == 0);
    expect(found != 1 || slice_equal(buf_slice(&out), slice_of(naive, (size_t)bytes)));
    free(naive);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = {"token", "last", "api_key", "a", "", "a b", "%"};
    if (bytes == 0)
        return 0;
    uint8_t *copy = fuzz_copy(slice_of(data + 1, bytes - 1));
    struct slice target = slice_of(copy, bytes - 1);
    const uint8_t *mark = bytes == 1 ? NULL : memchr(copy, '?', bytes - 1);

    expect_decoded(target);
    expect_normalized(mark == NULL ? target : slice_of(copy, (size_t)(mark - copy)));
    if (mark != NULL)
        expect_value(slice_skip(target, (size_t)(mark + 1 - copy)), names[data[0] % (sizeof names / sizeof names[0])]);
    free(copy);
    return 0;
}
