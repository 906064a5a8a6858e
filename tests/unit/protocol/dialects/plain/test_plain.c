/* SPDX-License-Identifier: MIT */
/* Proves the dialect plain (O-1 to O-7, Q-18) in its corners; tests/transcripts/plain*.txt are its conversations. Run
 * by unit_protocol. */
#include "protocol/dialects/plain/plain.h"
#include "protocol/http1.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct pure_host host;

static void start(const char *option, const char *value)
{
    pure_init(&host, "plain");
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

/* Connects and gives the status; the connection ends again. */
static int status_of(const char *target)
{
    int status = pure_connect(&host, 0, target, "");
    pure_disconnect(&host, 0);
    return status;
}

/* O-1 */
Test(plain, takes_channel_names_of_the_documented_bytes)
{
    char target[200] = "/plain/";
    start(NULL, NULL);
    cr_assert_eq(status_of("/plain/AZaz09._:-"), 101);
    cr_assert_eq(status_of("/plain/%41%3A"), 101, "after decoding");
    cr_assert_eq(status_of("/plain/a%2Cb"), 101, "an escaped comma separates as well");
    memset(target + 7, 'n', 128);
    cr_assert_eq(status_of(target), 101);
    target[135] = 'n';
    cr_assert_eq(status_of(target), 404, "129 bytes");
    static const char *const bad[] = {
        "/plain/",   "/plain",   "/plai",     "/plain/a/b", "/plain/a+b",  "/plain/a%20b",  "/plain/%00", "/plain/%zz",
        "/plain/a%", "/plain/,", "/plain/a,", "/plain/,a",  "/plain/a,,b", "/plain/%C3%A9", "/plain/a~",  "/Plain/a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(status_of(bad[i]), 404, "%s", bad[i]);
    pure_close(&host);
}

/* Writes /plain/ and `count` names, each `times` times. */
static const char *path_of(int count, int times)
{
    static char path[16000];
    char *at = path + sprintf(path, "/plain/");
    for (int i = 0; i < count * times; i++)
        at += sprintf(at, "%sc%d", i == 0 ? "" : ",", i % count);
    return path;
}

/* O-1, Q-18 */
Test(plain, takes_up_to_64_channels_each_once)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, path_of(64, 1), ""), 101);
    cr_assert_eq(host.conns[0].member_count, 64);
    cr_assert_eq(pure_connect(&host, 1, path_of(64, 20), ""), 101);
    cr_assert_eq(host.conns[1].member_count, 64);
    cr_assert_eq(pure_connect(&host, 2, path_of(65, 1), ""), 400);
    cr_assert_str_eq(host.conns[2].refused_content, "{\"error\":\"Too many channels\"}");
    cr_assert_eq(pure_ingest(&host, "c63", "x"), 202);
    cr_assert_str_eq(pure_take_text(&host, 1), "x");
    cr_assert_null(pure_take(&host, 1), "once");
    pure_close(&host);
}

static void assert_delivered(const void *body, size_t bytes, bool binary, bool json, enum ws_opcode opcode)
{
    cr_assert_eq(pure_ingest_bytes(&host, "c", slice_of(body, bytes), binary, json), 202);
    const struct pure_message *message = pure_take(&host, 0);
    cr_assert_not_null(message);
    cr_assert_eq(message->opcode, opcode);
    cr_assert(slice_equal(slice_of(message->data, message->bytes), slice_of(body, bytes)));
}

/* O-2, O-3, Q-18 */
Test(plain, delivers_bytes_as_text_when_they_are_text)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, "/plain/c", ""), 101);
    assert_delivered("hello", 5, false, false, WS_TEXT);
    assert_delivered("", 0, false, false, WS_TEXT);
    assert_delivered("a\0b", 3, false, false, WS_TEXT);
    assert_delivered("\xc3\xa9", 2, false, false, WS_TEXT);
    assert_delivered("\xc3", 1, false, false, WS_BINARY);
    assert_delivered("\xff\xfe", 2, false, false, WS_BINARY);
    assert_delivered("hello", 5, true, false, WS_BINARY);
    assert_delivered("", 0, true, false, WS_BINARY);
    assert_delivered(" {\"a\" : 1} ", 11, false, true, WS_TEXT);
    cr_assert_null(pure_take(&host, 0));
    pure_close(&host);
}

