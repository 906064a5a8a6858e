/* SPDX-License-Identifier: MIT */
/* Proves HTTP responses byte by byte: status lines, fields, and what does not fit. Run by unit_protocol. */
#include "protocol/http1.h"
#include "tests/unit/protocol/http1_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

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
