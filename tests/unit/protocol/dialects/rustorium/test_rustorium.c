/* SPDX-License-Identifier: MIT */
/* Proves the dialect rustorium (section 2 of the requirements) in its corners: admission, requests, filters, limits,
 * shapes of ingest; tests/transcripts/rustorium-*.txt are its conversations. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/rustorium/chain.h"
#include "protocol/dialects/rustorium/rustorium.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define TARGET "/ws?token=rk-1"

static struct pure_host host;

static void start(const char *option, const char *value)
{
    pure_init(&host, "rustorium");
    cr_assert_eq(pure_set(&host, "keys", "rk-1,rk-2"), 0);
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

static void start_connected(void)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, TARGET, ""), 101);
}

/* Sends a message and compares the one answer; "" expects none. */
static void assert_answer(const char *message, const char *expected)
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

static const char *error_text(const char *id, int code, const char *message)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "{\"type\":\"error\",\"id\":%s,\"data\":null,\"error\":{\"code\":%d,\"message\":\"%s\"}}", id, code,
             message);
    return text;
}

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

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* R-10, R-14 to R-17, R-32, Q-4: `data` of a subscribe and the error it gets; NULL: it succeeds. */
Test(rustorium, judges_channels_and_filters)
{
    char message[2000], id[160];
    memset(id, 'k', 129);
    id[129] = '\0';
    static const struct {
        const char *data, *error;
    } cases[] = {
        {"{}", "Missing channel"},
        {"{\"filter\":{}}", "Missing channel"},
        {"{\"channel\":null}", "Unknown channel"},
        {"{\"channel\":1}", "Unknown channel"},
        {"{\"channel\":\"\"}", "Unknown channel"},
        {"{\"channel\":\"Blocks\"}", "Unknown channel"},
        {"{\"channel\":[\"blocks\"]}", "Unknown channel"},
        {"{\"channel\":\"blocks\"}", NULL},
        {"{\"channel\":\"bl\\u006fcks\",\"other\":1}", NULL},
        {"{\"channel\":\"transactions\",\"filter\":{}}", NULL},
        {"{\"channel\":\"state\",\"filter\":{}}", NULL},
        {"{\"channel\":\"blocks\",\"filter\":null}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":[]}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":\"\"}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":1}}", NULL},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":1000}}", NULL},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":0}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":1001}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":-1}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":1.0}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":1e0}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":\"1\"}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":null}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":true}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":99999999999999999999}}", "Invalid filter"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":\"x\",\"confirmations\":2}}", NULL},
        {"{\"channel\":\"blocks\",\"filter\":{\"tx_hash\":\"a\"}}", "Unknown filter field"},
        {"{\"channel\":\"blocks\",\"filter\":{\"key\":\"a\"}}", "Unknown filter field"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmation\":1}}", "Unknown filter field"},
        {"{\"channel\":\"blocks\",\"filter\":{\"\":1}}", "Unknown filter field"},
        {"{\"channel\":\"blocks\",\"filter\":{\"confirmations\":0,\"from\":1}}", "Unknown filter field"},
        {"{\"channel\":\"transactions\",\"filter\":{\"confirmations\":6}}", NULL},
        {"{\"channel\":\"transactions\",\"filter\":{\"tx_hash\":\"0xt9\",\"confirmations\":6}}", NULL},
        {"{\"channel\":\"transactions\",\"filter\":{\"tx_hash\":\"\"}}", "Invalid filter"},
        {"{\"channel\":\"transactions\",\"filter\":{\"tx_hash\":7}}", "Invalid filter"},
        {"{\"channel\":\"transactions\",\"filter\":{\"key\":\"a\"}}", "Unknown filter field"},
        {"{\"channel\":\"state\",\"filter\":{\"key\":\"0x1234\"}}", NULL},
        {"{\"channel\":\"state\",\"filter\":{\"key_prefix\":\"0x\"}}", NULL},
        {"{\"channel\":\"state\",\"filter\":{\"k\\u0065y\":\"\\u0030\"}}", NULL},
        {"{\"channel\":\"state\",\"filter\":{\"key\":\"a\",\"key_prefix\":\"a\"}}", "Invalid filter"},
        {"{\"channel\":\"state\",\"filter\":{\"key\":null}}", "Invalid filter"},
        {"{\"channel\":\"state\",\"filter\":{\"confirmations\":1}}", "Unknown filter field"},
        {"{\"channel\":\"state\",\"filter\":{\"tx_hash\":\"a\"}}", "Unknown filter field"},
        {"{\"channel\":\"state\",\"filter\":{\"key\":{\"key\":\"a\"}}}", "Invalid filter"},
    };
    start_connected();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":%s}", cases[i].data);
        pure_send_text(&host, 0, message);
        const char *answer = pure_take_text(&host, 0);
        if (cases[i].error != NULL)
            cr_expect_str_eq(answer, error_text("\"s\"", 4003, cases[i].error), "%s: %s", cases[i].data, answer);
        else
            cr_expect(strstr(answer, "{\"type\":\"subscribe_success\",\"id\":\"s\",") == answer, "%s: %s",
                      cases[i].data, answer);
    }
    for (int bytes = 128; bytes <= 129; bytes++) {
        snprintf(message, sizeof message,
                 "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":{\"channel\":\"state\",\"filter\":{\"key\":\"%.*s\"}}}",
                 bytes, id);
        pure_send_text(&host, 0, message);
        cr_expect_eq(strstr(pure_take_text(&host, 0), "Invalid filter") != NULL, bytes == 129);
    }
    cr_assert_eq(host.conns[0].member_count, 3, "one membership a channel (R-18)");
    pure_close(&host);
}

