/* SPDX-License-Identifier: MIT */
/* The addresses of a `listen` list. */
#ifndef RINGCAST_SHARDS_CONFIG_LISTEN_H
#define RINGCAST_SHARDS_CONFIG_LISTEN_H

#include "core/ring.h"

/* One entry of a `listen` list. */
struct listen {
    struct ring_address addresses[2];
    uint32_t count;
    bool tls;
    uint8_t client; /* enum tls_client_certificate */
};

/* "127.0.0.1:9500", "[::1]:80", "*:9072" (all addresses, both families), "localhost:9500" (both loopbacks: 2
 * addresses); behind it "tls", and behind that "client=optional" or "client=required" (certificates of peers). 0 or
 * -EINVAL. */
int config_parse_listen(const char *text, struct listen *out);

#endif
