/* SPDX-License-Identifier: MIT */
/* Who is at the other end, for limits by address: the peer, or whom the proxies before us name. */
#ifndef RINGCAST_SHARDS_FORWARDED_H
#define RINGCAST_SHARDS_FORWARDED_H

#include "protocol/dialect.h"

#define FORWARDED_ADDRESS_BYTES 16 /* IPv6, or IPv4 mapped into it */

/* The client of a request that came from `peer`. X-Forwarded-For counts only from a trusted proxy: it is read from its
 * end, past further trusted proxies, to the first address that is none; where it names nothing that can be read, the
 * proxy that sent it is the client. With group_ipv6 the lower half of an IPv6 address is zeroed. */
void forwarded_client(const struct dialect_settings *settings, const struct http1_request *request, const uint8_t *peer,
                      uint8_t *client);
/* Whether an entry of trusted_proxies is an address, or one with the length of a prefix. */
bool forwarded_is_network(const char *text);

#endif
