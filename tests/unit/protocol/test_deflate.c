/* SPDX-License-Identifier: MIT */
/* Proves the sending half of permessage-deflate (K-3): the RFC's example, windows that are kept (by measuring every
 * back reference), results that depend on nothing but message and class, and memory that is never left. Run by
 * unit_protocol. */
#include "core/poison.h"
#include "core/random.h"
#include "protocol/deflate.h"
#include "protocol/ws.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/naive_inflate.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <zlib.h>

#define CONTENT_BYTES 70000

static _Alignas(16) uint8_t memory[DEFLATER_BYTES];
static uint8_t wire[2 * CONTENT_BYTES], back[CONTENT_BYTES];

/* Half text that repeats itself at all distances, half noise, mixed by the seed. */
static struct slice make_content(struct random *random, uint8_t *content, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        size_t piece = 1 + random_below(random, 300);
        piece = piece < bytes - at ? piece : bytes - at;
        if (at > 0 && random_chance(random, 2, 3)) {
            size_t distance = 1 + random_below(random, at);
            for (size_t i = 0; i < piece; i++)
                content[at + i] = content[at + i - distance];
        } else {
            for (size_t i = 0; i < piece; i++)
                content[at + i] =
                    (uint8_t)(random_chance(random, 1, 2) ? 'a' + random_below(random, 26) : random_u64(random));
        }
        at += piece;
    }
    return slice_of(content, bytes);
}

/* The payload in wire[]. */
static size_t compress_into_wire(struct deflater *deflater, struct slice payload, uint8_t window_bits)
{
    struct buf out = buf_of(wire, sizeof wire - 4); /* room for the tail of the oracle */
    cr_assert(deflate_message(deflater, payload, window_bits, &out));
    return out.used;
}

/* A decoder that has no more than the agreed window: zlib's own. */
static void assert_zlib_reads(struct slice payload, size_t wire_bytes, int window_bits, struct random *random)
{
    z_stream stream = {0};
    size_t end = wire_bytes + 4;
    memcpy(wire + wire_bytes, "\x00\x00\xFF\xFF", 4);
    cr_assert_eq(inflateInit2(&stream, -window_bits), Z_OK);
    stream.next_in = wire;
    stream.next_out = back;
    while (stream.total_out < payload.bytes || stream.total_in < end) {
        size_t in = 1 + random_below(random, 500),
               out = 1 + random_below(random, 300); /* so that the window is needed */
        stream.avail_in = (unsigned)(in < end - stream.total_in ? in : end - stream.total_in);
        stream.avail_out = (unsigned)(out < sizeof back - stream.total_out ? out : sizeof back - stream.total_out);
        cr_assert_eq(inflate(&stream, Z_NO_FLUSH), Z_OK);
        unpoison(back, stream.total_out);
    }
    cr_assert(slice_equal(slice_of(back, stream.total_out), payload));
    inflateEnd(&stream);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* RFC 7692 sections 7.2.3.1 and 7.2.3.6 */
Test(deflate, writes_the_examples_of_the_rfc)
{
    static const uint8_t hello[] = {0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00};
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    for (uint8_t bits = 8; bits <= 15; bits++) {
        cr_assert_eq(compress_into_wire(deflater, slice_text("Hello"), bits), sizeof hello);
        cr_assert_arr_eq(wire, hello, sizeof hello);
        cr_assert_eq(compress_into_wire(deflater, slice_text(""), bits), 1);
        cr_assert_eq(wire[0], 0x00);
    }
}

Test(deflate, appends_behind_what_is_there)
{
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    struct buf out = buf_of(wire, sizeof wire);
    buf_put_text(&out, "head");
    cr_assert(deflate_message(deflater, slice_text("Hello"), 15, &out));
    cr_assert(slice_equal(buf_slice(&out), slice_of("head\xF2\x48\xCD\xC9\xC9\x07\x00", 11)));
}

Test(deflate, keeps_every_window_at_every_level)
{
    static uint8_t content[CONTENT_BYTES];
    static const size_t sizes[] = {250, 251, 600, 5000, CONTENT_BYTES};
    struct naive_inflate naive;
    struct random random;

    random_init(&random, 7692);
    for (int level = 1; level <= 9; level++) {
        struct deflater *deflater = deflater_place(memory, sizeof memory, level);
        for (uint8_t bits = 8; bits <= 15; bits++) {
            size_t reach = 0;
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                struct slice payload = make_content(&random, content, sizes[i]);
                size_t bytes = compress_into_wire(deflater, payload, bits);
                assert_zlib_reads(payload, bytes, bits, &random);
                cr_assert(naive_inflate_message(&naive, wire, bytes, back, sizeof back));
                cr_assert(slice_equal(slice_of(back, naive.used), payload));
                cr_assert_leq(naive.distance_max, (size_t)1 << bits, "level %d, %u bits: %zu", level, bits,
                              naive.distance_max);
                reach = naive.distance_max > reach ? naive.distance_max : reach;
            }
            cr_assert_gt(reach, ((size_t)1 << bits) / 3, "level %d, %u bits: the window is hardly used", level, bits);
        }
    }
}

