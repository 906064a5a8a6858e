/* SPDX-License-Identifier: MIT */
/* Owns what protects session tickets: a chain of secrets, each derived from the one before, which is then wiped. All
 * shards walk it by the time, so they agree without a word, and whoever takes the present secret opens no ticket of
 * the past. It never keeps more than two keys. Called by wolfSSL, and by the shard that makes and ends it. */
#include "protocol/tls/tls_parts.h"

#include "core/check.h"

#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include <stdlib.h>

#define KEY_BYTES 32
#define STEPS_MAX 100000 /* at once: beyond it the clock was set, and the chain begins anew from where it is */

struct ticket_key {
    uint8_t key[KEY_BYTES];
    uint8_t name[WOLFSSL_TICKET_NAME_SZ];
};

struct tls_tickets {
    uint32_t references;
    uint32_t lifetime_s; /* of an epoch; 0: none has begun */
    uint64_t since_s;    /* when the secret was handed over */
    uint64_t epoch;      /* to which the secret and keys[0] belong */
    uint8_t secret[KEY_BYTES];
    struct ticket_key keys[2]; /* of this epoch and of the one before */
    bool has_former;
};

struct tls_tickets *tls_tickets_create(const uint8_t secret[32], uint64_t now_s)
{
    struct tls_tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets == NULL)
        return NULL;
    tickets->references = 1;
    tickets->since_s = now_s;
    memcpy(tickets->secret, secret, sizeof tickets->secret);
    return tickets;
}

struct tls_tickets *tls_tickets_hold(struct tls_tickets *tickets)
{
    tickets->references++;
    return tickets;
}

void tls_tickets_release(struct tls_tickets *tickets)
{
    if (tickets == NULL || --tickets->references > 0)
        return;
    explicit_bzero(tickets, sizeof *tickets);
    free(tickets);
}

/* HKDF (RFC 5869) of the present secret for one purpose. */
static bool derive(const struct tls_tickets *tickets, const char *purpose, void *out, size_t bytes)
{
    return wc_HKDF(WC_SHA256, tickets->secret, sizeof tickets->secret, NULL, 0, (const uint8_t *)purpose,
                   (word32)strlen(purpose), out, (word32)bytes) == 0;
}

/* To the next epoch: the key of the former one stays for as long as its tickets may come, the secret is gone. */
static bool step(struct tls_tickets *tickets)
{
    uint8_t next[KEY_BYTES];
    bool good = derive(tickets, "rc-ticket-next", next, sizeof next);
    memcpy(tickets->secret, next, sizeof next);
    explicit_bzero(next, sizeof next);
    tickets->keys[1] = tickets->keys[0];
    tickets->has_former = true;
    tickets->epoch++;
    return good && derive(tickets, "rc-ticket-key", &tickets->keys[0], sizeof tickets->keys[0]);
}

/* Walks to the epoch of now, which lasts as long as a ticket. A clock that was set back changes nothing. */
static bool advance(struct tls_tickets *tickets, uint64_t now_s)
{
    uint64_t epoch = now_s / tickets->lifetime_s;
    if (epoch > tickets->epoch && epoch - tickets->epoch > STEPS_MAX)
        tickets->epoch = epoch - 2;
    while (tickets->epoch < epoch)
        if (!step(tickets))
            return false;
    return true;
}

bool tls_tickets_last(struct tls_tickets *tickets, uint32_t lifetime_s, uint64_t now_s)
{
    bool good = true;
    if (lifetime_s == 0 || lifetime_s == tickets->lifetime_s)
        return true;
    if (tickets->lifetime_s == 0) {
        tickets->epoch = tickets->since_s / lifetime_s;
        good = derive(tickets, "rc-ticket-key", &tickets->keys[0], sizeof tickets->keys[0]);
    } else {
        good = advance(tickets, now_s);
        tickets->epoch = now_s / lifetime_s;
    }
    tickets->lifetime_s = lifetime_s;
    return good;
}

static int seal_ticket(struct tls_context *context, uint8_t *name, uint8_t *iv, uint8_t *mac, uint8_t *ticket,
                       int bytes, int *out_bytes)
{
    const struct ticket_key *key = &context->tickets->keys[0];
    if (wc_RNG_GenerateBlock(&context->random, iv, WOLFSSL_TICKET_IV_SZ) != 0)
        return WOLFSSL_TICKET_RET_FATAL;
    memcpy(name, key->name, sizeof key->name);
    memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
    if (wc_ChaCha20Poly1305_Encrypt(key->key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket, (word32)bytes, ticket, mac) !=
        0)
        return WOLFSSL_TICKET_RET_FATAL;
    *out_bytes = bytes;
    return WOLFSSL_TICKET_RET_OK;
}

/* A ticket of this epoch or the last one; with TLS 1.2 one of the last is replaced. TLS 1.3 gives a new one each time
 * anyway, and wolfSSL takes CREATE for a refusal there. */
static int open_ticket(struct tls_context *context, bool tls13, const uint8_t *name, const uint8_t *iv,
                       const uint8_t *mac, uint8_t *ticket, int bytes, int *out_bytes)
{
    const struct tls_tickets *tickets = context->tickets;
    for (unsigned age = 0; age < (tickets->has_former ? 2U : 1U); age++) {
        const struct ticket_key *key = &tickets->keys[age];
        if (memcmp(name, key->name, sizeof key->name) != 0)
            continue;
        if (wc_ChaCha20Poly1305_Decrypt(key->key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket, (word32)bytes, mac,
                                        ticket) != 0)
            return WOLFSSL_TICKET_RET_REJECT;
        *out_bytes = bytes;
        return age == 0 || tls13 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_CREATE;
    }
    return WOLFSSL_TICKET_RET_REJECT;
}

int tls_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
               unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt, unsigned char *ticket, int bytes, int *out_bytes,
               void *argument)
{
    struct tls_context *context = argument;
    /* wolfSSL asks nobody who resumes for a certificate, and a ticket does not say whose it was. */
    const struct tls *tls = wolfSSL_GetIOReadCtx(ssl);
    check(context->tickets->lifetime_s > 0);
    if (bytes <= 0 || tls->client != TLS_CLIENT_NONE)
        return WOLFSSL_TICKET_RET_REJECT;
    if (!advance(context->tickets, context->now_s))
        return WOLFSSL_TICKET_RET_FATAL;
    return encrypt
               ? seal_ticket(context, name, iv, mac, ticket, bytes, out_bytes)
               : open_ticket(context, wolfSSL_version(ssl) == TLS1_3_VERSION, name, iv, mac, ticket, bytes, out_bytes);
}
