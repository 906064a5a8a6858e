/* SPDX-License-Identifier: MIT */
/* Proves what counts as a token (N-3, N-4, Q-34): the example of RFC 7515 appendix A.1, tokens of our own in every way
 * broken, and the limits of time. Run by unit_protocol. */
#include "protocol/jwt.h"

#include "core/option.h"
#include "protocol/base64.h"

#include <criterion/criterion.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#define NOW 1703520000
#define SECRET "0123456789abcdef0123456789abcdef"

static char *one[] = {SECRET};
static char *two[] = {"another secret, as long as it must be", SECRET};
static const struct option_texts secrets = {.items = one, .count = 1}, both = {.items = two, .count = 2};

static struct slice make(struct buf *out, const char *secret, const char *subject, int64_t issued, int64_t expires)
{
    size_t mark = out->used;
    jwt_make(out, slice_text(secret), slice_text(subject), issued, expires);
    cr_assert(!out->overflow);
    return buf_since(out, mark);
}

Test(jwt, takes_what_it_makes)
{
    uint8_t memory[1024];
    struct buf out = buf_of(memory, sizeof memory);
    struct jwt_claims claims;
    struct slice token = make(&out, SECRET, "op \"x\"", NOW, NOW + 60);
    cr_expect(slice_starts(token, slice_text("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.")), "the header of the document");
    cr_expect_eq(jwt_check(token, &secrets, NOW, &claims), JWT_GOOD);
    cr_expect_eq(jwt_check(token, &both, NOW, &claims), JWT_GOOD, "the second secret of a rotation");
    cr_expect(slice_is(slice_of(claims.subject, claims.subject_bytes), "op \"x\""));
    cr_expect_eq(claims.issued_s, NOW);
    cr_expect_eq(claims.expires_s, NOW + 60);
}

Test(jwt, knows_the_times)
{
    uint8_t memory[4096];
    struct buf out = buf_of(memory, sizeof memory);
    struct jwt_claims claims;
    struct slice token = make(&out, SECRET, "op", NOW, NOW + 60);
    cr_expect_eq(jwt_check(token, &secrets, NOW + 60 + JWT_LEEWAY_S - 1, &claims), JWT_GOOD);
    cr_expect_eq(jwt_check(token, &secrets, NOW + 60 + JWT_LEEWAY_S, &claims), JWT_EXPIRED);
    cr_expect_eq(jwt_check(token, &secrets, NOW - JWT_LEEWAY_S, &claims), JWT_GOOD);
    cr_expect_eq(jwt_check(token, &secrets, NOW - JWT_LEEWAY_S - 1, &claims), JWT_EARLY);
}

