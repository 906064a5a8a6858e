/* SPDX-License-Identifier: MIT */
/* Owns one end of a TLS session: what the library reads and writes during a call, the first record of a client, and
 * what became of the session. It never keeps a byte of the caller's beyond the call. Called by
 * shards/conn/conn_tls.c, the clients and the bench. */
#include "protocol/tls/tls_parts.h"

#include "core/check.h"

#define RECORD_OVERHEAD_MAX 64
#define ALERT_FATAL 2
#define ANSWERS_MAX                                                                                                    \
    2 /* to one record, once established: a key update (RFC 8446 section 5.1: the last in its record), an alert */

/* --- what wolfSSL calls ------------------------------------------------------------------------------------------- */

static enum tls_phase phase_of(const struct tls *tls)
{
    if (!tls->established)
        return TLS_PHASE_HANDSHAKE;
    return wolfSSL_version(tls->ssl) == TLS1_3_VERSION ? TLS_PHASE_DATA_13 : TLS_PHASE_DATA_12;
}

/* From the first record, then from the caller's bytes. */
static struct slice next_bytes(const struct tls *tls)
{
    if (tls->hello != NULL)
        return slice_of(tls->hello + tls->hello_used, tls->hello_bytes - tls->hello_used);
    return tls->input;
}

static void consume(struct tls *tls, size_t bytes)
{
    if (tls->hello == NULL) {
        tls->input = slice_skip(tls->input, bytes);
        return;
    }
    tls->hello_used += (uint32_t)bytes;
    if (tls->hello_used == tls->hello_bytes) {
        tls_free(tls->hello);
        tls->hello = NULL;
    }
}

