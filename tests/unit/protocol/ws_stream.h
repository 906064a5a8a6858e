/* SPDX-License-Identifier: MIT */
/* A stream of frames that a test writes, and the parser's reading of it as a log of lines, however the stream is
 * cut. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_WS_STREAM_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_WS_STREAM_H

#include "core/random.h"
#include "protocol/ws.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/naive_utf8.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#define LOG_BYTES 16384

static const struct ws_limits server = {.message_bytes_max = 4096, .empty_fragments_max = 4, .require_mask = true};
static const struct ws_limits deflating = {
    .message_bytes_max = 4096, .empty_fragments_max = 4, .require_mask = true, .allow_compressed = true};
static const struct ws_limits client = {.message_bytes_max = 1U << 20, .empty_fragments_max = 4, .require_mask = false};

_Static_assert(sizeof(struct ws_parser) <= 56, "one lives in every connection");

/* --- a stream, and what was read from it -------------------------------------------------------------------------- */

struct stream {
    uint8_t data[70000];
    size_t bytes;
};

static inline void stream_put(struct stream *stream, const void *data, size_t bytes)
{
    cr_assert_leq(bytes, sizeof stream->data - stream->bytes);
    memcpy(stream->data + stream->bytes, data, bytes);
    stream->bytes += bytes;
}

/* The length form is given: 0, 2 or 8 bytes. key NULL: not masked. */
static inline void stream_frame_as(struct stream *stream, uint8_t byte0, size_t form, const uint8_t *key,
                                   const void *payload, size_t bytes)
{
    uint8_t head[10] = {byte0, (uint8_t)((key != NULL ? 128 : 0) + (form == 0 ? bytes : form == 2 ? 126 : 127))};
    for (size_t i = 0; i < form; i++)
        head[2 + i] = (uint8_t)((uint64_t)bytes >> (8 * (form - 1 - i)));
    stream_put(stream, head, 2 + form);
    if (key != NULL)
        stream_put(stream, key, 4);
    size_t at = stream->bytes;
    if (bytes > 0)
        stream_put(stream, payload, bytes);
    for (size_t i = 0; key != NULL && i < bytes; i++)
        stream->data[at + i] ^= key[i % 4];
}

static inline void stream_frame(struct stream *stream, uint8_t byte0, const void *payload, size_t bytes)
{
    static const uint8_t key[4] = {0x11, 0xA2, 0x53, 0xE4};
    stream_frame_as(stream, byte0, bytes < 126 ? 0 : bytes < 65536 ? 2 : 8, key, payload, bytes);
}

/* Lines like "T hello", "ZT (a compressed one)", "9 ping", "E1002"; bytes outside of printable ASCII as \xx. */
struct log {
    char text[LOG_BYTES];
    size_t used;
};

static inline void log_bytes(struct log *log, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.bytes; i++) {
        uint8_t c = bytes.data[i];
        cr_assert_lt(log->used + 4, sizeof log->text);
        if (c > ' ' && c < 0x7F && c != '\\') {
            log->text[log->used++] = (char)c;
        } else {
            log->text[log->used++] = '\\';
            log->text[log->used++] = digits[c >> 4];
            log->text[log->used++] = digits[c & 15];
        }
    }
    log->text[log->used] = '\0';
}

static inline void log_text(struct log *log, const char *text)
{
    size_t bytes = strlen(text);
    cr_assert_lt(log->used + bytes, sizeof log->text);
    memcpy(log->text + log->used, text, bytes + 1);
    log->used += bytes;
}

/* Whole messages and control frames only: what a piece holds depends on the cuts. */
static inline void log_whole(struct log *log, unsigned opcode, struct slice payload)
{
    char head[] = {opcode == 1 ? 'T' : opcode == 2 ? 'B' : "0123456789ABCDEF"[opcode], ' ', '\0'};
    log_text(log, head);
    log_bytes(log, payload);
    log_text(log, "\n");
}

static inline void log_error(struct log *log, unsigned code)
{
    char line[16];
    snprintf(line, sizeof line, "E%u\n", code);
    log_text(log, line);
}

/* --- reading with the parser -------------------------------------------------------------------------------------- */

