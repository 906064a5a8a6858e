/* SPDX-License-Identifier: MIT */
/* Owns the client half of TLS sessions, and the account of what the library holds for whom: its allocator has one bound
 * for both sides, and only the server's is to be hit by it. It never moves bytes to or from a socket. Called by
 * sim_wire.c, sim_trust.c and the intruders. */
#include "tests/sim/sim_tls.h"

#include "core/check.h"
#include "protocol/tls/tls_parts.h"

#include <stdlib.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

#define PLAIN_BYTES 16384

/* --- memory ------------------------------------------------------------------------------------------------------- */

static uint64_t held, bound;

/* Debian's packaged library keeps tables for points that it multiplies often (FP_ECC), for all sessions of the process:
 * they are nobody's, so they go before it is counted what is whose. */
static void drop_tables(void)
{
#ifdef FP_ECC
    wc_ecc_fp_free();
#endif
}

static uint64_t enter(void)
{
    drop_tables();
    if (bound > 0)
        check(tls_start(0));
    return tls_memory_bytes();
}

static void leave(uint64_t before)
{
    drop_tables();
    held += tls_memory_bytes() - before;
    if (bound > 0)
        check(tls_start(bound + held));
}

uint64_t sim_tls_server_bytes(void)
{
    drop_tables();
    return tls_memory_bytes() - held;
}

void sim_tls_bound(uint64_t bytes)
{
    bound = bytes;
    check(tls_start(bytes == 0 ? 0 : bytes + held));
}

/* --- what the library calls --------------------------------------------------------------------------------------- */

