/* SPDX-License-Identifier: MIT */
/* Owns the cases of ringcast-micro about TLS: one record sealed by the linked library, and a handshake of two ends in
 * one thread. It never touches a socket. Called by micro_main. */
#include "bench/micro.h"
#include "core/check.h"
#include "protocol/tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CERTIFICATE_BYTES_MAX 16384

/* Two ends, and the bytes between them. */
struct pair {
    struct tls_context *contexts[2]; /* server's, client's */
    struct tls *ends[2];
    uint8_t record[TLS_RECORD_BYTES_MAX]; /* not whole pages, so that its place within a page is not that of `plain` */
    uint8_t plain[TLS_PLAIN_BYTES_MAX];
    uint8_t wires[2][TLS_OUT_ROOM]; /* from the server, from the client */
};

static struct slice read_file(const char *name, uint8_t memory[CERTIFICATE_BYTES_MAX])
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", micro_certificates, name);
    FILE *file = fopen(path, "re");
    size_t bytes = file == NULL ? 0 : fread(memory, 1, CERTIFICATE_BYTES_MAX, file);
    if (file != NULL)
        fclose(file);
    return slice_of(memory, bytes);
}

/* 0, -ENOENT: no certificates there, -EIO: the library cannot work with them. */
static int make_contexts(struct pair *pair)
{
    uint8_t chain[CERTIFICATE_BYTES_MAX], key[CERTIFICATE_BYTES_MAX];
    char why[256];
    const struct tls_settings server = {
        .identities[0] = {.chain = read_file("server.pem", chain), .key = read_file("server.key", key)},
        .identity_count = 1};
    const struct tls_settings client = {0};
    if (server.identities[0].chain.bytes == 0 || server.identities[0].key.bytes == 0)
        return -ENOENT;
    if (!tls_start(0))
        return -EIO;
    pair->contexts[0] = tls_context_create(&server, why, sizeof why);
    pair->contexts[1] = tls_context_create_client(&client, false, NULL, why, sizeof why);
    return pair->contexts[0] != NULL && pair->contexts[1] != NULL ? 0 : -EIO;
}

static void end_sessions(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        tls_destroy(pair->ends[i]);
        pair->ends[i] = NULL;
    }
}

static void pair_close(void *state)
{
    struct pair *pair = state;
    end_sessions(pair);
    for (int i = 0; i < 2; i++)
        tls_context_release(pair->contexts[i]);
    free(pair);
}

static int pair_open(void **state, const struct micro_case *self)
{
    (void)self;
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL)
        return -ENOMEM;
    int error = make_contexts(pair);
    if (error != 0) {
        pair_close(pair);
        return error;
    }
    *state = pair;
    return 0;
}

/* Both ends say by turns what they have to say, until neither has anything more. */
static void shake_hands(struct pair *pair)
{
    struct slice heard = slice_of(NULL, 0);
    pair->ends[0] = tls_create(pair->contexts[0], TLS_CLIENT_NONE);
    pair->ends[1] = tls_create_client(pair->contexts[1], "localhost");
    check(pair->ends[0] != NULL && pair->ends[1] != NULL);
    for (int turn = 1;; turn ^= 1) {
        struct buf plain = buf_of(pair->plain, sizeof pair->plain);
        struct buf out = buf_of(pair->wires[turn], sizeof pair->wires[turn]);
        check_op(tls_read(pair->ends[turn], &heard, &plain, &out, 0), ==, TLS_NEED_MORE);
        heard = buf_slice(&out);
        if (heard.bytes == 0)
            break;
    }
    check(tls_established(pair->ends[0]) && tls_established(pair->ends[1]));
}

static uint64_t run_handshakes(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct pair *pair = state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        shake_hands(pair);
        sum += pair->wires[0][20];
        end_sessions(pair);
    }
    return sum;
}

static int established_open(void **state, const struct micro_case *self)
{
    int error = pair_open(state, self);
    if (error == 0)
        shake_hands(*state);
    return error;
}

static uint64_t run_seals(void *state, const struct micro_case *self, uint64_t count)
{
    struct pair *pair = state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct buf out = buf_of(pair->record, sizeof pair->record);
        check(tls_seal(pair->ends[0], slice_of(pair->plain, self->bytes), &out));
        sum += pair->record[out.used - 1];
    }
    return sum;
}

#define SEAL(bytes_)                                                                                                   \
    {                                                                                                                  \
        .name = "tls_seal_" #bytes_, .doc = "one record of " #bytes_ " bytes sealed", .bytes = (bytes_),               \
        .open = established_open, .run = run_seals, .close = pair_close                                                \
    }

const struct micro_case micro_tls[] = {
    SEAL(64),
    SEAL(512),
    SEAL(4096),
    SEAL(16384),
    {.name = "tls_handshake",
     .doc = "a full handshake, both ends; the client believes anybody",
     .open = pair_open,
     .run = run_handshakes,
     .close = pair_close},
    {.name = NULL},
};
