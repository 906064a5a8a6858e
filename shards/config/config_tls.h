/* SPDX-License-Identifier: MIT */
/* Certificates, keys and authorities, read: what connections that speak TLS get of the configuration. */
#ifndef RINGCAST_SHARDS_CONFIG_TLS_H
#define RINGCAST_SHARDS_CONFIG_TLS_H

#include "protocol/tls/tls.h"

/* The contents of the files that tls_config names. */
struct tls_material {
    struct tls_settings settings; /* its slices point into `texts`; without a ticket secret */
    struct tls_text {
        char *data;
        size_t bytes;
    } texts[2 * TLS_IDENTITIES_MAX + 1];
    uint32_t count;
};

#endif
