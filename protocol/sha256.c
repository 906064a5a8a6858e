/* SPDX-License-Identifier: MIT */
/* Owns the hash by which two sides see that they have the same bytes. It never takes a secret: nothing here says who
 * has made them. The library's code computes it; called by dialects. */
#include "protocol/sha256.h"

#include "core/check.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

_Static_assert(sizeof(wc_Sha256) <= sizeof(struct sha256) && _Alignof(wc_Sha256) <= _Alignof(struct sha256),
               "the library's state fits");

static wc_Sha256 *of(struct sha256 *sha)
{
    return (wc_Sha256 *)(void *)sha->state;
}

void sha256_begin(struct sha256 *sha)
{
    check(wc_InitSha256(of(sha)) == 0);
}

void sha256_add(struct sha256 *sha, struct slice data)
{
    for (size_t at = 0; at < data.bytes;) { /* the library counts in 32 bits */
        size_t piece = data.bytes - at < (1U << 30) ? data.bytes - at : 1U << 30;
        check(wc_Sha256Update(of(sha), data.data + at, (word32)piece) == 0);
        at += piece;
    }
}

void sha256_end(struct sha256 *sha, char text[SHA256_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    check(wc_Sha256Final(of(sha), hash) == 0);
    wc_Sha256Free(of(sha));
    for (size_t i = 0; i < sizeof hash; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[SHA256_TEXT_BYTES] = '\0';
}

void sha256_text(struct slice data, char text[SHA256_TEXT_BYTES + 1])
{
    struct sha256 sha;
    sha256_begin(&sha);
    sha256_add(&sha, data);
    sha256_end(&sha, text);
}