/* The id in a subscribe_success. */
static void take_id(uint32_t conn, char out[64])
{
    const char *answer = pure_take_text(&host, conn), *at = strstr(answer, "\"subscription_id\":\"");
    cr_assert_not_null(at, "%s", answer);
    cr_assert_eq(sscanf(at, "\"subscription_id\":\"%63[^\"]\"},\"error\":null}", out), 1);
    cr_assert_geq(strlen(out), 8);
}

static void subscribe(uint32_t conn, const char *data, char id[64])
{
    char message[512];
    snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":%s}", data);
    pure_send_text(&host, conn, message);
    take_id(conn, id);
}

static void unsubscribe(uint32_t conn, const char *id)
{
    char message[512];
    snprintf(message, sizeof message, "{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":\"%s\"}}",
             id);
    pure_send_text(&host, conn, message);
    cr_assert_str_eq(pure_take_text(&host, conn),
                     "{\"type\":\"unsubscribe_success\",\"id\":\"u\",\"data\":{},\"error\":null}");
}

/* R-11, R-34 */
Test(rustorium, ids_are_never_used_twice_on_a_connection)
{
    static char ids[300][64];
    start_connected();
    for (int i = 0; i < 300; i++) {
        subscribe(0, "{\"channel\":\"blocks\"}", ids[i]);
        for (int k = 0; k < i; k++)
            cr_assert_str_neq(ids[i], ids[k]);
        if (i >= 99)
            unsubscribe(0, ids[i - 99]);
    }
    pure_close(&host);
}

/* R-12, R-14: of this connection, in any spelling, and only once. */
Test(rustorium, unsubscribes_what_is_its_own)
{
    char id[64], other[64], message[512];
    start_connected();
    pure_connect(&host, 1, TARGET, "");
    subscribe(0, "{\"channel\":\"blocks\"}", id);
    subscribe(1, "{\"channel\":\"blocks\"}", other);
    cr_assert_str_neq(id, other);
    snprintf(message, sizeof message, "{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":\"%s\"}}",
             other);
    assert_answer(message, error_text("\"u\"", 4003, "Unknown subscription"));
    snprintf(message, sizeof message,
             "{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":\"\\u%04x%s\"}}", id[0], id + 1);
    assert_answer(message, "{\"type\":\"unsubscribe_success\",\"id\":\"u\",\"data\":{},\"error\":null}");
    assert_answer(message, error_text("\"u\"", 4003, "Unknown subscription"));
    assert_answer("{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":1}}",
                  error_text("\"u\"", 4003, "Unknown subscription"));
    assert_answer("{\"type\":\"unsubscribe\",\"id\":\"u\",\"data\":{\"subscription_id\":\"\"}}",
                  error_text("\"u\"", 4003, "Unknown subscription"));
    pure_close(&host);
}

