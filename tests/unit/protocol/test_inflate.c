/* SPDX-License-Identifier: MIT */
/* Proves the receiving half of permessage-deflate (K-3, K-24): the RFC's examples, final and stored blocks, every kind
 * of bad payload, the limit, UTF-8 of the content, and random messages against a decoder that shares nothing with zlib.
 * Whatever is read here is read in all cuts. Run by unit_protocol. */
#include "core/poison.h"
#include "core/random.h"
#include "protocol/deflate.h"
#include "protocol/inflate.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/naive_inflate.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <zlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONTENT_BYTES 20000

static _Alignas(16) uint8_t memory[INFLATER_BYTES];

/* What a message came to: 0 and its content, or the close code. */
struct outcome {
    unsigned code;
    size_t bytes;
    uint8_t content[2 * CONTENT_BYTES];
};

/* Gives one piece, placed at the end of a page; `out` never has more than out_max bytes of room, at the end of a page
 * too. Whether the message goes on. */
static bool feed(struct inflater *inflater, const uint8_t *data, size_t bytes, bool last, size_t out_max,
                 struct outcome *outcome)
{
    uint8_t *placed = guard_place(data, bytes), *room = guard_place(outcome->content, out_max);
    struct slice input = slice_of(placed, bytes);
    enum inflate_result result;

    for (;;) {
        struct buf out = buf_of(room, out_max);
        result = inflate_next(inflater, &input, last, &out);
        cr_assert_leq(out.used, sizeof outcome->content - outcome->bytes);
        memcpy(outcome->content + outcome->bytes, room, out.used);
        outcome->bytes += out.used;
        cr_assert_eq(input.data + input.bytes, placed + bytes);
        if (result != INFLATE_FULL)
            break;
        cr_assert_eq(out.used, out.capacity);
    }
    if (result == INFLATE_ERROR) {
        const char *reason = NULL;
        outcome->code = inflate_fault(inflater, &reason);
        cr_assert(strlen(reason) > 0 && strlen(reason) <= 123);
        struct buf out = buf_of(room, 0);
        cr_assert_eq(inflate_next(inflater, &input, last, &out), INFLATE_ERROR, "not sticky");
    } else {
        cr_assert_eq(result, last ? INFLATE_END : INFLATE_MORE);
        cr_assert_eq(input.bytes, 0);
    }
    guard_free(room, out_max);
    guard_free(placed, bytes);
    return result == INFLATE_MORE;
}

/* Two pieces, and the last of them may be empty: the final frame of a message may be. */
static void read_cut(struct inflater *inflater, struct slice payload, size_t cut, size_t out_max, uint64_t bytes_max,
                     bool text, struct outcome *outcome)
{
    outcome->code = 0;
    outcome->bytes = 0;
    inflate_begin(inflater, bytes_max, text);
    if (feed(inflater, payload.data, cut, false, out_max, outcome))
        feed(inflater, payload.data + cut, payload.bytes - cut, true, out_max, outcome);
}

static void read_whole(struct inflater *inflater, struct slice payload, uint64_t bytes_max, bool text,
                       struct outcome *outcome)
{
    outcome->code = 0;
    outcome->bytes = 0;
    inflate_begin(inflater, bytes_max, text);
    feed(inflater, payload.data, payload.bytes, true, sizeof outcome->content, outcome);
}

/* In one piece, in every two, byte by byte; with much room and with one byte of it. Content that is followed by an
 * error is not compared: how much of it comes out depends on the cuts. */
