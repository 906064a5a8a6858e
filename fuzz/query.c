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
    if (mark != NULL)
        expect_value(slice_skip(target, (size_t)(mark + 1 - copy)), names[data[0] % (sizeof names / sizeof names[0])]);
    free(copy);
    return 0;
}