Test(plain, refuses_topics_that_are_no_channels)
{
    start("retain", "1");
    cr_assert_eq(pure_ingest(&host, "a b", "x"), 404);
    cr_assert_str_eq(host.field, "");
    cr_assert_eq(pure_ingest(&host, "", "x"), 404);
    cr_assert_eq(pure_ingest(&host, "a,b", "x"), 404);
    cr_assert_eq(pure_read(&host, "a,b"), 404);
    cr_assert_eq(pure_read(&host, "a"), 404, "nothing there yet");
    cr_assert_eq(pure_ingest(&host, "a", "x"), 202);
    cr_assert_eq(pure_read(&host, "a"), 200);
    cr_assert_str_eq(host.reply, "x");
    pure_close(&host);
}

/* O-4 */
Test(plain, ignores_clients_unless_they_may_publish)
{
    start(NULL, NULL);
    pure_connect(&host, 0, "/plain/c", "");
    pure_send_text(&host, 0, "x");
    pure_send(&host, 0, WS_BINARY, slice_of("\0", 1));
    cr_assert_null(pure_take(&host, 0));
    cr_assert(host.conns[0].open);
    cr_assert_null(((void **)host.conns[0].session)[0], "an idle connection owns no memory of the dialect");
    pure_close(&host);

    start("client_publish", "true");
    pure_connect(&host, 0, "/plain/c,d", "");
    pure_connect(&host, 1, "/plain/d,c", "");
    pure_send_text(&host, 0, "to c");
    cr_assert_str_eq(pure_take_text(&host, 0), "to c");
    cr_assert_str_eq(pure_take_text(&host, 1), "to c");
    pure_connect(&host, 2, "/plain/c", "");
    pure_send(&host, 1, WS_BINARY, slice_of("to d", 4));
    cr_assert_str_eq(pure_take_text(&host, 0), "(binary)");
    cr_assert_null(pure_take(&host, 2));
    pure_close(&host);
}

/* */
Test(plain, closes_a_client_that_sends_too_much)
{
    static uint8_t large[65537];
    start(NULL, NULL);
    pure_connect(&host, 0, "/plain/c", "");
    for (int i = 0; i < 100; i++)
        pure_send_text(&host, 0, "x");
    cr_assert(host.conns[0].open);
    pure_send_text(&host, 0, "x");
    cr_assert_eq(host.conns[0].close_code, WS_CLOSE_POLICY);
    pure_connect(&host, 1, "/plain/c", "");
    pure_send(&host, 1, WS_BINARY, slice_of(large, 65536));
    cr_assert(host.conns[1].open);
    pure_send(&host, 1, WS_BINARY, slice_of(large, 65537));
    cr_assert_eq(host.conns[1].close_code, WS_CLOSE_TOO_BIG);
    pure_close(&host);
}

