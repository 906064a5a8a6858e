/* SPDX-License-Identifier: MIT */
/* Proves the load client's walk over server frames: the same events for every split of the stream, nothing read
 * behind its end, and each breach of RFC 6455 refused. Run by unit_bench. */
#include "bench/bench_frames.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define STREAM_BYTES 1024
#define LOG_BYTES 1024

struct stream {
    uint8_t data[STREAM_BYTES];
    size_t bytes;
};

static void put(struct stream *stream, const void *data, size_t bytes)
{
    cr_assert_leq(bytes, sizeof stream->data - stream->bytes);
    memcpy(stream->data + stream->bytes, data, bytes);
    stream->bytes += bytes;
}

/* A frame whose payload is a stamp (if `sequence` is not 0) and `filler` more bytes. */
static void put_frame(struct stream *stream, uint8_t first, uint32_t sequence, size_t filler)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint8_t payload[512];
    size_t stamp_bytes = sequence > 0 ? STAMP_BYTES : 0;
    if (sequence > 0)
        stamp_write(payload, &(struct stamp){.source = 3, .sequence = sequence, .sent_ns = 77});
    memset(payload + stamp_bytes, 'x', filler);
    size_t header_bytes = ws_header_write(header, WS_TEXT, stamp_bytes + filler);
    header[0] = first;
    put(stream, header, header_bytes);
    put(stream, payload, stamp_bytes + filler);
}

struct log {
    char text[LOG_BYTES];
    size_t used;
};

/* Feeds one piece, placed before an unreadable page, and writes each event down. */
static void feed(struct frames *frames, const uint8_t *data, size_t bytes, struct log *log)
{
    uint8_t *piece = guard_place(data, bytes);
    struct slice input = slice_of(piece, bytes);
    struct frames_event event;
    enum frames_result result = FRAMES_MORE;
    while (input.bytes > 0 && result != FRAMES_BAD) {
        result = frames_next(frames, &input, &event);
        int n = 0;
        char *at = log->text + log->used;
        size_t room = sizeof log->text - log->used;
        if (result == FRAMES_MESSAGE)
            n = snprintf(at, room, "message %u %d %u %zu|", event.opcode, event.stamped,
                         event.stamped ? event.stamp.sequence : 0, (size_t)event.bytes);
        else if (result == FRAMES_CONTROL)
            n = snprintf(at, room, "control %u %.*s|", event.opcode, (int)event.payload.bytes,
                         (const char *)event.payload.data);
        else if (result == FRAMES_BAD)
            n = snprintf(at, room, "bad|");
        log->used += (size_t)n;
    }
    guard_free(piece, bytes);
}

static struct log walk(const struct stream *stream, size_t cut, size_t second_cut)
{
    struct frames frames;
    struct log log = {.used = 0};
    frames_init(&frames);
    feed(&frames, stream->data, cut, &log);
    feed(&frames, stream->data + cut, second_cut - cut, &log);
    feed(&frames, stream->data + second_cut, stream->bytes - second_cut, &log);
    return log;
}

Test(bench_frames, any_two_cuts_give_the_same_events)
{
    struct stream stream = {.bytes = 0};
    put_frame(&stream, 0x81, 1, 8);
    put_frame(&stream, 0x81, 2, 300); /* a 16-bit length */
    put_frame(&stream, 0x01, 3, 0);   /* a message in three fragments, a ping between them */
    put(&stream, "\x89\x02hi", 4);
    put_frame(&stream, 0x00, 0, 5);
    put_frame(&stream, 0x80, 0, 0);
    put(&stream, "\x82\x00", 2);
    put(&stream, "\x88\x02\x03\xe8", 4);
    const char *expected = "message 1 1 1 32|message 1 1 2 324|control 9 hi|message 1 1 3 29|message 2 0 0 0|"
                           "control 8 \x03\xe8|";
    for (size_t cut = 0; cut <= stream.bytes; cut++) {
        size_t step = cut % 7 == 0 ? 1 : 41; /* all pairs would be many; every first cut meets many second ones */
        for (size_t second = cut; second <= stream.bytes; second += step) {
            struct log log = walk(&stream, cut, second);
            cr_assert_str_eq(log.text, expected, "cut at %zu and %zu", cut, second);
        }
    }
}

Test(bench_frames, one_byte_at_a_time_gives_the_same_events)
{
    struct stream stream = {.bytes = 0};
    put_frame(&stream, 0x81, 9, 200);
    put_frame(&stream, 0x82, 10, 1);
    struct frames frames;
    struct log log = {.used = 0};
    frames_init(&frames);
    for (size_t i = 0; i < stream.bytes; i++)
        feed(&frames, stream.data + i, 1, &log);
    cr_assert_str_eq(log.text, "message 1 1 9 224|message 2 1 10 25|");
}

static void assert_bad(const char *bytes, size_t count)
{
    struct stream stream = {.bytes = 0};
    put(&stream, bytes, count);
    struct log log = walk(&stream, 0, 0);
    cr_assert_str_eq(log.text, "bad|");
}

Test(bench_frames, refuses_what_a_server_must_not_send)
{
    assert_bad("\xc1\x00", 2);                 /* a reserved bit */
    assert_bad("\x81\x80\x01\x02\x03\x04", 6); /* a mask */
    assert_bad("\x83\x00", 2);                 /* a reserved opcode */
    assert_bad("\x80\x00", 2);                 /* a continuation of nothing */
    assert_bad("\x09\x00", 2);                 /* a fragmented ping */
    assert_bad("\x89\x7e\x00\x7e", 4);         /* a ping of 126 bytes */
    assert_bad("\x01\x00\x01\x00", 4);         /* a message inside another one */
}

/* What the pieces of raw messages amount to, fed at two cuts. */
static void assert_raw(const struct stream *stream, size_t cut, const char *expected)
{
    struct frames frames;
    char text[STREAM_BYTES] = "";
    size_t used = 0;
    frames_init(&frames);
    frames.raw = true;
    size_t ends[] = {cut, stream->bytes};
    size_t from = 0;
    for (size_t i = 0; i < 2; from = ends[i++]) {
        uint8_t *piece = guard_place(stream->data + from, ends[i] - from);
        struct slice input = slice_of(piece, ends[i] - from);
        while (input.bytes > 0) {
            struct frames_event event;
            enum frames_result result = frames_next(&frames, &input, &event);
            cr_assert(result == FRAMES_MORE || result == FRAMES_PIECE || result == FRAMES_CONTROL);
            if (result == FRAMES_MORE)
                continue;
            memcpy(text + used, event.payload.data, event.payload.bytes);
            used += event.payload.bytes;
        }
        guard_free(piece, ends[i] - from);
    }
    text[used] = '\0';
    cr_assert_str_eq(text, expected, "cut at %zu", cut);
}

Test(bench_frames, raw_messages_are_one_stream_of_bytes)
{
    struct stream stream = {.bytes = 0};
    put(&stream, "\x82\x05hello", 7);
    put(&stream, "\x82\x00", 2);
    put(&stream, "\x02\x02, ", 4); /* two fragments, a ping between them */
    put(&stream, "\x89\x02hi", 4);
    put(&stream, "\x80\x05 worl", 7);
    put(&stream,
        "\x82\x01"
        "d",
        3);
    for (size_t cut = 0; cut <= stream.bytes; cut++)
        assert_raw(&stream, cut, "hello, hi world");
}
