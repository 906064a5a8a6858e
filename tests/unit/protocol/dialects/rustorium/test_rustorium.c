/* SPDX-License-Identifier: MIT */
/* Proves the dialect rustorium (section 2 of the requirements) in its corners: admission, requests, limits;
 * tests/transcripts/rustorium-*.txt are its conversations. Subscriptions and ingest have files of their own. Run by
 * unit_protocol. */
#include "protocol/http1.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/rustorium/rustorium_host.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* A good message in between, so that no row of ten comes together. */
static void calm(void)
{
    assert_answer("{\"type\":\"ping\",\"id\":\"calm\"}",
                  "{\"type\":\"pong\",\"id\":\"calm\",\"data\":{},\"error\":null}");
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

/* R-1 */
Test(rustorium, owns_one_path)
{
    start(NULL, NULL);
    cr_assert_eq(host.dialect->route(host.settings, slice_text("/ws")), DIALECT_PATH_SOCKET);
    static const char *const others[] = {"/", "/ws/", "/wss", "/WS", "/api/ws", "/ws/all"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(others[i])), DIALECT_PATH_NONE, "%s", others[i]);
    pure_close(&host);
}

/* R-2, R-3, Q-5, G-7, G-43 */
Test(rustorium, takes_tokens_from_query_and_headers)
{
    static const struct {
        const char *target, *headers;
        bool good;
    } cases[] = {
        {"/ws?token=rk-1", "", true},
        {"/ws?x=1&token=rk%2D2", "", true},
        {"/ws", "X-Api-Key: rk-1\r\n", true},
        {"/ws", "Authorization: Bearer rk-2\r\n", true},
        {"/ws", "", false},
        {"/ws?token", "", false},
        {"/ws?token=", "", false},
        {"/ws?token=rk-3", "", false},
        {"/ws?api_key=rk-1", "", false},
        {"/ws?token=rk-1", "X-Api-Key: bad\r\n", false},
        {"/ws?token=%zz", "", false},
    };
    start("attempts_per_minute", "0");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(pure_connect(&host, 0, cases[i].target, cases[i].headers), 101);
        cr_expect_eq(host.conns[0].open, cases[i].good, "%s", cases[i].target);
        if (!cases[i].good) {
            cr_expect_str_eq(pure_take_text(&host, 0), error_text("null", 4000, "Invalid token"));
            cr_expect_eq(host.conns[0].close_code, 4000);
            cr_expect_str_eq(host.conns[0].close_reason, "Invalid token");
        }
        cr_expect_null(pure_take(&host, 0), "no greeting (R-38)");
        pure_disconnect(&host, 0);
    }
    pure_close(&host);
}

Test(rustorium, lets_nobody_in_without_keys)
{
    pure_init(&host, "rustorium");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 0, "/ws?token=", ""), 101);
    cr_assert_eq(host.conns[0].close_code, 4000);
    pure_close(&host);
}

static void assert_kinds(const char *target, const char *expected)
{
    static const char letters[] = {
        [ACTION_RESPOND] = 'R', [ACTION_ACCEPT] = 'A', [ACTION_SEND] = 'S', [ACTION_CLOSE] = 'C'};
    static const char quotas[] = {
        [QUOTA_ADDRESS] = 'a', [QUOTA_KEY] = 'k', [QUOTA_ADDRESS_ATTEMPTS] = '1', [QUOTA_KEY_ATTEMPTS] = '2'};
    struct actions *out = pure_actions(&host);
    struct pure_conn conn = {.session = pure_memory(host.dialect->session_bytes)};
    struct http1_request request = {.query = slice_text(strchr(target, '?') + 1)};
    struct dialect_call call = pure_call(&host, &conn, out);
    char found[16] = "";
    host.dialect->open(&call, &request, slice_text("/ws"));
    for (uint32_t i = 0; i < out->count; i++)
        found[i] =
            out->items[i].kind == ACTION_ACQUIRE ? quotas[out->items[i].acquire.quota] : letters[out->items[i].kind];
    cr_expect_str_eq(found, expected, "%s for %s", found, target);
    free(conn.session);
    pure_actions_free(&host, out);
}

/* Q-2: attempts are counted first, a bad token for the address only; then the places. */
Test(rustorium, asks_for_quotas_in_order)
{
    start(NULL, NULL);
    assert_kinds("/ws?token=rk-1", "12kA");
    assert_kinds("/ws?token=bad", "1ASC");
    pure_set(&host, "connections_per_address", "5");
    assert_kinds("/ws?token=rk-1", "12akA");
    pure_set(&host, "attempts_per_minute", "0");
    pure_set(&host, "connections_per_key", "0");
    assert_kinds("/ws?token=rk-1",
                 "akA"); /* the key's place is taken all the same: a reload finds its connections by it (A-13) */
    assert_kinds("/ws?token=bad", "ASC");
    pure_set(&host, "auth_reject", "http401");
    assert_kinds("/ws?token=bad", "R");
    pure_close(&host);
}

