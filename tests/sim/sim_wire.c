/* SPDX-License-Identifier: MIT */
/* Owns the bytes of a peer's connection on both ways and the decoding of what a server sends.
 * It never decides what is said and knows no dialect.
 * Called by the clients and publishers of the simulation. */
#include "tests/sim/sim_wire.h"

#include "core/check.h"
#include "tests/sim/sim_text.h"

#include <errno.h>

#define RECEIVE_BYTES_MAX 65536U
#define RSV1 0x40

/* --- the connection ----------------------------------------------------------------------------------------------- */

bool sim_wire_connect(struct sim_wire *wire, struct sim_network *network, uint16_t port, struct ring_address from)
{
    wire->network = network;
    wire->in.at = wire->in.used = wire->out.at = wire->out.used = 0;
    wire->end = 0;
    wire->cut = false;
    wire->peer = sim_connect(network, port, from);
    return wire->peer >= 0;
}

void sim_wire_put(struct sim_wire *wire, const void *data, size_t bytes)
{
    sim_bytes_put(&wire->out, data, bytes);
}

void sim_wire_put_text(struct sim_wire *wire, const char *text)
{
    sim_bytes_put(&wire->out, text, strlen(text));
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
    sim_bytes_put(&wire->out, header, bytes + 4);
    size_t from = wire->out.used - wire->out.at;
    sim_bytes_put(&wire->out, payload.data, payload.bytes);
    uint8_t *masked = wire->out.data + wire->out.at + from;
    for (size_t i = 0; i < payload.bytes; i++)
        masked[i] ^= header[bytes + i % 4];
}

static void take(struct sim_wire *wire, struct slice bytes)
{
    if (wire->tls != NULL)
        sim_tls_take(wire->tls, bytes, &wire->in);
    else
        sim_bytes_put(&wire->in, bytes.data, bytes.bytes);
}

static void end(struct sim_wire *wire, int how)
{
    wire->end = how;
    wire->cut = wire->tls != NULL && !wire->tls->ended;
}

/* Nothing waits to be sent and nothing has come: so it is most of the time. */
static bool is_idle(const struct sim_wire *wire)
{
    const struct sim_tls *tls = wire->tls;
    return wire->out.at == wire->out.used && (tls == NULL || tls->out.at == tls->out.used) &&
           !sim_peer_readable(wire->network, wire->peer);
}

static bool exchange(struct sim_wire *wire, uint32_t send_max, uint32_t receive_max)
{
    bool moved = false;
    if (wire->tls != NULL)
        sim_tls_seal(wire->tls, &wire->out, send_max);
    struct sim_bytes *bytes = wire->tls != NULL ? &wire->tls->out : &wire->out;
    struct slice out = sim_bytes_waiting(bytes);
    uint32_t part = out.bytes < send_max ? (uint32_t)out.bytes : send_max;
    int sent = part == 0 ? 0 : sim_peer_send(wire->network, wire->peer, out.data, part);
    if (sent > 0) {
        bytes->at += (size_t)sent;
        moved = true;
    }
    uint8_t data[RECEIVE_BYTES_MAX];
    if (receive_max > sizeof data)
        receive_max = sizeof data;
    int got = receive_max == 0 ? 0 : sim_peer_receive(wire->network, wire->peer, data, receive_max);
    if (got > 0)
        take(wire, slice_of(data, (size_t)got));
    else if (got < 0)
        end(wire, got);
    return moved || got != 0;
}

bool sim_wire_pump(struct sim_wire *wire, uint32_t send_max, uint32_t receive_max)
{
    return wire->peer >= 0 && wire->end == 0 && !is_idle(wire) && exchange(wire, send_max, receive_max);
}

/* As much of what TLS has to say as the socket takes at once. */
static void say_goodbye(struct sim_wire *wire)
{
    struct sim_tls *tls = wire->tls;
    if (tls == NULL || tls->rude)
        return;
    sim_tls_close(tls);
    struct slice out = sim_bytes_waiting(&tls->out);
    int sent = out.bytes == 0 ? 0 : sim_peer_send(wire->network, wire->peer, out.data, (uint32_t)out.bytes);
    tls->out.at += sent > 0 ? (size_t)sent : 0;
}

