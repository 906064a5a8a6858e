/* SPDX-License-Identifier: MIT */
/* Two ends of TLS and the bytes between them, in memory: what the tests of tls share. Certificates are made by
 * tools/certs into the build folder, so that no key lies in the repository. Bytes are given in copies that end where
 * their memory ends. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_TLS_PAIR_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_TLS_PAIR_H

#include "protocol/tls/tls_parts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/wolfcrypt/ecc.h>

#define PAIR_IS_OLD                                                                                                    \
    (LIBWOLFSSL_VERSION_HEX < 0x05007000) /* Debian 12's, packaged or built: it has faults that 5.7 has not */
#define PAIR_NOW UINT64_C(1700000000)
#define PAIR_BYTES (1U << 20)

struct pair_end {
    struct tls *tls;
    enum tls_result result;
    struct buf out, plain; /* what it has to say and what it has read, neither taken yet */
};

struct pair {
    struct pair_end client, server;
    uint64_t now_s;
};

/* --- certificates ------------------------------------------------------------------------------------------------- */

static inline struct slice pair_file(const char *name)
{
    static char memory[16][8192];
    static unsigned used;
    char path[512], *text = memory[used++ % 16];
    snprintf(path, sizeof path, "%s/%s", TEST_CERTS, name);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    size_t bytes = fread(text, 1, sizeof memory[0], file);
    fclose(file);
    return slice_of(text, bytes);
}

