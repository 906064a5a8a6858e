/* SPDX-License-Identifier: MIT */
/* TLS under a connection of the bench (protocol/tls/tls.h does the cryptography):
 *
 *     receive --> secure_read --> plaintext --> what reads an unencrypted connection
 *     what is to be sent --> `out` of the connection --> secure_seal --> `wire` --> one send at a time
 *
 * Plaintext waits unsealed while a send is in flight: at most one batch of it exists sealed. */
#ifndef RINGCAST_BENCH_SECURE_H
#define RINGCAST_BENCH_SECURE_H

#include "bench/bench_outgoing.h"
#include "protocol/tls/tls.h"

/* Whom the whole bench believes. */
struct trust {
    struct slice authorities; /* PEM; empty: the system's */
    bool anybody;
};

/* One thread's. */
struct secure_side {
    struct tls_context *context; /* NULL: no connection of the thread speaks TLS */
    uint8_t *plain;              /* of the record that was opened last */
    uint8_t *said;               /* what TLS itself has to say */
};

/* One connection's. */
struct secure {
    struct tls *session;
    struct outgoing wire;
};

/* The process's first call, for so many connections. False with a sentence in `why`. secure_forget in any case. */
bool secure_start(struct trust *trust, const char *authorities_path, bool anybody, uint64_t connections,
                  struct buf *why);
void secure_forget(struct trust *trust);

/* False with a sentence in `why`. secure_side_close in any case. */
bool secure_side_open(struct secure_side *side, const struct trust *trust, char *why, size_t why_bytes);
/* All its connections have been destroyed. */
void secure_side_close(struct secure_side *side);

/* A session with that host, or NULL: out of memory. */
struct secure *secure_create(struct secure_side *side, const char *host);
void secure_destroy(struct secure *secure);
/* As tls_read: *plain is good until the thread's next call, what TLS has to say waits in `wire`. The first call of a
 * session has no ciphertext and makes its hello. */
enum tls_result secure_read(struct secure_side *side, struct secure *secure, struct slice *ciphertext,
                            struct slice *plain);
/* Moves what waits in `plain` into `wire`, sealed, unless the handshake is not done or a send is in flight. False: the
 * session has failed. */
bool secure_seal(struct secure *secure, struct outgoing *plain);

#endif
