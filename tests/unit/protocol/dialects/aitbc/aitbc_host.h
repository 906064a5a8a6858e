/* SPDX-License-Identifier: MIT */
/* A host of the dialect aitbc, with a key or public, for its unit tests. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_AITBC_AITBC_HOST_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_AITBC_AITBC_HOST_H

#include "protocol/dialects/aitbc/aitbc.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>

#define JOB_PATH "/v1/jobs/j/ws"
#define EVENTS_PATH "/v1/events"
#define QUEUED "{\"job_id\":\"j\",\"state\":\"QUEUED\",\"timestamp\":\"2026-05-11T10:00:00Z\"}"
#define QUEUED_STATUS                                                                                                  \
    "{\"job_id\":\"j\",\"state\":\"QUEUED\",\"assigned_miner_id\":null,\"timestamp\":\"2026-05-11T10:00:00Z\"}"

static struct pure_host host;

static inline void start(const char *option, const char *value)
{
    pure_init(&host, "aitbc");
    cr_assert_eq(pure_set(&host, "keys", "key-alpha"), 0);
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

static inline void start_public(const char *option, const char *value)
{
    pure_init(&host, "aitbc");
    cr_assert_eq(pure_set(&host, "jobs_public", "true"), 0);
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

#endif