static int on_receive(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl;
    struct tls *tls = context;
    struct slice from = next_bytes(tls);
    tls->answers = 0;
    if (from.bytes == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t part = from.bytes < (size_t)bytes ? from.bytes : (size_t)bytes;
    tls->fault = tls_filter_take(&tls->filter, phase_of(tls), slice_of(from.data, part));
    if (tls->fault == NULL && !tls->established) {
        tls->handshake_bytes += (uint32_t)part;
        tls->fault = tls->handshake_bytes > TLS_HANDSHAKE_BYTES_MAX ? "a handshake that does not end" : NULL;
    }
    if (tls->fault != NULL)
        return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(data, from.data, part);
    consume(tls, part);
    return (int)part;
}

/* How many of these records may be sent, and whether that is the end: nothing follows an alert that is fatal (RFC 8446
 * section 6.2, RFC 5246 section 7.2.2) or protected by TLS 1.2, where no warning is said but close_notify. wolfSSL 5.5
 * says some twice. */
static size_t up_to_alert(struct tls *tls, struct slice records)
{
    const uint8_t *start = records.data;
    while (records.bytes > TLS_HEADER_BYTES && !tls->silent) {
        size_t bytes = TLS_HEADER_BYTES + load_be16(records.data + 3);
        bytes = bytes < records.bytes ? bytes : records.bytes;
        tls->silent =
            records.data[0] == TLS_ALERT && (tls->established || records.data[TLS_HEADER_BYTES] == ALERT_FATAL);
        records = slice_skip(records, bytes);
    }
    return (size_t)(records.data - start);
}

static int on_send(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl;
    struct tls *tls = context;
    if (tls->silent || tls->closed)
        return bytes;
    if (tls->reading && tls->established && ++tls->answers > ANSWERS_MAX) {
        tls->fault = "a record that asks for answer upon answer";
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    if (tls->out->capacity - tls->out->used < (size_t)bytes) {
        tls->fault = "more to say than there is room for";
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    buf_put(tls->out, slice_of(data, up_to_alert(tls, slice_of(data, (size_t)bytes))));
    return bytes;
}

static char *copy_text(const char *text)
{
    size_t bytes = text == NULL ? 0 : strlen(text) + 1;
    char *copy = bytes == 0 ? NULL : tls_alloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

/* Looks at each certificate of the peer's chain; of the leaf, when it is good, the subject is kept. */
static int on_verified(int good, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    if (!good || store->error_depth != 0 || tls == NULL || tls->subject != NULL || store->totalCerts < 1)
        return good;
    WOLFSSL_X509 *leaf = wolfSSL_X509_d2i(NULL, store->certs[0].buffer, (int)store->certs[0].length);
    if (leaf == NULL)
        return 0;
    char line[512] = "", common[256];
    wolfSSL_X509_NAME_oneline(wolfSSL_X509_get_subject_name(leaf), line, sizeof line);
    tls->subject = copy_text(line);
    tls_common_name_of(leaf, common, sizeof common);
    tls->common_name = copy_text(common);
    wolfSSL_X509_free(leaf);
    return tls->subject != NULL;
}

/* The same for a client that has asked for an address. */
static int on_verified_address(int good, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    if (!good || store->error_depth != 0)
        return good;
    if (tls != NULL && store->totalCerts > 0 &&
        tls_is_for_address(slice_of(store->certs[0].buffer, store->certs[0].length),
                           slice_of(tls->address, tls->address_bytes)))
        return 1;
    if (tls != NULL)
        tls->fault = "the peer's certificate is for another address";
    return 0;
}

/* --- making and ending -------------------------------------------------------------------------------------------- */

static struct tls *tls_new(struct tls_context *context, bool server)
{
    struct tls *tls = tls_alloc(sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->context = context;
    tls->server = server;
    context->references++;
    return tls;
}

static bool attach(struct tls *tls, WOLFSSL_CTX *library)
{
    tls->ssl = wolfSSL_new(library);
    if (tls->ssl == NULL)
        return false;
    wolfSSL_SSLSetIORecv(tls->ssl, on_receive);
    wolfSSL_SSLSetIOSend(tls->ssl, on_send);
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    tls->own_records = tls->server && !tls->context->allow_tls12;
    if (tls->own_records)
        tls_sealer_attach(&tls->sealer, tls->ssl);
    return true;
}

struct tls *tls_create(struct tls_context *context, enum tls_client_certificate client)
{
    struct tls *tls = tls_new(context, true);
    if (tls != NULL)
        tls->client = (uint8_t)client;
    return tls;
}

/* Whether the text is an address in any spelling, which SNI does not carry (RFC 6066 section 3). */
static bool is_address(const char *host)
{
    return strchr(host, ':') != NULL || strspn(host, "0123456789.") == strlen(host);
}

/* What the peer's certificate has to be for. */
static bool expect_peer(struct tls *tls, const char *host, struct slice address)
{
    check_op(address.bytes, <=, sizeof tls->address);
    if (address.bytes == 0)
        return wolfSSL_check_domain_name(tls->ssl, host) == WOLFSSL_SUCCESS;
    memcpy(tls->address, address.data, address.bytes);
    tls->address_bytes = (uint8_t)address.bytes;
    wolfSSL_set_verify(tls->ssl, WOLFSSL_VERIFY_PEER, on_verified_address);
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
    return true;
}

struct tls *tls_create_client_at(struct tls_context *context, const char *host, struct slice address)
{
    struct tls *tls = tls_new(context, false);
    if (tls == NULL)
        return NULL;
    bool good = attach(tls, context->contexts[0]);
    if (good && address.bytes == 0 && !is_address(host))
        good = wolfSSL_UseSNI(tls->ssl, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)strlen(host)) == WOLFSSL_SUCCESS;
    if (good && context->verify)
        good = expect_peer(tls, host, address);
    if (good)
        return tls;
    tls_destroy(tls);
    return NULL;
}

struct tls *tls_create_client(struct tls_context *context, const char *host)
{
    return tls_create_client_at(context, host, slice_of(NULL, 0));
}

void tls_destroy(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (tls->ssl != NULL)
        wolfSSL_free(tls->ssl);
    tls_sealer_end(&tls->sealer);
    tls_context_release(tls->context);
    tls_free(tls->hello);
    tls_free(tls->subject);
    tls_free(tls->common_name);
    tls_free(tls);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static enum tls_result fail(struct tls *tls, const char *why)
{
    tls->failed = true;
    tls->why = why;
    return TLS_ERROR;
}

static enum tls_result fail_library(struct tls *tls, int error)
{
    return fail(tls, tls->fault != NULL ? tls->fault : tls_error_text(tls->ssl, error));
}

bool tls_completes_hello(const struct tls *tls, struct slice ciphertext)
{
    uint8_t header[TLS_HEADER_BYTES];
    if (!tls->server || tls->ssl != NULL)
        return false;
    if (tls->hello != NULL)
        return ciphertext.bytes >= tls->hello_bytes - tls->hello_used;
    size_t missing = TLS_HEADER_BYTES - tls->hello_used;
    if (ciphertext.bytes < missing)
        return false;
    memcpy(header, tls->first, tls->hello_used);
    memcpy(header + tls->hello_used, ciphertext.data, missing);
    return ciphertext.bytes - missing >= load_be16(header + 3);
}

/* Begins the session with the certificate that the hello asks for. */
static bool begin(struct tls *tls)
{
    uint8_t name[256];
    word32 bytes = sizeof name;
    bool named =
        wolfSSL_SNI_GetFromBuffer(tls->hello, tls->hello_bytes, WOLFSSL_SNI_HOST_NAME, name, &bytes) == WOLFSSL_SUCCESS;
    if (!attach(tls, tls_context_for(tls->context, slice_of(name, named ? bytes : 0))))
        return false;
    if (tls->client == TLS_CLIENT_NONE) {
        wolfSSL_set_verify(tls->ssl, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    int required = tls->client == TLS_CLIENT_REQUIRED ? WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    wolfSSL_set_verify(tls->ssl, WOLFSSL_VERIFY_PEER | required, on_verified);
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
    wolfSSL_no_ticket_TLSv13(tls->ssl);
    wolfSSL_NoTicketTLSv12(tls->ssl);
    return true;
}

/* Collects the first record of a client, which tells its server name. TLS_DATA: the session has begun. */
static enum tls_result take_hello(struct tls *tls)
{
    if (tls->input.bytes > 0 && tls->hello_used == 0 && tls->input.data[0] >= 'A' && tls->input.data[0] <= 'Z')
        return TLS_NOT_TLS;
    while (tls->hello == NULL && tls->input.bytes > 0) {
        struct tls_filter filter = {0};
        tls->first[tls->hello_used++] = tls->input.data[0];
        tls->input = slice_skip(tls->input, 1);
        if (tls->hello_used < TLS_HEADER_BYTES)
            continue;
        const char *fault = tls_filter_take(&filter, TLS_PHASE_HANDSHAKE, slice_of(tls->first, TLS_HEADER_BYTES));
        if (fault != NULL || tls->first[0] != TLS_HANDSHAKE)
            return fail(tls, fault != NULL ? fault : "something else than a client hello");
        tls->hello_bytes = TLS_HEADER_BYTES + ((uint32_t)tls->first[3] << 8 | tls->first[4]);
        tls->hello = tls_alloc(tls->hello_bytes);
        if (tls->hello == NULL)
            return fail(tls, "out of memory");
        memcpy(tls->hello, tls->first, TLS_HEADER_BYTES);
    }
    if (tls->hello == NULL)
        return TLS_NEED_MORE;
    size_t missing = tls->hello_bytes - tls->hello_used;
    size_t part = tls->input.bytes < missing ? tls->input.bytes : missing;
    memcpy(tls->hello + tls->hello_used, tls->input.data, part);
    tls->hello_used += (uint32_t)part;
    tls->input = slice_skip(tls->input, part);
    if (part < missing)
        return TLS_NEED_MORE;
    tls->hello_used = 0; /* from here on: what the library has read of it */
    return begin(tls) ? TLS_DATA : fail(tls, "out of memory");
}

/* TLS_DATA: the handshake is done. */
static enum tls_result shake_hands(struct tls *tls)
{
    int result = tls->server ? wolfSSL_accept(tls->ssl) : wolfSSL_connect(tls->ssl);
    if (result == WOLFSSL_SUCCESS) {
        tls->established = true;
        tls->overhead = wolfSSL_version(tls->ssl) == TLS1_3_VERSION                   ? 22
                        : strstr(wolfSSL_get_cipher_name(tls->ssl), "CHACHA") != NULL ? 21
                                                                                      : 29;
        return TLS_DATA;
    }
    int error = wolfSSL_get_error(tls->ssl, result);
    return error == WOLFSSL_ERROR_WANT_READ ? TLS_NEED_MORE : fail_library(tls, error);
}

static enum tls_result open_records(struct tls *tls, struct buf *plain)
{
    for (;;) {
        size_t before = next_bytes(tls).bytes;
        int result = wolfSSL_read(tls->ssl, plain->data + plain->used, TLS_PLAIN_BYTES_MAX);
        if (result > 0) {
            plain->used += (size_t)result;
            return TLS_DATA;
        }
        int error = wolfSSL_get_error(tls->ssl, result);
        if (error == WOLFSSL_ERROR_ZERO_RETURN) {
            tls->ended = true;
            return TLS_CLOSED;
        }
        if (error != WOLFSSL_ERROR_WANT_READ)
            return fail_library(tls, error);
        if (tls->input.bytes == 0)
            return TLS_NEED_MORE;
        if (next_bytes(tls).bytes == before)
            return fail(tls, "a record that is never read");
    }
}

static const char key_unusable[] = "the new key cannot be used";

/* The library may have begun to send with another key. False: that one cannot be used. */
static bool follow_keys(struct tls *tls)
{
    return !tls->own_records || !tls->established || tls_sealer_follow(&tls->sealer, tls->ssl) == 0;
}

static enum tls_result read_on(struct tls *tls, struct buf *plain)
{
    enum tls_result result = TLS_DATA;
    if (tls->failed)
        return TLS_ERROR;
    if (tls->ended)
        return TLS_CLOSED;
    if (tls->ssl == NULL)
        result = take_hello(tls);
    if (result == TLS_DATA && !tls->established)
        result = shake_hands(tls);
    return result == TLS_DATA ? open_records(tls, plain) : result;
}

enum tls_result tls_read(struct tls *tls, struct slice *ciphertext, struct buf *plain, struct buf *out, uint64_t now_s)
{
    check_op(plain->capacity - plain->used, >=, TLS_PLAIN_BYTES_MAX);
    check_op(out->capacity - out->used, >=, TLS_OUT_ROOM);
    tls->input = *ciphertext;
    tls->out = out;
    tls->context->now_s = now_s;
    tls->reading = true;
    enum tls_result result = read_on(tls, plain);
    tls->reading = false;
    if (!follow_keys(tls) && result != TLS_ERROR)
        result = fail(tls, key_unusable);
    *ciphertext = result == TLS_ERROR || result == TLS_CLOSED ? slice_of(NULL, 0) : tls->input;
    tls->input = slice_of(NULL, 0);
    tls->out = NULL;
    return result;
}

bool tls_established(const struct tls *tls)
{
    return tls->established && !tls->failed;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

size_t tls_sealed_bytes_max(size_t bytes)
{
    return bytes + (bytes + TLS_PLAIN_BYTES_MAX - 1) / TLS_PLAIN_BYTES_MAX * RECORD_OVERHEAD_MAX;
}

/* By the library, which splits into records. */
static bool seal_by_library(struct tls *tls, struct slice plain, struct buf *out)
{
    tls->out = out;
    int result = wolfSSL_write(tls->ssl, plain.data, (int)plain.bytes);
    tls->out = NULL;
    if (result == (int)plain.bytes)
        return true;
    fail_library(tls, wolfSSL_get_error(tls->ssl, result));
    return false;
}

bool tls_seal(struct tls *tls, struct slice plain, struct buf *out)
{
    check(tls->established);
    if (tls->failed || tls->closed)
        return false;
    if (!tls->own_records)
        return plain.bytes == 0 || seal_by_library(tls, plain, out);
    while (plain.bytes > 0) {
        size_t part = plain.bytes < TLS_PLAIN_BYTES_MAX ? plain.bytes : TLS_PLAIN_BYTES_MAX;
        if (!tls_sealer_seal(&tls->sealer, slice_of(plain.data, part), out)) {
            fail(tls, "the library refuses to encrypt");
            return false;
        }
        plain = slice_skip(plain, part);
    }
    return true;
}

void tls_prefetch(const struct tls *tls)
{
    const uint8_t *hot = (const uint8_t *)tls;
    for (size_t at = 0; at < offsetof(struct tls, sealer) + sizeof tls->sealer; at += 64)
        __builtin_prefetch(hot + at);
}

bool tls_is_worn(const struct tls *tls)
{
    return tls->own_records && tls->sealer.records >= tls->context->records_max;
}

bool tls_renew(struct tls *tls, struct buf *out)
{
    check(tls->established);
    if (tls->failed || tls->closed)
        return false;
    tls->out = out;
    int result = wolfSSL_update_keys(tls->ssl);
    tls->out = NULL;
    if (result != WOLFSSL_SUCCESS)
        fail_library(tls, wolfSSL_get_error(tls->ssl, result));
    else if (!follow_keys(tls))
        fail(tls, key_unusable);
    return !tls->failed;
}

uint64_t tls_plain_within(const struct tls *tls, struct slice sealed, uint64_t sent)
{
    uint64_t plain = 0;
    while (sealed.bytes >= TLS_HEADER_BYTES) {
        uint64_t bytes = TLS_HEADER_BYTES + ((uint64_t)sealed.data[3] << 8 | sealed.data[4]);
        if (bytes > sent || bytes < tls->overhead)
            break;
        plain += bytes - tls->overhead;
        sent -= bytes;
        sealed = slice_skip(sealed, bytes);
    }
    return plain;
}

void tls_close(struct tls *tls, struct buf *out)
{
    if (!tls->established || tls->closed || tls->failed)
        return;
    tls->out = out;
    wolfSSL_shutdown(tls->ssl);
    tls->out = NULL;
    tls->closed = true;
}

/* --- about it ----------------------------------------------------------------------------------------------------- */

const char *tls_why(const struct tls *tls)
{
    return tls->why == NULL ? "" : tls->why;
}

const char *tls_version(const struct tls *tls)
{
    return wolfSSL_get_version(tls->ssl);
}

const char *tls_cipher(const struct tls *tls)
{
    return wolfSSL_get_cipher_name(tls->ssl);
}

bool tls_resumed(const struct tls *tls)
{
    return tls->established && wolfSSL_session_reused(tls->ssl) == 1;
}

struct slice tls_subject(const struct tls *tls)
{
    return slice_text(tls->subject == NULL ? "" : tls->subject);
}

struct slice tls_common_name(const struct tls *tls)
{
    return slice_text(tls->common_name == NULL ? "" : tls->common_name);
}