static void assert_reads_as(struct slice payload, uint64_t bytes_max, bool text, unsigned code, struct slice content)
{
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    static const size_t rooms[] = {1, 3, 2 * CONTENT_BYTES};

    read_whole(inflater, payload, bytes_max, text, &outcome);
    cr_assert_eq(outcome.code, code, "%u", outcome.code);
    cr_assert(code != 0 || slice_equal(slice_of(outcome.content, outcome.bytes), content));
    for (size_t cut = 0; cut <= payload.bytes; cut++)
        for (size_t i = 0; i < COUNT(rooms); i++) {
            read_cut(inflater, payload, cut, rooms[i], bytes_max, text, &outcome);
            cr_assert_eq(outcome.code, code, "cut at %zu, room of %zu: %u", cut, rooms[i], outcome.code);
            cr_assert_leq(outcome.bytes, bytes_max);
            cr_assert(code != 0 || slice_equal(slice_of(outcome.content, outcome.bytes), content));
        }
    outcome.code = 0;
    outcome.bytes = 0;
    inflate_begin(inflater, bytes_max, text);
    bool open = true;
    for (size_t at = 0; open && at < payload.bytes; at++)
        open = feed(inflater, payload.data + at, 1, at + 1 == payload.bytes, 1, &outcome);
    if (payload.bytes > 0) {
        cr_assert_eq(outcome.code, code);
        cr_assert(code != 0 || slice_equal(slice_of(outcome.content, outcome.bytes), content));
    }
}

#define BYTES(...) slice_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* --- good messages ------------------------------------------------------------------------------------------------ */

Test(inflate, reads_the_examples_of_the_rfc)
{
    struct slice hello = slice_text("Hello");
    /* RFC 7692 section 7.2.3.1: one block */
    assert_reads_as(BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00), 100, true, 0, hello);
    /* section 7.2.3.3: a stored block */
    assert_reads_as(BYTES(0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00), 100, true, 0, hello);
    /* section 7.2.3.4: a final block */
    assert_reads_as(BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00), 100, true, 0, hello);
    /* section 7.2.3.5: two blocks */
    assert_reads_as(BYTES(0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00), 100, true, 0,
                    hello);
    /* section 7.2.3.6: nothing */
    assert_reads_as(BYTES(0x00), 100, true, 0, slice_text(""));
}

/* RFC 7692 section 7.2.3.2: the second "Hello" of a client that was told not to take its context over */
Test(inflate, refuses_a_reference_into_the_message_before)
{
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    read_whole(inflater, BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00), 100, true, &outcome);
    cr_assert_eq(outcome.code, 0);
    read_whole(inflater, BYTES(0xF2, 0x00, 0x11, 0x00, 0x00), 100, true, &outcome);
    cr_assert_eq(outcome.code, 1007);
    assert_reads_as(BYTES(0xF2, 0x00, 0x11, 0x00, 0x00), 100, true, 1007, slice_text(""));
}

Test(inflate, reads_final_blocks_wherever_they_stand)
{
    /* without the octet that section 7.2.3.4 asks for, as streams that were finished are */
    assert_reads_as(BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00), 100, true, 0, slice_text("Hello"));
    assert_reads_as(BYTES(0x03, 0x00), 100, true, 0, slice_text(""));
    assert_reads_as(BYTES(0x01, 0x00, 0x00, 0xFF, 0xFF), 100, true, 0, slice_text(""));
    /* its last stored block is the one that the tail completes */
    assert_reads_as(BYTES(0x01), 100, true, 0, slice_text(""));
    /* two finished streams, and an unfinished one behind a finished one (section 7.2.1) */
    assert_reads_as(BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00),
                    100, true, 0, slice_text("HelloHello"));
    assert_reads_as(BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00), 100,
                    true, 0, slice_text("HelloHello"));
}

Test(inflate, begins_afresh_behind_a_final_block)
{
    /* A data set refers to none before it (RFC 1951 section 2). */
    assert_reads_as(BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF2, 0x00, 0x11, 0x00, 0x00), 100, true, 1007,
                    slice_text(""));
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    for (int round = 0; round < 3; round++) {
        read_whole(inflater, BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00), 100, true, &outcome);
        cr_assert(outcome.code == 0 && slice_equal(slice_of(outcome.content, outcome.bytes), slice_text("Hello")));
        read_whole(inflater, BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00), 100, true, &outcome);
        cr_assert(outcome.code == 0 && slice_equal(slice_of(outcome.content, outcome.bytes), slice_text("Hello")));
    }
}

/* What a flush gives that had nothing to do, and is sent with RSV1 nevertheless. */
Test(inflate, reads_no_payload_as_an_empty_message)
{
    assert_reads_as(slice_text(""), 100, true, 0, slice_text(""));
}