/* R-30 */
Test(rustorium, attempts_of_a_minute_are_limited)
{
    start(NULL, NULL);
    for (int i = 0; i < 60; i++) {
        pure_connect(&host, 0, i % 2 == 0 ? "/ws?token=bad" : TARGET, "");
        cr_assert_neq(host.conns[0].close_code, 4001, "attempt %d", i);
        pure_disconnect(&host, 0);
    }
    pure_connect(&host, 0, TARGET, "");
    cr_assert_str_eq(pure_take_text(&host, 0), error_text("null", 4001, "Rate limited"));
    cr_assert_eq(host.conns[0].close_code, 4001);
    pure_advance(&host, 60000);
    cr_assert_eq(pure_connect(&host, 0, TARGET, ""), 101);
    cr_assert(host.conns[0].open);
    pure_close(&host);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* R-4, R-31, R-37, Q-4, Q-7 */
Test(rustorium, refuses_messages_that_are_none)
{
    static const struct {
        const char *message, *id;
    } cases[] = {
        {"", "null"},
        {"[]", "null"},
        {"\"subscribe\"", "null"},
        {"{}", "null"},
        {"{\"type\":\"ping\"}", "null"},
        {"{\"id\":\"a\"}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":1}", "null"},
        {"{\"type\":\"ping\",\"id\":null}", "null"},
        {"{\"type\":\"ping\",\"id\":\"\"}", "null"},
        {"{\"type\":1,\"id\":\"a\"}", "\"a\""},
        {"{\"type\":null,\"id\":\"a\"}", "\"a\""},
        {"{\"type\":\"Ping\",\"id\":\"a\"}", "\"a\""},
        {"{\"type\":\"\",\"id\":\"a\"}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":\"a\",\"data\":null}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":\"a\",\"data\":[]}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":\"a\",\"data\":\"x\"}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":\"a\",\"data\":{\"x\":1,\"x\":2}}", "\"a\""},
        {"{\"type\":\"unsubscribe\",\"id\":\"a\"}", "\"a\""},
        {"{\"type\":\"unsubscribe\",\"id\":\"a\",\"data\":7}", "\"a\""},
        {"{\"type\":\"ping\",\"id\":\"a\",\"id\":\"a\"}", "null"},
        {"{\"type\":\"ping\",\"id\":\"a\",\"other\":1,\"oth\\u0065r\":2}", "null"},
        {"{\"type\":\"ping\",\"id\":\"a\"} ,", "null"},
        {"{\"type\":\"ping\",\"id\":\"a\xff\"}", "null"},
        {"{\"type\":\"ping\",\"id\":\"\\ud800\"}", "null"},
        {"{\"type\":\"heartbeat\",\"id\":\"a\",\"data\":{}}", "\"a\""},
    };
    start_connected();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_answer(cases[i].message, error_text(cases[i].id, 4002, "Invalid message format"));
        calm();
    }
    cr_assert(host.conns[0].open);
    pure_close(&host);
}

/* Q-7: depth 32 is taken, 33 is not. */
Test(rustorium, takes_32_levels)
{
    char message[256];
    start_connected();
    for (int depth = 32; depth <= 33; depth++) {
        int used = sprintf(message, "{\"type\":\"ping\",\"id\":\"d\",\"x\":");
        for (int i = 1; i < depth; i++)
            message[used++] = '[';
        for (int i = 1; i < depth; i++)
            message[used++] = ']';
        strcpy(message + used, "}");
        assert_answer(message, depth == 32 ? "{\"type\":\"pong\",\"id\":\"d\",\"data\":{},\"error\":null}"
                                           : error_text("null", 4002, "Invalid message format"));
    }
    pure_close(&host);
}

/* R-4, R-6, Q-4: 1-128 bytes of the value, echoed as they were written. */
Test(rustorium, echoes_ids_exactly)
{
    char id[800], message[1000], expected[1000];
    static const char *const ids[] = {"a",        "\\\"",    "\\\\",           "\\/",     "/",   "\\u0041", "\\n",
                                      "\xc3\xa9", "\\u00E9", "\\ud83d\\ude00", "\\u0000", "<&>", "null"};
    start_connected();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        snprintf(message, sizeof message, "{ \"id\" : \"%s\" , \"type\":\"p\\u0069ng\"}", ids[i]);
        snprintf(expected, sizeof expected, "{\"type\":\"pong\",\"id\":\"%s\",\"data\":{},\"error\":null}", ids[i]);
        assert_answer(message, expected);
    }
    for (int bytes = 128; bytes <= 129; bytes++) {
        for (int escaped = 0; escaped < 2; escaped++) {
            id[0] = '\0';
            for (int i = 0; i < bytes; i++)
                strcat(id, escaped ? "\\u0078" : "x");
            snprintf(message, sizeof message, "{\"type\":\"ping\",\"id\":\"%s\"}", id);
            snprintf(expected, sizeof expected, "{\"type\":\"pong\",\"id\":\"%s\",\"data\":{},\"error\":null}", id);
            assert_answer(message, bytes == 128 ? expected : error_text("null", 4002, "Invalid message format"));
        }
    }
    pure_close(&host);
}