struct reader {
    struct ws_parser parser;
    const struct ws_limits *limits;
    struct log log;
    uint8_t message[70000], control[128];
    size_t message_bytes, control_bytes;
    unsigned message_opcode; /* 0: none open */
    bool message_compressed;
    bool control_open, failed;
};

static inline void reader_init(struct reader *reader, const struct ws_limits *limits)
{
    memset(reader, 0, sizeof *reader);
    ws_parser_init(&reader->parser);
    reader->limits = limits;
}

static inline void reader_data(struct reader *reader, const struct ws_event *event)
{
    cr_assert(event->opcode == WS_TEXT || event->opcode == WS_BINARY);
    cr_assert_eq(event->first, reader->message_opcode == 0);
    cr_assert(event->first || reader->message_opcode == event->opcode);
    cr_assert(event->first || reader->message_compressed == event->compressed);
    cr_assert(event->payload.bytes > 0 || event->last);
    cr_assert_not(reader->control_open, "a message goes on inside a control frame");
    reader->message_opcode = event->opcode;
    reader->message_compressed = event->compressed;
    if (event->payload.bytes > 0)
        memcpy(reader->message + reader->message_bytes, event->payload.data, event->payload.bytes);
    reader->message_bytes += event->payload.bytes;
    if (!event->last)
        return;
    log_text(&reader->log, event->compressed ? "Z" : "");
    log_whole(&reader->log, event->opcode, slice_of(reader->message, reader->message_bytes));
    reader->message_bytes = 0;
    reader->message_opcode = 0;
}

static inline void reader_control(struct reader *reader, const struct ws_event *event)
{
    cr_assert(event->opcode == WS_CLOSE || event->opcode == WS_PING || event->opcode == WS_PONG);
    cr_assert_eq(event->first, !reader->control_open);
    cr_assert_not(event->compressed);
    reader->control_open = !event->last;
    cr_assert_leq(reader->control_bytes + event->payload.bytes, 125);
    if (event->payload.bytes > 0)
        memcpy(reader->control + reader->control_bytes, event->payload.data, event->payload.bytes);
    reader->control_bytes += event->payload.bytes;
    if (!event->last)
        return;
    log_whole(&reader->log, event->opcode, slice_of(reader->control, reader->control_bytes));
    reader->control_bytes = 0;
}

/* Gives the bytes at the end of a page, a copy of their own: the parser must neither read on nor look back. */
static inline void reader_feed(struct reader *reader, const uint8_t *data, size_t bytes)
{
    uint8_t *placed = guard_place(data, bytes);
    struct span input = {placed, bytes};
    struct ws_event event;
    enum ws_event_kind kind;

    while ((kind = ws_next(&reader->parser, reader->limits, &input, &event)) != WS_NEED_MORE && kind != WS_ERROR) {
        cr_assert_eq(kind, event.kind);
        cr_assert(event.payload.bytes == 0 ||
                  (event.payload.data >= placed && event.payload.data + event.payload.bytes == input.data));
        if (kind == WS_DATA)
            reader_data(reader, &event);
        else
            reader_control(reader, &event);
    }
    cr_assert_eq(kind, event.kind);
    if (kind == WS_NEED_MORE)
        cr_assert_eq(input.bytes, 0);
    if (kind == WS_ERROR && !reader->failed) {
        cr_assert(strlen(event.reason) > 0 && strlen(event.reason) <= 123);
        log_error(&reader->log, event.close_code);
    }
    reader->failed = kind == WS_ERROR;
    guard_free(placed, bytes);
}

static inline void assert_log(const struct reader *reader, const char *expected)
{
    cr_assert_str_eq(reader->log.text, expected, "got:\n%s\nexpected:\n%s", reader->log.text, expected);
}

/* The whole, every cut into two, and byte by byte. */
static inline void assert_reads(const struct ws_limits *limits, const struct stream *stream, const char *expected)
{
    struct reader reader;

    for (size_t cut = 0; cut <= stream->bytes; cut++) {
        reader_init(&reader, limits);
        reader_feed(&reader, stream->data, cut);
        reader_feed(&reader, stream->data + cut, stream->bytes - cut);
        assert_log(&reader, expected);
    }
    reader_init(&reader, limits);
    for (size_t i = 0; i < stream->bytes; i++)
        reader_feed(&reader, stream->data + i, 1);
    assert_log(&reader, expected);
}

#endif
