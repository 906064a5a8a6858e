/* SPDX-License-Identifier: MIT */
/* Proves the frame parser against RFC 6455: its examples, every fault with the byte that proves it, the limits of K-2
 * and K-24, the bit of RFC 7692 (K-3), and random streams, cut anywhere, against a decoder of whole streams that shares
 * nothing with it. Run by unit_protocol. */
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

static void stream_put(struct stream *stream, const void *data, size_t bytes)
{
    cr_assert_leq(bytes, sizeof stream->data - stream->bytes);
    memcpy(stream->data + stream->bytes, data, bytes);
    stream->bytes += bytes;
}

/* The length form is given: 0, 2 or 8 bytes. key NULL: not masked. */
static void stream_frame_as(struct stream *stream, uint8_t byte0, size_t form, const uint8_t *key, const void *payload,
                            size_t bytes)
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

static void stream_frame(struct stream *stream, uint8_t byte0, const void *payload, size_t bytes)
{
    static const uint8_t key[4] = {0x11, 0xA2, 0x53, 0xE4};
    stream_frame_as(stream, byte0, bytes < 126 ? 0 : bytes < 65536 ? 2 : 8, key, payload, bytes);
}

/* Lines like "T hello", "ZT (a compressed one)", "9 ping", "E1002"; bytes outside of printable ASCII as \xx. */
struct log {
    char text[LOG_BYTES];
    size_t used;
};

static void log_bytes(struct log *log, struct slice bytes)
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

static void log_text(struct log *log, const char *text)
{
    size_t bytes = strlen(text);
    cr_assert_lt(log->used + bytes, sizeof log->text);
    memcpy(log->text + log->used, text, bytes + 1);
    log->used += bytes;
}

/* Whole messages and control frames only: what a piece holds depends on the cuts. */
static void log_whole(struct log *log, unsigned opcode, struct slice payload)
{
    char head[] = {opcode == 1 ? 'T' : opcode == 2 ? 'B' : "0123456789ABCDEF"[opcode], ' ', '\0'};
    log_text(log, head);
    log_bytes(log, payload);
    log_text(log, "\n");
}

static void log_error(struct log *log, unsigned code)
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

static void reader_init(struct reader *reader, const struct ws_limits *limits)
{
    memset(reader, 0, sizeof *reader);
    ws_parser_init(&reader->parser);
    reader->limits = limits;
}

static void reader_data(struct reader *reader, const struct ws_event *event)
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

static void reader_control(struct reader *reader, const struct ws_event *event)
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
static void reader_feed(struct reader *reader, const uint8_t *data, size_t bytes)
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

static void assert_log(const struct reader *reader, const char *expected)
{
    cr_assert_str_eq(reader->log.text, expected, "got:\n%s\nexpected:\n%s", reader->log.text, expected);
}

/* The whole, every cut into two, and byte by byte. */
static void assert_reads(const struct ws_limits *limits, const struct stream *stream, const char *expected)
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

/* --- RFC 6455 section 5.7 ----------------------------------------------------------------------------------------- */

Test(ws, reads_the_masked_examples_of_the_rfc)
{
    static const uint8_t hello[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static const uint8_t pong[] = {0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    struct stream stream = {0};
    stream_put(&stream, hello, sizeof hello);
    stream_put(&stream, pong, sizeof pong);
    assert_reads(&server, &stream, "T Hello\nA Hello\n");
}

Test(ws, reads_the_unmasked_examples_of_the_rfc)
{
    static const uint8_t frames[] = {
        0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,             /* "Hello" */
        0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f, /* "Hel", "lo" */
        0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,             /* ping */
    };
    struct stream stream = {0};
    stream_put(&stream, frames, sizeof frames);
    assert_reads(&client, &stream, "T Hello\nT Hello\n9 Hello\n");
}

Test(ws, writes_the_headers_of_the_rfc)
{
    static const struct {
        uint64_t payload_bytes;
        size_t bytes;
        uint8_t head[10];
    } rows[] = {
        {0, 2, {0x82, 0}},
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0x00, 0x7E}},
        {256, 4, {0x82, 0x7E, 0x01, 0x00}}, /* section 5.7 */
        {65535, 4, {0x82, 126, 0xFF, 0xFF}},
        {65536, 10, {0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0}}, /* section 5.7 */
        {INT64_MAX, 10, {0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}},
    };
    static const uint8_t key[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[14];
        cr_assert_eq(ws_header_bytes(rows[i].payload_bytes), rows[i].bytes);
        cr_assert_eq(ws_header_write(out, WS_BINARY, rows[i].payload_bytes), rows[i].bytes);
        cr_assert_arr_eq(out, rows[i].head, rows[i].bytes);
        cr_assert_eq(ws_header_write_compressed(out, WS_BINARY, rows[i].payload_bytes), rows[i].bytes);
        cr_assert_eq(out[0], 0xC2);
        cr_assert_arr_eq(out + 1, rows[i].head + 1, rows[i].bytes - 1);

        cr_assert_eq(ws_header_write_masked(out, WS_BINARY, rows[i].payload_bytes, key), rows[i].bytes + 4);
        cr_assert_eq(out[1], rows[i].head[1] | 0x80);
        cr_assert_arr_eq(out + 2, rows[i].head + 2, rows[i].bytes - 2);
        cr_assert_arr_eq(out + rows[i].bytes, key, 4);
    }
}

