/* SPDX-License-Identifier: MIT */
/* Proves the opening handshake: the RFC's own example, every refusal with its status (K-2), and which origins may
 * connect. Run by unit_protocol. */
#include "protocol/handshake.h"
#include "protocol/http1.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int check_request(const char *head, struct handshake *handshake)
{
    static struct http1_request request;
    size_t scanned = 0, head_bytes;
    const char *why = "";
    int result = http1_parse_head(slice_text(head), &scanned, &request, &head_bytes, &why);
    cr_assert_eq(result, HTTP1_OK, "%d (%s): %s", result, why, head);
    why = NULL;
    result = handshake_check(&request, handshake, &why);
    cr_assert_eq(why == NULL, result == 0, "%s", head);
    return result;
}

#define HOST "Host: server.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define GOOD "GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION /* all that is needed, but for the empty line */

/* RFC 6455 section 1.3 */
Test(handshake, answers_the_example_of_the_rfc)
{
    struct handshake handshake;
    char memory[256];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert_eq(check_request("GET /chat HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY "Origin: http://example.com\r\n"
                               "Sec-WebSocket-Protocol: chat, superchat\r\n" VERSION "\r\n",
                               &handshake),
                 0);
    cr_assert_str_eq(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    handshake_write(&out, &handshake, slice_text(""));
    cr_assert(slice_is(buf_slice(&out),
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    buf_reset(&out);
    handshake_write(&out, &handshake, slice_text("Tue, 23 Jan 2024 12:34:56 GMT"));
    cr_assert(slice_is(buf_slice(&out),
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                       "Date: Tue, 23 Jan 2024 12:34:56 GMT\r\n\r\n"));
}

Test(handshake, takes_what_the_grammar_allows)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\n" HOST "upgrade: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n" KEY VERSION "\r\n",
        "GET / HTTP/1.1\r\n" HOST "Upgrade: h2c, websocket\r\n" CONNECTION KEY VERSION "\r\n",
        "GET / HTTP/1.1\r\n" HOST UPGRADE "Connection: keep-alive\r\n" CONNECTION KEY VERSION "\r\n",
        "GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: +/AZaz09AAAAAAAAAAAAAA==\r\n\r\n",
        GOOD "Sec-WebSocket-Extensions: ,foo; bar=\"baz\", permessage-deflate; nonsense=1\r\n\r\n",
        GOOD "Sec-WebSocket-Protocol: , chat,\r\nSec-WebSocket-Protocol: Chat , v1.chat,,\r\n\r\n",
        GOOD "Sec-WebSocket-Accept: x\r\nSec-WebSocket-Accept: x\r\n\r\n", /* known in responses only */
        GOOD "Sec-WebSocket-Unknown: ;=\r\nOrigin: http://a\r\n\r\n",
    };
    struct handshake handshake;
    for (size_t i = 0; i < COUNT(heads); i++)
        cr_assert_eq(check_request(heads[i], &handshake), 0, "%s", heads[i]);
}

Test(handshake, refuses_with_the_right_status)
{
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"POST / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n", 405},
        {"HEAD / HTTP/1.1\r\n" HOST "\r\n", 405},
        {"get / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n", 405},
        {"GET / HTTP/1.1\r\n" HOST "\r\n", 426},
        {"GET / HTTP/1.0\r\n" HOST "\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST CONNECTION KEY VERSION "\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n" CONNECTION KEY VERSION "\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST "Upgrade: websockets\r\n" CONNECTION KEY VERSION "\r\n", 426},
        {"GET / HTTP/1.0\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE "Connection: keep-alive\r\n" KEY VERSION "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY "\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION VERSION "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY KEY VERSION "\r\n", 400},
        /* section 9.1, whether we know the extension or not; and only behind the version */
        {GOOD "Sec-WebSocket-Extensions: foo; bar=\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Extensions: permessage-deflate;\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Extensions:\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Extensions: a\r\nsec-websocket-extensions: \"\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY
         "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Extensions: ;\r\n\r\n",
         426},
        /* sections 4.1 item 10, 4.3 */
        {GOOD "Sec-WebSocket-Protocol:\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: , ,\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: a b\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: \"a\"\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: a;b\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: http://a\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: a, b, a\r\n\r\n", 400},
        {GOOD "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c,b\r\n\r\n", 400},
        /* RFC 6454 section 7.3 */
        {GOOD "Origin: http://a\r\nOrigin: http://a\r\n\r\n", 400},
        {GOOD "Origin: http://a\r\norigin:\r\n\r\n", 400},
    };
    struct handshake handshake;
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(check_request(rows[i].head, &handshake), rows[i].status, "%s", rows[i].head);
}

