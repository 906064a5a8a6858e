/* SPDX-License-Identifier: MIT */
/* Owns the making and the checking of signed tokens. It keeps nothing and reads no clock. The hash is the library's;
 * called by dialects and by the commands that make and check tokens. */
#include "protocol/jwt.h"

#include "core/check.h"
#include "core/option.h"
#include "protocol/base64.h"
#include "protocol/json.h"

#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#define SIGNATURE_BYTES WC_SHA256_DIGEST_SIZE
#define DEPTH_MAX 8

/* --- base64url ---------------------------------------------------------------------------------------------------- */

/* RFC 7515 section 2: the other alphabet, without padding. */
static void put_url(struct buf *out, struct slice bytes)
{
    size_t mark = out->used;
    base64_encode(bytes, out);
    if (out->overflow)
        return;
    for (size_t i = mark; i < out->used; i++) {
        uint8_t c = out->data[i];
        out->data[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    while (out->used > mark && out->data[out->used - 1] == '=')
        out->used--;
}

static bool take_url(struct slice text, struct buf *out)
{
    uint8_t memory[JWT_BYTES_MAX + 4];
    struct buf plain = buf_of(memory, sizeof memory);
    if (text.bytes == 0 || text.bytes > JWT_BYTES_MAX || text.bytes % 4 == 1)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c == '+' || c == '/' || c == '=')
            return false;
        buf_put_byte(&plain, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (plain.used % 4 != 0)
        buf_put_byte(&plain, '=');
    return base64_decode(buf_slice(&plain), out);
}

/* --- signatures --------------------------------------------------------------------------------------------------- */

static void sign(struct slice secret, struct slice text, uint8_t signature[SIGNATURE_BYTES])
{
    Hmac hmac;
    check(wc_HmacInit(&hmac, NULL, INVALID_DEVID) == 0);
    check(wc_HmacSetKey(&hmac, WC_SHA256, secret.data, (word32)secret.bytes) == 0);
    check(wc_HmacUpdate(&hmac, text.data, (word32)text.bytes) == 0);
    check(wc_HmacFinal(&hmac, signature) == 0);
    wc_HmacFree(&hmac);
}

/* All secrets are tried, all bytes are looked at. */
static bool is_signed(struct slice text, struct slice signature, const struct option_texts *secrets)
{
    uint32_t fits = 0;
    if (signature.bytes != SIGNATURE_BYTES)
        return false;
    for (uint32_t i = 0; i < secrets->count; i++) {
        uint8_t expected[SIGNATURE_BYTES], difference = 0;
        sign(slice_text(secrets->items[i]), text, expected);
        for (size_t n = 0; n < SIGNATURE_BYTES; n++)
            difference |= (uint8_t)(expected[n] ^ signature.data[n]);
        fits |= difference == 0;
    }
    return fits != 0;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

static enum jwt_fault check_header(struct slice header)
{
    enum { ALG, TYP, CRIT, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "alg"}, {.name = "typ"}, {.name = "crit"}};
    if (json_find_members(header, DEPTH_MAX, true, members, MEMBERS) != JSON_MEMBERS_OK)
        return JWT_MALFORMED;
    if (members[ALG].token != JSON_STRING || members[ALG].escaped || !slice_is(members[ALG].raw, "HS256"))
        return JWT_ALGORITHM;
    if (members[CRIT].token != JSON_ERROR) /* RFC 7515 section 4.1.11 */
        return JWT_ALGORITHM;
    bool typed = members[TYP].token == JSON_STRING && !members[TYP].escaped;
    if (members[TYP].token != JSON_ERROR && (!typed || !slice_is_nocase(members[TYP].raw, "JWT")))
        return JWT_ALGORITHM;
    return JWT_GOOD;
}

static bool take_time(const struct json_member *member, int64_t *seconds)
{
    return member->token == JSON_NUMBER && json_i64(member->raw, seconds) && *seconds >= 0 &&
           *seconds <= INT64_MAX - JWT_LEEWAY_S;
}

/* N-3, Q-34: sub and exp must be there, iat and nbf may. */
static enum jwt_fault check_claims(struct slice payload, int64_t now_s, struct jwt_claims *claims)
{
    enum { SUB, EXP, IAT, NBF, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "sub"}, {.name = "exp"}, {.name = "iat"}, {.name = "nbf"}};
    struct buf subject = buf_of(claims->subject, sizeof claims->subject);
    int64_t before_s = 0;
    if (json_find_members(payload, DEPTH_MAX, true, members, MEMBERS) != JSON_MEMBERS_OK)
        return JWT_MALFORMED;
    if (members[SUB].token != JSON_STRING || !take_time(&members[EXP], &claims->expires_s) ||
        (members[IAT].token != JSON_ERROR && !take_time(&members[IAT], &claims->issued_s)) ||
        (members[NBF].token != JSON_ERROR && !take_time(&members[NBF], &before_s)))
        return JWT_CLAIMS;
    json_unescape(members[SUB].raw, &subject);
    if (subject.overflow || subject.used == 0)
        return JWT_CLAIMS;
    claims->subject_bytes = subject.used;
    if (claims->issued_s > now_s + JWT_LEEWAY_S || before_s > now_s + JWT_LEEWAY_S)
        return JWT_EARLY;
    return now_s < claims->expires_s + JWT_LEEWAY_S ? JWT_GOOD : JWT_EXPIRED;
}

/* Takes what stands before the next dot. */
static bool next_part(struct slice *rest, struct slice *part)
{
    const uint8_t *dot = memchr(rest->data, '.', rest->bytes);
    if (dot == NULL)
        return false;
    *part = slice_of(rest->data, (size_t)(dot - rest->data));
    *rest = slice_skip(*rest, part->bytes + 1);
    return true;
}

enum jwt_fault jwt_check(struct slice token, const struct option_texts *secrets, int64_t now_s,
                         struct jwt_claims *claims)
{
    uint8_t memory[JWT_BYTES_MAX], signature_memory[SIGNATURE_BYTES + 1];
    struct buf text = buf_of(memory, sizeof memory), signature = buf_of(signature_memory, sizeof signature_memory);
    struct slice header, payload, rest = token;
    *claims = (struct jwt_claims){0};
    if (token.bytes == 0 || token.bytes > JWT_BYTES_MAX || !next_part(&rest, &header) || !next_part(&rest, &payload) ||
        !take_url(rest, &signature))
        return JWT_MALFORMED;
    if (!is_signed(slice_of(token.data, token.bytes - rest.bytes - 1), buf_slice(&signature), secrets))
        return JWT_UNSIGNED;
    if (!take_url(header, &text))
        return JWT_MALFORMED;
    enum jwt_fault fault = check_header(buf_slice(&text));
    if (fault != JWT_GOOD)
        return fault;
    buf_reset(&text);
    return take_url(payload, &text) ? check_claims(buf_slice(&text), now_s, claims) : JWT_MALFORMED;
}

const char *jwt_fault_text(enum jwt_fault fault)
{
    static const char *const texts[] = {
        [JWT_GOOD] = "good",
        [JWT_MALFORMED] = "not a token of three parts in base64url",
        [JWT_UNSIGNED] = "not signed with any of the secrets",
        [JWT_ALGORITHM] = "its header asks for another algorithm than HS256",
        [JWT_CLAIMS] = "sub or exp is missing or of the wrong kind",
        [JWT_EXPIRED] = "expired",
        [JWT_EARLY] = "issued in the future",
    };
    return texts[fault];
}

/* --- making ------------------------------------------------------------------------------------------------------- */

void jwt_make(struct buf *out, struct slice secret, struct slice subject, int64_t issued_s, int64_t expires_s)
{
    uint8_t memory[JWT_SUBJECT_BYTES_MAX * 6 + 128], signature[SIGNATURE_BYTES];
    struct buf claims = buf_of(memory, sizeof memory);
    size_t mark = out->used;
    check_op(subject.bytes, <=, JWT_SUBJECT_BYTES_MAX);
    buf_put_text(&claims, "{\"sub\":");
    json_put_string(&claims, subject);
    buf_put_text(&claims, ",\"iat\":");
    buf_put_i64(&claims, issued_s);
    buf_put_text(&claims, ",\"exp\":");
    buf_put_i64(&claims, expires_s);
    buf_put_byte(&claims, '}');
    check(!claims.overflow);
    put_url(out, slice_text("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    buf_put_byte(out, '.');
    put_url(out, buf_slice(&claims));
    if (out->overflow)
        return;
    sign(secret, buf_since(out, mark), signature);
    buf_put_byte(out, '.');
    put_url(out, slice_of(signature, sizeof signature));
}
