/* SPDX-License-Identifier: MIT */
/* The opening handshake (RFC 6455 section 4.2): checks an upgrade request and writes the 101. */
#ifndef RINGCAST_PROTOCOL_HANDSHAKE_H
#define RINGCAST_PROTOCOL_HANDSHAKE_H

#include "protocol/deflate.h"
#include "protocol/http1.h"

#define HANDSHAKE_ACCEPT_BYTES 28
#define HANDSHAKE_BYTES_MAX 340 /* of the 101 with all that it may hold */

struct handshake {
    char accept[HANDSHAKE_ACCEPT_BYTES + 1]; /* Sec-WebSocket-Accept */
    struct deflate_parameters deflate;       /* none, until the caller has filled it: extension_negotiate */
};

/* 0, or the HTTP status to refuse with and a short literal in *why: 405 (not GET), 426 (no Upgrade: websocket, or a version
 * missing or other than 13; the response needs Upgrade: websocket and Sec-WebSocket-Version: 13), 400 (HTTP/1.0, key not 16
 * bytes of base64, key, version or Origin twice, Connection without upgrade, a body, Sec-WebSocket-Extensions or -Protocol that do not
 * follow their grammar: RFC 6455 sections 4.2.1, 4.3, 9.1). The first that applies, in the order 405, 426 for no upgrade, 400, 426 for
 * the version, 400 for the key and the rest. Sec-WebSocket-Accept, which no request has to have, is passed over like any field that
 * is not known (section 4.2.1). */
int handshake_check(const struct http1_request *request, struct handshake *handshake, const char **why);
/* 0, or 400 when there are several Origin fields (RFC 6454 section 7.3): whoever reads one would miss the other. For requests that do
 * not upgrade; handshake_check asks it itself. */
int handshake_check_origin(const struct http1_request *request, const char **why);
/* The 101 response (at most HANDSHAKE_BYTES_MAX), with Sec-WebSocket-Extensions when permessage-deflate has been negotiated and
 * Date unless `date` has no bytes. */
void handshake_write(struct buf *out, const struct handshake *handshake, struct slice date);
/* What is wrong with an entry of such a list, and what would be right; NULL: it can match. */
const char *handshake_origin_fault(const char *allowed);
/* Whether an Origin value equals one of the allowed: exact scheme, host and port (defaults 80/443 filled in), or, where the host
 * begins with "*.", a host below the rest. "*" in the list allows all, "null" and "file://" stand for themselves. An empty list
 * allows localhost, 127.0.0.1 and [::1] on any port, and an origin whose host (and port) equals Host. No Origin field at all
 * (data == NULL: not a browser) is allowed; a value that is no origin is only allowed by "*". */
bool handshake_origin_allowed(struct slice origin, struct slice host, const char *const *allowed, uint32_t count);

#endif
