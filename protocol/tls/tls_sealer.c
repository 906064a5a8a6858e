/* SPDX-License-Identifier: MIT */
/* Owns the protection of the records that a server of ours sends by TLS 1.3 (RFC 8446 section 5.2 to 5.5): key, number
 * of the next record, and the one pass over its bytes. It never decides what is said or when keys change: that is
 * wolfSSL's part, which hands its own records (handshake, alerts, key updates) over by its callback for a user's record
 * layer. Called by tls.c. */
#include "protocol/tls/tls_parts.h"

#include "core/check.h"

#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#ifndef ATOMIC_USER
#error "wolfSSL was built without callbacks for a record layer (--enable-atomicuser); Debian's package has them"
#endif

/* A record (RFC 8446 section 5.2), of which all but the first five bytes is encrypted in place:
 *
 *      0  23 (application data)      what is called opaque_type
 *      1  3, 3                       the version of TLS 1.2
 *      3  length of the rest         big-endian
 *      5  content                    TLSInnerPlaintext.content
 *     +n  content type               the true one
 *     +1  tag                        16 bytes
 */
#define TAG_BYTES 16

static void forget_key(struct tls_sealer *sealer)
{
    if (sealer->key_bytes > 0 && !sealer->is_chacha)
        wc_AesFree(&sealer->aes);
    explicit_bzero(sealer, sizeof *sealer);
}

/* Takes the session's present key over. Its records are numbered from 0 (section 5.3). */
static int take_key(struct tls_sealer *sealer, WOLFSSL *ssl, const uint8_t *key)
{
    int bytes = wolfSSL_GetKeySize(ssl), cipher = wolfSSL_GetBulkCipher(ssl);
    forget_key(sealer);
    if (bytes <= 0 || (size_t)bytes > sizeof sealer->key || wolfSSL_GetIVSize(ssl) != TLS_NONCE_BYTES)
        return BAD_STATE_E;
    if (cipher != wolfssl_chacha && cipher != wolfssl_aes_gcm)
        return BAD_STATE_E;
    sealer->is_chacha = cipher == wolfssl_chacha;
    int error = sealer->is_chacha ? 0 : wc_AesInit(&sealer->aes, NULL, INVALID_DEVID);
    if (error != 0)
        return error;
    sealer->key_bytes = (uint8_t)bytes;
    memcpy(sealer->key, key, (size_t)bytes);
    memcpy(sealer->iv, wolfSSL_GetServerWriteIV(ssl), TLS_NONCE_BYTES);
    return sealer->is_chacha ? 0 : wc_AesGcmSetKey(&sealer->aes, key, (word32)bytes);
}

/* The per-record nonce: the record's number in the last eight bytes, over the IV (section 5.3). */
static void make_nonce(const struct tls_sealer *sealer, uint8_t nonce[TLS_NONCE_BYTES])
{
    uint8_t *number = nonce + TLS_NONCE_BYTES - sizeof sealer->records;
    memcpy(nonce, sealer->iv, TLS_NONCE_BYTES);
    store_be64(number, load_be64(number) ^ sealer->records);
}

/* Encrypts the `bytes` behind a record's header, puts the tag behind them. */
static int protect(struct tls_sealer *sealer, uint8_t *record, uint32_t bytes)
{
    uint8_t nonce[TLS_NONCE_BYTES], *inner = record + TLS_HEADER_BYTES, *tag = inner + bytes;
    make_nonce(sealer, nonce);
    sealer->records++;
    if (sealer->is_chacha)
        return wc_ChaCha20Poly1305_Encrypt(sealer->key, nonce, record, TLS_HEADER_BYTES, inner, bytes, inner, tag);
    return wc_AesGcmEncrypt(&sealer->aes, inner, inner, bytes, nonce, TLS_NONCE_BYTES, tag, TAG_BYTES, record,
                            TLS_HEADER_BYTES);
}

/* Of wolfSSL (ATOMIC_USER): a record is finished but for its protection. `out` is behind the header, `bytes` includes
 * the tag. */
static int on_record(WOLFSSL *ssl, unsigned char *mac_out, const unsigned char *mac_in, unsigned int mac_in_bytes,
                     int content, int verify, unsigned char *out, const unsigned char *in, unsigned int bytes,
                     void *context)
{
    (void)mac_out, (void)mac_in, (void)mac_in_bytes, (void)content, (void)verify;
    struct tls_sealer *sealer = context;
    if (sealer == NULL || in != out || bytes <= TAG_BYTES)
        return BAD_FUNC_ARG;
    int error = tls_sealer_follow(sealer, ssl);
    return error != 0 ? error : protect(sealer, out - TLS_HEADER_BYTES, bytes - TAG_BYTES);
}

void tls_sealer_serve(WOLFSSL_CTX *context)
{
    wolfSSL_CTX_SetMacEncryptCb(context, on_record);
}

void tls_sealer_attach(struct tls_sealer *sealer, WOLFSSL *ssl)
{
    wolfSSL_SetMacEncryptCtx(ssl, sealer);
}

int tls_sealer_follow(struct tls_sealer *sealer, WOLFSSL *ssl)
{
    const uint8_t *key = wolfSSL_GetServerWriteKey(ssl);
    if (sealer->key_bytes > 0 && memcmp(sealer->key, key, sealer->key_bytes) == 0)
        return 0;
    return take_key(sealer, ssl, key);
}

bool tls_sealer_seal(struct tls_sealer *sealer, struct slice content, struct buf *out)
{
    size_t room = out->capacity - out->used, body = content.bytes + 1 + TAG_BYTES;
    check_op(content.bytes, <=, TLS_PLAIN_BYTES_MAX);
    check_op(room, >=, TLS_HEADER_BYTES + body);
    uint8_t *record = out->data + out->used;
    record[0] = TLS_APPLICATION;
    record[1] = record[2] = 3;
    store_be16(record + 3, (uint16_t)body);
    memcpy(record + TLS_HEADER_BYTES, content.data, content.bytes);
    record[TLS_HEADER_BYTES + content.bytes] = TLS_APPLICATION;
    out->used += TLS_HEADER_BYTES + body;
    return protect(sealer, record, (uint32_t)content.bytes + 1) == 0;
}

void tls_sealer_end(struct tls_sealer *sealer)
{
    forget_key(sealer);
}