/* --- faults (K-2) ------------------------------------------------------------------------------------------------- */

Test(ws, raises_each_fault_at_the_byte_that_proves_it)
{
    static const struct {
        const char *what;
        uint8_t bytes[32];
        size_t proven_at; /* so many bytes make it certain */
        unsigned code;
    } rows[] = {
        {"RSV1", {0xC1}, 1, 1002},
        {"RSV2", {0xA1}, 1, 1002},
        {"RSV3", {0x91}, 1, 1002},
        {"RSV1 on a ping", {0xC9}, 1, 1002},
        {"opcode 3", {0x83}, 1, 1002},
        {"opcode 7", {0x87}, 1, 1002},
        {"opcode B", {0x8B}, 1, 1002},
        {"opcode F", {0x8F}, 1, 1002},
        {"fragmented close", {0x08}, 1, 1002},
        {"fragmented ping", {0x09}, 1, 1002},
        {"fragmented pong", {0x0A}, 1, 1002},
        {"continuation without a message", {0x80}, 1, 1002},
        {"continuation, not final, without a message", {0x00}, 1, 1002},
        {"continuation behind a whole message", {0x81, 0x80, 0, 0, 0, 0, 0x80}, 7, 1002},
        {"text inside a message", {0x01, 0x81, 0, 0, 0, 0, 'a', 0x81}, 8, 1002},
        {"binary inside a message", {0x01, 0x80, 0, 0, 0, 0, 0x02}, 7, 1002},
        {"not masked", {0x81, 0x01}, 2, 1002},
        {"control frame not masked", {0x89, 0x00}, 2, 1002},
        {"control frame of 126 bytes", {0x89, 0xFE}, 2, 1002},
        {"control frame with a 64-bit length", {0x88, 0xFF}, 2, 1002},
        {"16-bit length of 125", {0x82, 0xFE, 0, 125}, 4, 1002},
        {"16-bit length of 0", {0x82, 0xFE, 0, 0}, 4, 1002},
        {"64-bit length of 65535", {0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 10, 1002},
        {"64-bit length of 1", {0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1}, 10, 1002},
        {"64-bit length with its highest bit", {0x82, 0xFF, 0x80}, 3, 1002},
        {"16-bit length beyond the limit", {0x82, 0xFE, 0x10, 0x01}, 4, 1009},
        {"64-bit length beyond the limit", {0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0}, 10, 1009},
        {"the greatest length", {0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 10, 1009},
        {"the greatest length behind a fragment",
         {0x02, 0x81, 0, 0, 0, 0, 'a', 0x80, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
         17,
         1009},
        {"text that begins with a tail byte", {0x81, 0xFD, 0, 0, 0, 0, 0x80}, 7, 1007},
        {"an overlong slash", {0x81, 0xFD, 0, 0, 0, 0, 'a', 0xC0}, 8, 1007},
        {"a surrogate", {0x81, 0xFD, 0, 0, 0, 0, 0xED, 0xA0}, 8, 1007},
        {"above U+10FFFF", {0x81, 0xFD, 0, 0, 0, 0, 0xF4, 0x90}, 8, 1007},
        {"a character cut off", {0x81, 0x82, 0, 0, 0, 0, 0xE2, 0x82}, 8, 1007},
        {"a character cut off by an empty fragment", {0x01, 0x81, 0, 0, 0, 0, 0xC3, 0x80, 0x80, 0, 0, 0, 0}, 13, 1007},
        {"a character ended by the next fragment's ASCII",
         {0x01, 0x81, 0, 0, 0, 0, 0xC3, 0x80, 0x85, 0, 0, 0, 0, 'a'},
         14,
         1007},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reader reader;
        reader_init(&reader, &server);
        for (size_t at = 0; at < rows[i].proven_at; at++) {
            cr_assert_not(reader.failed, "%s: too early, at %zu", rows[i].what, at);
            reader_feed(&reader, rows[i].bytes + at, 1);
        }
        cr_assert(reader.failed, "%s: not seen", rows[i].what);

        char expected[16];
        snprintf(expected, sizeof expected, "E%u\n", rows[i].code);
        cr_assert(strstr(reader.log.text, expected) != NULL, "%s: %s", rows[i].what, reader.log.text);
        struct stream stream = {0};
        stream_put(&stream, rows[i].bytes, sizeof rows[i].bytes);
        assert_reads(&server, &stream, reader.log.text);
    }
}

Test(ws, refuses_a_masked_frame_at_the_clients_side)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x81, "a", 1);
    assert_reads(&client, &stream, "E1002\n");
}

Test(ws, keeps_its_error)
{
    struct reader reader;
    reader_init(&reader, &server);
    reader_feed(&reader, (const uint8_t *)"\x83", 1);
    struct stream good = {0};
    stream_frame(&good, 0x81, "a", 1);
    for (int i = 0; i < 3; i++) {
        uint8_t copy[16];
        memcpy(copy, good.data, good.bytes);
        struct span input = {copy, good.bytes};
        struct ws_event event;
        cr_assert_eq(ws_next(&reader.parser, &server, &input, &event), WS_ERROR);
        cr_assert_eq(event.close_code, 1002);
        cr_assert_str_eq(event.reason, "unknown opcode");
        cr_assert_eq(input.bytes, good.bytes, "an ended connection takes nothing more");
    }
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

Test(ws, joins_fragments_around_control_frames)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x01, "gr\xC3", 3);
    stream_frame(&stream, 0x89, "in between", 10);
    stream_frame(&stream, 0x00, "\xBC\xC3\x9F", 3);
    stream_frame(&stream, 0x8A, "", 0);
    stream_frame(&stream, 0x80, " dich", 5);
    stream_frame(&stream, 0x88, "\x03\xE8", 2);
    assert_reads(&server, &stream, "9 in\\20between\nA \nT gr\\c3\\bc\\c3\\9f\\20dich\n8 \\03\\e8\n");
}

