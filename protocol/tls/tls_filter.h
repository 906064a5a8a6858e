/* SPDX-License-Identifier: MIT */
/* Looks at the header of each TLS record before the TLS library does (RFC 8446 section 5.1 and 5.2, RFC 5246 section
 * 6.2). What no honest peer sends ends the connection here: it is a part of the defence against faults in the library's
 * own parsers. Pure. */
#ifndef RINGCAST_PROTOCOL_TLS_TLS_FILTER_H
#define RINGCAST_PROTOCOL_TLS_TLS_FILTER_H

#include "core/bytes.h"

#define TLS_HEADER_BYTES 5

enum tls_content { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION = 23 };

/* What may come now. */
enum tls_phase {
    TLS_PHASE_HANDSHAKE,
    TLS_PHASE_DATA_13, /* everything is encrypted and looks like application data */
    TLS_PHASE_DATA_12, /* application data and alerts: no renegotiation */
};

struct tls_filter {
    uint8_t header[TLS_HEADER_BYTES];
    uint8_t used;  /* of header */
    uint32_t left; /* of the present record's body */
};

/* Takes bytes in the order in which they come; `phase` counts for the headers that are completed by them. NULL, or why
 * the stream has to end. */
const char *tls_filter_take(struct tls_filter *filter, enum tls_phase phase, struct slice bytes);

#endif
