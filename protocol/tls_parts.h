/* SPDX-License-Identifier: MIT */
/* What the files of TLS share and nobody else includes. */
#ifndef RINGCAST_PROTOCOL_TLS_PARTS_H
#define RINGCAST_PROTOCOL_TLS_PARTS_H

#include "protocol/tls.h"
#include "protocol/tls_filter.h"

#include <wolfssl/options.h>
/* options.h comes first: the others depend on how the library was built. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/random.h>

/* ---- tls.c ---- */

struct tls {
    WOLFSSL *ssl; /* of a server: from the complete hello on */
    struct tls_context *context;
    struct slice input; /* during tls_read */
    struct buf *out;    /* during a call */
    uint8_t *hello;     /* of a server: the first record, until it has been read */
    uint32_t hello_used, hello_bytes;
    uint32_t handshake_bytes; /* from the peer */
    struct tls_filter filter;
    uint8_t first[TLS_HEADER_BYTES]; /* of the hello */
    uint8_t client;                  /* enum tls_client_certificate */
    bool server, established, failed, reading;
    bool closed, ended; /* our close_notify has been made; the peer's has come */
    uint8_t answers;    /* while reading, to the present record */
    uint8_t overhead;   /* of a record of ours, once established */
    const char *why;    /* of a failure */
    const char *fault;  /* what the filter said */
    char *subject, *common_name;
};

/* ---- tls_memory.c ---- */

/* Zeroed memory that counts like wolfSSL's own, or NULL: the bound. Freed with tls_free. */
void *tls_alloc(size_t bytes);
void tls_free(void *memory);

/* ---- tls_context.c ---- */

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
    uint8_t ticket_secret[32];
    uint32_t ticket_lifetime_s;
    WC_RNG random; /* for tickets */
    bool random_ready;
    uint64_t now_s; /* of the present call: what the ticket callback goes by */
};

/* The library's context for a server name as it stands in SNI (no bytes: none was sent). */
WOLFSSL_CTX *tls_context_for(struct tls_context *context, struct slice name);

/* The common name of a certificate's subject into `out`, "" when it has none. */
void tls_common_name_of(WOLFSSL_X509 *certificate, char *out, int out_bytes);

/* ---- tls_ticket.c ---- */

/* wolfSSL's callback; its context is the struct tls_context. */
int tls_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
               unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt, unsigned char *ticket, int bytes, int *out_bytes,
               void *context);

/* ---- tls_why.c ---- */

/* A sentence for an error of wolfSSL. */
const char *tls_error_text(WOLFSSL *ssl, int error);

#endif
