/* SPDX-License-Identifier: MIT */
/* Proves bodies of HTTP requests against an encoder of their own: lengths, chunks, trailers, limits, in pieces of any
 * size. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/http1.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/http1_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct body_read {
    enum http1_body_result result;
    char content[4096];
    size_t bytes;
    size_t taken; /* of the input */
};

/* Reads a body that comes in pieces of `piece` bytes. */
static void body_read(const struct http1_request *request, uint64_t bytes_max, const void *input, size_t bytes,
                      size_t piece, struct body_read *read)
{
    struct http1_body body;

    memset(read, 0, sizeof *read);
    http1_body_init(&body, request, bytes_max);
    do {
        size_t here = piece < bytes - read->taken ? piece : bytes - read->taken;
        uint8_t *placed = guard_place((const uint8_t *)input + read->taken, here);
        struct slice left = slice_of(placed, here), part;
        while ((read->result = http1_body_next(&body, &left, &part)) == HTTP1_BODY_PART) {
            cr_assert(part.bytes > 0 && part.data + part.bytes == left.data);
            memcpy(read->content + read->bytes, part.data, part.bytes);
            read->bytes += part.bytes;
        }
        read->taken += here - left.bytes;
        cr_assert(read->result != HTTP1_BODY_MORE || left.bytes == 0);
        guard_free(placed, here);
    } while (read->result == HTTP1_BODY_MORE && read->taken < bytes);

    struct slice nothing = slice_of(NULL, 0), part;
    cr_assert_eq(http1_body_next(&body, &nothing, &part), read->result, "the end is kept");
}

static void assert_body(const struct http1_request *request, uint64_t bytes_max, const char *input,
                        enum http1_body_result result, const char *content, const char *rest)
{
    for (size_t piece = 1; piece <= strlen(input) + 1; piece++) {
        static struct body_read read;
        body_read(request, bytes_max, input, strlen(input), piece, &read);
        cr_assert_eq(read.result, result, "%d instead of %d, pieces of %zu: %s", read.result, result, piece, input);
        if (content != NULL)
            cr_assert(slice_is(slice_of(read.content, read.bytes), content), "%s", input);
        if (rest != NULL)
            cr_assert_str_eq(input + read.taken, rest);
    }
}

static const struct http1_request chunked_request = {.chunked = true};

Test(http1, reads_bodies_by_content_length)
{
    static const struct http1_request none = {.content_length = 0}, five = {.content_length = 5};
    assert_body(&none, 10, "next", HTTP1_BODY_END, "", "next");
    assert_body(&none, 0, "", HTTP1_BODY_END, "", "");
    assert_body(&five, 5, "hellonext", HTTP1_BODY_END, "hello", "next");
    assert_body(&five, 5, "hell", HTTP1_BODY_MORE, "hell", "");
    assert_body(&five, 4, "hello", HTTP1_BODY_LARGE, "", "hello");
}

