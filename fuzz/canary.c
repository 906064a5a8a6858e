/* SPDX-License-Identifier: MIT */
/* Owns five planted bugs, one of each kind that the other harnesses must be able to find: a byte read behind its
 * memory, undefined behaviour, a leak, a decision on memory that was never written, and an oracle that disagrees. It
 * never tests the server. tools/dev fuzz canary runs it once per kind and fails when a run ends without a finding: then
 * the machinery is dead, not the code sound. */
#include "fuzz/fuzz.h"
#include "protocol/utf8.h"
#include "tests/unit/protocol/naive_utf8.h"

/* Reads the length from the input and believes it. */
static void plant_memory(struct slice text)
{
    uint8_t *copy = fuzz_copy(text);
    volatile uint8_t last = 0;
    if (text.bytes > 2 && copy[0] == 'l' && copy[1] == 'e')
        last = copy[copy[2]];
    (void)last;
    free(copy);
}

static void plant_undefined(struct slice text)
{
    volatile int32_t sum = INT32_MAX - 1;
    if (text.bytes > 1 && text.data[0] == 'u' && text.data[1] == 'b')
        sum += (int32_t)text.bytes;
    (void)sum;
}

static void plant_leak(struct slice text)
{
    void *volatile lost = NULL;
    if (text.bytes > 1 && text.data[0] == 'l' && text.data[1] == 'k')
        lost = malloc(64);
    lost = NULL;
    (void)lost;
}

/* A buffer that is believed to be zeroed. */
static void plant_unwritten(struct slice text)
{
    uint8_t *volatile fresh = malloc(64);
    if (text.bytes > 0)
        fresh[0] = text.data[0];
    if (fresh[63] != 0)
        plant_undefined(text);
    free(fresh);
}

/* The automaton, taken for one that allows surrogates. */
static void plant_oracle(struct slice text)
{
    bool surrogate = false;
    for (size_t i = 0; i + 1 < text.bytes; i++)
        surrogate |= text.data[i] == 0xED && text.data[i + 1] >= 0xA0 && text.data[i + 1] < 0xC0;
    expect((naive_utf8_read(text) != NAIVE_UTF8_INVALID) == (surrogate || utf8_next(UTF8_START, text) != UTF8_REJECT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = slice_of(data, bytes);
    const char *kind = getenv("RINGCAST_CANARY");

    if (kind == NULL)
        kind = "oracle";
    if (strcmp(kind, "memory") == 0)
        plant_memory(text);
    else if (strcmp(kind, "undefined") == 0)
        plant_undefined(text);
    else if (strcmp(kind, "leak") == 0)
        plant_leak(text);
    else if (strcmp(kind, "unwritten") == 0)
        plant_unwritten(text);
    else
        plant_oracle(text);
    return 0;
}