/* O-5 */
Test(plain, last_asks_for_retained_messages)
{
    start("retain", "5");
    struct http1_request request = {.query = slice_text("last=3")};
    static const struct {
        const char *query;
        uint32_t history_max;
        int status;
    } cases[] = {
        {"", 0, 0},
        {"last=0", 0, 0},
        {"last=3", 3, 0},
        {"x=1&last=7&last=9", 7, 0},
        {"last=4294967295", UINT32_MAX, 0},
        {"last=99999999999", UINT32_MAX, 0},
        {"last=", 0, 400},
        {"last=-1", 0, 400},
        {"last=a", 0, 400},
        {"last=1.5", 0, 400},
        {"last=%zz", 0, 400},
        {"last=99999999999999999999", 0, 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct pure_conn conn;
        struct actions *out = pure_actions(&host);
        conn.session = pure_memory(host.dialect->session_bytes);
        request.query = slice_text(cases[i].query);
        struct dialect_call call = pure_call(&host, &conn, out);
        host.dialect->open(&call, &request, slice_text("/plain/a,b"));
        if (cases[i].status != 0) {
            cr_expect(out->count == 1 && out->items[0].respond.status == 400, "%s", cases[i].query);
        } else {
            cr_assert_eq(out->count, 3, "%s", cases[i].query);
            cr_expect_eq(out->items[0].kind, ACTION_ACCEPT);
            cr_expect_eq(out->items[1].subscribe.history_max, cases[i].history_max, "%s", cases[i].query);
            cr_expect_eq(out->items[2].subscribe.history_max, cases[i].history_max);
            cr_expect(slice_is(out->items[2].subscribe.channel, "b"));
        }
        pure_actions_free(&host, out);
        free(conn.session);
    }
    pure_close(&host);
}

static enum channel_policy policy_of(const char *channel)
{
    struct channel_traits traits;
    host.dialect->traits(host.settings, slice_text(channel), &traits);
    return traits.policy;
}

/* O-6 */
Test(plain, longest_prefix_decides_the_policy)
{
    start("policy", "latest,a=lossless,a.b=latest,x:=latest");
    cr_assert_eq(policy_of("z"), POLICY_LATEST);
    cr_assert_eq(policy_of("a"), POLICY_LOSSLESS);
    cr_assert_eq(policy_of("a.c"), POLICY_LOSSLESS);
    cr_assert_eq(policy_of("a.b"), POLICY_LATEST);
    cr_assert_eq(policy_of("a.bc"), POLICY_LATEST);
    cr_assert_eq(policy_of("x"), POLICY_LATEST);
    pure_close(&host);
    start("policy", "a.b=latest,a=lossless,latest");
    cr_assert_eq(policy_of("a.b"), POLICY_LATEST, "in whatever order they stand");
    cr_assert_eq(policy_of("a.c"), POLICY_LOSSLESS);
    pure_close(&host);
    start("policy", "x:=latest");
    cr_assert_eq(policy_of("x"), POLICY_LOSSLESS);
    cr_assert_eq(policy_of("x:y"), POLICY_LATEST);
    pure_close(&host);
    start("policy", "a=latest,a=lossless");
    cr_assert_eq(policy_of("a"), POLICY_LOSSLESS, "the later of two equal ones");
    pure_close(&host);
    start(NULL, NULL);
    cr_assert_eq(policy_of("anything"), POLICY_LOSSLESS);
    pure_close(&host);
}

Test(plain, refuses_policies_that_are_none)
{
    static const char *const bad[] = {
        "newest", "a=newest", "=latest", "a=", "a b=latest", "a=b=latest", "latest=a", "Latest"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char memory[256];
        struct buf why = buf_of(memory, sizeof memory);
        start("policy", bad[i]);
        cr_expect_eq(host.dialect->check_settings(host.settings, &why), -EINVAL, "%s", bad[i]);
        cr_expect(slice_starts(buf_slice(&why), slice_text("policy: \"")), "%.*s", (int)why.used, memory);
        cr_expect_eq(policy_of("a"), POLICY_LOSSLESS, "what is none does nothing");
        pure_close(&host);
    }
    start("policy", "latest,a=lossless");
    cr_assert_eq(host.dialect->check_settings(host.settings, NULL), 0);
    pure_close(&host);
}

Test(plain, traits_carry_what_is_retained)
{
    struct channel_traits traits;
    pure_init(&host, "plain");
    pure_set(&host, "retain", "12");
    pure_set(&host, "retain_age", "10s");
    pure_start(&host);
    host.dialect->traits(host.settings, slice_text("c"), &traits);
    cr_assert(traits.retain_count == 12 && traits.retain_age_ms == 10000);
    cr_assert_neq(pure_set(&host, "retain", "1000001"), 0);
    pure_close(&host);
}