/* R-31, Q-3 */
Test(rustorium, tenth_invalid_message_in_a_row_ends_it)
{
    start_connected();
    for (int i = 1; i <= 9; i++)
        assert_answer("x", error_text("null", 4002, "Invalid message format"));
    cr_assert(host.conns[0].open);
    pure_send(&host, 0, WS_BINARY, slice_text("{\"type\":\"ping\",\"id\":\"a\"}"));
    cr_assert_str_eq(pure_take_text(&host, 0), error_text("null", 4002, "Invalid message format"));
    cr_assert_eq(host.conns[0].close_code, 4002);
    cr_assert_str_eq(host.conns[0].close_reason, "Invalid message");
    pure_close(&host);
}

/* Q-3: any answer that is not 4002 ends the row. */
Test(rustorium, other_answers_end_a_row_of_invalid_messages)
{
    static const char *const good[] = {
        "{\"type\":\"ping\",\"id\":\"a\"}",
        "{\"type\":\"subscribe\",\"id\":\"a\",\"data\":{}}",
        "{\"type\":\"subscribe\",\"id\":\"a\",\"data\":{\"channel\":\"state\"}}",
        "{\"type\":\"unsubscribe\",\"id\":\"a\",\"data\":{\"subscription_id\":\"x\"}}",
        "{\"type\":\"unsubscribe\",\"id\":\"a\",\"data\":{\"subscription_id\":\"00000001-1\"}}",
    };
    start_connected();
    for (size_t k = 0; k < sizeof good / sizeof good[0]; k++) {
        for (int i = 1; i <= 9; i++)
            pure_send_text(&host, 0, "x");
        pure_send_text(&host, 0, good[k]);
        cr_assert(host.conns[0].open, "%s", good[k]);
    }
    cr_assert_eq(host.conns[0].member_count, 0, "the last one was an id that there was");
    for (int i = 1; i <= 10; i++)
        pure_send_text(&host, 0, "x");
    cr_assert_eq(host.conns[0].close_code, 4002);
    pure_close(&host);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

/* R-35: binary and broken messages count as well; the 1001st is answered with its id if it can be read. */
Test(rustorium, messages_of_a_minute_are_limited)
{
    start("messages_max", "3");
    pure_connect(&host, 0, TARGET, "");
    calm();
    calm();
    assert_answer("broken", error_text("null", 4002, "Invalid message format"));
    assert_answer("{\"type\":\"subscribe\",\"id\":\"m4\",\"data\":{\"channel\":\"blocks\"}}",
                  error_text("\"m4\"", 4001, "Rate limited"));
    cr_assert_eq(host.conns[0].member_count, 0, "not processed");
    assert_answer("{\"type\":\"ping\",\"id\":\"m5\"}", "");
    pure_advance(&host, 60000);
    while (pure_take(&host, 0) != NULL)
        ;
    calm();
    calm();
    calm();
    pure_send(&host, 0, WS_BINARY, slice_text("{\"type\":\"ping\",\"id\":\"m4\"}"));
    cr_assert_str_eq(pure_take_text(&host, 0), error_text("null", 4001, "Rate limited"));
    assert_answer("broken", "");
    cr_assert(host.conns[0].open);
    assert_answer("{\"type\":\"ping\",\"id\":\"m6\"}", error_text("\"m6\"", 4001, "Rate limited"));
    cr_assert_eq(host.conns[0].close_code, 4001);
    cr_assert_str_eq(host.conns[0].close_reason, "Rate limited");
    pure_close(&host);
}

Test(rustorium, limit_of_one_message_ends_with_the_second)
{
    start("messages_max", "1");
    pure_connect(&host, 0, TARGET, "");
    calm();
    assert_answer("{\"type\":\"ping\",\"id\":\"m\"}", error_text("\"m\"", 4001, "Rate limited"));
    cr_assert_eq(host.conns[0].close_code, 4001);
    pure_close(&host);
}

/* R-7, R-36 */
Test(rustorium, heartbeat_is_every_30_seconds)
{
    cr_assert_eq(pure_dialect("rustorium")->heartbeat_ms, 30000);
    start_connected();
    pure_advance(&host, 29999);
    cr_assert_null(pure_take(&host, 0));
    pure_advance(&host, 1);
    cr_assert_str_eq(pure_take_text(&host, 0), "{\"type\":\"heartbeat\",\"data\":{\"timestamp\":1706013326}}");
    cr_assert_null(pure_take(&host, 0));
    pure_close(&host);
}

/* R-27 */
Test(rustorium, channels_are_lossless_and_retain_nothing)
{
    struct channel_traits traits;
    start(NULL, NULL);
    host.dialect->traits(host.settings, slice_text("blocks"), &traits);
    cr_assert(traits.policy == POLICY_LOSSLESS && traits.retain_count == 0);
    cr_assert_str_eq(host.dialect->home_key, "chain");
    pure_close(&host);
}