Test(ws, gives_fragments_the_opcode_of_their_message)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x02, "\xFF", 1); /* binary is not checked as text */
    stream_frame(&stream, 0x80, "\xFE", 1);
    stream_frame(&stream, 0x81, "t", 1);
    assert_reads(&server, &stream, "B \\ff\\fe\nT t\n");
}

Test(ws, gives_empty_messages)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x81, "", 0);
    stream_frame(&stream, 0x82, "", 0);
    stream_frame(&stream, 0x01, "", 0);
    stream_frame(&stream, 0x80, "", 0);
    stream_frame(&stream, 0x89, "", 0);
    assert_reads(&server, &stream, "T \nB \nT \n9 \n");
}

Test(ws, yields_a_message_that_lies_whole_in_one_piece)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x81, "whole", 5);
    struct ws_parser parser;
    struct ws_event event;
    struct span input = {stream.data, stream.bytes};
    ws_parser_init(&parser);
    cr_assert_eq(ws_next(&parser, &server, &input, &event), WS_DATA);
    cr_assert(event.first && event.last);
    cr_assert(slice_is(event.payload, "whole"));
    cr_assert_eq(event.payload.data, stream.data + 6, "in place");
    cr_assert_eq(ws_next(&parser, &server, &input, &event), WS_NEED_MORE);
}

Test(ws, knows_when_something_is_incomplete)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x89, "a", 1);
    size_t ping_end = stream.bytes;
    stream_frame(&stream, 0x01, "b", 1);
    stream_frame(&stream, 0x80, "c", 1);
    struct reader reader;
    reader_init(&reader, &server);
    cr_assert_not(ws_in_message(&reader.parser));
    for (size_t i = 0; i < stream.bytes; i++) {
        reader_feed(&reader, stream.data + i, 1);
        cr_assert_eq(ws_in_message(&reader.parser), i + 1 != ping_end && i + 1 != stream.bytes, "behind byte %zu", i);
    }
}