Test(inflate, begins_afresh_whatever_became_of_the_message_before)
{
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    struct slice good = BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00);
    for (size_t cut = 0; cut <= good.bytes; cut++) {
        inflate_begin(inflater, 100, false);
        feed(inflater, good.data, cut, false, 100, &outcome); /* and given up */
        read_whole(inflater, good, 100, true, &outcome);
        cr_assert(outcome.code == 0 && slice_equal(slice_of(outcome.content, outcome.bytes), slice_text("Hello")));
        read_whole(inflater, BYTES(0x06), 100, true, &outcome);
        cr_assert_eq(outcome.code, 1007);
    }
    struct slice half_character = BYTES(0x00, 0x01, 0x00, 0xFE, 0xFF, 0xC3, 0x00);
    read_whole(inflater, half_character, 100, true, &outcome);
    cr_assert_eq(outcome.code, 1007);
    read_whole(inflater, good, 100, true, &outcome);
    cr_assert_eq(outcome.code, 0);
}

Test(inflate, takes_one_call_for_a_payload_in_one_piece)
{
    uint8_t content[6];
    struct slice input = BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00);
    struct buf out = buf_of(content, 6);
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    inflate_begin(inflater, 100, true);
    cr_assert_eq(inflate_next(inflater, &input, true, &out), INFLATE_END);
    cr_assert(slice_equal(buf_slice(&out), slice_text("Hello")));

    input = BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00);
    out = buf_of(content, 5);
    inflate_begin(inflater, 5, true); /* as much as there may ever be */
    cr_assert_eq(inflate_next(inflater, &input, true, &out), INFLATE_END);
    cr_assert(slice_equal(buf_slice(&out), slice_text("Hello")));
}

Test(inflate, is_not_asked_between_two_messages, .signal = SIGABRT)
{
    uint8_t content[10];
    struct slice input = slice_text("");
    struct buf out = buf_of(content, sizeof content);
    inflate_next(inflater_place(memory, sizeof memory), &input, true, &out);
}

Test(inflate, is_not_asked_behind_the_end_of_a_message, .signal = SIGABRT)
{
    uint8_t content[10];
    struct slice input = slice_text("");
    struct buf out = buf_of(content, sizeof content);
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    inflate_begin(inflater, 10, false);
    if (inflate_next(inflater, &input, true, &out) == INFLATE_END)
        inflate_next(inflater, &input, true, &out);
}

Test(inflate, is_not_placed_in_too_little_memory, .signal = SIGABRT)
{
    inflater_place(memory, INFLATER_BYTES - 1);
}

/* --- bad payloads ------------------------------------------------------------------------------------------------- */

