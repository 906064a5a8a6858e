/* SPDX-License-Identifier: MIT */
/* What the harnesses share: an oracle's assert, decisions and pieces taken from the front of an input, and copies that
 * end where their memory ends, so that AddressSanitizer sees a reader that looks one byte too far. */
#ifndef RINGCAST_FUZZ_FUZZ_H
#define RINGCAST_FUZZ_FUZZ_H

#include "core/bytes.h"
#include "core/check.h"
#include "core/random.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline _Noreturn void fuzz_miss(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: oracle miss: %s\n", file, line, what);
    abort();
}

/* What the oracle claims. */
#define expect(cond) ((cond) ? (void)0 : fuzz_miss(__FILE__, __LINE__, #cond))

static inline void fuzz_report_check(const char *line)
{
    fprintf(stderr, "%s\n", line);
}

/* A failed check() of the code under test says where. */
__attribute__((constructor)) static inline void fuzz_begin(void)
{
    check_report = fuzz_report_check;
}

/* --- decisions ---------------------------------------------------------------------------------------------------- */

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* 0 behind the end, so that every input decides everything. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* Below `bound`, which is at most 65536; small bounds cost one byte. */
static inline uint32_t fuzz_below(struct fuzz_input *input, uint32_t bound)
{
    uint32_t value = fuzz_byte(input);
    if (bound > 256)
        value = value << 8 | fuzz_byte(input);
    return value % bound;
}

/* At most what is left. */
static inline struct slice fuzz_take(struct fuzz_input *input, size_t bytes)
{
    struct slice taken = slice_of(input->at, bytes < input->left ? bytes : input->left);
    input->left -= taken.bytes;
    if (taken.bytes > 0)
        input->at += taken.bytes;
    return taken;
}

/* A piece whose length stands in front of it, in one byte. */
static inline struct slice fuzz_piece(struct fuzz_input *input)
{
    return fuzz_take(input, fuzz_byte(input));
}

/* Chance for inputs that are a whole text: the same for the same text, another for every other. */
static inline struct random fuzz_random(struct slice text)
{
    struct random random;
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < text.bytes; i++)
        hash = (hash ^ text.data[i]) * UINT64_C(1099511628211);
    random_init(&random, hash);
    return random;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Exactly so many bytes, to be freed; never NULL. */
static inline uint8_t *fuzz_copy(struct slice text)
{
    uint8_t *copy = malloc(text.bytes);
    if (copy == NULL && text.bytes > 0)
        abort();
    if (text.bytes > 0)
        memcpy(copy, text.data, text.bytes);
    return copy;
}

static inline void *fuzz_zeroed(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        abort();
    return memory;
}

/* Whether `inner` lies within `outer`; what is empty lies anywhere. */
static inline bool fuzz_inside(struct slice inner, struct slice outer)
{
    uintptr_t inner_at = (uintptr_t)inner.data, outer_at = (uintptr_t)outer.data;
    return inner.bytes == 0 || (inner_at >= outer_at && inner_at + inner.bytes <= outer_at + outer.bytes);
}

/* Whether the text holds the piece somewhere. */
static inline bool fuzz_holds(struct slice text, struct slice piece)
{
    for (size_t at = 0; at + piece.bytes <= text.bytes; at++)
        if (memcmp(text.data + at, piece.data, piece.bytes) == 0)
            return true;
    return false;
}

#endif
