/* SPDX-License-Identifier: MIT */
/* Proves HTTP responses byte by byte: status lines, fields, and what does not fit. Run by unit_protocol. */
#include "protocol/http1.h"
#include "tests/unit/protocol/http1_rig.h"

#include <criterion/criterion.h>
#include <signal.h>

static void assert_response(struct buf *out, const char *expected)
{
    cr_assert_not(out->overflow);
    cr_assert(slice_is(buf_slice(out), expected), "got:\n%.*s", (int)out->used, (const char *)out->data);
    buf_reset(out);
}

Test(http1, writes_responses)
{
    char memory[512];
    struct buf out = buf_of(memory, sizeof memory);
    struct slice none = slice_text("");

    http1_response(&out, 200, "application/json", none, slice_text("{}"), true, false);
    assert_response(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    http1_response(&out, 426, NULL, slice_text("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), none, false,
                   false);
    assert_response(&out, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n"
                          "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n");
    http1_response(&out, 404, "text/plain", none, slice_text("not found"), false, true);
    assert_response(&out, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"
                          "Connection: close\r\n\r\n");
    http1_response(&out, 204, "text/plain", none, none, true, false);
    assert_response(&out, "HTTP/1.1 204 No Content\r\n\r\n");
    http1_response(&out, 100, NULL, none, none, false, false);
    assert_response(&out, "HTTP/1.1 100 Continue\r\n\r\n");
}

Test(http1, says_when_a_response_does_not_fit)
{
    char memory[40];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, 200, NULL, slice_text(""), slice_text("too much for it"), true, false);
    cr_assert(out.overflow);
}

Test(http1, leaves_the_101_to_the_handshake, .signal = SIGABRT)
{
    char memory[100];
    struct buf out = buf_of(memory, sizeof memory);
    http1_response(&out, 101, NULL, slice_text(""), slice_text(""), true, false);
}

Test(http1, has_a_phrase_for_every_status_that_we_send)
{
    static const int statuses[] = {100, 101, 200, 202, 204, 400, 401, 403, 404, 405, 408, 409,
                                   411, 413, 414, 417, 422, 426, 429, 431, 500, 501, 503, 505};
    unsigned named = 0;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        cr_assert(strlen(http1_reason(statuses[i])) > 0, "%d", statuses[i]);
    for (int status = 0; status < 1000; status++)
        named += strlen(http1_reason(status)) > 0;
    cr_assert_eq(named, sizeof statuses / sizeof statuses[0]);
}