/* --- compressed messages (K-3): RFC 7692 section 6 ---------------------------------------------------------------- */

/* section 7.2.3.1: "Hello" in one frame and in two */
Test(ws, marks_compressed_messages)
{
    struct stream stream = {0};
    stream_frame(&stream, 0xC1, "\xF2\x48\xCD\xC9\xC9\x07\x00", 7);
    stream_frame(&stream, 0x41, "\xF2\x48\xCD", 3);
    stream_frame(&stream, 0x89, "ping", 4);
    stream_frame(&stream, 0x80, "\xC9\xC9\x07\x00", 4);
    stream_frame(&stream, 0xC2, "\x00", 1);
    stream_frame(&stream, 0xC1, "", 0);
    stream_frame(&stream, 0x81, "plain", 5);
    stream_frame(&stream, 0x02, "pl", 2);
    stream_frame(&stream, 0x80, "ain", 3);
    assert_reads(
        &deflating, &stream,
        "ZT \\f2H\\cd\\c9\\c9\\07\\00\n9 ping\nZT \\f2H\\cd\\c9\\c9\\07\\00\nZB \\00\nZT \nT plain\nB plain\n");
}

Test(ws, marks_a_compressed_message_whose_first_fragment_is_empty)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x42, "", 0);
    stream_frame(&stream, 0x00, "", 0);
    stream_frame(&stream, 0x80, "x", 1);
    assert_reads(&deflating, &stream, "ZB x\n");
}

Test(ws, checks_text_again_behind_a_compressed_message)
{
    struct stream stream = {0};
    stream_frame(&stream, 0xC1, "\xC3", 1);
    stream_frame(&stream, 0x81, "\xA4", 1);
    assert_reads(&deflating, &stream, "ZT \\c3\nE1007\n");
}