static int on_receive(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    struct sim_tls *tls = context;
    (void)ssl;
    struct slice waiting = sim_bytes_waiting(&tls->in);
    if (waiting.bytes == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t part = waiting.bytes < (size_t)bytes ? waiting.bytes : (size_t)bytes;
    memcpy(data, waiting.data, part);
    tls->in.at += part;
    return (int)part;
}

static int on_send(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    struct sim_tls *tls = context;
    (void)ssl;
    sim_bytes_put(&tls->out, data, (size_t)bytes);
    return bytes;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

struct WOLFSSL_CTX *sim_tls_context(struct slice authorities, bool tls12)
{
    uint64_t before = enter();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(tls12 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    check(context != NULL);
    check(wolfSSL_CTX_load_verify_buffer(context, authorities.data, (long)authorities.bytes, WOLFSSL_FILETYPE_PEM) ==
          WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    leave(before);
    return context;
}

void sim_tls_free_context(struct WOLFSSL_CTX *context)
{
    uint64_t before = enter();
    wolfSSL_CTX_free(context);
    leave(before);
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

/* The ticket that the session holds now; its bytes, 0 without one. */
static uint32_t read_ticket(struct sim_tls *tls, uint8_t ticket[SIM_TICKET_BYTES_MAX])
{
    word32 bytes = SIM_TICKET_BYTES_MAX;
    check(wolfSSL_get_SessionTicket(tls->ssl, ticket, &bytes) == WOLFSSL_SUCCESS);
    return bytes;
}

/* Offers a copy: wolfSSL would go on with the session itself, and others offer it as well. */
static void offer(struct sim_tls *tls, WOLFSSL_SESSION *ticket)
{
    WOLFSSL_SESSION *own = wolfSSL_SESSION_dup(ticket);
    check(own != NULL);
    wolfSSL_set_session(tls->ssl, own);
    wolfSSL_SESSION_free(own);
    tls->offered_bytes = read_ticket(tls, tls->offered);
}

struct sim_tls *sim_tls_create(struct WOLFSSL_CTX *context, struct WOLFSSL_SESSION *ticket, uint64_t seed)
{
    static const char name[] = "sim";
    uint64_t before = enter();
    struct sim_tls *tls = calloc(1, sizeof *tls);
    check(tls != NULL);
    random_init(&tls->random, seed);
    tls->ssl = wolfSSL_new(context);
    check(tls->ssl != NULL);
    wolfSSL_SSLSetIORecv(tls->ssl, on_receive);
    wolfSSL_SSLSetIOSend(tls->ssl, on_send);
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    check(wolfSSL_UseSNI(tls->ssl, WOLFSSL_SNI_HOST_NAME, name, sizeof name - 1) == WOLFSSL_SUCCESS);
    check(wolfSSL_check_domain_name(tls->ssl, name) == WOLFSSL_SUCCESS);
    check(wolfSSL_UseSessionTicket(tls->ssl) == WOLFSSL_SUCCESS);
    if (ticket != NULL)
        offer(tls, ticket);
    leave(before);
    sim_tls_take(tls, slice_of(NULL, 0), NULL); /* our hello */
    return tls;
}

/* The call wants more bytes, has seen the end, or has failed. */
static void judge(struct sim_tls *tls, int result)
{
    WOLFSSL_ALERT_HISTORY alerts;
    int error = wolfSSL_get_error(tls->ssl, result);
    if (error == WOLFSSL_ERROR_WANT_READ)
        return;
    if (error == WOLFSSL_ERROR_ZERO_RETURN)
        tls->ended = true;
    else if (error == FATAL_ERROR && wolfSSL_get_alert_history(tls->ssl, &alerts) == WOLFSSL_SUCCESS &&
             alerts.last_rx.level == 2)
        tls->alerted = true;
    else
        tls->fault = tls_error_text(tls->ssl, error);
}

static void open_records(struct sim_tls *tls, struct sim_bytes *plain)
{
    uint8_t data[PLAIN_BYTES];
    int result;
    while ((result = wolfSSL_read(tls->ssl, data, sizeof data)) > 0)
        sim_bytes_put(plain, data, (size_t)result);
    judge(tls, result);
}

static bool may_read(const struct sim_tls *tls)
{
    return !tls->ended && !tls->alerted && tls->fault == NULL;
}

void sim_tls_take(struct sim_tls *tls, struct slice ciphertext, struct sim_bytes *plain)
{
    uint64_t before = enter();
    sim_bytes_put(&tls->in, ciphertext.data, ciphertext.bytes);
    if (!tls->established && may_read(tls)) {
        int result = wolfSSL_connect(tls->ssl);
        tls->established = result == WOLFSSL_SUCCESS;
        if (!tls->established)
            judge(tls, result);
    }
    if (tls->established && plain != NULL && may_read(tls))
        open_records(tls, plain);
    if (!may_read(tls) && tls->fault == NULL && sim_bytes_waiting(&tls->in).bytes > 0)
        tls->fault = "bytes behind close_notify or an alert";
    leave(before);
}

static bool may_write(const struct sim_tls *tls)
{
    return tls->established && !tls->closed && !tls->alerted && tls->fault == NULL;
}

void sim_tls_update(struct sim_tls *tls)
{
    if (!may_write(tls) || wolfSSL_version(tls->ssl) != TLS1_3_VERSION)
        return;
    uint64_t before = enter();
    check(wolfSSL_update_keys(tls->ssl) == WOLFSSL_SUCCESS);
    leave(before);
}

void sim_tls_seal(struct sim_tls *tls, struct sim_bytes *plain, size_t most)
{
    struct slice waiting = sim_bytes_waiting(plain);
    size_t part = waiting.bytes < most ? waiting.bytes : most;
    if (part == 0 || !may_write(tls) || sim_bytes_waiting(&tls->out).bytes > 0)
        return;
    if (tls->updates > 0 && random_chance(&tls->random, 1, tls->updates))
        sim_tls_update(tls);
    uint64_t before = enter();
    check(wolfSSL_write(tls->ssl, waiting.data, (int)part) == (int)part);
    leave(before);
    plain->at += part;
}

void sim_tls_close(struct sim_tls *tls)
{
    if (!may_write(tls))
        return;
    uint64_t before = enter();
    wolfSSL_shutdown(tls->ssl);
    leave(before);
    tls->closed = true;
}

/* With TLS 1.3 the session has its own secret from its Finished on, but still the ticket that it was resumed with until
 * a new one comes: who offers these two together is refused (RFC 8446 section 4.2.11: the binder does not verify). */
static bool has_new_ticket(struct sim_tls *tls)
{
    uint8_t ticket[SIM_TICKET_BYTES_MAX];
    uint32_t bytes = tls->established ? read_ticket(tls, ticket) : 0;
    return bytes > 0 && (bytes != tls->offered_bytes || memcmp(ticket, tls->offered, bytes) != 0);
}

struct WOLFSSL_SESSION *sim_tls_ticket(struct sim_tls *tls)
{
    uint64_t before = enter();
    WOLFSSL_SESSION *ticket = has_new_ticket(tls) ? wolfSSL_get1_session(tls->ssl) : NULL;
    leave(before);
    return ticket;
}

void sim_tls_free_ticket(struct WOLFSSL_SESSION *ticket)
{
    uint64_t before = enter();
    wolfSSL_SESSION_free(ticket);
    leave(before);
}

void sim_tls_destroy(struct sim_tls *tls)
{
    uint64_t before = enter();
    wolfSSL_free(tls->ssl);
    leave(before);
    sim_bytes_free(&tls->in);
    sim_bytes_free(&tls->out);
    free(tls);
}