/* R-13, R-18: the membership changes before the answer goes out. */
Test(rustorium, membership_is_the_union_and_comes_before_the_answer)
{
    struct actions *out = pure_actions(&host);
    start_connected();
    struct dialect_call call = pure_call(&host, &host.conns[0], out);
#define SUBSCRIBE(filter)                                                                                              \
    "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":{\"channel\":\"transactions\",\"filter\":" filter "}}"
    static const char *const requests[] = {
        SUBSCRIBE("{\"confirmations\":3}"),
        SUBSCRIBE("{\"tx_hash\":\"t\"}"),
        "{\"type\":\"unsubscribe\",\"id\":\"s\",\"data\":{\"subscription_id\":\"00000001-1\"}}",
        "{\"type\":\"unsubscribe\",\"id\":\"s\",\"data\":{\"subscription_id\":\"00000001-2\"}}",
    };
    static const struct {
        const char *bytes;
        size_t count;
    } unions[] = {{"\0\3*\0", 4}, {"\0\1=\1t\0\3*\0", 9}, {"\0\1=\1t", 5}, {"", 0}};
    for (size_t i = 0; i < 4; i++) {
        out->count = 0;
        host.dialect->message(&call, WS_TEXT, slice_text(requests[i]));
        cr_assert_eq(out->count, 2);
        cr_assert_eq(out->items[0].kind, i < 3 ? ACTION_SUBSCRIBE : ACTION_UNSUBSCRIBE);
        cr_assert_eq(out->items[1].kind, ACTION_SEND);
        if (i < 3) {
            cr_assert(slice_is(out->items[0].subscribe.channel, "transactions"));
            cr_assert(slice_equal(out->items[0].subscribe.variant, slice_of(unions[i].bytes, unions[i].count)), "%zu",
                      i);
            cr_assert_eq(out->items[0].subscribe.history_max, 0, "R-19");
        }
    }
    pure_actions_free(&host, out);
    pure_close(&host);
}

/* R-18, R-20: random subscriptions of several connections; each event comes to each connection once if any of its
 * subscriptions fits, whatever came before. */
Test(rustorium, random_subscriptions_agree_with_a_model)
{
    static const char *const keys[] = {"a", "ab", "abc", "b", "ba"};
    struct {
        char id[64];
        int kind; /* 0 any, 1 key, 2 prefix */
        const char *key;
    } held[3][100];
    int counts[3] = {0};
    struct random random;
    random_init(&random, 20);
    start("messages_max", "0");
    for (uint32_t c = 0; c < 3; c++)
        cr_assert_eq(pure_connect(&host, c, TARGET, ""), 101);
    for (int step = 0; step < 3000; step++) {
        uint32_t c = (uint32_t)random_below(&random, 3);
        char text[256];
        if (random_chance(&random, 1, 3) && counts[c] < 100) {
            int kind = (int)random_below(&random, 3), slot = counts[c]++;
            held[c][slot].kind = kind;
            held[c][slot].key = keys[random_below(&random, 5)];
            snprintf(text, sizeof text,
                     kind == 0 ? "{\"channel\":\"state\"}" : "{\"channel\":\"state\",\"filter\":{\"%s\":\"%s\"}}",
                     kind == 1 ? "key" : "key_prefix", held[c][slot].key);
            subscribe(c, text, held[c][slot].id);
        } else if (random_chance(&random, 1, 2) && counts[c] > 0) {
            size_t slot = random_below(&random, (uint64_t)counts[c]);
            unsubscribe(c, held[c][slot].id);
            held[c][slot] = held[c][--counts[c]];
        } else {
            const char *key = keys[random_below(&random, 5)];
            snprintf(text, sizeof text, "{\"key\":\"%s\",\"value\":\"\",\"block_number\":%d}", key, step);
            cr_assert_eq(pure_ingest(&host, "state", text), 202);
            for (uint32_t k = 0; k < 3; k++) {
                bool fits = false;
                for (int i = 0; i < counts[k]; i++)
                    fits |= held[k][i].kind == 0 || (held[k][i].kind == 1 && strcmp(held[k][i].key, key) == 0) ||
                            (held[k][i].kind == 2 && strncmp(key, held[k][i].key, strlen(held[k][i].key)) == 0);
                cr_assert_eq(pure_take(&host, k) != NULL, fits, "step %d", step);
                cr_assert_null(pure_take(&host, k));
            }
        }
    }
    pure_close(&host);
}

/* R-20 */
Test(rustorium, frees_its_subscriptions_at_the_end)
{
    char id[64];
    start_connected();
    for (int i = 0; i < 100; i++)
        subscribe(0, "{\"channel\":\"blocks\"}", id);
    host.dialect->end(host.conns[0].session);
    for (size_t i = 0; i < host.dialect->session_bytes; i++)
        cr_assert_eq(((uint8_t *)host.conns[0].session)[i], 0);
    pure_close(&host); /* calls end again: harmless */
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

/* --- ingest ------------------------------------------------------------------------------------------------------- */

static int normalise(const char *topic, const char *body, char out[1000])
{
    uint8_t memory[900];
    struct buf text = buf_of(memory, sizeof memory);
    struct ingest_call call = {.settings = host.settings, .wall_ms = PURE_WALL_MS + 999, .text = &text};
    int status = host.dialect->ingest->take(&call, slice_text(topic), slice_text(body));
    if (status == 0)
        snprintf(out, 1000, "%.*s", (int)call.body.bytes, (const char *)call.body.data);
    else
        snprintf(out, 1000, "%d %s: %s", status, call.field, call.message);
    return status;
}

/* R-21 to R-23, I-8, I-14, Q-1, Q-7, Q-8: what comes in and what the service gets. */
Test(rustorium, rewrites_objects_in_documented_order)
{
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"blocks",
         " { \"transactions\" : [ \"a\" , \"\\u0062\" ], \"x\":{\"number\":1}, "
         "\"timestamp\":\"2024-01-23T12:34:56Z\",\n\"hash\":\"h\\/\", \"parent_hash\":\"p\","
         "\"number\":18446744073709551615}",
         "{\"number\":18446744073709551615,\"hash\":\"h\\/"
         "\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[\"a\","
         "\"\\u0062\"]}"},
        {"blocks", "{\"number\":0,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":1706013296,\"transactions\":[]}",
         "{\"number\":0,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[]"
         "}"},
        {"blocks",
         "{\"number\":1,\"number\":2,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":1706013296789,\"transactions\":"
         "[]}",
         "{\"number\":2,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[]"
         "}"},
        {"state", "{\"key\":\"k\",\"value\":\"\\/+A=\",\"block_number\":1}",
         "{\"key\":\"k\",\"value\":\"\\/+A=\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"state", "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56.789Z\"}",
         "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"state", "{\"key\":\"k\",\"value\":\"AAAA\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:5\\u0036Z\"}",
         "{\"key\":\"k\",\"value\":\"AAAA\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"transactions",
         "{\"confirmations\":4294967295,\"timestamp\":\"1969-12-31T23:59:59Z\",\"block_number\":5,\"tx_hash\":\"t\"}",
         "{\"tx_hash\":\"t\",\"block_number\":5,\"timestamp\":\"1969-12-31T23:59:59Z\",\"confirmations\":4294967295}"},
    };
    char found[1000];
    start("tx_source", "ingest");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(normalise(cases[i].topic, cases[i].body, found), 0, "%s", found);
        cr_expect_str_eq(found, cases[i].expected, "%s", found);
        cr_expect(json_valid(slice_text(found), 8));
    }
    pure_close(&host);
}

