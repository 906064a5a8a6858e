/* SPDX-License-Identifier: MIT */
/* Proves subscriptions of rustorium: channels and filters that are taken and refused, ids, memberships against a model.
 * Run by unit_protocol. */
#include "core/random.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/rustorium/rustorium_host.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* `data` of a subscribe and the error it gets; NULL: it succeeds. */
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

/* */
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

/* of this connection, in any spelling, and only once. */
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

/* the membership changes before the answer goes out. */
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

/* random subscriptions of several connections; each event comes to each connection once if any of its
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

/* */
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
