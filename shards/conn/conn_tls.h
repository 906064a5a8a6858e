/* SPDX-License-Identifier: MIT */
/* TLS between the socket and the two halves of a connection (protocol/tls/tls.h does the cryptography):
 *
 *     receive --> conn_tls_receive --> plaintext --> conn_read's loop
 *     outbox  --> conn_tls_flush   --> records in a pooled buffer --> one send --> conn_tls_on_sent --> the buffer back
 *
 * What waits in the outbox stays shared plaintext until its turn to be sent: only what is in flight exists sealed, at
 * most SEAL_BYTES_MAX of plaintext for each connection. A turn seals for a few connections only (FLUSH_SEALED_MAX in
 * conn_write.c), so that the kernel finds the records in the cache and the same buffers serve the next few. What TLS
 * itself has to say (handshake, alerts, key updates) waits in a buffer of its own and goes first. An idle connection
 * holds no buffer.
 *
 * Invariants (conn_tls_check):
 *   - `sending` is a buffer exactly while a send is in flight; `waiting` is a buffer exactly when it holds bytes;
 *   - of what the outbox has in flight, `taken` bytes are with the kernel and `sealed` more are in `sending`;
 *   - while it waits for a buffer (list `short_of`) nothing is in flight and nothing is sealed;
 *   - whoever has something to send, and nothing in flight, is on a flush queue or waits for a buffer;
 *   - a handshake is counted (and linked by `unfinished`) from the complete hello, which is the first that costs
 *     anything, until it is done or has failed; beyond handshakes_max the oldest ends. */
#ifndef RINGCAST_SHARDS_CONN_TLS_H
#define RINGCAST_SHARDS_CONN_TLS_H

#include "core/bucket.h"
#include "core/limits.h"
#include "core/list.h"
#include "protocol/tls/tls.h"
#include "shards/conn/tls_buffers.h"

#include <sys/uio.h>

struct shard;
struct conn;

/* One connection's; exists from accept to the return of the slot. */
struct conn_tls {
    struct conn *conn;   /* whose it is */
    struct tls *session; /* from the first bytes on */
    struct buf waiting;  /* what TLS itself has to say */
    struct buf sending;
    uint32_t own;      /* bytes at the front of `sending` that came from `waiting` */
    uint32_t sealed;   /* plaintext in `sending` */
    uint64_t taken;    /* plaintext of the outbox's bytes in flight that the kernel has taken */
    uint64_t begun_ms; /* the send in flight */
    /* In `sends` while a send is in flight, in `short_of` while it waits for a buffer, or in none. */
    struct list_node wait;
    bool woken;                  /* out of short_of, because memory has come back */
    bool handshaking;            /* the session is not established and has not failed */
    struct list_node unfinished; /* in tls_side.unfinished: counted in tls_side.handshaking */
    bool closed;                 /* our close_notify has been made, or the session has failed */
};

/* Memory of one call. */
struct tls_scratch {
    struct iovec vectors[SEND_SLICES_MAX];
    uint8_t plain[TLS_PLAIN_BYTES_MAX];
    uint8_t out[TLS_OUT_ROOM];
};

/* One shard's. */
struct tls_side {
    struct tls_context *context; /* of new sessions; NULL: no certificates */
    struct bucket handshakes;    /* begun */
    uint32_t handshaking;        /* complete hellos whose handshake is not at its end */
    struct list unfinished;      /* these, the oldest first */
    uint64_t sealed;             /* plaintext bytes, since the flush of the present queue began */
    struct tls_buffers buffers;
    struct tls_tickets *tickets;
    struct tls_scratch *scratch;
};

/* Makes the shard's half ready, without certificates. `ticket_secret` and `since_s`: the same in all shards. False: out
 * of memory. */
bool conn_tls_init(struct shard *shard, const uint8_t ticket_secret[32], uint64_t since_s);
/* Makes the context of the shard's present configuration; new sessions use it, those that live keep theirs. False: the
 * old one stays (it has been logged). */
bool conn_tls_configure(struct shard *shard);
/* All connections have ended. */
void conn_tls_destroy(struct shard *shard);
/* Once a second. */
void conn_tls_tidy(struct shard *shard);

/* The connection was accepted by a TLS listener. False: memory is out. */
bool conn_tls_open(struct conn *conn);
/* Whether its handshake has not ended: what comes may cost a signature. */
bool conn_tls_opening(const struct conn *conn);
/* Ciphertext has come. */
void conn_tls_receive(struct shard *shard, struct conn *conn, struct slice ciphertext);
/* It will be flushed next. */
void conn_tls_prefetch(const struct conn *conn);
/* Seals what waits and begins one send of it, unless one is in flight. */
void conn_tls_flush(struct shard *shard, struct conn *conn);
/* RING_SEND completed; `result` as the ring gave it. False: the stream is cut. */
bool conn_tls_on_sent(struct shard *shard, struct conn *conn, int32_t result);
/* Says goodbye to the peer. Whether that has been sent, so that our side may be shut down. */
bool conn_tls_goodbye(struct shard *shard, struct conn *conn);
/* The socket is closed: gives back what is held; what was not sent counts as cut. */
void conn_tls_end(struct shard *shard, struct conn *conn);
/* The subject of the peer's certificate; empty: none. */
struct slice conn_tls_subject(const struct conn *conn);
/* The common name in it; empty: none. */
struct slice conn_tls_common_name(const struct conn *conn);
void conn_tls_check(const struct conn *conn);

#endif