void sim_wire_shutdown(struct sim_wire *wire)
{
    say_goodbye(wire);
    sim_peer_shutdown(wire->network, wire->peer);
}

static void end_session(struct sim_wire *wire)
{
    if (wire->tls == NULL)
        return;
    struct WOLFSSL_SESSION *ticket = sim_tls_ticket(wire->tls);
    if (ticket != NULL && *wire->ticket != NULL)
        sim_tls_free_ticket(*wire->ticket);
    if (ticket != NULL)
        *wire->ticket = ticket;
    sim_tls_destroy(wire->tls);
    wire->tls = NULL;
}

void sim_wire_close(struct sim_wire *wire, bool reset)
{
    if (wire->peer < 0)
        return;
    if (!reset)
        say_goodbye(wire);
    end_session(wire);
    if (reset)
        sim_peer_reset(wire->network, wire->peer);
    else
        sim_peer_close(wire->network, wire->peer);
    wire->peer = -1;
}

void sim_wire_free(struct sim_wire *wire)
{
    end_session(wire);
    sim_bytes_free(&wire->in);
    sim_bytes_free(&wire->out);
    sim_deflate_free(&wire->deflate);
}

/* --- HTTP responses (RFC 9112) ------------------------------------------------------------------------------------ */

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

/* What the status owes (protocol/http.md) and the head has not; NULL: nothing. */
static const char *missing(int status, struct slice head)
{
    static const struct {
        int status;
        const char *field, *why;
    } duties[] = {
        {401, "\r\nWWW-Authenticate: ", "401 without a challenge"},
        {405, "\r\nAllow: ", "405 without Allow"},
        {415, "\r\nAccept-Encoding: ", "415 without Accept-Encoding"},
        {426, "\r\nSec-WebSocket-Version: 13\r\n", "426 without a version"},
        {429, "\r\nRetry-After: ", "429 without Retry-After"},
        {503, "\r\nRetry-After: ", "503 without Retry-After"},
    };
    if (status != 100 && sim_text_behind(head, "\r\nDate: ").data == NULL)
        return "a response without Date";
    for (size_t i = 0; i < sizeof duties / sizeof duties[0]; i++)
        if (status == duties[i].status && sim_text_behind(head, duties[i].field).data == NULL)
            return duties[i].why;
    return NULL;
}

int sim_wire_response(struct sim_wire *wire, struct sim_response *response, const char **why)
{
    struct slice text = sim_bytes_waiting(&wire->in);
    size_t head = head_bytes(text);
    if (wire->tls != NULL && wire->tls->fault != NULL)
        return bad(why, wire->tls->fault);
    if (head == 0)
        return 0;
    if (!slice_starts(text, slice_text("HTTP/1.1 ")) || text.data[12] != ' ')
        return bad(why, "not a status line");
    response->status = (text.data[9] - '0') * 100 + (text.data[10] - '0') * 10 + (text.data[11] - '0');
    const char *wrong = missing(response->status, slice_of(text.data, head));
    if (wrong != NULL)
        return bad(why, wrong);
    size_t content = response->status < 200 ? 0 : content_length(slice_of(text.data, head));
    if (text.bytes < head + content)
        return 0;
    response->head = slice_of(text.data, head);
    response->content = slice_of(text.data + head, content);
    wire->in.at += head + content;
    return 1;
}

/* --- frames (RFC 6455 section 5.2) -------------------------------------------------------------------------------- */

int sim_wire_frame(struct sim_wire *wire, struct sim_frame *frame, const char **why)
{
    struct slice text = sim_bytes_waiting(&wire->in);
    if (wire->tls != NULL && wire->tls->fault != NULL)
        return bad(why, wire->tls->fault);
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