Test(handshake, wants_a_key_of_sixteen_bytes)
{
    static const char *const keys[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",     /* 23 characters */
        "dGhlIHNhbXBsZSBub25jZQ",      /* no padding */
        "dGhlIHNhbXBsZSBub25jZQ===",   /* 25 characters */
        "dGhlIHNhbXBsZSBub25jZQA=",    /* 17 bytes */
        "dGhlIHNhbXBsZSBub25jZQAA",    /* 18 bytes */
        "dGhlIHNhbXBsZSBub25jZ===",    /* padding too early */
        "dGhlIHNhbXBsZSBub25j Q==",    /* a space inside */
        "dGhlIHNhbXBsZSBub25j-Q==",    /* the alphabet of URLs */
        "dGhlIHNhbXBsZSBub25j\xC3Q==", /* not ASCII */
    };
    struct handshake handshake;
    for (size_t i = 0; i < COUNT(keys); i++) {
        char head[300];
        snprintf(head, sizeof head,
                 "GET / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: %s\r\n\r\n", keys[i]);
        cr_assert_eq(check_request(head, &handshake), 400, "%s", keys[i]);
    }
}

Test(handshake, compares_64_subprotocols_and_no_more)
{
    for (unsigned count = 64; count <= 65; count++) {
        static char head[2000];
        struct handshake handshake;
        int bytes = snprintf(head, sizeof head, GOOD "Sec-WebSocket-Protocol: ");
        for (unsigned i = 0; i < count; i++)
            bytes += snprintf(head + bytes, sizeof head - (size_t)bytes, "p%u,", i);
        snprintf(head + bytes, sizeof head - (size_t)bytes, "\r\n\r\n");
        cr_assert_eq(check_request(head, &handshake), count == 64 ? 0 : 400);
    }
}

/* --- origins (A-14) ----------------------------------------------------------------------------------------------- */

static bool allowed(const char *origin, const char *host, const char *const *list, size_t count)
{
    return handshake_origin_allowed(slice_text(origin), slice_text(host), list, (uint32_t)count);
}

