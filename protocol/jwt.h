/* SPDX-License-Identifier: MIT */
/* JSON Web Tokens (RFC 7519) as this server makes and takes them: signed with HS256 (RFC 7518 section 3.2) and nothing
 * else. A function of bytes, secrets and the time. */
#ifndef RINGCAST_PROTOCOL_JWT_H
#define RINGCAST_PROTOCOL_JWT_H

#include "core/buf.h"

#define JWT_BYTES_MAX 4096
#define JWT_SUBJECT_BYTES_MAX 128
#define JWT_LEEWAY_S 30
#define JWT_SECRET_BYTES_MIN 32 /* RFC 7518 section 3.2: no shorter than the hash */

struct option_texts;

enum jwt_fault {
    JWT_GOOD,
    JWT_MALFORMED, /* not three parts of base64url (RFC 4648 section 5, no padding), too long, not JSON, a member twice */
    JWT_UNSIGNED,  /* none of the secrets has signed it */
    JWT_ALGORITHM, /* its header asks for anything but HS256, or for what nobody here understands (crit) */
    JWT_CLAIMS,    /* sub or exp missing or of the wrong kind */
    JWT_EXPIRED,
    JWT_EARLY, /* iat or nbf later than now */
};
/* A literal for an operator; never for the peer. */
const char *jwt_fault_text(enum jwt_fault fault);

struct jwt_claims {
    int64_t issued_s; /* iat; 0: it has none */
    int64_t expires_s;
    size_t subject_bytes;
    uint8_t subject[JWT_SUBJECT_BYTES_MAX];
};

/* Checks the signature first, under each of the secrets, in a time that does not depend on which one fits or where a
 * difference is; only what is signed is parsed. The algorithm is never the token's choice. */
enum jwt_fault jwt_check(struct slice token, const struct option_texts *secrets, int64_t now_s,
                         struct jwt_claims *claims);
/* Appends a token for a subject of valid UTF-8, at most JWT_SUBJECT_BYTES_MAX bytes. */
void jwt_make(struct buf *out, struct slice secret, struct slice subject, int64_t issued_s, int64_t expires_s);

#endif