Test(deflate, gives_the_same_bytes_whatever_came_before)
{
    static uint8_t content[3000], first[4000];
    struct random random;
    random_init(&random, 1);
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    struct slice payload = make_content(&random, content, sizeof content);
    size_t bytes = compress_into_wire(deflater, payload, 12);
    memcpy(first, wire, bytes);
    for (int round = 0; round < 200; round++) {
        static uint8_t other[3000];
        struct slice between = make_content(&random, other, random_below(&random, sizeof other));
        compress_into_wire(deflater, between, (uint8_t)(8 + random_below(&random, 8)));
        cr_assert_eq(compress_into_wire(deflater, payload, 12), bytes);
        cr_assert_arr_eq(wire, first, bytes);
    }
}

Test(deflate, fits_to_the_byte_or_appends_nothing)
{
    static uint8_t content[400];
    struct random random;
    random_init(&random, 2);
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    struct slice payload = make_content(&random, content, sizeof content);
    size_t bytes = compress_into_wire(deflater, payload, 15);
    for (size_t room = 0; room <= bytes + DEFLATER_TAIL_BYTES; room++) {
        uint8_t *placed = guard_place(wire, room);
        struct buf out = buf_of(placed, room);
        bool fits = room == bytes + DEFLATER_TAIL_BYTES;
        cr_assert_eq(deflate_message(deflater, payload, 15, &out), fits, "%zu bytes of room", room);
        cr_assert_eq(out.overflow, !fits);
        cr_assert_eq(out.used, fits ? bytes : 0);
        guard_free(placed, room);
    }
}

Test(deflate, keeps_a_buffer_that_has_overflowed)
{
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    struct buf out = buf_of(wire, 100);
    out.overflow = true;
    cr_assert_not(deflate_message(deflater, slice_text("Hello"), 15, &out));
    cr_assert_eq(out.used, 0);
}

Test(deflate, says_when_a_message_is_better_sent_as_it_is)
{
    static uint8_t noise[5000];
    struct random random;
    random_init(&random, 3);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)random_u64(&random);
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    for (size_t bytes = 1; bytes <= sizeof noise; bytes += 49) {
        struct buf out = buf_of(wire, bytes - 1 + DEFLATER_TAIL_BYTES);
        cr_assert_not(deflate_message(deflater, slice_of(noise, bytes), 15, &out));
    }
    memset(noise, 'a', 100);
    struct buf out = buf_of(wire, 100 - 1 + DEFLATER_TAIL_BYTES);
    cr_assert(deflate_message(deflater, slice_of(noise, 100), 15, &out));
    cr_assert_lt(out.used, 10);
}

Test(deflate, stays_in_its_memory)
{
    static uint8_t content[CONTENT_BYTES];
    uint8_t *placed = guard_place(memory, DEFLATER_BYTES);
    struct random random;
    random_init(&random, 4);
    for (int level = 1; level <= 9; level++) {
        struct deflater *deflater = deflater_place(placed, DEFLATER_BYTES, level);
        for (uint8_t bits = 15; bits >= 8; bits--)
            compress_into_wire(deflater, make_content(&random, content, sizeof content), bits);
    }
    guard_free(placed, DEFLATER_BYTES);
}

Test(deflate, is_not_placed_in_too_little_memory, .signal = SIGABRT)
{
    deflater_place(memory, DEFLATER_BYTES - 1, 6);
}