Test(handshake, takes_hosts_below_another_and_origins_that_are_no_address)
{
    static const char *const list[] = {"https://*.example.com", "http://*.lab.example:8080", "null", "file://"};
    static const struct {
        const char *origin;
        bool allowed;
    } rows[] = {
        {"https://a.example.com", true},
        {"HTTPS://A.B.Example.Com:443", true},
        {"https://example.com", false},
        {"https://.example.com", false},
        {"https://badexample.com", false},
        {"https://a.example.com.evil.example", false},
        {"http://a.example.com", false},
        {"https://a.example.com:8443", false},
        {"http://x.lab.example:8080", true},
        {"http://x.lab.example", false},
        {"null", true},
        {"NULL", false},
        {"file://", true},
        {"file:///x", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_eq(allowed(rows[i].origin, "app.example.com", list, COUNT(list)), rows[i].allowed, "%s",
                     rows[i].origin);
    for (size_t i = 0; i < COUNT(list); i++)
        cr_expect_null(handshake_origin_fault(list[i]), "%s", list[i]);
}

Test(handshake, names_what_is_wrong_with_an_origin_that_never_matches)
{
    static const char *const good[] = {"*", "http://localhost", "https://app.example:8443", "app://-",
                                       "http://[::1]:80"};
    static const struct {
        const char *origin, *fault;
    } rows[] = {
        {"app.example", "no scheme"},
        {"", "no scheme"},
        {"://x", "no scheme"},
        {"https://app.example/", "behind the host"},
        {"https://app.example?x", "behind the host"},
        {"https://", "no origin"},
        {"https://app.example:x", "no origin"},
        {"https://*", "never match"},
        {"https://a.*.example", "never match"},
        {"https://*.*.example", "never match"},
        {"https://*example.com", "never match"},
    };
    for (size_t i = 0; i < COUNT(good); i++)
        cr_expect_null(handshake_origin_fault(good[i]), "%s", good[i]);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *fault = handshake_origin_fault(rows[i].origin);
        cr_assert_not_null(fault, "%s", rows[i].origin);
        cr_expect_not_null(strstr(fault, rows[i].fault), "%s: %s", rows[i].origin, fault);
    }
}

Test(handshake, compares_scheme_host_and_port_of_an_origin)
{
    static const char *const list[] = {"https://app.example.com", "http://plain.example:8080", "not an origin"};
    static const struct {
        const char *origin;
        bool allowed;
    } rows[] = {
        {"https://app.example.com", true},
        {"https://app.example.com:443", true},
        {"HTTPS://App.Example.COM", true},
        {"http://plain.example:8080", true},
        {"http://app.example.com", false},
        {"http://app.example.com:443", false},
        {"https://app.example.com:8443", false},
        {"https://app.example.com.evil.example", false},
        {"https://evil-app.example.com", false},
        {"https://example.com", false},
        {"http://plain.example", false},
        {"https://app.example.com/", false},
        {"https://app.example.com@evil.example", false},
        {"https://user@app.example.com", false},
        {"app.example.com", false},
        {"://app.example.com", false},
        {"https:app.example.com", false},
        {"null", false},
        {"not an origin", false},
        {"", false},
        {"http://localhost", false}, /* a list replaces the default */
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(allowed(rows[i].origin, "app.example.com", list, COUNT(list)), rows[i].allowed, "%s",
                     rows[i].origin);
}

Test(handshake, allows_every_origin_by_a_star)
{
    static const char *const list[] = {"https://app.example.com", "*"};
    cr_assert(allowed("https://other.example", "a", list, 2));
    cr_assert(allowed("null", "a", list, 2));
}

Test(handshake, allows_clients_that_are_no_browsers)
{
    static const char *const list[] = {"https://app.example.com"};
    cr_assert(handshake_origin_allowed((struct slice){0}, slice_text("a"), list, 1));
    cr_assert(handshake_origin_allowed((struct slice){0}, slice_text("a"), NULL, 0));
}

Test(handshake, allows_loopback_and_its_own_host_without_a_list)
{
    static const struct {
        const char *origin, *host;
        bool allowed;
    } rows[] = {
        {"http://localhost", "a", true},
        {"https://LOCALHOST:5173", "a", true},
        {"http://127.0.0.1:3000", "a", true},
        {"http://[::1]:3000", "a", true},
        {"http://localhost.evil.example", "a", false},
        {"http://127.0.0.2", "a", false},
        {"http://[::2]", "a", false},
        {"http://own.example", "own.example", true},
        {"http://own.example", "own.example:80", true},
        {"https://own.example", "OWN.example", true},
        {"https://own.example:443", "own.example", true},
        {"https://own.example", "own.example:80", false},
        {"http://own.example:8011", "own.example:8011", true},
        {"http://own.example:8011", "own.example:8012", false},
        {"http://own.example:8011", "own.example", false},
        {"http://other.example", "own.example", false},
        {"null", "null", false},
        {"http://own.example", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(allowed(rows[i].origin, rows[i].host, NULL, 0), rows[i].allowed, "%s at %s", rows[i].origin,
                     rows[i].host);
}