Test(ws, takes_the_compressed_bit_only_where_it_may_stand)
{
    static const struct {
        uint8_t bytes[16];
        size_t proven_at;
    } rows[] = {
        {{0xC9}, 1}, /* ping */
        {{0xCA}, 1}, /* pong */
        {{0xC8}, 1}, /* close */
        {{0xC0}, 1}, /* continuation without a message */
        {{0x41, 0x81, 0, 0, 0, 0, 'a', 0xC0}, 8},
        {{0x41, 0x81, 0, 0, 0, 0, 'a', 0x40}, 8},
        {{0x01, 0x81, 0, 0, 0, 0, 'a', 0xC0}, 8},
        {{0x41, 0x81, 0, 0, 0, 0, 'a', 0xC1}, 8}, /* a message inside a message */
        {{0xE1}, 1},                              /* with RSV2 */
        {{0xD1}, 1},                              /* with RSV3 */
        {{0xA1}, 1},
        {{0x91}, 1},
        {{0xC3}, 1}, /* unknown opcodes */
        {{0xCB}, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reader reader;
        reader_init(&reader, &deflating);
        reader_feed(&reader, rows[i].bytes, rows[i].proven_at - 1);
        cr_assert_not(reader.failed, "row %zu: too early", i);
        reader_feed(&reader, rows[i].bytes + rows[i].proven_at - 1, 1);
        assert_log(&reader, "E1002\n");
    }
}

Test(ws, gives_the_payload_of_a_compressed_message_room_for_what_deflate_adds)
{
    static uint8_t payload[6000];
    struct stream stream = {0};
    struct reader reader;
    size_t most = (size_t)ws_compressed_bytes_max(deflating.message_bytes_max);
    cr_assert(most > 4096 + 4096 / 8 && most < sizeof payload);
    memset(payload, 'x', sizeof payload);
    stream_frame(&stream, 0xC2, payload, most);
    stream_frame(&stream, 0x42, payload, 4000);
    stream_frame(&stream, 0x80, payload, most - 4000);
    reader_init(&reader, &deflating);
    reader_feed(&reader, stream.data, stream.bytes);
    cr_assert_eq(reader.log.used, 2 * (3 + most + 1));

    stream.bytes = 0;
    stream_frame(&stream, 0x42, payload, 4000);
    stream_frame(&stream, 0x80, payload, most - 4000 + 1);
    assert_reads(&deflating, &stream, "E1009\n");

    stream.bytes = 0;
    stream_frame(&stream, 0xC2, payload, 1);
    stream_frame(&stream, 0x82, payload, 4097); /* a plain one has no such room */
    assert_reads(&deflating, &stream, "ZB x\nE1009\n");
}

Test(ws, refuses_to_write_a_compressed_control_frame, .signal = SIGABRT)
{
    uint8_t out[WS_HEADER_BYTES_MAX];
    ws_header_write_compressed(out, WS_PING, 0);
}

/* --- limits (K-19, K-24) ------------------------------------------------------------------------------------------ */

Test(ws, takes_a_message_up_to_its_limit)
{
    static uint8_t payload[4096];
    struct stream stream = {0};
    struct reader reader;
    memset(payload, 'x', sizeof payload);
    stream_frame(&stream, 0x81, payload, 4096);
    stream_frame(&stream, 0x01, payload, 4000);
    stream_frame(&stream, 0x80, payload, 96);
    reader_init(&reader, &server);
    reader_feed(&reader, stream.data, stream.bytes);
    cr_assert_eq(reader.log.used, 2 * (2 + 4096 + 1));

    stream.bytes = 0;
    stream_frame(&stream, 0x01, payload, 4000);
    stream_frame(&stream, 0x89, payload, 100); /* control frames do not count */
    stream_frame(&stream, 0x80, payload, 97);
    reader_init(&reader, &server);
    reader_feed(&reader, stream.data, stream.bytes - 97 - 4); /* known before the masking key */
    cr_assert(reader.failed);
    cr_assert(strstr(reader.log.text, "E1009\n") != NULL);
}

Test(ws, adds_up_the_greatest_lengths_without_overflow)
{
    static const uint8_t head[] = {0x02, 127, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF};
    const struct ws_limits limits = {.message_bytes_max = UINT64_MAX, .empty_fragments_max = 0, .require_mask = false};
    struct ws_parser parser;
    struct ws_event event;
    uint8_t copy[sizeof head];
    memcpy(copy, head, sizeof head);
    struct span input = {copy, sizeof copy};
    ws_parser_init(&parser);
    cr_assert_eq(ws_next(&parser, &limits, &input, &event), WS_NEED_MORE);
    cr_assert_eq(parser.message_bytes, INT32_MAX);

    /* As if that much had come, three times: the third announcement does not fit 32 bits, whatever the limit says. */
    for (int i = 1; i <= 2; i++) {
        parser.flags = 0;
        parser.header_used = 0;
        memcpy(copy, head, sizeof head);
        copy[0] = 0x00;
        input = (struct span){copy, sizeof copy};
        cr_assert_eq(ws_next(&parser, &limits, &input, &event), i == 1 ? WS_NEED_MORE : WS_ERROR);
    }
    cr_assert_eq(event.close_code, 1009);
}

Test(ws, applies_a_limit_that_was_lowered_meanwhile)
{
    struct ws_limits limits = server;
    struct stream stream = {0};
    struct reader reader;
    stream_frame(&stream, 0x01, "0123456789", 10);
    reader_init(&reader, &limits);
    reader_feed(&reader, stream.data, stream.bytes);
    limits.message_bytes_max = 5;
    stream.bytes = 0;
    stream_frame(&stream, 0x80, "", 0);
    reader_feed(&reader, stream.data, stream.bytes);
    assert_log(&reader, "E1009\n");
}

Test(ws, bounds_empty_fragments_of_a_message)
{
    struct stream stream = {0};
    for (int message = 0; message < 2; message++) { /* the count begins again with each message */
        stream_frame(&stream, 0x01, "", 0);
        for (int i = 1; i < 4; i++)
            stream_frame(&stream, 0x00, "", 0);
        stream_frame(&stream, 0x00, "a", 1); /* fragments with content are not counted */
        stream_frame(&stream, 0x80, "", 0);  /* nor the last */
    }
    assert_reads(&server, &stream, "T a\nT a\n");

    stream.bytes = 0;
    stream_frame(&stream, 0x01, "", 0);
    for (int i = 1; i < 5; i++)
        stream_frame(&stream, 0x00, "", 0);
    assert_reads(&server, &stream, "E1008\n");
}

/* --- masking ------------------------------------------------------------------------------------------------------ */

Test(ws, masks_at_every_length_alignment_and_phase)
{
    static const uint8_t key[4] = {0xDE, 0xAD, 0xBE, 0xEF};
    for (size_t bytes = 0; bytes <= 100; bytes++)
        for (uint8_t phase = 0; phase < 4; phase++) {
            uint8_t plain[100];
            for (size_t i = 0; i < bytes; i++)
                plain[i] = (uint8_t)(i * 7);
            uint8_t *placed = guard_place(plain, bytes); /* so every alignment comes by */
            cr_assert_eq(ws_mask(placed, bytes, key, phase), (phase + bytes) % 4);
            for (size_t i = 0; i < bytes; i++)
                cr_assert_eq(placed[i], plain[i] ^ key[(phase + i) % 4], "%zu of %zu, phase %u", i, bytes, phase);
            guard_free(placed, bytes);
        }
}

/* --- close frames ------------------------------------------------------------------------------------------------- */

Test(ws, parses_close_payloads)
{
    static const struct {
        const char *payload;
        size_t bytes;
        unsigned code, error;
        const char *reason;
    } rows[] = {
        {"", 0, 1005, 0, ""},
        {"\x03", 1, 1005, 1002, ""},
        {"\x03\xE8", 2, 1000, 0, ""},
        {"\x03\xE8gr\xC3\xBC\xC3\x9F", 8, 1000, 0, "gr\xC3\xBC\xC3\x9F"},
        {"\x03\xE8\xFF", 3, 1000, 1007, ""},
        {"\x03\xE8\xC3", 3, 1000, 1007, ""},
        {"\x03\xEE\xFF", 3, 1006, 1002, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *placed = guard_place(rows[i].payload, rows[i].bytes);
        struct slice reason;
        uint16_t error;
        cr_assert_eq(ws_close_parse(slice_of(placed, rows[i].bytes), &reason, &error), rows[i].code, "row %zu", i);
        cr_assert_eq(error, rows[i].error, "row %zu", i);
        cr_assert(slice_is(reason, rows[i].reason), "row %zu", i);
        guard_free(placed, rows[i].bytes);
    }
}

Test(ws, accepts_the_close_codes_that_may_travel)
{
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        struct slice reason;
        uint16_t error;
        bool registered = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
        bool free_for_use = code >= 3000 && code < 5000;
        cr_assert_eq(ws_close_parse(slice_of(payload, 2), &reason, &error), code);
        cr_assert_eq(error, registered || free_for_use ? 0 : 1002, "%u", code);
    }
}

Test(ws, writes_close_frames)
{
    uint8_t out[127];
    cr_assert_eq(ws_close_write(out, 1001, "bye"), 7);
    cr_assert_arr_eq(out,
                     "\x88\x05\x03\xE9"
                     "bye",
                     7);
    cr_assert_eq(ws_close_write(out, 4000, ""), 4);
    cr_assert_arr_eq(out, "\x88\x02\x0F\xA0", 4);
    cr_assert_eq(ws_close_write(out, WS_CLOSE_NO_STATUS, "not sent"), 2);
    cr_assert_arr_eq(out, "\x88\x00", 2);
}

Test(ws, cuts_a_close_reason_between_two_characters)
{
    uint8_t out[127];
    char reason[200];
    for (size_t ascii = 110; ascii <= 124; ascii++) {
        memset(reason, 'x', ascii);
        strcpy(reason + ascii, "\xF0\x9F\x98\x80\xE2\x82\xAC");
        size_t expected = ascii + 7 <= 123 ? ascii + 7 : ascii + 4 <= 123 ? ascii + 4 : ascii <= 123 ? ascii : 123;
        cr_assert_eq(ws_close_write(out, 1000, reason), 4 + expected, "%zu", ascii);
        cr_assert_eq(out[1], 2 + expected);
        cr_assert_eq(naive_utf8_read(slice_of(out + 4, expected)), NAIVE_UTF8_WHOLE);
        cr_assert_arr_eq(out + 4, reason, expected);
    }
}

Test(ws, refuses_to_write_a_code_that_never_travels, .signal = SIGABRT)
{
    uint8_t out[127];
    ws_close_write(out, 1006, "");
}

/* --- walking our own wire bytes ----------------------------------------------------------------------------------- */

Test(ws, measures_frames_on_the_wire)
{
    static const uint64_t payloads[] = {0, 1, 125, 126, 65535, 65536, UINT32_MAX};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        uint8_t head[WS_HEADER_BYTES_MAX];
        size_t bytes = ws_header_write(head, WS_TEXT, payloads[i]);
        for (size_t there = 0; there <= bytes; there++) {
            uint8_t *placed = guard_place(head, there);
            cr_assert_eq(ws_frame_bytes(slice_of(placed, there)), there < bytes ? 0 : bytes + payloads[i]);
            guard_free(placed, there);
        }
    }
}

