/* SPDX-License-Identifier: MIT */
/* The negotiation of extensions in the opening handshake (RFC 6455 section 9.1); the one that we know is
 * permessage-deflate (RFC 7692 section 7.1). */
#ifndef RINGCAST_PROTOCOL_EXTENSION_H
#define RINGCAST_PROTOCOL_EXTENSION_H

#include "protocol/deflate.h"
#include "protocol/http1.h"

/* How far we go along with an offer; both 8-15. */
struct extension_settings {
    /* We compress with at most so many; each value below it that clients ask for is a class. */
    uint8_t server_window_bits;
    /* Clients are asked to compress with at most so many, when they let themselves be asked. */
    uint8_t client_window_bits;
};

/* Whether all Sec-WebSocket-Extensions fields together follow the grammar of RFC 6455 section 9.1; true when there is
 * none. Empty elements are passed over (RFC 9110 section 5.6.1.2), but not all of them may be empty. What is false
 * fails the handshake, whether extensions are wanted or not. */
bool extension_valid(const struct http1_request *request);

/* Accepts the first acceptable offer of all Sec-WebSocket-Extensions fields. False: none, and *parameters is all
 * zero.
 *
 *   offer                       answer
 *   (anything)                  server_no_context_takeover; client_no_context_takeover: no connection has a window
 *   server_max_window_bits=N    server_max_window_bits=M, M the smaller of N and ours; 8 too, see deflate.c
 *   client_max_window_bits[=N]  client_max_window_bits=M, likewise; nothing when M is 15, which is what nothing means
 *
 * Declined, and the next one is tried: another extension, a parameter that is unknown, repeated, without the value it
 * needs, with one that it cannot have, or with one that is no integer from 8 to 15 in its shortest form (sections
 * 7.1, 7.1.2). What does not follow the grammar is no offer either, but extension_valid has refused it before. A
 * quoted value means the same as a bare one (RFC 6455 section 9.1). */
bool extension_negotiate(const struct http1_request *request, const struct extension_settings *settings,
                         struct deflate_parameters *parameters);
/* The field line of the answer with its CRLF; nothing when nothing was negotiated. */
void extension_write(struct buf *out, const struct deflate_parameters *parameters);

#endif