Test(http1, reads_chunked_bodies)
{
    static const struct {
        const char *input;
        enum http1_body_result result;
        const char *content, *rest;
    } rows[] = {
        {"0\r\n\r\nnext", HTTP1_BODY_END, "", "next"},
        {"5\r\nhello\r\n0\r\n\r\nnext", HTTP1_BODY_END, "hello", "next"},
        {"2\r\nhe\r\n03\r\nllo\r\n000\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", HTTP1_BODY_END, "01234567890123456789", ""},
        {"5;name=\"va;l\"; b\r\nhello\r\n0;last\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"5 \t;name\r\nhello\r\n0\r\n\r\n", HTTP1_BODY_END, "hello", ""},
        {"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", HTTP1_BODY_END, "\r\n", ""},
        {"1\r\na\r\n0\r\nTrailer: value\r\nX:\r\n\r\nnext", HTTP1_BODY_END, "a", "next"},
        {"5\r\nhel", HTTP1_BODY_MORE, "hel", ""},
        {"0\r\n\r", HTTP1_BODY_MORE, "", ""},
        {"\r\n", HTTP1_BODY_BAD, "", NULL},
        {"x\r\n", HTTP1_BODY_BAD, "", NULL},
        {"-1\r\n", HTTP1_BODY_BAD, "", NULL},
        {" 5\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5 \r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0x5\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\rhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5;\x01\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5;a\nhello\r\n", HTTP1_BODY_BAD, "", NULL},
        {"5\r\nhello5\r\n", HTTP1_BODY_BAD, "hello", NULL},
        {"5\r\nhello\n", HTTP1_BODY_BAD, "hello", NULL},
        {"5\r\nhello\rx", HTTP1_BODY_BAD, "hello", NULL},
        {"00000000000000005\r\nhello\r\n", HTTP1_BODY_BAD, "", NULL}, /* 17 digits */
        {"0\r\n\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n\rx", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n folded\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\nno colon\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\n: no name\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\na: b\nc: d\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"0\r\na: b\rc\r\n\r\n", HTTP1_BODY_BAD, "", NULL},
        {"21\r\n", HTTP1_BODY_LARGE, "", NULL}, /* 33 */
        {"FFFFFFFFFFFFFFFF\r\n", HTTP1_BODY_LARGE, "", NULL},
        {"1F\r\n0123456789012345678901234567890\r\n2\r\n", HTTP1_BODY_LARGE, NULL, NULL},
        {"1F\r\n0123456789012345678901234567890\r\n1\r\n!\r\n0\r\n\r\n", HTTP1_BODY_END, NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_body(&chunked_request, 32, rows[i].input, rows[i].result, rows[i].content, rows[i].rest);
}

Test(http1, bounds_a_chunk_that_is_announced_before_arithmetic_can_overflow)
{
    assert_body(&chunked_request, UINT64_MAX, "1\r\na\r\nFFFFFFFFFFFFFFFF\r\n", HTTP1_BODY_LARGE, "a", NULL);
    assert_body(&chunked_request, UINT64_MAX, "1\r\na\r\nFFFFFFFFFFFFFFFE\r\nb", HTTP1_BODY_MORE, "ab", NULL);
}

Test(http1, bounds_chunk_lines_and_trailers)
{
    static char memory[20000];
    static struct body_read read;
    for (size_t over = 0; over <= 1; over++) {
        struct buf input = buf_of(memory, sizeof memory);
        buf_put_text(&input, "0;");
        put_filler(&input, HTTP_CHUNK_LINE_BYTES_MAX + over - 4);
        buf_put_text(&input, "\r\n\r\n");
        body_read(&chunked_request, 0, input.data, input.used, 1000, &read);
        cr_assert_eq(read.result, over ? HTTP1_BODY_BAD : HTTP1_BODY_END);

        input = buf_of(memory, sizeof memory);
        buf_put_text(&input, "0\r\n");
        for (int i = 0; i < 8; i++) { /* of 1,024 bytes each, so the last is cut to make room for the empty line */
            buf_put_text(&input, "x:");
            put_filler(&input, i < 7 ? 1020 : 1018 + over);
            buf_put_text(&input, "\r\n");
        }
        buf_put_text(&input, "\r\n");
        body_read(&chunked_request, 0, input.data, input.used, 1000, &read);
        cr_assert_eq(read.result, over ? HTTP1_BODY_BAD : HTTP1_BODY_END);
    }
}

Test(http1, reads_back_random_chunks)
{
    struct random random;
    random_init(&random, 71);
    for (int round = 0; round < 500; round++) {
        static char wire[16384], content[4096];
        static struct body_read read;
        struct buf input = buf_of(wire, sizeof wire), expected = buf_of(content, sizeof content);
        for (uint64_t chunks = random_below(&random, 12); chunks > 0; chunks--) {
            size_t bytes = 1 + random_below(&random, 300), from = expected.used;
            for (size_t i = 0; i < bytes; i++)
                buf_put_byte(&expected, (uint8_t)random_u64(&random));
            char line[40];
            snprintf(line, sizeof line, random_chance(&random, 1, 2) ? "%zx%s\r\n" : "%04zX%s\r\n", bytes,
                     random_chance(&random, 1, 4) ? ";x=\"y\"" : "");
            buf_put_text(&input, line);
            buf_put(&input, buf_since(&expected, from));
            buf_put_text(&input, "\r\n");
        }
        buf_put_text(&input, random_chance(&random, 1, 4) ? "0\r\na: b\r\n\r\n" : "0\r\n\r\n");
        cr_assert_not(input.overflow || expected.overflow);
        body_read(&chunked_request, expected.used, input.data, input.used, 1 + random_below(&random, 400), &read);
        cr_assert_eq(read.result, HTTP1_BODY_END, "round %d", round);
        cr_assert(slice_equal(slice_of(read.content, read.bytes), buf_slice(&expected)), "round %d", round);
        cr_assert_eq(read.taken, input.used);
    }
}