/* --- random streams against an oracle ----------------------------------------------------------------------------- */

/* The close code that the front of a stream deserves for its header, 0 for none; *whole and its parts when it is
 * complete. `open`: the opcode of the message that is open, `had`: its bytes so far. */
struct head {
    unsigned fin, opcode, compressed; /* compressed: of a first frame */
    uint64_t length;
    size_t bytes;
    bool whole;
};

static unsigned oracle_head(const uint8_t *p, size_t n, unsigned open, uint64_t had, uint64_t most, struct head *head)
{
    *head = (struct head){0};
    if (n < 1)
        return 0;
    head->fin = p[0] / 128;
    head->opcode = p[0] % 16;
    unsigned control = head->opcode >= 8, reserved = p[0] % 128 / 16;
    head->compressed = reserved == 4;
    if ((reserved != 0 && reserved != 4) || (reserved == 4 && (control || head->opcode == 0)) ||
        (head->opcode > 2 && head->opcode != 8 && head->opcode != 9 && head->opcode != 10))
        return 1002;
    if (control ? !head->fin : (head->opcode == 0) != (open != 0))
        return 1002;
    if (n < 2)
        return 0;
    unsigned short_length = p[1] % 128;
    if (p[1] < 128 || (control && short_length > 125))
        return 1002;
    size_t form = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
    if (form == 8 && n > 2 && p[2] > 127)
        return 1002;
    if (n < 2 + form)
        return 0;
    head->length = form == 0 ? short_length : 0;
    for (size_t i = 0; i < form; i++)
        head->length = head->length * 256 + p[2 + i];
    if ((form == 2 && head->length < 126) || (form == 8 && head->length < 65536))
        return 1002;
    if (head->compressed)
        most = 4096 + 4096 / 4 + 64;
    if (!control && had + head->length > most)
        return 1009;
    head->bytes = 2 + form + 4;
    head->whole = n >= head->bytes;
    return 0;
}

