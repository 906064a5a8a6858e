/* SPDX-License-Identifier: MIT */
/* What the files of TLS share and nobody else includes. */
#ifndef RINGCAST_PROTOCOL_TLS_TLS_PARTS_H
#define RINGCAST_PROTOCOL_TLS_TLS_PARTS_H

#include "protocol/tls/tls.h"
#include "protocol/tls/tls_filter.h"

#include <wolfssl/options.h>
/* options.h comes first: the others depend on how the library was built. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/random.h>

/* --- tls_sealer.c ------------------------------------------------------------------------------------------------- */

#define TLS_NONCE_BYTES 12

/* What protects the records of one server's session by TLS 1.3. All zeroes: no key yet. */
struct tls_sealer {
    uint8_t iv[TLS_NONCE_BYTES];
    uint8_t key_bytes; /* 0: no key */
    bool is_chacha;    /* ChaCha20-Poly1305; else AES-GCM */
    uint64_t records;  /* made with this key: the number of the next one */
    uint8_t key[32];
    Aes aes; /* the key, expanded */
};

/* Sessions of this context hand their records to the sealer that each has attached; they speak TLS 1.3 only. */
void tls_sealer_serve(WOLFSSL_CTX *context);
void tls_sealer_attach(struct tls_sealer *sealer, WOLFSSL *ssl);
/* Takes over the key that the session sends with now, if it is a new one. 0, or wolfSSL's error. Whenever wolfSSL was
 * called. */
int tls_sealer_follow(struct tls_sealer *sealer, WOLFSSL *ssl);
/* One record of application data, at most TLS_PLAIN_BYTES_MAX, behind what is in `out`, which has room for it. False:
 * the library refuses, and the session can only be ended. */
bool tls_sealer_seal(struct tls_sealer *sealer, struct slice content, struct buf *out);
/* Forgets the key. */
void tls_sealer_end(struct tls_sealer *sealer);

/* --- tls.c -------------------------------------------------------------------------------------------------------- */

struct tls {
    /* What each seal touches comes first: tls_prefetch. */
    bool server, established, failed, reading;
    bool closed, ended;       /* our close_notify has been made; the peer's has come */
    bool silent;              /* an alert has been said that is the last word */
    bool own_records;         /* the sealer makes them, not the library */
    struct tls_sealer sealer; /* of a server that speaks TLS 1.3 only */
    WOLFSSL *ssl;             /* of a server: from the complete hello on */
    struct tls_context *context;
    struct slice input; /* during tls_read */
    struct buf *out;    /* during a call */
    uint8_t *hello;     /* of a server: the first record, until it has been read */
    uint32_t hello_used, hello_bytes;
    uint32_t handshake_bytes; /* from the peer */
    struct tls_filter filter;
    uint8_t first[TLS_HEADER_BYTES]; /* of the hello */
    uint8_t client;                  /* enum tls_client_certificate */
    uint8_t answers;                 /* while reading, to the present record */
    uint8_t overhead;                /* of a record of ours, once established */
    const char *why;                 /* of a failure */
    const char *fault;               /* what the filter said */
    char *subject, *common_name;
    uint8_t address[16]; /* of a client that asks for one: what the peer's certificate has to be for */
    uint8_t address_bytes;
};

/* --- tls_memory.c ------------------------------------------------------------------------------------------------- */

/* Zeroed memory that counts like wolfSSL's own, or NULL: the bound. Freed with tls_free. */
void *tls_alloc(size_t bytes);
void tls_free(void *memory);

/* --- tls_context.c ------------------------------------------------------------------------------------------------ */

struct tls_names {
    char *text; /* names of one identity in lower case, each with a NUL behind it */
    size_t bytes;
};

struct tls_context {
    WOLFSSL_CTX *contexts[TLS_IDENTITIES_MAX]; /* one for each identity; of a client: the first only */
    struct tls_names names[TLS_IDENTITIES_MAX];
    uint32_t count;
    uint32_t references; /* sessions and the one who made it */
    bool verify;         /* of a client */
    bool allow_tls12;
    uint64_t records_max;        /* of one key */
    struct tls_tickets *tickets; /* or NULL */
    uint32_t ticket_lifetime_s;
    WC_RNG random; /* for tickets */
    bool random_ready;
    uint64_t now_s; /* of the present call: what the ticket callback goes by */
};

/* The library's context for a server name as it stands in SNI (no bytes: none was sent). */
WOLFSSL_CTX *tls_context_for(struct tls_context *context, struct slice name);

/* The common name of a certificate's subject into `out`, "" when it has none. */
void tls_common_name_of(WOLFSSL_X509 *certificate, char *out, int out_bytes);

/* --- tls_address.c ------------------------------------------------------------------------------------------------ */

/* Whether an iPAddress of the certificate (DER) is this one, of 4 or 16 bytes. */
bool tls_is_for_address(struct slice certificate, struct slice address);

/* --- tls_ticket.c ------------------------------------------------------------------------------------------------- */

/* One more holder. */
struct tls_tickets *tls_tickets_hold(struct tls_tickets *tickets);

/* wolfSSL's callback; its context is the struct tls_context. */
int tls_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
               unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt, unsigned char *ticket, int bytes, int *out_bytes,
               void *context);

/* --- tls_why.c ---------------------------------------------------------------------------------------------------- */

/* A sentence for an error of wolfSSL. */
const char *tls_error_text(WOLFSSL *ssl, int error);

#endif
