/* SPDX-License-Identifier: MIT */
/* TLS over memory: ciphertext in, plaintext out, and the reverse, with wolfSSL. Pure: it opens no file and no socket;
 * whoever calls it moves the bytes. One struct tls is one end of one connection and belongs to one thread, and so does
 * a context: each shard makes its own from the same settings.
 *
 *     bytes of the peer --> tls_read --> plaintext             tls_seal --> bytes for the peer
 *                              |                                  |
 *                              +--> bytes for the peer <----------+      in the order in which they were made
 *
 * Everything that is to be sent lands behind what is in the caller's `out` already, and has to be sent in that order:
 * each record is numbered. An established session that has nothing to say holds no buffer.
 *
 * The record filter (tls_filter.h) looks at each record before wolfSSL does: unknown types, versions and impossible
 * lengths end the connection there (RFC 8446 section 5). */
#ifndef RINGCAST_PROTOCOL_TLS_TLS_H
#define RINGCAST_PROTOCOL_TLS_TLS_H

#include "core/buf.h"
#include "core/bytes.h"

#define TLS_IDENTITIES_MAX 16
#define TLS_PLAIN_BYTES_MAX 16384                   /* of one record (RFC 8446 section 5.1) */
#define TLS_RECORD_BYTES_MAX (5 + 16384 + 256)      /* header and ciphertext (section 5.2) */
#define TLS_HANDSHAKE_BYTES_MAX (64U << 10)         /* from the peer until the handshake is done */
#define TLS_RECORDS_PER_KEY_MAX (UINT64_C(1) << 24) /* below the bound of AES-GCM, 2^24.5 (section 5.5) */
#define TLS_OUT_ROOM (64U << 10)                    /* tls_read and tls_close never need more than this free in `out` */

