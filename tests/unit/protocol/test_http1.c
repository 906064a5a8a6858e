/* SPDX-License-Identifier: MIT */
/* Proves heads of HTTP requests: what is taken and what it means, what is refused and with which status, the limits
 * (K-24, K-30), and that it never matters where the input is cut. Bodies, targets and responses have files of their
 * own. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/http1.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/http1_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define HOST "Host: example.com\r\n"

/* --- heads -------------------------------------------------------------------------------------------------------- */

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

/* --- limits of a head (K-24) -------------------------------------------------------------------------------------- */

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
