/* SPDX-License-Identifier: MIT */
/* Owns the bytes that wait to be sent on one connection. It never sends them and knows no more of what they mean than the
 * header of a frame.
 * Called by connections and publishers. */
#include "bench/bench_outgoing.h"

#include "core/check.h"

#include <stdlib.h>

#define HALF_BYTES_MIN 512
#define FRAME_HEADER_BYTES_MAX 14 /* of a masked frame */

uint8_t *outgoing_reserve(struct outgoing *out, size_t bytes)
{
    struct outgoing_half *half = &out->fill;
    if (half->capacity - half->bytes < bytes) {
        size_t capacity = half->capacity > 0 ? half->capacity : HALF_BYTES_MIN;
        while (capacity - half->bytes < bytes)
            capacity *= 2;
        half->data = realloc(half->data, capacity);
        check(half->data != NULL);
        half->capacity = capacity;
    }
    return half->data + half->bytes;
}

void outgoing_commit(struct outgoing *out, size_t bytes)
{
    check_op(bytes, <=, out->fill.capacity - out->fill.bytes);
    out->fill.bytes += bytes;
}

void outgoing_put(struct outgoing *out, struct slice bytes)
{
    memcpy(outgoing_reserve(out, bytes.bytes), bytes.data, bytes.bytes);
    outgoing_commit(out, bytes.bytes);
}

void outgoing_put_frame(struct outgoing *out, struct random *random, enum ws_opcode opcode, struct slice payload)
{
    uint8_t key[4];
    uint64_t bits = random_u64(random);
    memcpy(key, &bits, sizeof key);
    uint8_t *frame = outgoing_reserve(out, FRAME_HEADER_BYTES_MAX + payload.bytes);
    size_t header = ws_header_write_masked(frame, opcode, payload.bytes, key);
    if (payload.bytes > 0)
        memcpy(frame + header, payload.data, payload.bytes);
    ws_mask(frame + header, payload.bytes, key, 0);
    outgoing_commit(out, header + payload.bytes);
}

struct slice outgoing_begin(struct outgoing *out)
{
    if (out->flight.bytes > 0 || out->fill.bytes == 0)
        return slice_of(NULL, 0);
    struct outgoing_half half = out->flight;
    out->flight = out->fill;
    out->fill = half;
    out->sent = 0;
    return slice_of(out->flight.data, out->flight.bytes);
}

struct slice outgoing_sent(struct outgoing *out, size_t bytes)
{
    out->sent += bytes;
    check_op(out->sent, <=, out->flight.bytes);
    if (out->sent < out->flight.bytes)
        return slice_of(out->flight.data + out->sent, out->flight.bytes - out->sent);
    out->flight.bytes = 0;
    return outgoing_begin(out);
}

size_t outgoing_waiting(const struct outgoing *out)
{
    size_t in_flight = out->flight.bytes > 0 ? out->flight.bytes - out->sent : 0;
    return in_flight + out->fill.bytes;
}

void outgoing_free(struct outgoing *out)
{
    free(out->fill.data);
    free(out->flight.data);
    memset(out, 0, sizeof *out);
}
