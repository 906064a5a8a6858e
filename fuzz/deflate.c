/* SPDX-License-Identifier: MIT */
/* Owns permessage-deflate against zlib itself: what is compressed, zlib inflates within the window agreed on, and so
 * does inflate_next however the payload is cut; of any other bytes inflate_next says what zlib says, within its limit.
 * And of negotiation: an answer is an offer that gets the same answer. The input is a byte of settings, and a payload,
 * a compressed stream and a field value at once. */
#include "core/poison.h"
#include "fuzz/fuzz.h"
#include "protocol/extension.h"
#include "protocol/http1.h"
#include "protocol/inflate.h"
#include "tests/unit/protocol/naive_utf8.h"

#include <zlib.h>

#define CONTENT_MAX (256U << 10) /* of what streams may grow to here */

static _Alignas(16) uint8_t deflater_memory[DEFLATER_BYTES], inflater_memory[INFLATER_BYTES];
static uint8_t content[CONTENT_MAX + 1], naive[CONTENT_MAX + 1];

/* --- zlib's word -------------------------------------------------------------------------------------------------- */

/* RFC 7692 section 7.2.2: the payload, the four bytes that were taken off, then nothing. -1: no such content; -2: too
 * large. */
static long zlib_inflate(struct slice payload, int window_bits, size_t room)
{
    static const uint8_t tail[] = {0x00, 0x00, 0xFF, 0xFF};
    z_stream stream = {.next_out = naive, .avail_out = (uInt)(room + 1)};
    const struct slice parts[] = {payload, slice_of(tail, sizeof tail)};
    long result = 0;
    if (payload.bytes == 0)
        return 0; /* what a flush gives that had nothing to do */
    expect(inflateInit2(&stream, -window_bits) == Z_OK);
    for (size_t i = 0; i < 2 && result == 0; i++) {
        stream.next_in = (Bytef *)(uintptr_t)parts[i].data;
        stream.avail_in = (uInt)parts[i].bytes;
        int code = parts[i].bytes == 0 ? Z_OK : inflate(&stream, Z_SYNC_FLUSH);
        if (stream.avail_out == 0)
            result = -2;
        else if (code == Z_STREAM_END)
            result = -3; /* a final block: what follows it is the reader's to judge */
        else if ((code != Z_OK && code != Z_BUF_ERROR) || stream.avail_in > 0)
            result = -1;
    }
    if (result == 0 && ((stream.data_type & 128) == 0 || (stream.data_type & 63) != 0))
        result = -1; /* zlib.h: not between two blocks, at a byte */
    long bytes = (long)stream.total_out;
    unpoison(naive, stream.total_out);
    inflateEnd(&stream);
    return result == 0 ? bytes : result;
}

/* --- the reader --------------------------------------------------------------------------------------------------- */

/* The content's bytes, or minus the close code. `step`: bytes of input and room of output at a time; 0: as chance has
 * it. */
static long read_pieces(struct slice payload, uint64_t bytes_max, bool text, size_t step)
{
    struct inflater *inflater = inflater_place(inflater_memory, sizeof inflater_memory);
    struct random random = fuzz_random(payload);
    struct buf out = buf_of(content, 0);
    inflate_begin(inflater, bytes_max, text);
    for (size_t at = 0;;) {
        size_t left = payload.bytes - at, n = step != 0 ? step : 1 + (size_t)random_below(&random, 50);
        n = n < left ? n : left;
        uint8_t *copy = fuzz_copy(slice_of(payload.data + at, n));
        struct slice input = slice_of(copy, n);
        at += n;
        enum inflate_result result;
        while ((result = inflate_next(inflater, &input, at == payload.bytes, &out)) == INFLATE_FULL) {
            expect(out.used == out.capacity && out.capacity < sizeof content);
            size_t more = step != 0 ? step : 1 + (size_t)random_below(&random, 300);
            out.capacity += more < sizeof content - out.capacity ? more : sizeof content - out.capacity;
        }
        expect(result != INFLATE_MORE || input.bytes == 0);
        free(copy);
        if (result == INFLATE_END)
            return (long)out.used;
        if (result == INFLATE_ERROR) {
            const char *reason = NULL;
            uint16_t code = inflate_fault(inflater, &reason);
            expect((code == 1007 || code == 1009) && reason != NULL && strlen(reason) <= 123);
            struct slice nothing = {0};
            expect(inflate_next(inflater, &nothing, true, &out) == INFLATE_ERROR); /* sticky */
            return -(long)code;
        }
        expect(at < payload.bytes);
    }
}

/* Any bytes: zlib's content within the limit, or the error that it calls for, in any pieces. */
static void expect_inflated(struct slice payload, uint64_t bytes_max, bool text)
{
    long wanted = zlib_inflate(payload, 15, (size_t)bytes_max),
         whole = read_pieces(payload, bytes_max, text, payload.bytes + 1);
    if (wanted >= 0 && text && naive_utf8_read(slice_of(naive, (size_t)wanted)) != NAIVE_UTF8_WHOLE)
        wanted = -1007;
    if (wanted >= 0)
        expect(whole == wanted && memcmp(content, naive, (size_t)wanted) == 0);
    else
        expect(wanted == -3 || whole < 0);
    expect(whole <= (long)bytes_max);
    uint8_t *kept = fuzz_copy(slice_of(content, whole > 0 ? (size_t)whole : 0));
    for (size_t step = 0; step < 3; step++) {
        expect(read_pieces(payload, bytes_max, text, step) == whole);
        expect(whole <= 0 || memcmp(content, kept, (size_t)whole) == 0);
    }
    free(kept);
}

