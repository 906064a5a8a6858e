/* SPDX-License-Identifier: MIT */
/* Proves the load client's URLs and its reading of handshake responses. Run by unit_bench. */
#include "bench/bench_opening.h"

#include <criterion/criterion.h>

static struct url parsed(const char *text)
{
    struct url url;
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    cr_assert(url_parse(&url, text, "ws", false, &why), "%s", text);
    return url;
}

static void assert_refused(const char *text)
{
    struct url url;
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    cr_assert_not(url_parse(&url, text, "ws", false, &why), "%s", text);
    cr_assert_gt(why.used, 0);
}

Test(bench_url, splits_host_port_and_path)
{
    struct url url = parsed("ws://localhost:9500/plain/a?last=3#part");
    cr_assert_str_eq(url.host, "localhost");
    cr_assert_str_eq(url.port, "9500");
    cr_assert_str_eq(url.path, "/plain/a?last=3");
    cr_assert_str_eq(url.authority, "localhost:9500");
    url = parsed("ws://[::1]?x=1");
    cr_assert_str_eq(url.host, "::1");
    cr_assert_str_eq(url.port, "80");
    cr_assert_str_eq(url.path, "/?x=1");
}

Test(bench_url, an_s_or_the_option_means_tls_and_another_port)
{
    cr_assert_not(parsed("ws://a/").tls);
    struct url url = parsed("wss://a/x");
    cr_assert(url.tls);
    cr_assert_str_eq(url.authority, "a");
    cr_assert_str_eq(url.port, "443");
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    cr_assert(url_parse(&url, "http://a:81/", "http", true, &why));
    cr_assert(url.tls);
    cr_assert_str_eq(url.port, "81");
}

Test(bench_url, refuses_what_is_no_websocket_url)
{
    assert_refused("https://localhost/");
    assert_refused("wsss://localhost/");
    assert_refused("http://localhost/");
    assert_refused("ws://");
    assert_refused("ws://[::1/");
    assert_refused("ws://a:/x");
    assert_refused("ws://a:123456/x");
    assert_refused("ws://a/b c");
}

Test(bench_url, puts_the_channel_into_path_and_topic)
{
    struct url url = parsed("ws://h/{channel}/x/{channel}?k={channel}");
    uint8_t memory[256];
    struct buf out = buf_of(memory, sizeof memory);
    url_put_path(&url, "c7", &out);
    cr_assert(slice_is(buf_slice(&out), "/c7/x/c7?k=c7"));
    buf_reset(&out);
    url_put_topic(&url, "c7", &out);
    cr_assert(slice_is(buf_slice(&out), "c7"));
}

Test(bench_opening, encodes_base64)
{
    /* RFC 4648 section 10 */
    const char *rows[][2] = {{"", ""},
                             {"f", "Zg=="},
                             {"fo", "Zm8="},
                             {"foo", "Zm9v"},
                             {"foob", "Zm9vYg=="},
                             {"fooba", "Zm9vYmE="},
                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[16];
        size_t bytes = base64_write(out, slice_text(rows[i][0]));
        cr_assert(slice_is(slice_of(out, bytes), rows[i][1]), "%s", rows[i][0]);
    }
}

/* Feeds a response in two pieces and compares the verdict for each cut. */
static void assert_verdict(const char *response, size_t response_bytes, enum opening_result expected, size_t behind)
{
    for (size_t cut = 0; cut <= response_bytes; cut++) {
        struct opening opening = {.accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}; /* RFC 6455 section 1.3 */
        uint8_t memory[256];
        struct buf why = buf_of(memory, sizeof memory);
        struct slice input = slice_of(response, cut);
        enum opening_result result = opening_response(&opening, &input, false, &why);
        if (result == OPENING_MORE) {
            input = slice_of(response + cut, response_bytes - cut);
            result = opening_response(&opening, &input, false, &why);
        } else {
            input.bytes += response_bytes - cut;
        }
        cr_assert_eq(result, expected, "cut at %zu: %.*s", cut, (int)why.used, (const char *)why.data);
        if (expected == OPENING_DONE)
            cr_assert_eq(input.bytes, behind, "cut at %zu", cut);
    }
}

#define ASSERT_VERDICT(response, expected, behind) assert_verdict(response, sizeof(response) - 1, expected, behind)
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"

Test(bench_opening, takes_a_right_response_and_leaves_the_frames_behind_it)
{
    ASSERT_VERDICT(SWITCHING "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi", OPENING_DONE, 4);
}

Test(bench_opening, refuses_wrong_responses)
{
    ASSERT_VERDICT(SWITCHING "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n", OPENING_REFUSED, 0);
    ASSERT_VERDICT(SWITCHING "\r\n", OPENING_REFUSED, 0);
    ASSERT_VERDICT(SWITCHING "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                             "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                   OPENING_REFUSED, 0);
    ASSERT_VERDICT("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", OPENING_REFUSED, 0);
    ASSERT_VERDICT("SSH-2.0-OpenSSH_9.2\r\n", OPENING_REFUSED, 0);
}
