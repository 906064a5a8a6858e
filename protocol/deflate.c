/* SPDX-License-Identifier: MIT */
/* Owns the compression of one whole message (RFC 7692 section 7.2.1) over zlib, in a fixed block of memory, and the
 * classes of receivers that share the result. It never keeps a window between two messages and never allocates.
 * fanout.c compresses a published event once per class with it, extension.c fills the parameters. */
#include "protocol/deflate.h"

#define ZLIB_CONST /* what zlib reads is const */
#include <zlib.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/poison.h"
#include "protocol/arena.h"

/* zlib makes no raw stream with a window of 8 bits. It need not: its matches reach back at most the window less
 * WINDOW_MARGIN (MIN_LOOKAHEAD in its deflate.h), and 2^9 - 262 is below 2^8. So a stream made with 9 is valid for 8,
 * and the parameter server_max_window_bits=8 can be agreed to. test_deflate.c measures the distances. */
#define ZLIB_WINDOW_BITS_MIN 9
#define WINDOW_MARGIN 262
#define ZLIB_MEMORY_LEVEL_MAX 8 /* 9 would buy less than 1 percent for twice the memory */

_Static_assert((1 << ZLIB_WINDOW_BITS_MIN) - WINDOW_MARGIN <= 1 << DEFLATE_WINDOW_BITS_MIN, "9 serves 8");
_Static_assert(DEFLATE_WINDOW_BITS_MAX - ZLIB_WINDOW_BITS_MIN + 2 == DEFLATE_CLASSES, "a class per window, and plain");
_Static_assert(WS_MESSAGE_BYTES_MAX <= UINT32_MAX, "zlib counts a message in unsigned int");

#define TAIL_BYTES 4 /* 00 00 FF FF of the empty stored block that ends a message; not sent (section 7.2.1) */
_Static_assert(DEFLATER_TAIL_BYTES == TAIL_BYTES + 1, "and one byte left, by which a flush is known to be complete");

/* How zlib is set up for a message: small for a small one, because starting a stream clears its tables. */
struct shape {
    int window_bits;
    int memory_level;
};

struct deflater {
    z_stream stream;
    struct arena arena;
    struct shape shape;
    int level;
};

#define DEFLATER_ALIGNED_BYTES ((sizeof(struct deflater) + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT)

/* --- classes ------------------------------------------------------------------------------------------------------ */

/* The smallest zlib window, at most `bits`, from whose end the whole payload is in reach. */
static uint8_t window_bits_of(uint8_t bits, size_t payload_bytes)
{
    uint8_t enough = ZLIB_WINDOW_BITS_MIN;
    while (enough < bits && ((size_t)1 << enough) - WINDOW_MARGIN < payload_bytes)
        enough++;
    return enough;
}

uint8_t deflate_class(const struct deflate_parameters *parameters)
{
    uint8_t bits = parameters->window_bits;
    if (bits == 0)
        return DEFLATE_CLASS_PLAIN;
    check(bits >= DEFLATE_WINDOW_BITS_MIN && bits <= DEFLATE_WINDOW_BITS_MAX);
    return (uint8_t)(bits < ZLIB_WINDOW_BITS_MIN ? 1 : bits - ZLIB_WINDOW_BITS_MIN + 1);
}

uint8_t deflate_class_window_bits(uint8_t class)
{
    check(class > DEFLATE_CLASS_PLAIN && class < DEFLATE_CLASSES);
    return (uint8_t)(class + ZLIB_WINDOW_BITS_MIN - 1);
}

uint8_t deflate_class_of_message(uint8_t class, size_t payload_bytes)
{
    if (class == DEFLATE_CLASS_PLAIN)
        return class;
    return (uint8_t)(window_bits_of(deflate_class_window_bits(class), payload_bytes) - ZLIB_WINDOW_BITS_MIN + 1);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* zlib ends a block after 2^(memory_level + 6) symbols: enough for the whole payload, as far as that goes. */
static struct shape shape_of(uint8_t window_bits, size_t payload_bytes)
{
    int memory_level = 1;
    while (memory_level < ZLIB_MEMORY_LEVEL_MAX && (size_t)1 << (memory_level + 6) <= payload_bytes)
        memory_level++;
    return (struct shape){.window_bits = window_bits_of(window_bits, payload_bytes), .memory_level = memory_level};
}

/* A fresh stream; one of the same shape is used again. */
static void stream_begin(struct deflater *deflater, struct shape shape)
{
    if (shape.window_bits == deflater->shape.window_bits && shape.memory_level == deflater->shape.memory_level) {
        check(deflateReset(&deflater->stream) == Z_OK);
        return;
    }
    deflater->arena.used = 0;
    deflater->shape = shape;
    deflater->stream = (z_stream){.zalloc = arena_alloc, .zfree = arena_free, .opaque = &deflater->arena};
    check(deflateInit2(&deflater->stream, deflater->level, Z_DEFLATED, -shape.window_bits, shape.memory_level,
                       Z_DEFAULT_STRATEGY) == Z_OK);
}

struct deflater *deflater_place(void *memory, size_t bytes, int level)
{
    check_op((uintptr_t)memory % ARENA_ALIGNMENT, ==, 0);
    check_op(bytes, >=, DEFLATER_BYTES);
    check(level >= Z_BEST_SPEED && level <= Z_BEST_COMPRESSION);

    struct deflater *deflater = memory;
    *deflater = (struct deflater){
        .arena = {.data = (uint8_t *)memory + DEFLATER_ALIGNED_BYTES, .capacity = bytes - DEFLATER_ALIGNED_BYTES},
        .level = level,
    };
    /* The greatest shape first: that the memory is enough for this zlib is known from here on. */
    stream_begin(deflater, (struct shape){DEFLATE_WINDOW_BITS_MAX, ZLIB_MEMORY_LEVEL_MAX});
    return deflater;
}

bool deflate_message(struct deflater *deflater, struct slice payload, uint8_t window_bits, struct buf *out)
{
    z_stream *stream = &deflater->stream;
    size_t room = out->overflow ? 0 : out->capacity - out->used;

    check(window_bits >= DEFLATE_WINDOW_BITS_MIN && window_bits <= DEFLATE_WINDOW_BITS_MAX);
    check_op(payload.bytes, <=, WS_MESSAGE_BYTES_MAX);
    if (room < DEFLATER_TAIL_BYTES) {
        out->overflow = true;
        return false;
    }
    stream_begin(deflater, shape_of(window_bits, payload.bytes));
    stream->next_in = payload.data;
    stream->avail_in = (unsigned)payload.bytes;
    stream->next_out = out->data + out->used;
    stream->avail_out = room < UINT32_MAX ? (unsigned)room : UINT32_MAX;
    check(deflate(stream, Z_SYNC_FLUSH) == Z_OK);
    unpoison(out->data + out->used, stream->total_out);
    if (stream->avail_out == 0) { /* zlib.h: only a flush that leaves room is known to be complete */
        out->overflow = true;
        return false;
    }
    check_op(stream->avail_in, ==, 0);
    check_op(stream->total_out, >, TAIL_BYTES);
    out->used += stream->total_out - TAIL_BYTES;
    return true;
}