enum tls_client_certificate { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* PEM texts; they are needed during tls_context_create only. */
struct tls_identity {
    struct slice chain; /* leaf first */
    struct slice key;
};

struct tls_settings {
    /* SNI chooses by the names in the leaf; the first serves the rest */
    struct tls_identity identities[TLS_IDENTITIES_MAX];
    uint32_t identity_count;
    struct slice authorities; /* PEM: who signs client certificates (server) or the server's (client); may be empty */
    bool allow_tls12;         /* with ECDHE and AEAD only */
    struct tls_tickets *tickets; /* of the shard, shared by its contexts; NULL: no session tickets */
    uint32_t ticket_lifetime_s;  /* 0: no tickets */
    uint64_t records_per_key;    /* of a server by TLS 1.3, then tls_is_worn; 0: TLS_RECORDS_PER_KEY_MAX */
};

struct tls_context;
struct tls;
struct tls_tickets;

/* The process's first call: hands wolfSSL an allocator that counts and never holds more than `bytes_max` (0: no bound).
 * False: wolfSSL does not start (its own self-tests fail). Not thread-safe; the rest is, per object. */
bool tls_start(uint64_t bytes_max);
/* From now on keys and nonces come from `seed`, which fills so many bytes and never repeats them: for simulation and
 * fuzzing, which must be able to do the same again. False: the library was not built for it (Debian's). */
bool tls_seed_from(void (*seed)(uint8_t *out, size_t bytes));
/* Bytes that wolfSSL holds at this moment, in all threads, and allocations refused because of the bound. */
uint64_t tls_memory_bytes(void);
uint64_t tls_memory_refused(void);
/* "wolfSSL 5.7.2, built from source, AES-NI": library, version, and whether assembly is in use. */
const char *tls_library(void);
/* The cipher list on offer, colon-separated, in order of preference. */
const char *tls_ciphers(bool allow_tls12);

/* What a shard's session tickets are sealed with. Two shards that begin with the same secret and time agree for ever,
 * although none keeps it: each key is gone for good when a ticket of it has had its time. NULL: out of memory. */
struct tls_tickets *tls_tickets_create(const uint8_t secret[32], uint64_t now_s);
/* How long a ticket lasts from now on; 0 changes nothing. Shards that are told within one epoch go on agreeing; else
 * a resumption that meets another shard costs a full handshake. False: the library failed. */
bool tls_tickets_last(struct tls_tickets *tickets, uint32_t lifetime_s, uint64_t now_s);
/* It lives on while a context has it. */
void tls_tickets_release(struct tls_tickets *tickets);

/* A server's context, or NULL with one line in `why`: which identity, what is wrong (no certificate in the text, key
 * does not match, expired is not an error), what would be right. Never the key's bytes. */
struct tls_context *tls_context_create(const struct tls_settings *settings, char *why, size_t why_bytes);
/* A client's: identity_count may be 0; empty authorities: the system's folder of authorities is loaded from `ca_folder`
 * (NULL: nothing is trusted), unless `verify` is false. */
struct tls_context *tls_context_create_client(const struct tls_settings *settings, bool verify, const char *ca_folder,
                                              char *why, size_t why_bytes);
/* Sessions made from it keep it alive. NULL is allowed. */
void tls_context_release(struct tls_context *context);

/* A session that waits for a client hello; NULL: the allocator's bound. Where a client certificate is asked for no
 * ticket is given or taken: each session shows its certificate. */
struct tls *tls_create(struct tls_context *context, enum tls_client_certificate client);
/* Whether these bytes complete a client's hello, so that tls_read would compute with its keys. Before that it only
 * gathers. */
bool tls_completes_hello(const struct tls *tls, struct slice ciphertext);
/* A client's session; `host` (NUL-terminated) goes into SNI and is what the certificate is checked against. Its hello
 * is made by the first tls_read with no bytes. */
struct tls *tls_create_client(struct tls_context *context, const char *host);
/* The same for a host that is an address, 4 or 16 bytes in network order: the peer's certificate has to name it as an
 * address (RFC 9110 section 4.3.5); a name that is spelled like one stands for nothing. No bytes: it is a name. */
struct tls *tls_create_client_at(struct tls_context *context, const char *host, struct slice address);
void tls_destroy(struct tls *tls);

enum tls_result {
    TLS_NEED_MORE, /* all of *ciphertext has been taken */
    TLS_DATA,      /* plaintext was put into `plain`; call again, there may be more */
    TLS_CLOSED,    /* close_notify has come; what follows it is not looked at */
    TLS_NOT_TLS,   /* the first bytes are an HTTP request's: answer in plain text; nothing was taken */
    TLS_ERROR,     /* an alert for the peer, if there is one, is in `out`; tls_why says what was wrong; only
                      tls_destroy is left */
};
/* Takes bytes of the peer: goes on with the handshake, opens records. `plain` gets at most TLS_PLAIN_BYTES_MAX bytes a
 * call (it must have room for them), `out` what the peer is to be sent. `now_s`: wall clock, for tickets. */
enum tls_result tls_read(struct tls *tls, struct slice *ciphertext, struct buf *plain, struct buf *out, uint64_t now_s);
/* Whether the handshake is done: only then may tls_seal be called. */
bool tls_established(const struct tls *tls);

/* The most that `bytes` of plaintext take up sealed, in as few records as possible. */
size_t tls_sealed_bytes_max(size_t bytes);
/* Seals `plain` behind what is in `out`, which has room for tls_sealed_bytes_max. False: memory was exhausted, or the
 * session has failed; it can only be ended. */
bool tls_seal(struct tls *tls, struct slice plain, struct buf *out);
/* Asks the processor for what the next tls_seal of the session will touch. */
void tls_prefetch(const struct tls *tls);
/* Whether the key to seal with has been used as often as it may be: tls_renew comes before the next tls_seal. */
bool tls_is_worn(const struct tls *tls);
/* Changes the key to seal with and tells the peer (KeyUpdate, RFC 8446 section 4.6.3), in `out`. False: as for
 * tls_seal. */
bool tls_renew(struct tls *tls, struct buf *out);
/* How many bytes of plaintext lie in the whole records within the first `sent` bytes of `sealed`, which tls_seal has
 * written. */
uint64_t tls_plain_within(const struct tls *tls, struct slice sealed, uint64_t sent);
/* Our close_notify, once; nothing can be sealed behind it. Before the handshake is done it is nothing. */
void tls_close(struct tls *tls, struct buf *out);

/* One line, for the log, after TLS_ERROR: "no cipher suite in common", "client certificate: expired", ... */
const char *tls_why(const struct tls *tls);
/* "TLSv1.3", "TLS_AES_128_GCM_SHA256"; once established. */
const char *tls_version(const struct tls *tls);
const char *tls_cipher(const struct tls *tls);
/* Whether the session was resumed by a ticket. */
bool tls_resumed(const struct tls *tls);
/* The subject of the peer's verified certificate for the log, "/O=Example/CN=feed-7"; empty: it showed none. Its parts
 * are not escaped: permissions go by the common name. */
struct slice tls_subject(const struct tls *tls);
/* The common name in it, "feed-7"; empty: none. */
struct slice tls_common_name(const struct tls *tls);

#endif
