/* SPDX-License-Identifier: MIT */
/* Owns the hash by which two sides see that they have the same bytes. It never takes a secret: nothing here says who
 * has made them. The library's code computes it; called by dialects. */
#include "protocol/sha256.h"

#include "core/check.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

void sha256_text(struct slice data, char text[SHA256_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    wc_Sha256 sha;
    check(wc_InitSha256(&sha) == 0);
    for (size_t at = 0; at < data.bytes;) { /* the library counts in 32 bits */
        size_t piece = data.bytes - at < (1U << 30) ? data.bytes - at : 1U << 30;
        check(wc_Sha256Update(&sha, data.data + at, (word32)piece) == 0);
        at += piece;
    }
    check(wc_Sha256Final(&sha, hash) == 0);
    wc_Sha256Free(&sha);
    for (size_t i = 0; i < sizeof hash; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[SHA256_TEXT_BYTES] = '\0';
}