/* Reads a whole stream (no longer than the buffers below) by the letter of the RFC. */
static void oracle_read(const struct stream *stream, struct log *log, bool *incomplete)
{
    static uint8_t message[70000];
    uint8_t frame[4096];
    unsigned open = 0, empty = 0, compressed = 0, code;
    size_t had = 0, at = 0;
    struct head head;

    for (; at < stream->bytes; at += head.bytes + head.length) {
        const uint8_t *p = stream->data + at;
        size_t n = stream->bytes - at;
        if ((code = oracle_head(p, n, open, had, compressed ? 4096 + 4096 / 4 + 64 : 4096, &head)) != 0) {
            log_error(log, code);
            return;
        }
        bool control = head.opcode >= 8, silent = !control && !head.fin && head.length == 0;
        if (head.bytes != 0 && silent && ++empty > deflating.empty_fragments_max) {
            log_error(log, 1008);
            return;
        }
        if (!head.whole)
            break;
        size_t here = n - head.bytes < head.length ? n - head.bytes : (size_t)head.length;
        for (size_t i = 0; i < here; i++)
            frame[i] = p[head.bytes + i] ^ p[head.bytes - 4 + i % 4];
        if (control) {
            if (here < head.length)
                break;
            log_whole(log, head.opcode, slice_of(frame, here));
            continue;
        }
        compressed = head.opcode != 0 ? head.compressed : compressed;
        open = head.opcode != 0 ? head.opcode : open;
        memcpy(message + had, frame, here);
        had += here;
        bool ended = head.fin && here == head.length;
        enum naive_utf8 text = open == 1 && !compressed ? naive_utf8_read(slice_of(message, had)) : NAIVE_UTF8_WHOLE;
        if (text == NAIVE_UTF8_INVALID || (ended && text == NAIVE_UTF8_CUT)) {
            log_error(log, 1007);
            return;
        }
        if (here < head.length)
            break;
        if (!ended)
            continue;
        log_text(log, compressed ? "Z" : "");
        log_whole(log, open, slice_of(message, had));
        open = empty = compressed = 0;
        had = 0;
    }
    *incomplete = open != 0 || at < stream->bytes;
}

