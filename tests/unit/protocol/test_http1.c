/* SPDX-License-Identifier: MIT */
/* Proves the HTTP grammar: what is taken and what it means, what is refused and with which status, the limits (K-24, K-30),
 * bodies against an encoder of their own, and that it never matters where the input is cut. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/http1.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#define HOST "Host: example.com\r\n"

/* ---- heads ---- */

/* Parses a head that comes in pieces that end at `cut` and at its end (cut 0: at once). */
static int parse_cut(const uint8_t *head, size_t bytes, size_t cut, struct http1_request *request, size_t *head_bytes,
                     const char **why)
{
    size_t scanned = 0;

    if (cut > 0) {
        int result = http1_parse_head(slice_of(head, cut), &scanned, request, head_bytes, why);
        if (result != HTTP1_NEED_MORE)
            return result;
    }
    return http1_parse_head(slice_of(head, bytes), &scanned, request, head_bytes, why);
}

static int parse(const char *head, struct http1_request *request)
{
    size_t head_bytes = 0;
    const char *why = "";
    int result = parse_cut((const uint8_t *)head, strlen(head), 0, request, &head_bytes, &why);
    if (result == HTTP1_OK)
        cr_assert_eq(head_bytes, strlen(head));
    return result;
}

static void parse_good(const char *head, struct http1_request *request)
{
    int result = parse(head, request);
    cr_assert_eq(result, HTTP1_OK, "%d for %s", result, head);
}

static bool is_same_slice(struct slice a, struct slice b)
{
    return a.data == b.data && a.bytes == b.bytes;
}

/* Both were read from the same memory. Field by field: between the fields lies what was there before. */
static bool is_same_request(const struct http1_request *a, const struct http1_request *b)
{
    if (!is_same_slice(a->method, b->method) || !is_same_slice(a->target, b->target) ||
        !is_same_slice(a->path, b->path) || !is_same_slice(a->query, b->query) || !is_same_slice(a->host, b->host))
        return false;
    for (uint32_t i = 0; i < a->header_count && i < b->header_count; i++)
        if (!is_same_slice(a->headers[i].name, b->headers[i].name) ||
            !is_same_slice(a->headers[i].value, b->headers[i].value))
            return false;
    return a->minor_version == b->minor_version && a->keep_alive == b->keep_alive &&
           a->expect_continue == b->expect_continue && a->chunked == b->chunked &&
           a->content_length == b->content_length && a->header_count == b->header_count;
}

/* The status, whatever the cut; each prefix is alone in front of memory that may not be touched. */
static void assert_status(const void *head, size_t bytes, int expected)
{
    for (size_t cut = 0; cut <= bytes; cut++) {
        uint8_t *prefix = guard_place(head, cut);
        uint8_t *whole = guard_place(head, bytes);
        static struct http1_request request;
        size_t scanned = 0, head_bytes;
        const char *why = NULL;
        int result = http1_parse_head(slice_of(prefix, cut), &scanned, &request, &head_bytes, &why);
        if (result == HTTP1_NEED_MORE)
            result = http1_parse_head(slice_of(whole, bytes), &scanned, &request, &head_bytes, &why);
        else
            cr_assert(result != HTTP1_OK || cut == bytes, "done before the end");
        cr_assert_eq(result, expected, "%d (%s) instead of %d, cut %zu: %.*s", result, why != NULL ? why : "", expected,
                     cut, (int)bytes, (const char *)head);
        cr_assert(expected == HTTP1_OK || expected == HTTP1_NEED_MORE || strlen(why) > 0);
        guard_free(prefix, cut);
        guard_free(whole, bytes);
    }
}

static void assert_text_status(const char *head, int expected)
{
    assert_status(head, strlen(head), expected);
}

Test(http1, reads_a_request)
{
    static struct http1_request request;
    parse_good(
        "GET /a/b%20c?x=1&y HTTP/1.1\r\nHost: example.com:8011\r\nX-One:1\r\nX-Two: \t two words \t \r\nX-Empty:\r\n"
        "x-one: again\r\n\r\n",
        &request);
    cr_assert(slice_is(request.method, "GET"));
    cr_assert(slice_is(request.target, "/a/b%20c?x=1&y"));
    cr_assert(slice_is(request.path, "/a/b%20c"));
    cr_assert(slice_is(request.query, "x=1&y"));
    cr_assert(slice_is(request.host, "example.com:8011"));
    cr_assert_eq(request.minor_version, 1);
    cr_assert(request.keep_alive && !request.chunked && !request.expect_continue && request.content_length == 0);
    cr_assert_eq(request.header_count, 5);
    cr_assert(slice_is(http1_header(&request, "X-ONE"), "1"), "the first");
    cr_assert_eq(http1_header_count(&request, "x-one"), 2);
    cr_assert(slice_is(http1_header(&request, "x-two"), "two words"));
    cr_assert(http1_header(&request, "x-empty").data != NULL && http1_header(&request, "x-empty").bytes == 0);
    cr_assert_null(http1_header(&request, "x-none").data);
    cr_assert_eq(http1_header_count(&request, "x-none"), 0);
}

Test(http1, leaves_what_follows_the_head)
{
    static struct http1_request request;
    static const char input[] = "GET / HTTP/1.1\r\n" HOST "\r\nGET /next";
    size_t head_bytes = 0;
    const char *why;
    cr_assert_eq(parse_cut((const uint8_t *)input, sizeof input - 1, 0, &request, &head_bytes, &why), HTTP1_OK);
    cr_assert_str_eq(input + head_bytes, "GET /next");
}