Test(deflate, is_not_placed_with_a_level_that_does_not_compress, .signal = SIGABRT)
{
    deflater_place(memory, DEFLATER_BYTES, 0);
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

Test(deflate, packs_parameters_into_classes)
{
    static const uint8_t classes[16] = {[8] = 1, [9] = 1, [10] = 2, [11] = 3, [12] = 4, [13] = 5, [14] = 6, [15] = 7};
    cr_assert_eq(deflate_class(&(struct deflate_parameters){0}), DEFLATE_CLASS_PLAIN);
    for (uint8_t bits = 8; bits <= 15; bits++) {
        struct deflate_parameters parameters = {.window_bits = bits, .client_max_window_bits = 10};
        cr_assert_eq(deflate_class(&parameters), classes[bits]);
        cr_assert_lt(deflate_class(&parameters), DEFLATE_CLASSES);
        cr_assert_eq(deflate_class_window_bits(classes[bits]), bits == 8 ? 9 : bits);
    }
}

Test(deflate, gives_plain_no_window, .signal = SIGABRT)
{
    deflate_class_window_bits(DEFLATE_CLASS_PLAIN);
}

Test(deflate, shares_one_class_among_windows_that_hold_the_whole_message)
{
    static const struct {
        size_t bytes;
        uint8_t class_of_15; /* what class 7 comes down to */
    } rows[] = {
        {0, 1},    {250, 1},  {251, 2},  {762, 2},   {763, 3},   {1786, 3},  {1787, 4},     {3834, 4},
        {3835, 5}, {7930, 5}, {7931, 6}, {16122, 6}, {16123, 7}, {70000, 7}, {64 << 20, 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint8_t from = 0; from < DEFLATE_CLASSES; from++)
            cr_assert_eq(deflate_class_of_message(from, rows[i].bytes),
                         from < rows[i].class_of_15 ? from : rows[i].class_of_15, "%zu bytes, class %u", rows[i].bytes,
                         from);
}

Test(deflate, makes_equal_bytes_for_classes_that_come_down_to_one)
{
    static uint8_t content[20000], first[30000];
    struct random random;
    unsigned shared = 0;
    random_init(&random, 5);
    struct deflater *deflater = deflater_place(memory, sizeof memory, 6);
    for (int round = 0; round < 300; round++) {
        struct slice payload = make_content(&random, content, random_below(&random, 1U << random_below(&random, 15)));
        for (uint8_t from = 1; from < DEFLATE_CLASSES; from++) {
            uint8_t one = deflate_class_of_message(from, payload.bytes);
            size_t bytes = compress_into_wire(deflater, payload, deflate_class_window_bits(one));
            memcpy(first, wire, bytes);
            cr_assert_eq(compress_into_wire(deflater, payload, deflate_class_window_bits(from)), bytes);
            cr_assert_arr_eq(wire, first, bytes);
            shared += one != from;
        }
    }
    cr_assert_gt(shared, 300);
}

/* --- the limit of received payloads (ws.h) ------------------------------------------------------------------------ */

Test(deflate, may_take_more_room_than_the_message_but_not_more_than_allowed)
{
    static uint8_t noise[CONTENT_BYTES];
    static const size_t sizes[] = {0, 1, 7, 100, 1000, 10000, CONTENT_BYTES};
    struct random random;
    bool longer = false;
    random_init(&random, 6);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(144 + random_below(&random, 112)); /* 9 bits in the fixed code */
    for (int setting = 0; setting < 10 * 9 * 5; setting++) {
        int level = setting % 10, memory_level = 1 + setting / 10 % 9, strategy = setting / 90;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            z_stream stream = {0};
            cr_assert_eq(deflateInit2(&stream, level, Z_DEFLATED, -15, memory_level, strategy), Z_OK);
            stream.next_in = noise;
            stream.avail_in = (unsigned)sizes[i];
            stream.next_out = wire;
            stream.avail_out = sizeof wire;
            cr_assert_eq(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
            cr_assert_leq(stream.total_out - 4, ws_compressed_bytes_max(sizes[i]), "level %d, memory %d, strategy %d",
                          level, memory_level, strategy);
            longer = longer || stream.total_out - 4 > sizes[i] + sizes[i] / 10;
            deflateEnd(&stream);
        }
    }
    cr_assert(longer, "the bound is never approached");
    cr_assert_eq(ws_compressed_bytes_max(UINT64_MAX), UINT64_MAX);
}