/* --- the writer --------------------------------------------------------------------------------------------------- */

static void expect_deflated(struct slice payload, uint8_t window_bits, int level)
{
    struct deflater *deflater = deflater_place(deflater_memory, sizeof deflater_memory, level);
    size_t room = payload.bytes + 64;
    uint8_t *memory = malloc(room), *second = malloc(room);
    struct buf out = buf_of(memory, room), again = buf_of(second, room);
    expect(deflater != NULL);
    if (deflate_message(deflater, payload, window_bits, &out)) {
        long bytes = zlib_inflate(buf_slice(&out), window_bits < 9 ? 9 : window_bits, payload.bytes + 1);
        expect(bytes == (long)payload.bytes && (bytes == 0 || memcmp(naive, payload.data, payload.bytes) == 0));
        expect(read_pieces(buf_slice(&out), payload.bytes, false, 0) == bytes);
        expect(bytes == 0 || memcmp(content, payload.data, payload.bytes) == 0);
        expect(deflate_message(deflater, payload, window_bits, &again)); /* it keeps nothing */
        expect(slice_equal(buf_slice(&out), buf_slice(&again)));

        struct deflate_parameters parameters = {.window_bits = window_bits};
        uint8_t class = deflate_class_of_message(deflate_class(&parameters), payload.bytes);
        buf_reset(&again);
        expect(deflate_message(deflater, payload, deflate_class_window_bits(class), &again));
        expect(slice_equal(buf_slice(&out), buf_slice(&again)));
    } else {
        expect(out.overflow && out.used == 0);
    }
    out = buf_of(memory, payload.bytes / 2); /* little room: whole or nothing */
    expect(deflate_message(deflater, payload, window_bits, &out) == !out.overflow && (!out.overflow || out.used == 0));
    free(memory);
    free(second);
}

/* --- negotiation -------------------------------------------------------------------------------------------------- */

/* What a request with this field gets; false: nothing. */
static bool negotiate(struct slice first, struct slice second, const struct extension_settings *settings,
                      struct deflate_parameters *parameters, struct buf *answer)
{
    static struct http1_request request;
    static uint8_t memory[HTTP_HEAD_BYTES_MAX];
    struct buf head = buf_of(memory, sizeof memory);
    size_t scanned = 0, head_bytes;
    const char *why;
    buf_put_text(&head, "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Extensions: ");
    buf_put(&head, first);
    buf_put_text(&head, "\r\nsec-websocket-extensions: ");
    buf_put(&head, second);
    buf_put_text(&head, "\r\n\r\n");
    if (http1_parse_head(buf_slice(&head), &scanned, &request, &head_bytes, &why) != HTTP1_OK)
        return false;
    bool accepted = extension_negotiate(&request, settings, parameters);
    extension_write(answer, parameters);
    expect(!answer->overflow && (answer->used > 0) == accepted);
    return accepted;
}

/* The value of the answer's line. */
static struct slice value_of(struct slice line)
{
    static const char name[] = "Sec-WebSocket-Extensions: ";
    expect(slice_starts(line, slice_text(name)) && memcmp(line.data + line.bytes - 2, "\r\n", 2) == 0);
    return slice_of(line.data + sizeof name - 1, line.bytes - sizeof name - 1);
}

static void expect_negotiated(struct slice field, struct extension_settings settings)
{
    struct deflate_parameters given = {0}, again = {0};
    uint8_t one[512], two[512];
    struct buf answer = buf_of(one, sizeof one), echo = buf_of(two, sizeof two);
    if (fuzz_holds(field, slice_text("\n")))
        return;
    if (!negotiate(field, slice_text("unknown; a=b"), &settings, &given, &answer)) {
        expect(given.window_bits == 0 && given.client_max_window_bits == 0 && given.server_max_window_bits == 0);
        return;
    }
    expect(given.window_bits >= 8 && given.window_bits <= 15);
    expect(given.server_max_window_bits == 0 || given.server_max_window_bits <= settings.server_window_bits);
    expect(given.client_max_window_bits == 0 || given.client_max_window_bits <= settings.client_window_bits);
    struct slice value = value_of(buf_slice(&answer));
    expect(fuzz_holds(field, slice_text("permessage-deflate")) || fuzz_holds(field, slice_text("-")));
    expect(negotiate(slice_text("unknown"), value, &settings, &again, &echo));
    expect(slice_equal(buf_slice(&answer), buf_slice(&echo)));
}

/* bits 0-2: windows; bits 3-4: limit; bit 5: text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint64_t limits[] = {0, 100, 5000, CONTENT_MAX - 1};
    if (bytes == 0)
        return 0;
    uint8_t shape = data[0], bits = (uint8_t)(8 + shape % 8);
    uint8_t *copy = fuzz_copy(slice_of(data + 1, bytes - 1));
    struct slice text = slice_of(copy, bytes - 1);
    expect_deflated(text, bits, 1 + shape % 9);
    expect_inflated(text, limits[shape >> 3 & 3], (shape & 32) != 0);
    expect_negotiated(text, (struct extension_settings){bits, (uint8_t)(8 + (shape >> 3) % 8)});
    free(copy);
    return 0;
}
