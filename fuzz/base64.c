/* SPDX-License-Identifier: MIT */
/* Owns the round trip of base64: what is valid is exactly what an encoder would write for some bytes (RFC 4648 section
 * 4), and those bytes are what it decodes to. It never judges where base64 is used. The input is a text, and bytes, at
 * once. */
#include "protocol/base64.h"
#include "fuzz/fuzz.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The one text for these bytes; `out` has room for four thirds of them and four more. */
static struct slice encode(struct slice bytes, uint8_t *out)
{
    size_t used = 0;
    for (size_t at = 0; at < bytes.bytes; at += 3) {
        uint32_t three = 0;
        size_t here = bytes.bytes - at < 3 ? bytes.bytes - at : 3;
        for (size_t i = 0; i < 3; i++)
            three = three << 8 | (i < here ? bytes.data[at + i] : 0);
        for (size_t i = 0; i < 4; i++)
            out[used++] = (uint8_t)(i <= here ? alphabet[three >> (18 - 6 * i) & 63] : '=');
    }
    return slice_of(out, used);
}

/* Reads digits as one long number and ignores all else; whether that was right shows in encoding it again. */
static struct slice read_digits(struct slice text, uint8_t *out)
{
    size_t used = 0;
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        const char *found = text.data[i] == '\0' ? NULL : strchr(alphabet, text.data[i]);
        if (found == NULL)
            continue;
        bits = bits << 6 | (uint32_t)(found - alphabet);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[used++] = (uint8_t)(bits >> count);
        }
    }
    return slice_of(out, used);
}

static void expect_text(struct slice text)
{
    size_t room = 2 * text.bytes + 8;
    uint8_t *bytes = malloc(room), *again = malloc(room), *memory = malloc(room);
    struct slice naive = read_digits(text, bytes);
    bool valid = slice_equal(encode(naive, again), text);
    struct buf out = buf_of(memory, naive.bytes);

    expect(base64_valid(text) == valid);
    expect(base64_decode(text, &out) == valid && (valid || !out.overflow));
    expect(!valid || slice_equal(buf_slice(&out), naive));
    if (valid && naive.bytes > 0) {
        out = buf_of(memory, naive.bytes - 1);
        expect(!base64_decode(text, &out));
    }
    uint8_t *place = fuzz_copy(text); /* where it lies: what is written stands in front of what is read */
    out = buf_of(place, text.bytes);
    expect(base64_decode(slice_of(place, text.bytes), &out) == valid);
    expect(!valid || slice_equal(buf_slice(&out), naive));
    free(place);
    free(bytes);
    free(again);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(slice_of(data, bytes)), *encoded = malloc(2 * bytes + 4);
    struct slice text = encode(slice_of(copy, bytes), encoded);
    uint8_t *exact = fuzz_copy(text);
    expect_text(slice_of(copy, bytes));
    expect_text(slice_of(exact, text.bytes));
    free(exact);
    free(encoded);
    free(copy);
    return 0;
}
