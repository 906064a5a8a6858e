/* SPDX-License-Identifier: MIT */
/* Owns the TLS of the bench's connections: contexts, sessions, and the records that wait to be sent. It never sends or
 * receives and knows nothing of what it seals. Called by main, workers and connections. */
#include "bench/bench_secure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AUTHORITIES_FOLDER "/etc/ssl/certs"
#define AUTHORITIES_BYTES_MAX (4U << 20)
/* What the library may hold for each connection, in the middle of a handshake and in its largest configuration, and for
 * itself. */
#define SESSION_BYTES_MAX UINT64_C(98304)
#define LIBRARY_BYTES_MAX (UINT64_C(64) << 20)

static bool read_authorities(struct trust *trust, const char *path, struct buf *why)
{
    char *text = malloc(AUTHORITIES_BYTES_MAX);
    FILE *file = text == NULL ? NULL : fopen(path, "re");
    size_t bytes = file == NULL ? 0 : fread(text, 1, AUTHORITIES_BYTES_MAX, file);
    bool good = file != NULL && !ferror(file);
    if (!good) {
        buf_put_text(why, path);
        buf_put_text(why, ": ");
        buf_put_text(why, strerror(errno));
    }
    if (file != NULL)
        fclose(file);
    trust->authorities = slice_of(text, bytes);
    return good;
}

bool secure_start(struct trust *trust, const char *authorities_path, bool anybody, uint64_t connections,
                  struct buf *why)
{
    trust->anybody = anybody;
    if (authorities_path[0] != '\0' && !read_authorities(trust, authorities_path, why))
        return false;
    if (tls_start(LIBRARY_BYTES_MAX + connections * SESSION_BYTES_MAX))
        return true;
    buf_put_text(why, "the TLS library does not start");
    return false;
}

void secure_forget(struct trust *trust)
{
    free((void *)(uintptr_t)trust->authorities.data);
    *trust = (struct trust){0};
}

bool secure_side_open(struct secure_side *side, const struct trust *trust, char *why, size_t why_bytes)
{
    const struct tls_settings settings = {.allow_tls12 = true, .authorities = trust->authorities};
    side->plain = malloc(TLS_PLAIN_BYTES_MAX);
    side->said = malloc(TLS_OUT_ROOM);
    if (side->plain == NULL || side->said == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    side->context = tls_context_create_client(&settings, !trust->anybody, AUTHORITIES_FOLDER, why, why_bytes);
    return side->context != NULL;
}

void secure_side_close(struct secure_side *side)
{
    tls_context_release(side->context);
    free(side->plain);
    free(side->said);
    *side = (struct secure_side){0};
}

struct secure *secure_create(struct secure_side *side, const char *host)
{
    struct secure *secure = calloc(1, sizeof *secure);
    if (secure == NULL)
        return NULL;
    secure->session = tls_create_client(side->context, host);
    if (secure->session != NULL)
        return secure;
    free(secure);
    return NULL;
}

void secure_destroy(struct secure *secure)
{
    if (secure == NULL)
        return;
    tls_destroy(secure->session);
    outgoing_free(&secure->wire);
    free(secure);
}

enum tls_result secure_read(struct secure_side *side, struct secure *secure, struct slice *ciphertext,
                            struct slice *plain)
{
    struct buf opened = buf_of(side->plain, TLS_PLAIN_BYTES_MAX);
    struct buf said = buf_of(side->said, TLS_OUT_ROOM);
    enum tls_result result = tls_read(secure->session, ciphertext, &opened, &said, 0); /* no tickets: no time */
    *plain = buf_slice(&opened);
    if (said.used > 0)
        outgoing_put(&secure->wire, buf_slice(&said));
    return result;
}

bool secure_seal(struct secure *secure, struct outgoing *plain)
{
    struct outgoing_half *from = &plain->fill;
    if (from->bytes == 0 || secure->wire.flight.bytes > 0 || !tls_established(secure->session))
        return true;
    size_t room = tls_sealed_bytes_max(from->bytes);
    struct buf out = buf_of(outgoing_reserve(&secure->wire, room), room);
    bool sealed = tls_seal(secure->session, slice_of(from->data, from->bytes), &out);
    outgoing_commit(&secure->wire, out.used);
    from->bytes = 0;
    return sealed;
}
