/* SPDX-License-Identifier: MIT */
/* Owns the decompression of received messages (RFC 7692 section 7.2.2) over zlib, in a fixed block of memory. It never
 * allocates, never keeps anything from one message to the next and never gives out more than the message limit.
 * conn_read.c pulls the content of compressed messages out of it.
 *
 *   payload   block* [final block, bits up to the next byte; block*]* header bits of an empty stored block
 *   tail      00 00 FF FF: the rest of that block, which is not sent
 *
 * A final block (BFINAL, RFC 1951 section 3.2.3) ends a data set; in a message another may follow it (RFC 7692 section
 * 7.2.1), and nothing in that refers back to the one before. */
#include "protocol/inflate.h"

#define ZLIB_CONST /* what zlib reads is const */
#include <zlib.h>

#include "core/check.h"
#include "core/poison.h"
#include "protocol/arena.h"
#include "protocol/utf8.h"
#include "protocol/ws.h"

/* Everything a payload can have wrong: name, close code, reason of our close frame. */
#define INFLATE_FAULTS(FAULT)                                                                                          \
    FAULT(NOT_DEFLATE, WS_CLOSE_INVALID_DATA, "invalid compressed data")                                               \
    FAULT(INCOMPLETE, WS_CLOSE_INVALID_DATA, "compressed data cut off")                                                \
    FAULT(NOT_UTF8, WS_CLOSE_INVALID_DATA, "text is not UTF-8")                                                        \
    FAULT(TOO_BIG, WS_CLOSE_TOO_BIG, "message too big")

#define FAULT_NAME(name, code, reason) FAULT_##name,
#define FAULT_ROW(name, code, reason) [FAULT_##name] = {code, reason},

enum fault { FAULT_NONE, INFLATE_FAULTS(FAULT_NAME) };

static const struct {
    uint16_t close_code;
    const char *reason;
} faults[] = {INFLATE_FAULTS(FAULT_ROW)};

static const uint8_t tail[] = {0x00, 0x00, 0xFF, 0xFF};

#define WINDOW_BYTES (1U << 15) /* zlib takes it when first needed */

struct inflater {
    z_stream stream;
    struct arena arena;
    struct slice tail;   /* what has not been given to zlib */
    uint64_t bytes_left; /* of the message limit */
    enum fault fault;
    uint8_t utf8;
    bool text;
    bool reading; /* between inflate_begin and the end of the message */
    bool fresh;   /* the present data set has not begun */
};

#define INFLATER_ALIGNED_BYTES ((sizeof(struct inflater) + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT)

struct inflater *inflater_place(void *memory, size_t bytes)
{
    check_op((uintptr_t)memory % ARENA_ALIGNMENT, ==, 0);
    check_op(bytes, >=, INFLATER_BYTES);

    struct inflater *inflater = memory;
    *inflater = (struct inflater){
        .stream = {.zalloc = arena_alloc, .zfree = arena_free, .opaque = &inflater->arena},
        .arena = {.data = (uint8_t *)memory + INFLATER_ALIGNED_BYTES, .capacity = bytes - INFLATER_ALIGNED_BYTES},
    };
    /* The greatest window, whatever was agreed: a client may not have been asked for less. */
    check(inflateInit2(&inflater->stream, -MAX_WBITS) == Z_OK);
    check_op(inflater->arena.capacity - inflater->arena.used, >=, WINDOW_BYTES);
    return inflater;
}

void inflate_begin(struct inflater *inflater, uint64_t bytes_max, bool text)
{
    check(inflateReset(&inflater->stream) == Z_OK);
    inflater->tail = slice_of(tail, sizeof tail);
    inflater->bytes_left = bytes_max;
    inflater->fault = FAULT_NONE;
    inflater->utf8 = UTF8_START;
    inflater->text = text;
    inflater->reading = true;
    inflater->fresh = true;
}

/* --- one call of zlib --------------------------------------------------------------------------------------------- */

enum step {
    STEP_STARVED, /* the source is used up and all that it gives has been written */
    STEP_FULL,    /* there was no room for more */
    STEP_SET_END, /* behind a final block */
    STEP_FAULT,
};

static enum step fail(struct inflater *inflater, enum fault fault)
{
    inflater->fault = fault;
    return STEP_FAULT;
}

