/* SPDX-License-Identifier: MIT */
/* Proves the client's reading of NATS: the same events for every split of the stream, nothing read behind its end, what
 * is not the protocol refused. Run by unit_bench. */
#include "bench/bench_nats.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define LOG_BYTES 1024

struct log {
    char text[LOG_BYTES];
    size_t used;
};

static void note(struct log *log, enum nats_result result, const struct nats_event *event)
{
    static const char *const names[] = {"more", "message", "ping", "refused", "bad"};
    char *at = log->text + log->used;
    size_t room = sizeof log->text - log->used;
    int n = 0;
    if (result == NATS_MESSAGE)
        n = snprintf(at, room, "message %zu %d %u|", (size_t)event->bytes, event->stamped,
                     event->stamped ? event->stamp.sequence : 0);
    else if (result == NATS_REFUSED || result == NATS_BAD)
        n = snprintf(at, room, "%s %.*s|", names[result], (int)event->text.bytes, (const char *)event->text.data);
    else if (result != NATS_MORE)
        n = snprintf(at, room, "%s|", names[result]);
    log->used += (size_t)n;
    cr_assert_lt(log->used, sizeof log->text);
}

/* One piece, placed before an unreadable page. */
static void feed(struct nats *nats, const uint8_t *data, size_t bytes, struct log *log)
{
    uint8_t *piece = guard_place(data, bytes);
    struct slice input = slice_of(piece, bytes);
    enum nats_result result = NATS_MORE;
    while (input.bytes > 0 && result != NATS_BAD) {
        struct nats_event event;
        result = nats_next(nats, &input, &event);
        note(log, result, &event);
    }
    guard_free(piece, bytes);
}

/* What a stream amounts to, which no split may change. */
static void expect(const char *text, const char *events)
{
    const uint8_t *data = (const uint8_t *)text;
    size_t bytes = strlen(text);
    for (size_t split = 0; split <= bytes; split++) {
        struct nats nats;
        struct log log = {0};
        nats_init(&nats);
        feed(&nats, data, split, &log);
        feed(&nats, data + split, bytes - split, &log);
        cr_assert_str_eq(log.text, events, "split at %zu: %s", split, log.text);
    }
    struct nats nats;
    struct log log = {0};
    nats_init(&nats);
    for (size_t i = 0; i < bytes; i++)
        feed(&nats, data + i, 1, &log);
    cr_assert_str_eq(log.text, events, "byte by byte: %s", log.text);
}

/* Stamp of source 1, sequence 0x2a, with five bytes behind it. */
#define STAMPED "00010000002a00000000000cxxxxx"

Test(bench_nats, messages_are_found_wherever_the_stream_is_split)
{
    expect("INFO {\"server_id\":\"N\",\"max_payload\":1048576} \r\nMSG bench 1 29\r\n" STAMPED
           "\r\nPING\r\nMSG bench 1 _INBOX.7 29\r\n" STAMPED "\r\n+OK\r\nPONG\r\n",
           "message 29 1 42|ping|message 29 1 42|");
}

Test(bench_nats, payloads_that_look_like_lines_are_payloads)
{
    expect("MSG s 1 12\r\nPING\r\n-ERR\r\n\r\nMSG s 1 0\r\n\r\nPING\r\n", "message 12 0 0|message 0 0 0|ping|");
}

Test(bench_nats, a_refusal_is_passed_on)
{
    expect("-ERR 'Authorization Violation'\r\nPING\r\n", "refused -ERR 'Authorization Violation'|ping|");
}

Test(bench_nats, a_line_longer_than_the_memory_for_lines_is_passed_over)
{
    char text[2 * NATS_LINE_BYTES_MAX + 64] = "INFO ";
    memset(text + 5, 'x', 2 * NATS_LINE_BYTES_MAX);
    strcat(text, "\r\nPING\r\n");
    expect(text, "ping|");
}

Test(bench_nats, what_is_not_the_protocol_is_refused)
{
    expect("HTTP/1.1 400 Bad Request\r\n", "bad a line that is not of the NATS protocol|");
    expect("MSG bench 1 x\r\n", "bad a MSG line without a size|");
    expect("MSG \r\n", "bad a MSG line without a size|");
    expect("MSG bench 1 9999999999\r\n", "bad a MSG line without a size|");
}

Test(bench_nats, a_subscriber_subscribes_and_a_publisher_does_not)
{
    uint8_t memory[NATS_LINE_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory - 1);
    nats_put_connect(&out, "bench");
    memory[out.used] = '\0';
    cr_assert(strncmp((char *)memory, "CONNECT {", 9) == 0);
    cr_assert(strstr((char *)memory, "}\r\nSUB bench 1\r\n"));
    buf_reset(&out);
    nats_put_connect(&out, NULL);
    memory[out.used] = '\0';
    cr_assert_null(strstr((char *)memory, "SUB"));
    buf_reset(&out);
    nats_put_publish(&out, slice_text("bench"), 512);
    cr_assert(slice_is(buf_slice(&out), "PUB bench 512\r\n"));
}