/* Mostly what a good client sends, with a fault now and then. */
static void random_stream(struct random *random, struct stream *stream)
{
    unsigned open = 0;

    stream->bytes = 0;
    for (uint64_t frames = 1 + random_below(random, 8); frames > 0; frames--) {
        uint8_t key[4], payload[400];
        uint8_t fin = random_chance(random, 1, 2) ? 0x80 : 0;
        size_t bytes = random_chance(random, 1, 8) ? 120 + random_below(random, 280) : random_below(random, 12);
        unsigned opcode = open ? 0 : 1 + (unsigned)random_below(random, 2);
        if (random_chance(random, 1, 4)) {
            opcode = 8 + (unsigned)random_below(random, 3);
            fin = 0x80;
            bytes %= 126;
        } else {
            open = !fin;
        }
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)random_u64(random);
        for (size_t i = 0; i < bytes; i++)
            payload[i] = (uint8_t)('a' + random_below(random, 26));
        if (bytes >= 4 && random_chance(random, 1, 2))
            naive_utf8_put((uint32_t)random_below(random, 0x110000), payload + random_below(random, bytes - 3));
        bool odd = random_chance(random, 1, 60);
        bool compressed = opcode != 0 && opcode < 8 && random_chance(random, 1, 3);
        size_t form = odd ? 2 : bytes < 126 ? 0 : 2;
        stream_frame_as(stream, (uint8_t)(fin | opcode | (compressed ? 0x40 : 0)), form,
                        random_chance(random, 1, 100) ? NULL : key, payload, bytes);
    }
    if (random_chance(random, 1, 4))
        stream->data[random_below(random, stream->bytes)] ^= (uint8_t)(1U << random_below(random, 8));
    if (random_chance(random, 1, 4))
        stream->bytes -= random_below(random, stream->bytes);
}

static void feed_in_pieces(struct random *random, struct reader *reader, const struct stream *stream)
{
    uint64_t piece_max = 1 + random_below(random, random_chance(random, 1, 2) ? 8 : 600);

    for (size_t at = 0; at < stream->bytes;) {
        size_t bytes = 1 + random_below(random, piece_max);
        bytes = bytes < stream->bytes - at ? bytes : stream->bytes - at;
        reader_feed(reader, stream->data + at, bytes);
        at += bytes;
    }
}

Test(ws, reads_random_streams_like_the_oracle_however_they_are_cut)
{
    static struct stream stream;
    static struct reader reader;
    static struct log expected;
    struct random random;
    unsigned faults = 0, clean = 0;

    random_init(&random, 6455);
    for (int round = 0; round < 4000; round++) {
        bool incomplete = false;
        random_stream(&random, &stream);
        expected.used = 0;
        expected.text[0] = '\0';
        oracle_read(&stream, &expected, &incomplete);
        reader_init(&reader, &deflating);
        feed_in_pieces(&random, &reader, &stream);
        cr_assert_str_eq(reader.log.text, expected.text, "round %d, got:\n%s\nexpected:\n%s", round, reader.log.text,
                         expected.text);
        if (!reader.failed)
            cr_assert_eq(ws_in_message(&reader.parser), incomplete, "round %d", round);
        faults += reader.failed;
        clean += !reader.failed && !incomplete;
    }
    cr_assert(faults > 400 && clean > 400, "%u streams with a fault and %u without prove little", faults, clean);
}

Test(ws, reads_what_it_writes)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 4000, 65535, 65536};
    static uint8_t wire[14 + 65536], back[65536];
    const struct ws_limits limits = {.message_bytes_max = 65536, .empty_fragments_max = 0, .require_mask = true};
    static const uint8_t key[4] = {9, 8, 7, 6};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t head = ws_header_write_masked(wire, WS_BINARY, sizes[i], key);
        for (size_t j = 0; j < sizes[i]; j++)
            wire[head + j] = (uint8_t)(j * 31);
        ws_mask(wire + head, sizes[i], key, 0);
        struct ws_parser parser;
        struct ws_event event;
        struct span input = {wire, head + sizes[i]};
        ws_parser_init(&parser);
        cr_assert_eq(ws_next(&parser, &limits, &input, &event), WS_DATA);
        cr_assert(event.first && event.last && event.payload.bytes == sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            back[j] = (uint8_t)(j * 31);
        cr_assert(slice_equal(event.payload, slice_of(back, sizes[i])));
    }
}