Test(http1, reads_the_same_wherever_the_head_is_cut)
{
    assert_text_status("GET /a?b HTTP/1.1\r\n" HOST "X: y\r\n\r\n", HTTP1_OK);
    assert_text_status("\r\nPOST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\n", HTTP1_OK);
    assert_text_status("GET /a HTTP/1.1\r\n" HOST "X: y\r\n", HTTP1_NEED_MORE);
}

Test(http1, takes_the_forms_of_a_target)
{
    static const struct {
        const char *line, *path, *query, *host;
    } rows[] = {
        {"GET / HTTP/1.1", "/", NULL, "example.com"},
        {"GET /? HTTP/1.1", "/", "", "example.com"},
        {"GET /a?b?c HTTP/1.1", "/a", "b?c", "example.com"},
        {"GET //a HTTP/1.1", "//a", NULL, "example.com"},
        {"GET /a[1]|{b}^\\` HTTP/1.1", "/a[1]|{b}^\\`", NULL, "example.com"},
        {"GET http://other:81/a?b HTTP/1.1", "/a", "b", "other:81"},
        {"GET HTTPS://other HTTP/1.1", "/", NULL, "other"},
        {"GET http://other?b HTTP/1.1", "/", "b", "other"},
        {"GET http://[::1]:8011/ HTTP/1.1", "/", NULL, "[::1]:8011"},
        {"OPTIONS * HTTP/1.1", "*", NULL, "example.com"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct http1_request request;
        char head[200];
        snprintf(head, sizeof head, "%s\r\n" HOST "\r\n", rows[i].line);
        parse_good(head, &request);
        cr_assert(slice_is(request.path, rows[i].path), "%s", rows[i].line);
        cr_assert_eq(request.query.data == NULL, rows[i].query == NULL, "%s", rows[i].line);
        if (rows[i].query != NULL)
            cr_assert(slice_is(request.query, rows[i].query), "%s", rows[i].line);
        cr_assert(slice_is(request.host, rows[i].host), "%s", rows[i].line);
    }
}

Test(http1, refuses_malformed_request_lines)
{
    static const struct {
        const char *line;
        int status;
    } rows[] = {
        {"", 400},
        {"GET", 400},
        {"GET ", 400},
        {"GET /", 400},
        {"GET / ", 400},
        {"GET /  HTTP/1.1", 400},
        {"GET  / HTTP/1.1", 400},
        {" GET / HTTP/1.1", 400},
        {"GET / HTTP/1.1 ", 400},
        {"GET\t/ HTTP/1.1", 400},
        {"GET /a b HTTP/1.1", 400},
        {"G(T / HTTP/1.1", 400},
        {"GET: / HTTP/1.1", 400},
        {"GET / http/1.1", 400},
        {"GET / HTTP/1.1x", 400},
        {"GET / HTTP/11", 400},
        {"GET / HTTP/1,1", 400},
        {"GET / HTTP/x.1", 400},
        {"GET / HTTP/1.x", 400},
        {"GET / HTTP/1.2", 505},
        {"GET / HTTP/0.9", 505},
        {"GET / HTTP/2.0", 505},
        {"PRI * HTTP/2.0", 505},
        {"GET /a#b HTTP/1.1", 400},
        {"GET /\x7F HTTP/1.1", 400},
        {"GET /\xC3\xBC HTTP/1.1", 400},
        {"GET /\x01 HTTP/1.1", 400},
        {"GET /\r/ HTTP/1.1", 400},
        {"GET a HTTP/1.1", 400},
        {"GET * HTTP/1.1", 400},
        {"OPTIONS ** HTTP/1.1", 400},
        {"CONNECT example.com:443 HTTP/1.1", 400},
        {"CONNECT / HTTP/1.1", 400},
        {"GET example.com:80 HTTP/1.1", 400},
        {"GET ftp://example.com/ HTTP/1.1", 400},
        {"GET http:///a HTTP/1.1", 400},
        {"GET http://user@example.com/ HTTP/1.1", 400},
        {"GET http://example.com:99999/ HTTP/1.1", 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[200];
        snprintf(head, sizeof head, "%s\r\n" HOST "\r\n", rows[i].line);
        assert_text_status(head, rows[i].status);
    }
}

Test(http1, passes_over_one_empty_line_only)
{
    assert_text_status("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", HTTP1_OK);
    assert_text_status("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_text_status("\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
}

Test(http1, refuses_malformed_fields)
{
    static const char *const fields[] = {
        "X : y\r\n",   "X\t: y\r\n",  " X: y\r\n",   "X: y\r\n folded\r\n", "X: y\r\n\tfolded\r\n",
        ": y\r\n",     "X\r\n",       "X y\r\n",     "X(: y\r\n",           "X: y\n",
        "X: \x01\r\n", "X: \x7F\r\n", "X: a\rb\r\n", "X: a\r\r\n",          "\xC3\xBC: y\r\n",
        "X: y\r\n\n",
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char head[200];
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\n" HOST "%s\r\n", fields[i]);
        assert_text_status(head, 400);
    }
    assert_status("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n", 16 + 19 + 8 + 2, 400);
    assert_status("GET / HTTP/1.1\r\n" HOST "X\0: ab\r\n\r\n", 16 + 19 + 8 + 2, 400);
    assert_text_status("GET / HTTP/1.1\r\n folded: first\r\n" HOST "\r\n", 400);
    assert_text_status("GET / HTTP/1.1\n" HOST "\r\n", 400);
}

Test(http1, says_why_it_refuses)
{
    static struct http1_request request;
    static const char head[] = "GET / HTTP/1.1\r\n" HOST "X: y\r\n folded\r\n\r\n";
    size_t head_bytes;
    const char *why = NULL;
    cr_assert_eq(parse_cut((const uint8_t *)head, sizeof head - 1, 0, &request, &head_bytes, &why), 400);
    cr_assert_str_eq(why, "folded field line");
}

Test(http1, takes_every_token_character_in_a_name_and_every_text_byte_in_a_value)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (unsigned c = 0; c < 256; c++) {
        static struct http1_request request;
        char head[] = "GET / HTTP/1.1\r\n" HOST "X?X: a?b\r\n\r\n";
        char *name = strstr(head, "X?X") + 1, *value = strstr(head, "a?b") + 1;
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool token = alphanumeric || (c != 0 && strchr(others, (int)c) != NULL);
        size_t head_bytes;
        const char *why;
        *name = (char)c;
        *value = 'v';
        int result = parse_cut((const uint8_t *)head, sizeof head - 1, 0, &request, &head_bytes, &why);
        cr_assert_eq(result, token || c == ':' ? HTTP1_OK : 400, "name with %02x", c); /* ':' ends the name earlier */
        *name = 'n';
        *value = (char)c;
        result = parse_cut((const uint8_t *)head, sizeof head - 1, 0, &request, &head_bytes, &why);
        cr_assert_eq(result, c == '\t' || (c >= 0x20 && c != 0x7F) ? HTTP1_OK : 400, "value with %02x", c);
    }
}

Test(http1, wants_exactly_one_valid_host)
{
    static const struct {
        const char *fields;
        int minor_version, status;
    } rows[] = {
        {"", 1, 400},
        {"", 0, HTTP1_OK},
        {"Host: a\r\n", 0, HTTP1_OK},
        {"Host: a\r\nHost: a\r\n", 1, 400},
        {"Host: a\r\nhost: b\r\n", 0, 400},
        {"Host:\r\n", 1, 400},
        {"Host: a b\r\n", 1, 400},
        {"Host: a/b\r\n", 1, 400},
        {"Host: user@a\r\n", 1, 400},
        {"Host: a,b\r\n", 1, HTTP1_OK}, /* a comma may be in a reg-name */
        {"Host: a:\r\n", 1, HTTP1_OK},
        {"Host: a:0\r\n", 1, 400},
        {"Host: a:65535\r\n", 1, HTTP1_OK},
        {"Host: a:65536\r\n", 1, 400},
        {"Host: a:4294967297\r\n", 1, 400},
        {"Host: a:1x\r\n", 1, 400},
        {"Host: :80\r\n", 1, 400},
        {"Host: %41\r\n", 1, HTTP1_OK},
        {"Host: %4\r\n", 1, 400},
        {"Host: %4g\r\n", 1, 400},
        {"Host: \xFF\r\n", 1, 400},
        {"Host: [::1]\r\n", 1, HTTP1_OK},
        {"Host: [::ffff:127.0.0.1]:80\r\n", 1, HTTP1_OK},
        {"Host: []\r\n", 1, 400},
        {"Host: [::1\r\n", 1, 400},
        {"Host: [::1]a\r\n", 1, 400},
        {"Host: [g::1]\r\n", 1, 400},
        {"Host: ::1\r\n", 1, 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[200];
        snprintf(head, sizeof head, "GET / HTTP/1.%d\r\n%s\r\n", rows[i].minor_version, rows[i].fields);
        assert_text_status(head, rows[i].status);
    }
}

Test(http1, leaves_no_doubt_about_the_length)
{
    static const struct {
        const char *fields;
        int minor_version, status;
        bool chunked;
        uint64_t length;
    } rows[] = {
        {"Content-Length: 0\r\n", 1, HTTP1_OK, false, 0},
        {"Content-Length: 00012\r\n", 1, HTTP1_OK, false, 12},
        {"Content-Length: 18446744073709551615\r\n", 1, HTTP1_OK, false, UINT64_MAX},
        {"Content-Length: 18446744073709551616\r\n", 1, 400, false, 0},
        {"Content-Length: 99999999999999999999999\r\n", 1, 400, false, 0},
        {"Content-Length:\r\n", 1, 400, false, 0},
        {"Content-Length: -1\r\n", 1, 400, false, 0},
        {"Content-Length: +1\r\n", 1, 400, false, 0},
        {"Content-Length: 1 2\r\n", 1, 400, false, 0},
        {"Content-Length: 0x10\r\n", 1, 400, false, 0},
        {"Content-Length: 5, 5\r\n", 1, 400, false, 0},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", 1, 400, false, 0},
        {"Transfer-Encoding: chunked\r\n", 1, HTTP1_OK, true, 0},
        {"Transfer-Encoding: Chunked\r\n", 1, HTTP1_OK, true, 0},
        {"Transfer-Encoding: chunked\r\n", 0, 400, false, 0},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 1, 400, false, 0},
        {"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", 1, 400, false, 0},
        {"Transfer-Encoding: gzip, chunked\r\n", 1, 501, false, 0},
        {"Transfer-Encoding: chunked, chunked\r\n", 1, 501, false, 0},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 1, 501, false, 0},
        {"Transfer-Encoding: identity\r\n", 1, 501, false, 0},
        {"Transfer-Encoding: xchunked\r\n", 1, 501, false, 0},
        {"Transfer-Encoding:\r\n", 1, 501, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct http1_request request;
        char head[200];
        snprintf(head, sizeof head, "POST / HTTP/1.%d\r\n" HOST "%s\r\n", rows[i].minor_version, rows[i].fields);
        assert_text_status(head, rows[i].status);
        if (rows[i].status != HTTP1_OK)
            continue;
        parse_good(head, &request);
        cr_assert_eq(request.chunked, rows[i].chunked, "%s", rows[i].fields);
        cr_assert_eq(request.content_length, rows[i].length, "%s", rows[i].fields);
    }
}

Test(http1, knows_one_expectation)
{
    static const struct {
        const char *fields;
        int minor_version, status;
        bool expected;
    } rows[] = {
        {"Expect: 100-continue\r\nContent-Length: 1\r\n", 1, HTTP1_OK, true},
        {"expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", 1, HTTP1_OK, true},
        {"Expect: 100-continue\r\n", 1, HTTP1_OK, false}, /* nothing is to come */
        {"Expect: 100-continue\r\nContent-Length: 1\r\n", 0, HTTP1_OK, false},
        {"Expect: 200-ok\r\n", 1, 417, false},
        {"Expect:\r\n", 1, 417, false},
        {"Expect: 100-continue\r\nExpect: other\r\n", 1, 417, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct http1_request request;
        char head[200];
        snprintf(head, sizeof head, "POST / HTTP/1.%d\r\n" HOST "%s\r\n", rows[i].minor_version, rows[i].fields);
        cr_assert_eq(parse(head, &request), rows[i].status, "%s", rows[i].fields);
        if (rows[i].status == HTTP1_OK)
            cr_assert_eq(request.expect_continue, rows[i].expected, "%s", rows[i].fields);
    }
}

Test(http1, knows_whether_the_connection_persists)
{
    static const struct {
        const char *fields;
        int minor_version;
        bool keep_alive;
    } rows[] = {
        {"", 1, true},
        {"", 0, false},
        {"Connection: close\r\n", 1, false},
        {"Connection: Keep-Alive\r\n", 0, true},
        {"Connection: keep-alive, close\r\n", 0, false},
        {"Connection: upgrade ,\t, CLOSE\r\n", 1, false},
        {"Connection: upgrade\r\nConnection: close\r\n", 1, false},
        {"Connection: closed\r\n", 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct http1_request request;
        char head[200];
        snprintf(head, sizeof head, "GET / HTTP/1.%d\r\n" HOST "%s\r\n", rows[i].minor_version, rows[i].fields);
        parse_good(head, &request);
        cr_assert_eq(request.keep_alive, rows[i].keep_alive, "1.%d %s", rows[i].minor_version, rows[i].fields);
    }
}

Test(http1, compares_content_types_without_parameters)
{
    static struct http1_request request;
    parse_good("POST / HTTP/1.1\r\n" HOST "Content-Type: Application/JSON ; charset=utf-8\r\n\r\n", &request);
    cr_assert(http1_content_type_is(&request, "application/json"));
    cr_assert_not(http1_content_type_is(&request, "application/json; charset=utf-8"));
    cr_assert_not(http1_content_type_is(&request, "application/jso"));
    parse_good("POST / HTTP/1.1\r\n" HOST "\r\n", &request);
    cr_assert_not(http1_content_type_is(&request, ""));
}

/* ---- limits of a head (K-24) ---- */

static void put_filler(struct buf *head, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_put_byte(head, 'x');
}

Test(http1, takes_a_head_up_to_its_limit)
{
    static char memory[2 * HTTP_HEAD_BYTES_MAX];
    static struct http1_request request;
    for (size_t over = 0; over <= 1; over++) {
        struct buf head = buf_of(memory, sizeof memory);
        buf_put_text(&head, "GET / HTTP/1.1\r\n" HOST "X: ");
        put_filler(&head, HTTP_HEAD_BYTES_MAX + over - head.used - 4);
        buf_put_text(&head, "\r\n\r\n");
        for (size_t cut = 0; cut < head.used; cut += 511) {
            size_t head_bytes = 0;
            const char *why = "";
            int result = parse_cut(head.data, head.used, cut, &request, &head_bytes, &why);
            cr_assert_eq(result, over ? 431 : HTTP1_OK, "%d, cut %zu", result, cut);
        }
        if (over) { /* without an end it is refused as soon as it is too long */
            size_t scanned = 0, head_bytes;
            const char *why = "";
            struct slice most = slice_of(head.data, HTTP_HEAD_BYTES_MAX - 1);
            cr_assert_eq(http1_parse_head(most, &scanned, &request, &head_bytes, &why), HTTP1_NEED_MORE);
            most.bytes++;
            cr_assert_eq(http1_parse_head(most, &scanned, &request, &head_bytes, &why), 431);
        }
    }
}

Test(http1, bounds_the_target)
{
    static char memory[2 * HTTP_HEAD_BYTES_MAX];
    static struct http1_request request;
    for (size_t over = 0; over <= 1; over++) {
        struct buf head = buf_of(memory, sizeof memory);
        buf_put_text(&head, "GET /");
        put_filler(&head, 7999 + over);
        buf_put_text(&head, " HTTP/1.1\r\n" HOST "\r\n");
        size_t head_bytes;
        const char *why = "";
        cr_assert_eq(parse_cut(head.data, head.used, 0, &request, &head_bytes, &why), over ? 414 : HTTP1_OK);
    }
    struct buf line = buf_of(memory, sizeof memory);
    buf_put_text(&line, "\r\nGET /");
    put_filler(&line, HTTP_HEAD_BYTES_MAX);
    size_t head_bytes;
    const char *why = "";
    cr_assert_eq(parse_cut(line.data, HTTP_HEAD_BYTES_MAX, 0, &request, &head_bytes, &why), 414);
}

Test(http1, bounds_the_number_of_fields)
{
    static char memory[HTTP_HEAD_BYTES_MAX];
    static struct http1_request request;
    for (uint32_t over = 0; over <= 1; over++) {
        struct buf head = buf_of(memory, sizeof memory);
        buf_put_text(&head, "GET / HTTP/1.1\r\n" HOST);
        for (uint32_t i = 1; i < HTTP_HEADERS_MAX + over; i++)
            buf_put_text(&head, "a:b\r\n");
        buf_put_text(&head, "\r\n");
        size_t head_bytes;
        const char *why = "";
        cr_assert_eq(parse_cut(head.data, head.used, 0, &request, &head_bytes, &why), over ? 431 : HTTP1_OK);
        cr_assert_eq(request.header_count, HTTP_HEADERS_MAX);
    }
}

/* Whole, byte by byte and in random pieces: the same result and the same request. */
Test(http1, reads_changed_heads_the_same_however_they_come)
{
    static const char original[] = "POST http://h:1/p?q=1 HTTP/1.1\r\nHost: [::1]:8\r\nConnection: keep-alive, x\r\n"
                                   "Content-Length: 12\r\nExpect: 100-continue\r\nA: b\r\n\r\n";
    static struct http1_request whole, pieces;
    struct random random;
    unsigned refused = 0, taken = 0;

    random_init(&random, 9112);
    memset(&pieces, 0xff, sizeof pieces); /* each field is to be written, and what lies between them is not to count */
    for (int round = 0; round < 3000; round++) {
        uint8_t head[sizeof original - 1];
        memcpy(head, original, sizeof head);
        for (uint64_t i = random_below(&random, 3); i > 0; i--) {
            static const char odd[] = "\r\n :\t\0,/19";
            head[random_below(&random, sizeof head)] =
                random_chance(&random, 1, 2) ? (uint8_t)random_u64(&random) : (uint8_t)odd[random_below(&random, 10)];
        }
        uint8_t *placed = guard_place(head, sizeof head);
        size_t whole_bytes = 0, pieces_bytes = 0, scanned = 0, at = 0;
        const char *why = NULL;
        int expected = parse_cut(placed, sizeof head, 0, &whole, &whole_bytes, &why), result;
        do {
            at += 1 + random_below(&random, round % 2 == 0 ? 1 : 30);
            at = at < sizeof head ? at : sizeof head;
            result = http1_parse_head(slice_of(placed, at), &scanned, &pieces, &pieces_bytes, &why);
        } while (result == HTTP1_NEED_MORE && at < sizeof head);
        cr_assert_eq(result, expected, "round %d: %.*s", round, (int)sizeof head, (const char *)head);
        if (expected == HTTP1_OK) {
            cr_assert_eq(pieces_bytes, whole_bytes);
            cr_assert(is_same_request(&pieces, &whole), "round %d", round);
        }
        refused += expected >= 400;
        taken += expected == HTTP1_OK;
        guard_free(placed, sizeof head);
    }
    cr_assert(refused > 500 && taken > 500, "%u refused and %u taken prove little", refused, taken);
}

/* ---- targets ---- */

Test(http1, splits_authorities)
{
    struct slice host;
    uint32_t port;
    cr_assert(http1_authority(slice_text("a.example"), &host, &port));
    cr_assert(slice_is(host, "a.example") && port == 0);
    cr_assert(http1_authority(slice_text("[fe80::1]:8443"), &host, &port));
    cr_assert(slice_is(host, "[fe80::1]") && port == 8443);
    cr_assert_not(http1_authority(slice_text(""), &host, &port));
}

static void assert_decoded(const char *text, const char *expected, size_t expected_bytes)
{
    char memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    uint8_t *placed = guard_place(text, strlen(text));
    buf_put_text(&out, "<");
    cr_assert_eq(http1_percent_decode(slice_of(placed, strlen(text)), &out), expected != NULL, "%s", text);
    if (expected == NULL)
        cr_assert(slice_is(buf_slice(&out), "<"), "%s: something was left", text);
    else
        cr_assert(slice_equal(buf_since(&out, 1), slice_of(expected, expected_bytes)), "%s", text);
    guard_free(placed, strlen(text));
}

/* RFC 3986 section 6.2.2.2 */
Test(http1, writes_unreserved_characters_of_a_path_as_themselves)
{
    static const char *const rows[][2] = {
        {"/ws", "/ws"},
        {"/%77s", "/ws"},
        {"/%77%73", "/ws"},
        {"%2f%2F/", "%2f%2F/"},
        {"/%41%5A%61%7a%30%39%2D%2e%5F%7E", "/AZaz09-._~"},
        {"/%40%5B%60%7B%2f%3A%2c%25%00%7f%80%20%3f", "/%40%5B%60%7B%2f%3A%2c%25%00%7f%80%20%3f"},
        {"/%2577s", "/%2577s"}, /* an encoded % is decoded by whoever decodes, once */
        {"/%77s%", "/%77s%"},   /* a bad escape: nothing is touched */
        {"/%%377s", "/%%377s"},
        {"/%7", "/%7"},
        {"/%7g%77", "/%7g%77"},
        {"/%77+%77", "/w+w"},
        {"*", "*"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t bytes = strlen(rows[i][0]);
        uint8_t *placed = guard_place(rows[i][0], bytes), *room = guard_place(rows[i][0], bytes);
        struct buf out = buf_of(room, bytes);
        struct slice path = http1_path_normalize(slice_of(placed, bytes), &out);
        cr_assert(slice_is(path, rows[i][1]), "%s: %.*s", rows[i][0], (int)path.bytes, (const char *)path.data);
        if (path.bytes == bytes)
            cr_assert(path.data == placed || path.data == room);
        guard_free(placed, bytes);
        guard_free(room, bytes);
    }
}

Test(http1, decodes_percent_escapes)
{
    assert_decoded("", "", 0);
    assert_decoded("a+b", "a+b", 3);
    assert_decoded("%41%7a%7A%2F%00%ff", "Azz/\0\xFF", 6);
    assert_decoded("%", NULL, 0);
    assert_decoded("a%4", NULL, 0);
    assert_decoded("%4g", NULL, 0);
    assert_decoded("%%41", NULL, 0);

    char memory[2];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert(http1_percent_decode(slice_text("%41b"), &out));
    cr_assert_not(http1_percent_decode(slice_text("c"), &out));
}

Test(http1, finds_query_values)
{
    static const struct {
        const char *query, *name;
        int result;
        const char *value;
    } rows[] = {
        {"a=1&b=2&a=3", "a", 1, "1"},
        {"a=1&b=2", "b", 1, "2"},
        {"a=1&b=2", "c", 0, ""},
        {"", "a", 0, ""},
        {"a", "a", 1, ""},
        {"a=", "a", 1, ""},
        {"&&a=x&", "a", 1, "x"},
        {"aa=1&a=2", "a", 1, "2"},
        {"a=1", "aa", 0, ""},
        {"A=1", "a", 0, ""},
        {"a=b=c", "a", 1, "b=c"},
        {"a=x+y%2B%26", "a", 1, "x y+&"},
        {"%61=1", "a", 1, "1"},
        {"a+b=1", "a b", 1, "1"},
        {"%6=1&a=2", "a", 1, "2"},
        {"a=%6&a=2", "a", -1, ""},
        {"a=123456789", "a", -1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char memory[8];
        struct buf out = buf_of(memory, sizeof memory);
        size_t bytes = strlen(rows[i].query);
        uint8_t *placed = guard_place(rows[i].query, bytes);
        cr_assert_eq(http1_query_get(slice_of(placed, bytes), rows[i].name, &out), rows[i].result, "%s", rows[i].query);
        if (rows[i].value != NULL)
            cr_assert(slice_is(buf_slice(&out), rows[i].value), "%s", rows[i].query);
        guard_free(placed, bytes);
    }
}

/* ---- bodies ---- */

struct body_read {
    enum http1_body_result result;
    char content[4096];
    size_t bytes;
    size_t taken; /* of the input */
};

/* Reads a body that comes in pieces of `piece` bytes. */
static void body_read(const struct http1_request *request, uint64_t bytes_max, const void *input, size_t bytes,
                      size_t piece, struct body_read *read)
{
    struct http1_body body;

    memset(read, 0, sizeof *read);
    http1_body_init(&body, request, bytes_max);
    do {
        size_t here = piece < bytes - read->taken ? piece : bytes - read->taken;
        uint8_t *placed = guard_place((const uint8_t *)input + read->taken, here);
        struct slice left = slice_of(placed, here), part;
        while ((read->result = http1_body_next(&body, &left, &part)) == HTTP1_BODY_PART) {
            cr_assert(part.bytes > 0 && part.data + part.bytes == left.data);
            memcpy(read->content + read->bytes, part.data, part.bytes);
            read->bytes += part.bytes;
        }
        read->taken += here - left.bytes;
        cr_assert(read->result != HTTP1_BODY_MORE || left.bytes == 0);
        guard_free(placed, here);
    } while (read->result == HTTP1_BODY_MORE && read->taken < bytes);

    struct slice nothing = slice_of(NULL, 0), part;
    cr_assert_eq(http1_body_next(&body, &nothing, &part), read->result, "the end is kept");
}

static void assert_body(const struct http1_request *request, uint64_t bytes_max, const char *input,
                        enum http1_body_result result, const char *content, const char *rest)
{
    for (size_t piece = 1; piece <= strlen(input) + 1; piece++) {
        static struct body_read read;
        body_read(request, bytes_max, input, strlen(input), piece, &read);
        cr_assert_eq(read.result, result, "%d instead of %d, pieces of %zu: %s", read.result, result, piece, input);
        if (content != NULL)
            cr_assert(slice_is(slice_of(read.content, read.bytes), content), "%s", input);
        if (rest != NULL)
            cr_assert_str_eq(input + read.taken, rest);
    }
}

static const struct http1_request chunked_request = {.chunked = true};

Test(http1, reads_bodies_by_content_length)
{
    static const struct http1_request none = {.content_length = 0}, five = {.content_length = 5};
    assert_body(&none, 10, "next", HTTP1_BODY_END, "", "next");
    assert_body(&none, 0, "", HTTP1_BODY_END, "", "");
    assert_body(&five, 5, "hellonext", HTTP1_BODY_END, "hello", "next");
    assert_body(&five, 5, "hell", HTTP1_BODY_MORE, "hell", "");
    assert_body(&five, 4, "hello", HTTP1_BODY_LARGE, "", "hello");
}

Test(http1, reads_chunked_bodies)
{
    static const struct {
        const char *input;
        enum http1_body_result result;
        const char *content, *rest;
    } rows[] = {
        {"0\r\n\r\nnext", HTTP1_BODY_END, "", "next"},
        {"5\r\nhello\r\n0\r\n\r\nnext", HTTP1_BODY_END, "hello", "next"},
        {"2\r\nhe\r\n03\r\nllo\r\n000\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", HTTP1_BODY_END, "01234567890123456789", ""},
        {"5;name=\"va;l\"; b\r\nhello\r\n0;last\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"5 \t;name\r\nhello\r\n0\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", HTTP1_BODY_END, "\r\n", ""},
        {"1\r\na\r\n0\r\nTrailer: value\r\nX:\r\n\r\nnext", HTTP1_BODY_END, "a", "next"},
        {"5\r\nhel", HTTP1_BODY_MORE, "hel", ""},
        {"0\r\n\r", HTTP1_BODY_MORE, "", ""},
        {"\r\n", HTTP1_BODY_BAD, "", NULL},
        {"x\r\n", HTTP1_BODY_BAD, "", NULL},
        {"-1\r\n", HTTP1_BODY_BAD, "", NULL},
        {" 5\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5 \r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0x5\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\rhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5;\x01\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5;a\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\r\nhello5\r\n", HTTP1_BODY_BAD, "hello", NULL},
        {"5\r\nhello\n", HTTP1_BODY_BAD, "hello", NULL},
        {"5\r\nhello\rx", HTTP1_BODY_BAD, "hello", NULL},
        {"00000000000000005\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL}, /* 17 digits */
        {"0\r\n\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n\rx", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n folded\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\nno colon\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n: no name\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\na: b\nc: d\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\na: b\rc\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"21\r\n", HTTP1_BODY_LARGE, "", NULL}, /* 33 */
        {"FFFFFFFFFFFFFFFF\r\n", HTTP1_BODY_LARGE, "", NULL},
        {"1F\r\n0123456789012345678901234567890\r\n2\r\n", HTTP1_BODY_LARGE, NULL, NULL},
        {"1F\r\n0123456789012345678901234567890\r\n1\r\n!\r\n0\r\n\r\n", HTTP1_BODY_END, NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_body(&chunked_request, 32, rows[i].input, rows[i].result, rows[i].content, rows[i].rest);
}

Test(http1, bounds_a_chunk_that_is_announced_before_arithmetic_can_overflow)
{
    assert_body(&chunked_request, UINT64_MAX, "1\r\na\r\nFFFFFFFFFFFFFFFF\r\n", HTTP1_BODY_LARGE, "a", NULL);
    assert_body(&chunked_request, UINT64_MAX, "1\r\na\r\nFFFFFFFFFFFFFFFE\r\nb", HTTP1_BODY_MORE, "ab", NULL);
}

Test(http1, bounds_chunk_lines_and_trailers)
{
    static char memory[20000];
    static struct body_read read;
    for (size_t over = 0; over <= 1; over++) {
        struct buf input = buf_of(memory, sizeof memory);
        buf_put_text(&input, "0;");
        put_filler(&input, HTTP_CHUNK_LINE_BYTES_MAX + over - 4);
        buf_put_text(&input, "\r\n\r\n");
        body_read(&chunked_request, 0, input.data, input.used, 1000, &read);
        cr_assert_eq(read.result, over ? HTTP1_BODY_BAD : HTTP1_BODY_END);

        input = buf_of(memory, sizeof memory);
        buf_put_text(&input, "0\r\n");
        for (int i = 0; i < 8; i++) { /* of 1,024 bytes each, so the last is cut to make room for the empty line */
            buf_put_text(&input, "x:");
            put_filler(&input, i < 7 ? 1020 : 1018 + over);
            buf_put_text(&input, "\r\n");
        }
        buf_put_text(&input, "\r\n");
        body_read(&chunked_request, 0, input.data, input.used, 1000, &read);
        cr_assert_eq(read.result, over ? HTTP1_BODY_BAD : HTTP1_BODY_END);
    }
}

Test(http1, reads_back_random_chunks)
{
    struct random random;
    random_init(&random, 71);
    for (int round = 0; round < 500; round++) {
        static char wire[16384], content[4096];
        static struct body_read read;
        struct buf input = buf_of(wire, sizeof wire), expected = buf_of(content, sizeof content);
        for (uint64_t chunks = random_below(&random, 12); chunks > 0; chunks--) {
            size_t bytes = 1 + random_below(&random, 300), from = expected.used;
            for (size_t i = 0; i < bytes; i++)
                buf_put_byte(&expected, (uint8_t)random_u64(&random));
            char line[40];
            snprintf(line, sizeof line, random_chance(&random, 1, 2) ? "%zx%s\r\n" : "%04zX%s\r\n", bytes,
                     random_chance(&random, 1, 4) ? ";x=\"y\"" : "");
            buf_put_text(&input, line);
            buf_put(&input, buf_since(&expected, from));
            buf_put_text(&input, "\r\n");
        }
        buf_put_text(&input, random_chance(&random, 1, 4) ? "0\r\na: b\r\n\r\n" : "0\r\n\r\n");
        cr_assert_not(input.overflow || expected.overflow);
        body_read(&chunked_request, expected.used, input.data, input.used, 1 + random_below(&random, 400), &read);
        cr_assert_eq(read.result, HTTP1_BODY_END, "round %d", round);
        cr_assert(slice_equal(slice_of(read.content, read.bytes), buf_slice(&expected)), "round %d", round);
        cr_assert_eq(read.taken, input.used);
    }
}

/* RFC 9110 section 7.4 (L8) */
Test(http1, knows_hosts_that_no_other_page_can_have_pointed_here)
{
    static const struct {
        const char *host;
        bool known;
    } rows[] = {
        {"localhost", true},
        {"LOCALHOST:9400", true},
        {"app.localhost", true},
        {"127.0.0.1:80", true},
        {"10.1.2.3", true},
        {"[::1]:9400", true},
        {"own.example", true},
        {"OWN.example:9400", true},
        {"evil.example", false},
        {"notlocalhost", false},
        {".localhost", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.example", false},
        {"256.0.0.1", false},
        {"1.2.3", false},
        {"1.2.3.4.5", false},
        {"1.2.3.", false},
        {"sub.own.example", false},
        {"", false},
        {"user@localhost", false},
    };
    static const char *const names[] = {"other.example", "own.example"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(http1_host_known(slice_text(rows[i].host), names, 2), rows[i].known, "%s", rows[i].host);
    cr_assert_not(http1_host_known(slice_text("own.example"), NULL, 0));
}

/* ---- responses ---- */

static void assert_response(struct buf *out, const char *expected)
{
    cr_assert_not(out->overflow);
    cr_assert(slice_is(buf_slice(out), expected), "got:\n%.*s", (int)out->used, (const char *)out->data);
    buf_reset(out);
}

static const struct http1_manner kept = {.keep_alive = true, .minor_version = 1};
static const struct http1_manner closed = {.minor_version = 1};

/* RFC 9110 sections 8.6, 9.3.2, 15.2 */
Test(http1, writes_responses)
{
    char memory[512];
    struct buf out = buf_of(memory, sizeof memory);
    const struct http1_manner head = {.head_only = true, .minor_version = 1};

    http1_response(
        &out,
        &(struct http1_answer){
            .status = 200, .content_type = "application/json", .extra = "X-Y: z\r\n", .content = slice_text("{}")},
        &kept);
    assert_response(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Y: z\r\n\r\n{}");
    http1_response(
        &out, &(struct http1_answer){.status = 404, .content_type = "text/plain", .content = slice_text("not found")},
        &head);
    assert_response(&out, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"
                          "Connection: close\r\n\r\n");
    http1_response(&out, &(struct http1_answer){.status = 204, .content_type = "text/plain"}, &kept);
    assert_response(&out, "HTTP/1.1 204 No Content\r\n\r\n");
    http1_response(&out, &(struct http1_answer){.status = 100}, &closed);
    assert_response(&out, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* RFC 9110 sections 6.6.1, 7.8, 10.2.1, 10.2.3, 12.5.5, 15.5.2, 15.5.6, 15.5.16, 15.5.22; RFC 9112 section 9 (W1, W2, W8) */
Test(http1, adds_what_each_status_owes)
{
    static const struct {
        struct http1_answer answer;
        struct http1_manner manner;
        const char *fields;
    } cases[] = {
        {{.status = 200}, {.keep_alive = true, .minor_version = 1}, ""},
        {{.status = 200}, {.keep_alive = true, .minor_version = 0}, "Connection: keep-alive\r\n"},
        {{.status = 200}, {.minor_version = 0}, "Connection: close\r\n"},
        {{.status = 401}, {.keep_alive = true, .minor_version = 1}, "WWW-Authenticate: Bearer\r\n"},
        {{.status = 405, .allow = "GET, HEAD"}, {.keep_alive = true, .minor_version = 1}, "Allow: GET, HEAD\r\n"},
        {{.status = 415}, {.minor_version = 1}, "Connection: close\r\nAccept-Encoding: identity\r\n"},
        {{.status = 426},
         {.minor_version = 1},
         "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
        {{.status = 426},
         {.keep_alive = true, .minor_version = 1},
         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
        {{.status = 429}, {.keep_alive = true, .minor_version = 1}, "Retry-After: 5\r\n"},
        {{.status = 503, .retry_after_s = 60}, {.keep_alive = true, .minor_version = 1}, "Retry-After: 60\r\n"},
        {{.status = 403, .varies_by_origin = true}, {.keep_alive = true, .minor_version = 1}, "Vary: Origin\r\n"},
        {{.status = 421}, {.keep_alive = true, .minor_version = 1}, ""},
    };
    char memory[512], expected[512];
    struct buf out = buf_of(memory, sizeof memory);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http1_manner manner = cases[i].manner;
        manner.date = slice_text("Tue, 23 Jan 2024 12:34:56 GMT");
        http1_response(&out, &cases[i].answer, &manner);
        snprintf(expected, sizeof expected,
                 "HTTP/1.1 %d %s\r\nDate: Tue, 23 Jan 2024 12:34:56 GMT\r\nContent-Length: 0\r\n%s\r\n",
                 cases[i].answer.status, http1_reason(cases[i].answer.status), cases[i].fields);
        assert_response(&out, expected);
    }
}

/* RFC 9110 section 15.5.6: nobody forgets it */
Test(http1, writes_no_405_without_methods, .signal = SIGABRT)
{
    char memory[200];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, &(struct http1_answer){.status = 405}, &kept);
}

Test(http1, says_when_a_response_does_not_fit)
{
    char memory[40];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, &(struct http1_answer){.status = 200, .content = slice_text("too much for it")}, &kept);
    cr_assert(out.overflow);
}

Test(http1, leaves_the_101_to_the_handshake, .signal = SIGABRT)
{
    char memory[100];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, &(struct http1_answer){.status = 101}, &kept);
}

Test(http1, has_a_phrase_for_every_status_that_we_send)
{
    static const int statuses[] = {100, 101, 200, 202, 204, 400, 401, 403, 404, 405, 408, 409, 411,
                                   413, 414, 415, 417, 421, 422, 426, 429, 431, 500, 501, 503, 505};
    unsigned named = 0;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        cr_assert(strlen(http1_reason(statuses[i])) > 0, "%d", statuses[i]);
    for (int status = 0; status < 1000; status++)
        named += strlen(http1_reason(status)) > 0;
    cr_assert_eq(named, sizeof statuses / sizeof statuses[0]);
}
