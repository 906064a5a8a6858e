/* SPDX-License-Identifier: MIT */
/* Owns the bytes of a peer's connection on both ways and the decoding of what a server sends.
 * It never decides what is said and knows no dialect.
 * Called by the clients and publishers of the simulation. */
#include "tests/sim/sim_wire.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

#define RECEIVE_BYTES_MAX 65536U
#define RSV1 0x40

/* --- waiting bytes --------------------------------------------------------------------------------------------------- */

static void compact(struct sim_bytes *bytes)
{
    if (bytes->at == 0)
        return;
    memmove(bytes->data, bytes->data + bytes->at, bytes->used - bytes->at);
    bytes->used -= bytes->at;
    bytes->at = 0;
}

static void append(struct sim_bytes *bytes, const void *data, size_t count)
{
    if (count == 0)
        return;
    if (bytes->used + count > bytes->capacity)
        compact(bytes);
    if (bytes->used + count > bytes->capacity) {
        size_t capacity = bytes->capacity == 0 ? 1024 : bytes->capacity;
        while (capacity < bytes->used + count)
            capacity *= 2;
        bytes->data = realloc(bytes->data, capacity);
        check(bytes->data != NULL);
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->used, data, count);
    bytes->used += count;
}

static struct slice waiting(const struct sim_bytes *bytes)
{
    return slice_skip(slice_of(bytes->data, bytes->used), bytes->at);
}

/* --- the connection -------------------------------------------------------------------------------------------------- */

bool sim_wire_connect(struct sim_wire *wire, struct sim_network *network, uint16_t port, struct ring_address from)
{
    wire->network = network;
    wire->in.at = wire->in.used = wire->out.at = wire->out.used = 0;
    wire->end = 0;
    wire->peer = sim_connect(network, port, from);
    return wire->peer >= 0;
}

void sim_wire_put(struct sim_wire *wire, const void *data, size_t bytes)
{
    append(&wire->out, data, bytes);
}

void sim_wire_put_text(struct sim_wire *wire, const char *text)
{
    append(&wire->out, text, strlen(text));
}

void sim_wire_put_frame(struct sim_wire *wire, struct random *random, uint8_t opcode, bool final, struct slice payload)
{
    uint8_t header[14];
    size_t bytes = 2;
    uint32_t key = (uint32_t)random_u64(random);
    if (wire->deflate.on && final && (opcode == 1 || opcode == 2) && random_chance(random, 1, 2)) {
        payload = sim_deflate_deflate(&wire->deflate, payload);
        opcode |= RSV1;
    }
    header[0] = (uint8_t)((final ? 0x80 : 0) | opcode);
    if (payload.bytes < 126) {
        header[1] = (uint8_t)(0x80 | payload.bytes);
    } else if (payload.bytes <= UINT16_MAX) {
        header[1] = 0x80 | 126;
        store_be16(header + 2, (uint16_t)payload.bytes);
        bytes += 2;
    } else {
        header[1] = 0x80 | 127;
        store_be64(header + 2, payload.bytes);
        bytes += 8;
    }
    memcpy(header + bytes, &key, 4);
    append(&wire->out, header, bytes + 4);
    size_t from = wire->out.used - wire->out.at;
    append(&wire->out, payload.data, payload.bytes);
    uint8_t *masked = wire->out.data + wire->out.at + from;
    for (size_t i = 0; i < payload.bytes; i++)
        masked[i] ^= header[bytes + i % 4];
}

bool sim_wire_pump(struct sim_wire *wire, uint32_t send_max, uint32_t receive_max)
{
    bool moved = false;
    if (wire->peer < 0 || wire->end != 0)
        return false;
    struct slice out = waiting(&wire->out);
    uint32_t part = out.bytes < send_max ? (uint32_t)out.bytes : send_max;
    int sent = part == 0 ? 0 : sim_peer_send(wire->network, wire->peer, out.data, part);
    if (sent > 0) {
        wire->out.at += (size_t)sent;
        moved = true;
    }
    uint8_t data[RECEIVE_BYTES_MAX];
    if (receive_max > sizeof data)
        receive_max = sizeof data;
    int got = receive_max == 0 ? 0 : sim_peer_receive(wire->network, wire->peer, data, receive_max);
    if (got > 0)
        append(&wire->in, data, (size_t)got);
    else if (got < 0)
        wire->end = got;
    return moved || got != 0;
}