/* I-4, I-14 */
Test(rustorium, names_the_field_that_is_wrong)
{
#define BLOCK(number, hash, timestamp, txs)                                                                            \
    "{\"number\":" number ",\"hash\":" hash ",\"parent_hash\":\"p\",\"timestamp\":" timestamp ",\"transactions\":" txs \
    "}"
#define VALUE(key, value) "{\"key\":" key ",\"value\":" value ",\"block_number\":1}"
#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"blocks", "", "400 : "},
        {"blocks", "{", "400 : "},
        {"blocks", "[]", "422 : "},
        {"blocks", "{}", "422 number: "},
        {"blocks", BLOCK("-1", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("1.5", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("\"1\"", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("18446744073709551616", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("1", "\"\"", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "7", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "null", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "\"" LONG64 LONG64 "x\"", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "\"h\"", "\"yesterday\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "-1", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "1.5", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "\"\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "null", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "\"2024-01-23T12:34:56Z" LONG64 "\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "{}"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "null"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[1]"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[\"a\",[\"b\"]]"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[\"a\",\"\"]"), "422 transactions: "},
        {"blocks", "{\"number\":1,\"hash\":\"h\",\"timestamp\":0,\"transactions\":[]}", "422 parent_hash: "},
        {"state", VALUE("\"\"", "\"\""), "422 key: "},
        {"state", VALUE("\"k\"", "null"), "422 value: "},
        {"state", VALUE("\"k\"", "\"A\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAA\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"A===\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"====\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA=A\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AB==\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAB=\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA-_\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAA \""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA==AAAA\""), "422 value: "},
        {"state", "{\"key\":\"k\",\"value\":\"\"}", "422 block_number: "},
        {"state", "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"x\"}", "422 timestamp: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"timestamp\":0,\"confirmations\":0}",
         "422 confirmations: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"timestamp\":0,\"confirmations\":4294967296}",
         "422 confirmations: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"confirmations\":1}", "422 timestamp: "},
        {"block", "{}", "404 : "},
        {"", "{}", "404 : "},
    };
    char found[1000];
    start("tx_source", "ingest");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        normalise(cases[i].topic, cases[i].body, found);
        cr_expect_eq(strncmp(found, cases[i].expected, strlen(cases[i].expected)), 0, "%s: %s", cases[i].body, found);
        cr_expect_gt(strlen(found), strlen(cases[i].expected), "and says what would be right");
    }
    cr_assert_eq(normalise("blocks", BLOCK("1", "\"" LONG64 LONG64 "\"", "0", "[\"" LONG64 LONG64 "\"]"), found), 0,
                 "128 bytes");
    pure_close(&host);
}

Test(rustorium, says_when_an_object_is_too_large_for_it)
{
    char body[1200], found[1000];
    start(NULL, NULL);
    snprintf(body, sizeof body, "{\"key\":\"k\",\"value\":\"%01000d\",\"block_number\":1}", 0);
    cr_assert_eq(normalise("state", body, found), 422);
    cr_assert_str_eq(found, "422 : too large");
    pure_close(&host);
}

/* Q-17 */
Test(rustorium, transactions_are_derived_or_ingested)
{
    start(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "transactions", "{}"), 409);
    cr_assert_eq(pure_read(&host, "transactions"), 409);
    cr_assert_eq(pure_read(&host, "blocks"), 404);
    cr_assert_str_eq(host.reply, "No state");
    cr_assert_eq(pure_read(&host, "weather"), 404);
    pure_close(&host);
}

/* The widest transaction event fits where it is built. */
Test(rustorium, longest_hash_makes_an_event)
{
    char body[2000], hash[800] = "";
    start_connected();
    for (int i = 0; i < 128; i++)
        strcat(hash, "\\u0001");
    pure_send_text(&host, 0, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":{\"channel\":\"transactions\"}}");
    pure_take(&host, 0);
    snprintf(body, sizeof body,
             "{\"number\":18446744073709551615,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":0,\"transactions\":["
             "\"%s\"]}",
             hash);
    cr_assert_eq(pure_ingest(&host, "blocks", body), 202);
    cr_assert_not_null(strstr(pure_take_text(&host, 0), hash));
    pure_close(&host);
}