Test(inflate, refuses_what_is_not_deflate)
{
    static const struct {
        const char *what;
        uint8_t bytes[12];
        size_t count;
    } rows[] = {
        {"block of the reserved type", {0x06}, 1},
        {"final block of the reserved type", {0x07}, 1},
        {"length of a stored block unlike its complement", {0x00, 0x01, 0x00, 0xFF, 0xFF, 'a', 0x00}, 7},
        {"a stored block cut off", {0x00, 0x08, 0x00, 0xF7, 0xFF, 'a'}, 6},
        {"a length without its complement", {0x00, 0x05, 0x00}, 3},
        {"a block cut off in a code", {0xF2, 0x48, 0xCD}, 3},
        {"no header bits of an empty stored block", {0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07}, 6},
        {"a final block cut off", {0xF3, 0x48, 0xCD, 0xC9, 0xC9}, 5},
        {"a final block that wants a byte of the tail", {0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07}, 6},
        {"a stored block, not final, and nothing behind it", {0x00, 0x01, 0x00, 0xFE, 0xFF, 'a'}, 6},
        {"a whole empty stored block, tail and all", {0x00, 0x00, 0x00, 0xFF, 0xFF}, 5},
        {"a reference before the beginning", {0x02, 0x00, 0x11, 0x00, 0x00}, 5},
        {"garbage behind a final block", {0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xFF}, 8},
        {"too many length codes", {0xFC, 0xFF, 0xFF}, 3},
        {"plain text", {'p', 'l', 'a', 'i', 'n'}, 5},
        {"a zlib header", {0x78, 0x9C, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00}, 9},
        {"a gzip header", {0x1F, 0x8B, 0x08, 0x00}, 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct naive_inflate naive;
        uint8_t copy[32], content[100];
        memcpy(copy, rows[i].bytes, rows[i].count);
        cr_assert_not(naive_inflate_message(&naive, copy, rows[i].count, content, sizeof content), "%s", rows[i].what);
        assert_reads_as(slice_of(rows[i].bytes, rows[i].count), 100, false, 1007, slice_text(""));
    }
}

/* --- limit (K-24) ------------------------------------------------------------------------------------------------- */

/* `bytes` zeros, compressed by zlib itself as much as it can. */
static struct slice make_bomb(uint8_t *wire, size_t wire_max, size_t bytes)
{
    static const uint8_t zeros[65536];
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = wire;
    stream.avail_out = (unsigned)wire_max;
    for (size_t at = 0; at < bytes;) {
        stream.next_in = (Bytef *)(uintptr_t)zeros;
        stream.avail_in = (unsigned)(bytes - at < sizeof zeros ? bytes - at : sizeof zeros);
        at += stream.avail_in;
        cr_assert_eq(deflate(&stream, at == bytes ? Z_SYNC_FLUSH : Z_NO_FLUSH), Z_OK);
        cr_assert_eq(stream.avail_in, 0);
    }
    cr_assert_gt(stream.avail_out, 0);
    unpoison(wire, stream.total_out);
    size_t used = stream.total_out - 4;
    deflateEnd(&stream);
    return slice_of(wire, used);
}

Test(inflate, stops_a_bomb_at_the_limit)
{
    static uint8_t wire[1U << 19];
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    struct slice bomb = make_bomb(wire, sizeof wire, 256U << 20);
    cr_assert_lt(bomb.bytes, 300000);

    read_whole(inflater, bomb, 10000, false, &outcome);
    cr_assert_eq(outcome.code, 1009);
    cr_assert_eq(outcome.bytes, 10000);

    outcome.bytes = 0;
    inflate_begin(inflater, CONTENT_BYTES, false);
    size_t at = 0;
    while (at < bomb.bytes && feed(inflater, bomb.data + at, 1, false, 100, &outcome))
        at++;
    cr_assert_eq(outcome.code, 1009);
    cr_assert_eq(outcome.bytes, CONTENT_BYTES);
    cr_assert_lt(at, 200, "refused as soon as it is too big");
}

Test(inflate, takes_a_message_of_the_limit_and_none_of_more)
{
    struct slice hello = BYTES(0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00);
    for (uint64_t limit = 0; limit < 5; limit++)
        assert_reads_as(hello, limit, true, 1009, slice_text(""));
    assert_reads_as(hello, 5, true, 0, slice_text("Hello"));
    assert_reads_as(hello, UINT64_MAX, true, 0, slice_text("Hello"));
    assert_reads_as(BYTES(0x00), 0, true, 0, slice_text(""));

    static uint8_t wire[4096], zeros[CONTENT_BYTES];
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    for (size_t bytes = CONTENT_BYTES - 300; bytes <= CONTENT_BYTES; bytes++) { /* across the longest references */
        struct slice payload = make_bomb(wire, sizeof wire, bytes);
        read_whole(inflater, payload, CONTENT_BYTES - 150, false, &outcome);
        cr_assert_eq(outcome.code, bytes <= CONTENT_BYTES - 150 ? 0 : 1009, "%zu", bytes);
        cr_assert(slice_equal(slice_of(outcome.content, outcome.bytes),
                              slice_of(zeros, bytes <= CONTENT_BYTES - 150 ? bytes : CONTENT_BYTES - 150)));
    }
}

Test(inflate, counts_the_limit_across_final_blocks)
{
    struct slice twice = BYTES(0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00);
    assert_reads_as(twice, 10, true, 0, slice_text("HelloHello"));
    assert_reads_as(twice, 9, true, 1009, slice_text(""));
    assert_reads_as(twice, 5, true, 1009, slice_text(""));
}

/* --- text --------------------------------------------------------------------------------------------------------- */

Test(inflate, checks_the_content_of_text_as_utf8)
{
    static const struct {
        const char *content;
        unsigned code;
    } rows[] = {
        {"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80", 0},
        {"\xF0\x9F\x98\x80", 0},
        {"\x80", 1007},
        {"a\xC0\xAF", 1007},
        {"\xED\xA0\x80", 1007},
        {"cut off \xE2\x82", 1007},
        {"\xC3", 1007},
        {"\xF4\x90\x80\x80", 1007},
    };
    static _Alignas(16) uint8_t deflater_memory[DEFLATER_BYTES];
    struct deflater *deflater = deflater_place(deflater_memory, sizeof deflater_memory, 6);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t wire[100];
        struct buf out = buf_of(wire, sizeof wire);
        struct slice content = slice_text(rows[i].content);
        cr_assert(deflate_message(deflater, content, 15, &out));
        assert_reads_as(buf_slice(&out), 100, true, rows[i].code, content);
        assert_reads_as(buf_slice(&out), 100, false, 0, content);
    }
}

