/* SPDX-License-Identifier: MIT */
/* Proves the frame parser against RFC 6455, cut anywhere: its examples, every fault with the byte that proves it, the
 * limits of K-2 and K-24, and the bit of RFC 7692 (K-3). Random streams are in test_ws_random.c, the writers in
 * test_ws_write.c. Run by unit_protocol. */
#include "tests/unit/protocol/ws_stream.h"

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

Test(ws, knows_how_much_of_a_message_is_left)
{
    struct stream stream = {0};
    stream_frame(&stream, 0x01, "abc", 3); /* more frames follow */
    size_t second = stream.bytes;
    stream_frame(&stream, 0x80, "defg", 4);
    struct reader reader;
    reader_init(&reader, &server);
    cr_assert_eq(ws_message_left(&reader.parser), 0);
    for (size_t i = 0; i < stream.bytes; i++) {
        reader_feed(&reader, stream.data + i, 1);
        bool payload = i >= second + 6; /* of the last frame, behind its header */
        if (payload)
            cr_assert_eq(ws_message_left(&reader.parser), stream.bytes - i - 1, "behind byte %zu", i);
        else if (i >= 6 && i < second)
            cr_assert_eq(ws_message_left(&reader.parser), UINT64_MAX, "behind byte %zu", i);
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
