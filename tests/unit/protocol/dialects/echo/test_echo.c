/* SPDX-License-Identifier: MIT */
/* Proves the dialect echo (O-8). Run by unit_protocol; tests/transcripts/echo.txt is its conversation. */
#include "core/random.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>

static struct pure_host host;

Test(echo, owns_one_path)
{
    pure_init(&host, "echo");
    pure_start(&host);
    static const char *const others[] = {"/", "/echo/", "/echos", "/ech", "/Echo", "/x/echo", "/%65cho"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(others[i])), DIALECT_PATH_NONE, "%s", others[i]);
    cr_assert_eq(host.dialect->route(host.settings, slice_text("/echo")), DIALECT_PATH_SOCKET);
    pure_close(&host);
}

Test(echo, returns_any_message_as_it_was)
{
    static uint8_t message[70000];
    struct random random;
    random_init(&random, 17);
    pure_init(&host, "echo");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 0, "/echo", ""), 101);
    cr_assert_null(pure_take(&host, 0), "no greeting");
    for (int round = 0; round < 200; round++) {
        size_t bytes = round == 0 ? 0 : random_below(&random, round % 10 == 0 ? sizeof message : 200);
        enum ws_opcode opcode = random_chance(&random, 1, 2) ? WS_TEXT : WS_BINARY;
        for (size_t i = 0; i < bytes; i++)
            message[i] = (uint8_t)(random_u64(&random) & 0x7F);
        pure_send(&host, 0, opcode, slice_of(message, bytes));
        const struct pure_message *back = pure_take(&host, 0);
        cr_assert_not_null(back);
        cr_assert_eq(back->opcode, opcode);
        cr_assert(slice_equal(slice_of(back->data, back->bytes), slice_of(message, bytes)));
        cr_assert_null(pure_take(&host, 0));
    }
    pure_close(&host);
}

Test(echo, has_no_rate_limit_and_its_own_size_limit)
{
    static uint8_t message[(1 << 20) + 1];
    pure_init(&host, "echo");
    pure_start(&host);
    pure_connect(&host, 0, "/echo", "");
    for (int i = 0; i < 5000; i++)
        pure_send_text(&host, 0, "x");
    cr_assert_eq(host.conns[0].inbox_count, 5000);
    pure_send(&host, 0, WS_BINARY, slice_of(message, sizeof message - 1));
    cr_assert(host.conns[0].open);
    pure_send(&host, 0, WS_BINARY, slice_of(message, sizeof message));
    cr_assert_eq(host.conns[0].close_code, WS_CLOSE_TOO_BIG);
    pure_close(&host);
}

Test(echo, takes_no_ingest)
{
    const struct dialect *echo = pure_dialect("echo");
    cr_assert_null(echo->ingest);
    cr_assert_null(echo->traits);
}