static inline void pair_add_identity(struct tls_settings *settings, const char *name)
{
    char chain[64], key[64];
    snprintf(chain, sizeof chain, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    settings->identities[settings->identity_count++] = (struct tls_identity){pair_file(chain), pair_file(key)};
}

#define PAIR_LIFETIME_S 3600

static inline struct tls_tickets *pair_tickets(uint8_t secret, uint64_t now_s)
{
    uint8_t bytes[32];
    memset(bytes, secret, sizeof bytes);
    struct tls_tickets *tickets = tls_tickets_create(bytes, now_s);
    static struct tls_tickets *kept[256]; /* to the end of the test: many settings may share them */
    static size_t count;
    cr_assert_lt(count, sizeof kept / sizeof kept[0]);
    cr_assert_not_null(kept[count++] = tickets);
    cr_assert(tls_tickets_last(tickets, PAIR_LIFETIME_S, now_s));
    return tickets;
}

/* A server's settings with these identities (up to a NULL). */
static inline struct tls_settings pair_settings(const char *const names[])
{
    struct tls_settings settings = {.authorities = pair_file("authority.pem"), .ticket_lifetime_s = PAIR_LIFETIME_S};
    settings.tickets = pair_tickets(7, PAIR_NOW);
    for (; *names != NULL; names++)
        pair_add_identity(&settings, *names);
    return settings;
}

#define PAIR_SETTINGS(...) pair_settings((const char *const[]){__VA_ARGS__, NULL})

static inline struct tls_context *pair_server_context(const struct tls_settings *settings)
{
    char why[256] = "";
    struct tls_context *context = tls_context_create(settings, why, sizeof why);
    cr_assert_not_null(context, "%s", why);
    return context;
}

/* What makes the method's version the only one: ours would offer TLS 1.3 too. */
static inline WOLFSSL_CTX *pair_only_tls12(const struct tls_settings *settings)
{
    WOLFSSL_CTX *library = wolfSSL_CTX_new(wolfTLSv1_2_client_method());
    const struct tls_identity *own = &settings->identities[0];
    cr_assert_not_null(library);
    cr_assert_eq(wolfSSL_CTX_load_verify_buffer(library, settings->authorities.data, (long)settings->authorities.bytes,
                                                WOLFSSL_FILETYPE_PEM),
                 WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(library, WOLFSSL_VERIFY_PEER, NULL);
    if (settings->identity_count > 0) {
        wolfSSL_CTX_use_certificate_chain_buffer(library, own->chain.data, (long)own->chain.bytes);
        wolfSSL_CTX_use_PrivateKey_buffer(library, own->key.data, (long)own->key.bytes, WOLFSSL_FILETYPE_PEM);
    }
    return library;
}

/* A client that believes the test authority; `identity` may be NULL. With TLS 1.2 it speaks nothing newer. */
static inline struct tls_context *pair_client_context(const char *identity, bool allow_tls12)
{
    char why[256] = "";
    struct tls_settings settings = {.authorities = pair_file("authority.pem"), .allow_tls12 = allow_tls12};
    if (identity != NULL)
        pair_add_identity(&settings, identity);
    struct tls_context *context = tls_context_create_client(&settings, true, NULL, why, sizeof why);
    cr_assert_not_null(context, "%s", why);
    if (allow_tls12) {
        wolfSSL_CTX_free(context->contexts[0]);
        context->contexts[0] = pair_only_tls12(&settings);
    }
    return context;
}

static uint64_t pair_memory_at_start;

static inline void pair_start(uint64_t bytes_max)
{
    cr_assert(tls_start(bytes_max));
    if (pair_memory_at_start == 0)
        pair_memory_at_start = tls_memory_bytes();
}

/* What the library holds beyond what it did at the start; Debian's keeps tables of curves and the last errors. */
static inline uint64_t pair_memory_bytes(void)
{
#ifdef FP_ECC
    wc_ecc_fp_free();
#endif
#ifdef OPENSSL_EXTRA
    wolfSSL_ERR_clear_error();
#endif
    return tls_memory_bytes() - pair_memory_at_start;
}

/* --- the ends ----------------------------------------------------------------------------------------------------- */

static inline void pair_end_init(struct pair_end *end, struct tls *tls)
{
    *end = (struct pair_end){.tls = tls, .out = buf_of(malloc(PAIR_BYTES), PAIR_BYTES)};
    end->plain = buf_of(malloc(PAIR_BYTES), PAIR_BYTES);
    cr_assert(tls != NULL && end->out.data != NULL && end->plain.data != NULL);
}

static inline void pair_init(struct pair *pair, struct tls *client, struct tls *server)
{
    pair->now_s = PAIR_NOW;
    pair_end_init(&pair->client, client);
    pair_end_init(&pair->server, server);
}

static inline void pair_destroy(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        struct pair_end *end = i == 0 ? &pair->client : &pair->server;
        tls_destroy(end->tls);
        free(end->out.data);
        free(end->plain.data);
    }
}

/* Gives the end these bytes, until it has taken all or ended. */
static inline enum tls_result pair_give(struct pair_end *end, struct slice bytes, uint64_t now_s)
{
    uint8_t *copy = malloc(bytes.bytes + 1);
    cr_assert_not_null(copy);
    uint8_t *exact = copy + 1; /* never at an aligned place */
    if (bytes.bytes > 0)
        memcpy(exact, bytes.data, bytes.bytes);
    struct slice rest = slice_of(exact, bytes.bytes);
    do
        end->result = tls_read(end->tls, &rest, &end->plain, &end->out, now_s);
    while (end->result == TLS_DATA);
    if (end->result == TLS_NEED_MORE)
        cr_assert_eq(rest.bytes, 0u);
    free(copy);
    return end->result;
}

static inline bool pair_has_ended(const struct pair_end *end)
{
    return end->result == TLS_ERROR || end->result == TLS_CLOSED || end->result == TLS_NOT_TLS;
}

/* Moves all that one end has to say to the other, `step` bytes at a time. */
static inline void pair_move(struct pair *pair, struct pair_end *from, struct pair_end *to, size_t step)
{
    struct slice bytes = buf_slice(&from->out);
    while (bytes.bytes > 0 && !pair_has_ended(to)) {
        size_t part = bytes.bytes < step ? bytes.bytes : step;
        pair_give(to, slice_of(bytes.data, part), pair->now_s);
        bytes = slice_skip(bytes, part);
    }
    buf_reset(&from->out);
}

/* Until both ends have nothing more to say. */
static inline void pair_run(struct pair *pair, size_t step)
{
    if (!tls_established(pair->client.tls) && !pair_has_ended(&pair->client))
        pair_give(&pair->client, slice_of(NULL, 0), pair->now_s);
    while (pair->client.out.used + pair->server.out.used > 0) {
        pair_move(pair, &pair->client, &pair->server, step);
        pair_move(pair, &pair->server, &pair->client, step);
    }
}

static inline bool pair_is_established(const struct pair *pair)
{
    return tls_established(pair->client.tls) && tls_established(pair->server.tls);
}

/* The text, sealed by one end, is what the other reads. */
static inline void pair_assert_carries(struct pair *pair, struct pair_end *from, struct pair_end *to, struct slice text)
{
    buf_reset(&to->plain);
    cr_assert(tls_seal(from->tls, text, &from->out));
    pair_run(pair, PAIR_BYTES);
    cr_assert(slice_equal(buf_slice(&to->plain), text), "%zu bytes of %zu", to->plain.used, text.bytes);
}

static inline void pair_assert_works(struct pair *pair)
{
    cr_assert(pair_is_established(pair), "client: %s; server: %s", tls_why(pair->client.tls),
              tls_why(pair->server.tls));
    pair_assert_carries(pair, &pair->client, &pair->server, slice_text("from the client"));
    pair_assert_carries(pair, &pair->server, &pair->client, slice_text("from the server"));
}

/* A pair over these contexts, after the handshake or its end. */
static inline void pair_open(struct pair *pair, struct tls_context *client, struct tls_context *server,
                             enum tls_client_certificate wanted, const char *host)
{
    pair_init(pair, tls_create_client(client, host), tls_create(server, wanted));
    pair_run(pair, PAIR_BYTES);
}

#endif
