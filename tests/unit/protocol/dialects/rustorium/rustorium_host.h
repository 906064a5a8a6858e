/* SPDX-License-Identifier: MIT */
/* A host of the dialect rustorium, for its unit tests. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_RUSTORIUM_RUSTORIUM_HOST_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_RUSTORIUM_RUSTORIUM_HOST_H

#include "protocol/dialects/rustorium/rustorium.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define TARGET "/ws?token=rk-1"

static struct pure_host host;

static inline void start(const char *option, const char *value)
{
    pure_init(&host, "rustorium");
    cr_assert_eq(pure_set(&host, "keys", "rk-1,rk-2"), 0);
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

static inline void start_connected(void)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, TARGET, ""), 101);
}

/* Sends a message and compares the one answer; "" expects none. */
static inline void assert_answer(const char *message, const char *expected)
{
    pure_send_text(&host, 0, message);
    const struct pure_message *answer = pure_take(&host, 0);
    if (expected[0] == '\0') {
        cr_expect_null(answer, "%s", message);
        return;
    }
    cr_assert_not_null(answer, "no answer to %s", message);
    cr_expect_str_eq((const char *)answer->data, expected, "%s\n%s", message, (const char *)answer->data);
    cr_assert_null(pure_take(&host, 0), "one answer to %s", message);
}

static inline const char *error_text(const char *id, int code, const char *message)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "{\"type\":\"error\",\"id\":%s,\"data\":null,\"error\":{\"code\":%d,\"message\":\"%s\"}}", id, code,
             message);
    return text;
}

/* The id in a subscribe_success. */
static inline void take_id(uint32_t conn, char out[64])
{
    const char *answer = pure_take_text(&host, conn), *at = strstr(answer, "\"subscription_id\":\"");
    cr_assert_not_null(at, "%s", answer);
    cr_assert_eq(sscanf(at, "\"subscription_id\":\"%63[^\"]\"},\"error\":null}", out), 1);
    cr_assert_geq(strlen(out), 8);
}

static inline void subscribe(uint32_t conn, const char *data, char id[64])
{
    char message[512];
    snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":%s}", data);
    pure_send_text(&host, conn, message);
    take_id(conn, id);
}

static inline void unsubscribe(uint32_t conn, const char *id)
{
    char message[512];
    snprintf(message, sizeof message, "{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":\"%s\"}}",
             id);
    pure_send_text(&host, conn, message);
    cr_assert_str_eq(pure_take_text(&host, conn),
                     "{\"type\":\"unsubscribe_success\",\"id\":\"u\",\"data\":{},\"error\":null}");
}

#endif