Test(inflate, raises_of_several_faults_the_first)
{
    /* a stored "\x80", then: a block of the reserved type, or more than the limit */
    assert_reads_as(BYTES(0x00, 0x01, 0x00, 0xFE, 0xFF, 0x80, 0x06), 100, true, 1007, slice_text(""));
    assert_reads_as(BYTES(0x00, 0x01, 0x00, 0xFE, 0xFF, 0x80, 0x00, 0x01, 0x00, 0xFE, 0xFF, 'a', 0x00), 1, true, 1007,
                    slice_text(""));
    /* the limit, then a block of the reserved type; and the other way round */
    assert_reads_as(BYTES(0x00, 0x02, 0x00, 0xFD, 0xFF, 'a', 'b', 0x06), 1, true, 1009, slice_text(""));
    assert_reads_as(BYTES(0x00, 0x01, 0x00, 0xFE, 0xFF, 'a', 0x06), 1, true, 1007, slice_text(""));
}

/* --- random messages ---------------------------------------------------------------------------------------------- */

/* A message as zlib makes it with any settings, flushed anywhere, finished now and then in the middle. */
static size_t random_payload(struct random *random, struct slice content, uint8_t *wire, size_t wire_max)
{
    size_t used = 0, at = 0;
    bool finished = false;

    do {
        z_stream stream = {0};
        cr_assert_eq(deflateInit2(&stream, (int)random_below(random, 10), Z_DEFLATED,
                                  -(int)(9 + random_below(random, 7)), 1 + (int)random_below(random, 9),
                                  (int)random_below(random, 5)),
                     Z_OK);
        stream.next_out = wire + used;
        stream.avail_out = (unsigned)(wire_max - used);
        do {
            static const int flushes[] = {Z_NO_FLUSH, Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_BLOCK, Z_FINISH};
            size_t piece = random_below(random, 3000);
            piece = piece < content.bytes - at ? piece : content.bytes - at;
            stream.next_in = (Bytef *)(uintptr_t)(content.data + at);
            stream.avail_in = (unsigned)piece;
            at += piece;
            int flush = flushes[random_below(random, COUNT(flushes) - (random_chance(random, 3, 4) ? 1 : 0))];
            if (at == content.bytes && flush != Z_FINISH)
                flush = Z_SYNC_FLUSH;
            int result = deflate(&stream, flush);
            cr_assert(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
            unpoison(wire + used, stream.total_out);
            cr_assert(stream.avail_in == 0 && stream.avail_out > 0);
            finished = result == Z_STREAM_END;
        } while (at < content.bytes && !finished);
        used += stream.total_out;
        deflateEnd(&stream);
    } while (at < content.bytes);
    if (finished)
        wire[used++] = 0; /* RFC 7692 section 7.2.3.4 */
    else
        used -= 4;
    return used;
}

static size_t random_content(struct random *random, uint8_t *content, size_t bytes_max)
{
    size_t bytes = random_below(random, random_chance(random, 1, 12) ? bytes_max : 300);
    unsigned letters = 1U << random_below(random, 9);
    for (size_t i = 0; i < bytes; i++)
        content[i] = (uint8_t)random_below(random, letters);
    return bytes;
}

static void read_in_pieces(struct random *random, struct inflater *inflater, struct slice payload,
                           struct outcome *outcome)
{
    uint64_t piece_max = 1 + random_below(random, random_chance(random, 1, 2) ? 20 : 3000);
    size_t room = 1 + random_below(random, random_chance(random, 1, 2) ? 50 : 2 * CONTENT_BYTES);
    bool open = true;
    size_t at = 0;

    outcome->code = 0;
    outcome->bytes = 0;
    inflate_begin(inflater, CONTENT_BYTES, false);
    while (open) {
        size_t piece = random_below(random, piece_max + 1);
        piece = piece < payload.bytes - at ? piece : payload.bytes - at;
        bool last = at + piece == payload.bytes && random_chance(random, 1, 2);
        open = feed(inflater, payload.data + at, piece, last, room, outcome);
        at += piece;
    }
}

Test(inflate, reads_random_messages_however_they_are_made_and_cut)
{
    static uint8_t content[CONTENT_BYTES], wire[3 * CONTENT_BYTES], naive_content[CONTENT_BYTES];
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    struct naive_inflate naive;
    struct random random;

    random_init(&random, 1951);
    for (int round = 0; round < 400; round++) {
        size_t bytes = random_content(&random, content, sizeof content);
        size_t wire_bytes = random_payload(&random, slice_of(content, bytes), wire, sizeof wire - 4);
        read_in_pieces(&random, inflater, slice_of(wire, wire_bytes), &outcome);
        cr_assert_eq(outcome.code, 0, "round %d: %u", round, outcome.code);
        cr_assert(slice_equal(slice_of(outcome.content, outcome.bytes), slice_of(content, bytes)), "round %d", round);
        cr_assert(naive_inflate_message(&naive, wire, wire_bytes, naive_content, sizeof naive_content));
        cr_assert(slice_equal(slice_of(naive_content, naive.used), slice_of(content, bytes)), "round %d", round);
    }
}

Test(inflate, judges_damaged_messages_like_the_oracle)
{
    static uint8_t content[3000], wire[3 * CONTENT_BYTES], naive_content[CONTENT_BYTES];
    static struct outcome outcome;
    struct inflater *inflater = inflater_place(memory, sizeof memory);
    struct naive_inflate naive;
    struct random random;
    unsigned good = 0, bad = 0;

    random_init(&random, 7692);
    for (int round = 0; round < 4000; round++) {
        size_t bytes = random_content(&random, content, sizeof content);
        size_t wire_bytes = random_payload(&random, slice_of(content, bytes), wire, sizeof wire - 4);
        for (uint64_t flips = random_below(&random, 3); flips > 0; flips--)
            wire[random_below(&random, wire_bytes)] ^= (uint8_t)(1U << random_below(&random, 8));
        if (random_chance(&random, 1, 4))
            wire_bytes = random_below(&random, wire_bytes + 1);
        read_in_pieces(&random, inflater, slice_of(wire, wire_bytes), &outcome);
        bool expected = naive_inflate_message(&naive, wire, wire_bytes, naive_content, sizeof naive_content);
        cr_assert_eq(outcome.code == 0, expected, "round %d: %u", round, outcome.code);
        if (expected)
            cr_assert(slice_equal(slice_of(outcome.content, outcome.bytes), slice_of(naive_content, naive.used)));
        good += expected;
        bad += !expected;
    }
    cr_assert(good > 1000 && bad > 1000, "%u good and %u bad messages prove little", good, bad);
}

Test(inflate, stays_in_its_memory)
{
    static uint8_t content[CONTENT_BYTES], wire[3 * CONTENT_BYTES];
    static struct outcome outcome;
    uint8_t *placed = guard_place(memory, INFLATER_BYTES);
    struct inflater *inflater = inflater_place(placed, INFLATER_BYTES);
    struct random random;

    random_init(&random, 8);
    for (int round = 0; round < 100; round++) {
        size_t bytes = random_content(&random, content, sizeof content);
        size_t wire_bytes = random_payload(&random, slice_of(content, bytes), wire, sizeof wire);
        read_in_pieces(&random, inflater, slice_of(wire, wire_bytes), &outcome);
        cr_assert_eq(outcome.code, 0);
    }
    guard_free(placed, INFLATER_BYTES);
}