static unsigned smaller(uint64_t a, uint64_t b)
{
    uint64_t least = a < b ? a : b;
    return least < UINT32_MAX ? (unsigned)least : UINT32_MAX;
}

/* Content has been written behind out->used. */
static bool content_take(struct inflater *inflater, struct buf *out, size_t bytes)
{
    if (inflater->text)
        inflater->utf8 = utf8_next(inflater->utf8, slice_of(out->data + out->used, bytes));
    out->used += bytes;
    inflater->bytes_left -= bytes;
    return inflater->utf8 != UTF8_REJECT; /* RFC 6455 section 8.1, of the content: RFC 7692 section 6.2 */
}

static enum step step(struct inflater *inflater, struct slice *source, struct buf *out)
{
    z_stream *stream = &inflater->stream;
    uint8_t beyond; /* at the limit there is room for one byte, which must not come */
    bool at_limit = inflater->bytes_left == 0;
    unsigned room = at_limit ? 1 : smaller(out->capacity - out->used, inflater->bytes_left);
    unsigned given = smaller(source->bytes, UINT32_MAX);

    if (room == 0)
        return STEP_FULL;
    stream->next_in = source->data;
    stream->avail_in = given;
    stream->next_out = at_limit ? &beyond : out->data + out->used;
    stream->avail_out = room;
    int result = inflate(stream, Z_NO_FLUSH);
    unsigned taken = given - stream->avail_in, written = room - stream->avail_out;
    unpoison(stream->next_out - written, written);
    *source = slice_skip(*source, taken);
    inflater->fresh = inflater->fresh && taken == 0;

    if (written > 0 && at_limit)
        return fail(inflater, FAULT_TOO_BIG); /* RFC 6455 sections 7.4.1, 10.4 */
    if (!content_take(inflater, out, written))
        return fail(inflater, FAULT_NOT_UTF8);
    if (result == Z_DATA_ERROR)
        return fail(inflater, FAULT_NOT_DEFLATE); /* RFC 1951 section 3.2 */
    if (result == Z_STREAM_END) {
        check(inflateReset(stream) == Z_OK);
        inflater->fresh = true;
        return STEP_SET_END;
    }
    check(result == Z_OK || result == Z_BUF_ERROR); /* the latter: there was nothing to do */
    return stream->avail_out == 0 ? STEP_FULL : STEP_STARVED;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* With all of the payload taken: whether nothing is missing. Between two data sets the tail is not needed: behind a
 * final block, as some clients leave it, and of a payload without any byte, which is what a flush gives that had
 * nothing to do. Else it has to end the block that the payload left open, at a byte. */
static bool is_complete(const struct inflater *inflater)
{
    const int between_blocks = 128, unused_bits = 63; /* zlib.h, of data_type */
    int at = inflater->stream.data_type;

    if (inflater->fresh)
        return inflater->tail.bytes == 0 || inflater->tail.bytes == sizeof tail;
    return inflater->tail.bytes == 0 && (at & between_blocks) != 0 && (at & unused_bits) == 0;
}

static enum inflate_result message_end(struct inflater *inflater)
{
    if (inflater->utf8 != UTF8_START) {
        fail(inflater, FAULT_NOT_UTF8); /* RFC 6455 section 8.1: a character cut off */
        return INFLATE_ERROR;
    }
    inflater->reading = false;
    return INFLATE_END;
}

enum inflate_result inflate_next(struct inflater *inflater, struct slice *input, bool last, struct buf *out)
{
    check(inflater->reading);
    while (inflater->fault == FAULT_NONE) {
        bool ending = last && input->bytes == 0;
        if (ending && is_complete(inflater))
            return message_end(inflater);
        switch (step(inflater, ending ? &inflater->tail : input, out)) {
        case STEP_STARVED:
            if (!last)
                return INFLATE_MORE;
            if (ending && !is_complete(inflater))
                fail(inflater, FAULT_INCOMPLETE); /* RFC 7692 section 7.2.1 */
            break;
        case STEP_FULL:
            if (inflater->bytes_left > 0)
                return INFLATE_FULL;
            break;
        case STEP_SET_END:
        case STEP_FAULT:
            break;
        }
    }
    return INFLATE_ERROR;
}

uint16_t inflate_fault(const struct inflater *inflater, const char **reason)
{
    check(inflater->fault != FAULT_NONE);
    *reason = faults[inflater->fault].reason;
    return faults[inflater->fault].close_code;
}