/* RFC 7515 appendix A.1: the signature fits; it has no sub. */
Test(jwt, has_the_signature_of_the_standard)
{
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char key[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
    char secret[65] = "";
    struct buf space = buf_of(secret, 64);
    char *list[] = {secret};
    const struct option_texts known = {.items = list, .count = 1};
    struct jwt_claims claims;
    cr_assert(base64_decode(slice_text(key), &space));
    cr_assert_eq(strlen(secret), 64);
    cr_expect_eq(jwt_check(slice_text(token), &known, 1300819380, &claims), JWT_CLAIMS);
    secret[0] ^= 1;
    cr_expect_eq(jwt_check(slice_text(token), &known, 1300819380, &claims), JWT_UNSIGNED);
}

static void put_url(struct buf *out, struct slice bytes)
{
    size_t mark = out->used;
    base64_encode(bytes, out);
    for (size_t i = mark; i < out->used; i++)
        out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
    while (out->data[out->used - 1] == '=')
        out->used--;
}

/* A token with this header and these claims, rightly signed. */
static struct slice signed_as(struct buf *out, const char *header, const char *payload)
{
    size_t mark = out->used;
    uint8_t signature[WC_SHA256_DIGEST_SIZE];
    Hmac hmac;
    put_url(out, slice_text(header));
    buf_put_byte(out, '.');
    put_url(out, slice_text(payload));
    cr_assert_eq(wc_HmacInit(&hmac, NULL, INVALID_DEVID), 0);
    cr_assert_eq(wc_HmacSetKey(&hmac, WC_SHA256, (const uint8_t *)SECRET, sizeof SECRET - 1), 0);
    cr_assert_eq(wc_HmacUpdate(&hmac, out->data + mark, (word32)(out->used - mark)), 0);
    cr_assert_eq(wc_HmacFinal(&hmac, signature), 0);
    wc_HmacFree(&hmac);
    buf_put_byte(out, '.');
    put_url(out, slice_of(signature, sizeof signature));
    return buf_since(out, mark);
}

#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"sub\":\"op\",\"exp\":1703520060}"

Test(jwt, refuses_what_it_should_though_it_is_signed)
{
    static const struct {
        const char *header, *payload;
        enum jwt_fault fault;
    } rows[] = {
        {HS256, CLAIMS, JWT_GOOD},
        {"{\"alg\":\"HS256\"}", CLAIMS, JWT_GOOD},
        {"{\"alg\":\"none\"}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":\"HS512\"}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":\"RS256\",\"typ\":\"JWT\"}", CLAIMS, JWT_ALGORITHM},
        {"{\"typ\":\"JWT\"}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":[\"HS256\"]}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":\"HS256\",\"typ\":\"JOSE\"}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", CLAIMS, JWT_ALGORITHM},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", CLAIMS, JWT_MALFORMED},
        {"[]", CLAIMS, JWT_MALFORMED},
        {HS256, "[]", JWT_MALFORMED},
        {HS256, "{\"sub\":\"op\",\"exp\":1703520060,\"exp\":9}", JWT_MALFORMED},
        {HS256, "{\"sub\":\"op\"}", JWT_CLAIMS},
        {HS256, "{\"exp\":1703520060}", JWT_CLAIMS},
        {HS256, "{\"sub\":\"\",\"exp\":1703520060}", JWT_CLAIMS},
        {HS256, "{\"sub\":7,\"exp\":1703520060}", JWT_CLAIMS},
        {HS256, "{\"sub\":\"op\",\"exp\":\"1703520060\"}", JWT_CLAIMS},
        {HS256, "{\"sub\":\"op\",\"exp\":-1}", JWT_CLAIMS},
        {HS256, "{\"sub\":\"op\",\"exp\":9223372036854775807}", JWT_CLAIMS},
        {HS256, "{\"sub\":\"op\",\"exp\":1703520060,\"iat\":1703520031}", JWT_EARLY},
        {HS256, "{\"sub\":\"op\",\"exp\":1703520060,\"iat\":1703520030}", JWT_GOOD},
        {HS256, "{\"sub\":\"op\",\"exp\":1703520060,\"nbf\":1703520031}", JWT_EARLY},
        {HS256, "{\"sub\":\"op\",\"exp\":1703519970}", JWT_EXPIRED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t memory[1024];
        struct buf out = buf_of(memory, sizeof memory);
        struct jwt_claims claims;
        struct slice token = signed_as(&out, rows[i].header, rows[i].payload);
        enum jwt_fault fault = jwt_check(token, &secrets, NOW, &claims);
        cr_expect_eq(fault, rows[i].fault, "%s %s: %s", rows[i].header, rows[i].payload, jwt_fault_text(fault));
    }
}

/* Each single bit of a good token matters, and so does each cut. */
Test(jwt, refuses_every_change)
{
    uint8_t memory[1024], changed[1024];
    struct buf out = buf_of(memory, sizeof memory);
    struct jwt_claims claims;
    struct slice token = make(&out, SECRET, "op", NOW, NOW + 60);
    for (size_t i = 0; i < token.bytes; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(changed, token.data, token.bytes);
            changed[i] ^= (uint8_t)(1U << bit);
            cr_expect_neq(jwt_check(slice_of(changed, token.bytes), &secrets, NOW, &claims), JWT_GOOD, "%zu", i);
        }
        cr_expect_neq(jwt_check(slice_of(token.data, i), &secrets, NOW, &claims), JWT_GOOD, "cut at %zu", i);
    }
    memset(changed, 'a', sizeof changed);
    cr_expect_eq(jwt_check(slice_of(changed, sizeof changed), &secrets, NOW, &claims), JWT_MALFORMED);
    cr_expect_eq(jwt_check(slice_of(NULL, 0), &secrets, NOW, &claims), JWT_MALFORMED);
}
