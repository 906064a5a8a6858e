/* SPDX-License-Identifier: MIT */
/* Owns the client's walk over the frames of a server (RFC 6455 section 5). It never unmasks, checks no UTF-8 and
 * keeps no payload. Called by connections for what they receive.
 *
 *   byte 0   FIN RSV1 RSV2 RSV3 opcode(4)
 *   byte 1   MASK length(7)     126: 2 more bytes, 127: 8 more bytes
 *   then     payload; of a message's first frame its first STAMP_HEAD_BYTES are read */
#include "bench/bench_frames.h"

#define FIN 0x80
#define RSV 0x70
#define OPCODE 0x0f
#define CONTROL 0x08
#define MASKED 0x80

void frames_init(struct frames *frames)
{
    memset(frames, 0, sizeof *frames);
}

static size_t header_bytes(const uint8_t *frame)
{
    uint8_t length = frame[1] & 0x7f;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

static uint64_t payload_bytes(const uint8_t *frame)
{
    uint8_t length = frame[1] & 0x7f;
    return length == 126 ? load_be16(frame + 2) : length == 127 ? load_be64(frame + 2) : length;
}

/* How much of a frame must be there before it can be judged; `have` of it is. */
static size_t needed(const struct frames *frames, const uint8_t *frame, size_t have)
{
    if (have < 2)
        return 2;
    size_t header = header_bytes(frame);
    if (have < header)
        return header;
    uint64_t payload = payload_bytes(frame);
    uint8_t opcode = frame[0] & OPCODE;
    if (opcode & CONTROL)
        return header + (payload <= WS_CONTROL_BYTES_MAX ? (size_t)payload : 0);
    if (opcode == WS_CONTINUATION || frames->raw)
        return header;
    return header + (payload < STAMP_HEAD_BYTES ? (size_t)payload : STAMP_HEAD_BYTES);
}

static enum frames_result bad(struct frames_event *event, const char *why)
{
    event->why = why;
    return FRAMES_BAD;
}

/* The frame's payload has been passed over. */
static enum frames_result frame_end(struct frames *frames, struct frames_event *event)
{
    if (!frames->final)
        return FRAMES_MORE;
    frames->open = false;
    if (frames->raw)
        return FRAMES_MORE;
    event->opcode = frames->opcode;
    event->stamped = frames->stamped;
    event->stamp = frames->stamp;
    event->bytes = frames->bytes;
    return FRAMES_MESSAGE;
}

static enum frames_result control_frame(const uint8_t *frame, uint64_t payload, struct frames_event *event)
{
    if (!(frame[0] & FIN))
        return bad(event, "a fragmented control frame"); /* RFC 6455 section 5.5 */
    if (payload > WS_CONTROL_BYTES_MAX)
        return bad(event, "a control frame of more than 125 bytes"); /* RFC 6455 section 5.5 */
    event->opcode = frame[0] & OPCODE;
    event->payload = slice_of(frame + 2, (size_t)payload);
    return FRAMES_CONTROL;
}

/* A frame of which `bytes` have come: all that needed() asks for. */
static enum frames_result frame_begin(struct frames *frames, const uint8_t *frame, size_t bytes,
                                      struct frames_event *event)
{
    if (frame[0] & RSV)
        return bad(event, "a reserved bit without an extension"); /* RFC 6455 section 5.2 */
    if (frame[1] & MASKED)
        return bad(event, "a masked frame"); /* RFC 6455 section 5.1 */
    uint8_t opcode = frame[0] & OPCODE;
    size_t header = header_bytes(frame);
    uint64_t payload = payload_bytes(frame);
    if (opcode == WS_CLOSE || opcode == WS_PING || opcode == WS_PONG)
        return control_frame(frame, payload, event);
    if (opcode > WS_BINARY)
        return bad(event, "a reserved opcode"); /* RFC 6455 section 5.2 */
    if ((opcode == WS_CONTINUATION) != frames->open)
        return bad(event, frames->open ? "a message inside another one" : "a continuation of nothing");
    if (opcode != WS_CONTINUATION) {
        frames->open = true;
        frames->opcode = opcode;
        frames->bytes = 0;
        frames->stamped = stamp_read(slice_of(frame + header, bytes - header), &frames->stamp);
    }
    frames->bytes += payload;
    frames->final = (frame[0] & FIN) != 0;
    frames->skip = payload - (bytes - header);
    return frames->skip > 0 ? FRAMES_MORE : frame_end(frames, event);
}

/* Completes a head that came in pieces. The bytes to be judged, or 0 when more must come. */
static size_t gather(struct frames *frames, struct slice *input)
{
    size_t need;
    while (frames->head_used < (need = needed(frames, frames->head, frames->head_used))) {
        size_t missing = need - frames->head_used;
        size_t n = missing < input->bytes ? missing : input->bytes;
        if (n == 0)
            return 0;
        memcpy(frames->head + frames->head_used, input->data, n);
        frames->head_used = (uint8_t)(frames->head_used + n);
        *input = slice_skip(*input, n);
    }
    frames->head_used = 0;
    return need;
}

enum frames_result frames_next(struct frames *frames, struct slice *input, struct frames_event *event)
{
    enum frames_result result = FRAMES_MORE;
    while (input->bytes > 0 && result == FRAMES_MORE) {
        if (frames->skip > 0) {
            size_t n = frames->skip < input->bytes ? (size_t)frames->skip : input->bytes;
            event->payload = slice_of(input->data, n);
            frames->skip -= n;
            *input = slice_skip(*input, n);
            if (frames->skip == 0)
                result = frame_end(frames, event);
            if (frames->raw)
                result = FRAMES_PIECE;
            continue;
        }
        size_t need = frames->head_used == 0 ? needed(frames, input->data, input->bytes) : SIZE_MAX;
        if (need <= input->bytes) {
            const uint8_t *frame = input->data;
            *input = slice_skip(*input, need);
            result = frame_begin(frames, frame, need, event);
        } else {
            need = gather(frames, input);
            if (need > 0)
                result = frame_begin(frames, frames->head, need, event);
        }
    }
    return result;
}
