/* SPDX-License-Identifier: MIT */
/* A peer's end of a TLS session, on wolfSSL itself: what the server's half makes of the library (protocol/tls/tls.h) is
 * judged by a client that shares no code with it. Bytes in, bytes out; it knows no socket. */
#ifndef RINGCAST_TESTS_SIM_SIM_TLS_H
#define RINGCAST_TESTS_SIM_SIM_TLS_H

#include "core/random.h"
#include "tests/sim/sim_bytes.h"

struct WOLFSSL;
struct WOLFSSL_CTX;
struct WOLFSSL_SESSION;

#define SIM_TICKET_BYTES_MAX 1024

struct sim_tls {
    struct WOLFSSL *ssl;
    struct random random;
    struct sim_bytes in, out; /* ciphertext: not opened yet, to be sent */
    uint32_t updates;         /* one in so many writes follows new keys (RFC 8446 section 4.6.3); 0: none */
    bool established;
    bool closed;       /* our close_notify has been made */
    bool ended;        /* theirs has come */
    bool alerted;      /* a fatal alert of theirs has come */
    bool rude;         /* goes without close_notify */
    const char *fault; /* what is wrong with what the server sends; NULL: nothing */
    uint32_t offered_bytes;
    uint8_t offered[SIM_TICKET_BYTES_MAX]; /* the ticket in our hello */
};

/* A session that wants the certificate of `context`'s authority for "sim"; `ticket` NULL: none is offered. */
struct sim_tls *sim_tls_create(struct WOLFSSL_CTX *context, struct WOLFSSL_SESSION *ticket, uint64_t seed);
/* Ciphertext has come; its plaintext goes behind `plain`. */
void sim_tls_take(struct sim_tls *tls, struct slice ciphertext, struct sim_bytes *plain);
/* Seals at most so many bytes of what waits, once the handshake is done and the last ones are on their way. */
void sim_tls_seal(struct sim_tls *tls, struct sim_bytes *plain, size_t most);
/* New keys for our half, and theirs are asked for. */
void sim_tls_update(struct sim_tls *tls);
/* close_notify. */
void sim_tls_close(struct sim_tls *tls);
/* A ticket for another session, freed by sim_tls_free_ticket; NULL: no new one has come. */
struct WOLFSSL_SESSION *sim_tls_ticket(struct sim_tls *tls);
void sim_tls_free_ticket(struct WOLFSSL_SESSION *ticket);
void sim_tls_destroy(struct sim_tls *tls);

/* Contexts of those who believe the certificates in a PEM text. */
struct WOLFSSL_CTX *sim_tls_context(struct slice authorities, bool tls12);
void sim_tls_free_context(struct WOLFSSL_CTX *context);

/* What the library holds for the server: all but the peers' share. */
uint64_t sim_tls_server_bytes(void);
/* The most that it may hold from here on; 0: no bound. */
void sim_tls_bound(uint64_t bytes);

#endif
