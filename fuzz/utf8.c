/* SPDX-License-Identifier: MIT */
/* Owns the comparison of the UTF-8 automaton with code points read by arithmetic (tests/unit/protocol/naive_utf8.h). It
 * never judges how a fault is reported, only at which byte. The input is the text. */
#include "protocol/utf8.h"
#include "fuzz/fuzz.h"
#include "tests/unit/protocol/naive_utf8.h"

#define PREFIXES_MAX 256

static void expect_verdict(uint8_t state, enum naive_utf8 verdict)
{
    expect((state == UTF8_START) == (verdict == NAIVE_UTF8_WHOLE));
    expect((state == UTF8_REJECT) == (verdict == NAIVE_UTF8_INVALID));
}

/* In pieces, as chance has it: every state between two pieces is that of the whole. */
static void expect_split(struct slice text, uint8_t whole)
{
    struct random random = fuzz_random(text);
    uint8_t state = UTF8_START;
    while (text.bytes > 0) {
        size_t n = 1 + (size_t)random_below(&random, text.bytes < 24 ? text.bytes : 24);
        state = utf8_next(state, slice_of(text.data, n));
        text = slice_skip(text, n);
    }
    expect(state == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = slice_of(fuzz_copy(slice_of(data, bytes)), bytes);
    uint8_t whole = utf8_next(UTF8_START, text), state = UTF8_START;

    expect_verdict(whole, naive_utf8_read(text));
    expect(utf8_valid(text) == (whole == UTF8_START));
    expect_split(text, whole);
    for (size_t n = 1; n <= text.bytes && n <= PREFIXES_MAX; n++) {
        state = utf8_next(state, slice_of(text.data + n - 1, 1));
        expect_verdict(state, naive_utf8_read(slice_of(text.data, n)));
    }
    free((void *)(uintptr_t)text.data);
    return 0;
}
