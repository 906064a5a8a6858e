/* SPDX-License-Identifier: MIT */
/* A host of the dialect crypto, for its unit tests. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_HOST_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_HOST_H

#include "protocol/dialects/crypto/crypto.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>

static struct pure_host host;

static inline void start(const char *option, const char *value)
{
    pure_init(&host, "crypto");
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

#endif
