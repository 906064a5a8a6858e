/* SPDX-License-Identifier: MIT */
/* Owns what a token is good for: of one that was made here the verdict follows from four numbers; one that was changed, or was made of
 * anything else, is never good; whatever bytes come, the check ends. The input is a subject, times, and a change. */
#include "protocol/jwt.h"
#include "core/option.h"
#include "fuzz/fuzz.h"
#include "protocol/utf8.h"

static char *secrets[] = {"another secret, 32 characters or more", "the secret that signs, 32 characters too"};
static const struct option_texts known = {.items = secrets, .count = 2};

static int64_t small_time(struct fuzz_input *input)
{
    return (int64_t)fuzz_below(input, 400);
}

/* 0 to 400 s each, so that every order of them comes up. */
static enum jwt_fault naive_verdict(int64_t issued, int64_t expires, int64_t now)
{
    if (issued - now > 30)
        return JWT_EARLY;
    return now - expires >= 30 ? JWT_EXPIRED : JWT_GOOD;
}

static void expect_made(struct fuzz_input *input)
{
    uint8_t memory[2048], changed[2048];
    struct buf out = buf_of(memory, sizeof memory);
    struct jwt_claims claims;
    int64_t issued = small_time(input), expires = small_time(input), now = small_time(input);
    struct slice subject = fuzz_piece(input);
    if (subject.bytes == 0 || subject.bytes > JWT_SUBJECT_BYTES_MAX || !utf8_valid(subject))
        subject = slice_text("op");
    jwt_make(&out, slice_text(secrets[fuzz_below(input, 2)]), subject, issued, expires);
    expect(!out.overflow);
    struct slice token = buf_slice(&out);
    expect(jwt_check(token, &known, now, &claims) == naive_verdict(issued, expires, now));
    expect(slice_equal(slice_of(claims.subject, claims.subject_bytes), subject));
    expect(claims.issued_s == issued && claims.expires_s == expires);
    memcpy(changed, token.data, token.bytes);
    changed[fuzz_below(input, (uint32_t)token.bytes)] ^= (uint8_t)(1U << fuzz_below(input, 8));
    expect(jwt_check(slice_of(changed, token.bytes), &known, now, &claims) != JWT_GOOD);
    expect(jwt_check(slice_of(token.data, fuzz_below(input, (uint32_t)token.bytes)), &known, now, &claims) != JWT_GOOD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    struct jwt_claims claims;
    uint8_t *copy = fuzz_copy(slice_of(data, bytes));
    expect(jwt_check(slice_of(copy, bytes), &known, 100, &claims) != JWT_GOOD); /* nobody guesses a signature */
    free(copy);
    expect_made(&input);
    return 0;
}
