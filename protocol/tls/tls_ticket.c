/* SPDX-License-Identifier: MIT */
/* Owns what protects session tickets: keys derived from the process's secret and the time, so that all shards agree
 * on them without a word, and a key is gone when its time is over. It keeps no key between two calls. Called by
 * wolfSSL. */
#include "protocol/tls/tls_parts.h"

#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/hmac.h>

#define KEY_BYTES 32

struct ticket_key {
    uint8_t key[KEY_BYTES];
    uint8_t name[WOLFSSL_TICKET_NAME_SZ];
};

/* The key of an epoch, which lasts as long as a ticket (HKDF, RFC 5869). */
static bool derive(const struct tls_context *context, uint64_t epoch, struct ticket_key *out)
{
    uint8_t info[16] = "rc-ticket";
    store_be64(info + 8, epoch);
    return wc_HKDF(WC_SHA256, context->ticket_secret, sizeof context->ticket_secret, NULL, 0, info, sizeof info,
                   (uint8_t *)out, sizeof *out) == 0;
}

static int seal_ticket(struct tls_context *context, uint8_t *name, uint8_t *iv, uint8_t *mac, uint8_t *ticket,
                       int bytes, int *out_bytes)
{
    struct ticket_key key;
    int result = WOLFSSL_TICKET_RET_FATAL;
    if (derive(context, context->now_s / context->ticket_lifetime_s, &key) &&
        wc_RNG_GenerateBlock(&context->random, iv, WOLFSSL_TICKET_IV_SZ) == 0) {
        memcpy(name, key.name, sizeof key.name);
        memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
        if (wc_ChaCha20Poly1305_Encrypt(key.key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket, (word32)bytes, ticket,
                                        mac) == 0) {
            *out_bytes = bytes;
            result = WOLFSSL_TICKET_RET_OK;
        }
    }
    explicit_bzero(&key, sizeof key);
    return result;
}

/* A ticket of this epoch or the last one; with TLS 1.2 one of the last is replaced. TLS 1.3 gives a new one each time
 * anyway, and wolfSSL takes CREATE for a refusal there. */
static int open_ticket(struct tls_context *context, bool tls13, const uint8_t *name, const uint8_t *iv,
                       const uint8_t *mac, uint8_t *ticket, int bytes, int *out_bytes)
{
    struct ticket_key key;
    uint64_t epoch = context->now_s / context->ticket_lifetime_s;
    int result = WOLFSSL_TICKET_RET_REJECT;
    for (unsigned age = 0; age < 2 && result == WOLFSSL_TICKET_RET_REJECT; age++) {
        if (epoch < age || !derive(context, epoch - age, &key) || memcmp(name, key.name, sizeof key.name) != 0)
            continue;
        if (wc_ChaCha20Poly1305_Decrypt(key.key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket, (word32)bytes, mac,
                                        ticket) == 0) {
            *out_bytes = bytes;
            result = age == 0 || tls13 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_CREATE;
        }
    }
    explicit_bzero(&key, sizeof key);
    return result;
}

int tls_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
               unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt, unsigned char *ticket, int bytes, int *out_bytes,
               void *context)
{
    /* wolfSSL asks nobody who resumes for a certificate, and a ticket does not say whose it was. */
    const struct tls *tls = wolfSSL_GetIOReadCtx(ssl);
    if (bytes <= 0 || tls->client != TLS_CLIENT_NONE)
        return WOLFSSL_TICKET_RET_REJECT;
    return encrypt
               ? seal_ticket(context, name, iv, mac, ticket, bytes, out_bytes)
               : open_ticket(context, wolfSSL_version(ssl) == TLS1_3_VERSION, name, iv, mac, ticket, bytes, out_bytes);
}
