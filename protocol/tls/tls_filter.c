/* SPDX-License-Identifier: MIT */
/* Owns the rules for record headers. It never looks into a body and keeps nothing but the position in the stream.
 * Called by tls.c with everything that the TLS library is about to read. */
#include "protocol/tls/tls_filter.h"

#define PLAIN_BYTES_MAX 16384
#define CIPHER_BYTES_MAX (PLAIN_BYTES_MAX + 256)     /* RFC 8446 section 5.2 */
#define CIPHER_BYTES_MAX_12 (PLAIN_BYTES_MAX + 2048) /* RFC 5246 section 6.2.3 */
#define TAG_BYTES 16

/* At least one byte of ciphertext and the tag's 16, with TLS 1.2 too, where an empty record of ChaCha20 has the tag
 * alone and nobody sends one: also what CVE-2024-0901 and CVE-2026-3547 need to be short of. */
static const char *encrypted_fault(uint32_t bytes, uint32_t max)
{
    if (bytes <= TAG_BYTES)
        return "a record that is shorter than its tag";
    return bytes > max ? "a record that is too long" : NULL;
}

static const char *handshake_fault(uint8_t type, uint32_t bytes)
{
    switch (type) {
    case TLS_CHANGE_CIPHER_SPEC:
        return bytes == 1 ? NULL : "a change of cipher spec that is none";
    case TLS_ALERT:
    case TLS_HANDSHAKE:
        if (bytes == 0)
            return "an empty record";
        return bytes > PLAIN_BYTES_MAX ? "a record that is too long" : NULL;
    default:
        return encrypted_fault(bytes, CIPHER_BYTES_MAX);
    }
}

static const char *data12_fault(uint8_t type, uint32_t bytes)
{
    if (type == TLS_HANDSHAKE || type == TLS_CHANGE_CIPHER_SPEC)
        return "an attempt to renegotiate";
    return encrypted_fault(bytes, CIPHER_BYTES_MAX_12);
}

static const char *header_fault(const uint8_t header[TLS_HEADER_BYTES], enum tls_phase phase)
{
    uint8_t type = header[0];
    uint32_t bytes = (uint32_t)header[3] << 8 | header[4];
    if (type < TLS_CHANGE_CIPHER_SPEC || type > TLS_APPLICATION)
        return "a record of unknown type";
    if (header[1] != 3 || header[2] > 4)
        return "a record of unknown version";
    switch (phase) {
    case TLS_PHASE_HANDSHAKE:
        return handshake_fault(type, bytes);
    case TLS_PHASE_DATA_12:
        return data12_fault(type, bytes);
    case TLS_PHASE_DATA_13:
        break;
    }
    return type == TLS_APPLICATION ? encrypted_fault(bytes, CIPHER_BYTES_MAX) : "a record that is not encrypted";
}

const char *tls_filter_take(struct tls_filter *filter, enum tls_phase phase, struct slice bytes)
{
    while (bytes.bytes > 0) {
        if (filter->left > 0) {
            size_t part = bytes.bytes < filter->left ? bytes.bytes : filter->left;
            filter->left -= (uint32_t)part;
            bytes = slice_skip(bytes, part);
            continue;
        }
        filter->header[filter->used++] = bytes.data[0];
        bytes = slice_skip(bytes, 1);
        if (filter->used < TLS_HEADER_BYTES)
            continue;
        const char *fault = header_fault(filter->header, phase);
        if (fault != NULL)
            return fault;
        filter->left = (uint32_t)filter->header[3] << 8 | filter->header[4];
        filter->used = 0;
    }
    return NULL;
}