void sim_wire_close(struct sim_wire *wire, bool reset)
{
    if (wire->peer < 0)
        return;
    if (reset)
        sim_peer_reset(wire->network, wire->peer);
    else
        sim_peer_close(wire->network, wire->peer);
    wire->peer = -1;
}

void sim_wire_free(struct sim_wire *wire)
{
    free(wire->in.data);
    free(wire->out.data);
    sim_deflate_free(&wire->deflate);
    wire->in = wire->out = (struct sim_bytes){0};
}

/* --- HTTP responses (RFC 9112) --------------------------------------------------------------------------------------- */

static int bad(const char **why, const char *what)
{
    *why = what;
    return -1;
}

/* Bytes of the head with its empty line, 0 when it is not complete. */
static size_t head_bytes(struct slice text)
{
    for (size_t i = 3; i < text.bytes; i++)
        if (memcmp(text.data + i - 3, "\r\n\r\n", 4) == 0)
            return i + 1;
    return 0;
}

/* The number behind "Content-Length: "; 0 without one. */
static size_t content_length(struct slice head)
{
    static const char name[] = "\r\nContent-Length: ";
    size_t n = sizeof name - 1, value = 0;
    for (size_t i = 0; i + n < head.bytes; i++) {
        if (memcmp(head.data + i, name, n) != 0)
            continue;
        for (i += n; i < head.bytes && head.data[i] >= '0' && head.data[i] <= '9'; i++)
            value = value * 10 + (size_t)(head.data[i] - '0');
        return value;
    }
    return 0;
}

int sim_wire_response(struct sim_wire *wire, struct sim_response *response, const char **why)
{
    struct slice text = waiting(&wire->in);
    size_t head = head_bytes(text);
    if (head == 0)
        return 0;
    if (!slice_starts(text, slice_text("HTTP/1.1 ")) || text.data[12] != ' ')
        return bad(why, "not a status line");
    response->status = (text.data[9] - '0') * 100 + (text.data[10] - '0') * 10 + (text.data[11] - '0');
    size_t content = response->status < 200 ? 0 : content_length(slice_of(text.data, head));
    if (text.bytes < head + content)
        return 0;
    response->head = slice_of(text.data, head);
    response->content = slice_of(text.data + head, content);
    wire->in.at += head + content;
    return 1;
}

/* --- frames (RFC 6455 section 5.2) ----------------------------------------------------------------------------------- */

int sim_wire_frame(struct sim_wire *wire, struct sim_frame *frame, const char **why)
{
    struct slice text = waiting(&wire->in);
    if (text.bytes < 2)
        return 0;
    uint8_t opcode = text.data[0] & 0x0F;
    uint64_t length = text.data[1] & 0x7F;
    size_t header = length == 126 ? 4 : length == 127 ? 10 : 2;
    bool compressed = wire->deflate.on && (opcode == 1 || opcode == 2) && (text.data[0] & 0x70) == RSV1;
    if ((!compressed && (text.data[0] & 0x70) != 0) || (text.data[1] & 0x80) != 0)
        return bad(why, "reserved bits or a mask from a server");
    if (opcode != 1 && opcode != 2 && opcode != 8 && opcode != 9 && opcode != 10)
        return bad(why, "unknown opcode");
    if (!(text.data[0] & 0x80))
        return bad(why, "fragment");
    if (text.bytes < header)
        return 0;
    if (header == 4 && (length = load_be16(text.data + 2)) < 126)
        return bad(why, "length not in its shortest form");
    if (header == 10 && (length = load_be64(text.data + 2)) <= UINT16_MAX)
        return bad(why, "length not in its shortest form");
    if (opcode >= 8 && length > 125)
        return bad(why, "long control frame");
    if (text.bytes - header < length)
        return 0;
    *frame = (struct sim_frame){.opcode = opcode, .payload = slice_of(text.data + header, length)};
    wire->in.at += header + (size_t)length;
    if (compressed && !sim_deflate_inflate(&wire->deflate, frame->payload, &frame->payload))
        return bad(why, "zlib does not take a compressed message");
    return 1;
}
