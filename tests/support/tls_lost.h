/* SPDX-License-Identifier: MIT */
/* What the TLS library itself never gives back, for the tests that count its memory. wolfSSL before 5.7 makes the entry of its key
 * share and then the key, and forgets the entry when there is no memory for the key (TLSX_KeyShare_Establish, src/tls.c):
 * one for each such handshake. */
#ifndef RINGCAST_TESTS_SUPPORT_TLS_LOST_H
#define RINGCAST_TESTS_SUPPORT_TLS_LOST_H

#include "protocol/tls/tls_parts.h"

#define TLS_LOSES_KEY_SHARES (LIBWOLFSSL_VERSION_HEX < 0x05007000)
#ifdef NO_DH
#define TLS_KEY_SHARE_BYTES 64U /* sizeof(KeyShareEntry), which no installed header tells */
#else
#define TLS_KEY_SHARE_BYTES 72U
#endif
#define TLS_LOST_BYTES (TLS_KEY_SHARE_BYTES + 16U) /* with the head of a block of tls_memory.c */

/* Whether so many bytes are what this library loses when `refused` allocations have failed: 0 with one that loses nothing. */
static inline bool tls_lost_explains(uint64_t bytes, uint64_t refused)
{
    if (!TLS_LOSES_KEY_SHARES)
        return bytes == 0;
    return bytes % TLS_LOST_BYTES == 0 && bytes / TLS_LOST_BYTES <= refused;
}

#endif
