/* SPDX-License-Identifier: MIT */
/* Owns the life of one peer: socket, handshake, whole messages in, text out. It never reads what a message says.
 * Called by bench_jobs.c. */
#include "bench/bench_peer.h"

#include "core/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum peer_news lost(struct peer *peer, struct peer_event *news, const char *what, const char *detail)
{
    peer->state = PEER_CLOSED;
    snprintf(news->why, sizeof news->why, "%s%s", what, detail);
    return PEER_LOST;
}

/* Bound to one of the source addresses if there are any. The descriptor or -errno. */
static int open_socket(const struct peer_side *side, uint32_t slot)
{
    int fd = socket(side->url->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (side->source_count == 0)
        return fd;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on); /* chosen at connect, by the whole 4-tuple */
    const struct sockaddr_storage *source = &side->sources[slot % side->source_count];
    if (bind(fd, (const struct sockaddr *)source, side->url->address_bytes) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void say_unconnected(const struct url *url, int error, char why[PEER_WHY_BYTES])
{
    const char *hint = error == -ECONNREFUSED    ? " (is the server running?)"
                       : error == -EADDRNOTAVAIL ? " (no source port is left: give more addresses with --bind-address)"
                       : error == -EMFILE        ? " (raise the limit of open files: ulimit -n)"
                                                 : "";
    snprintf(why, PEER_WHY_BYTES, "cannot connect to %s port %s: %s%s", url->host, url->port, strerror(-error), hint);
}

bool peer_begin(struct peer_side *side, struct peer *peer, uint32_t slot, char why[PEER_WHY_BYTES])
{
    peer->slot = slot;
    peer->opening = malloc(sizeof *peer->opening);
    check(peer->opening != NULL);
    peer->opening->used = 0;
    frames_init(&peer->frames);
    peer->frames.raw = true;
    int fd = open_socket(side, slot);
    int error = fd < 0 ? fd : bench_ring_adopt(&side->ring, slot, fd);
    if (error < 0) {
        say_unconnected(side->url, error, why);
        return false;
    }
    peer->state = PEER_CONNECTING;
    bench_ring_connect(&side->ring, slot, (const struct sockaddr *)&side->url->address, side->url->address_bytes);
    return true;
}

void peer_put(struct peer_side *side, struct peer *peer, struct slice text)
{
    outgoing_put_frame(&peer->out, &side->random, WS_TEXT, text);
}

void peer_put_close(struct peer_side *side, struct peer *peer)
{
    uint8_t code[2];
    store_be16(code, WS_CLOSE_NORMAL);
    outgoing_put_frame(&peer->out, &side->random, WS_CLOSE, slice_of(code, sizeof code));
}

void peer_flush(struct peer_side *side, struct peer *peer)
{
    struct slice bytes = outgoing_begin(&peer->out);
    if (bytes.bytes > 0)
        bench_ring_send(&side->ring, peer->slot, bytes.data, bytes.bytes);
}

static enum peer_news on_connect(struct peer_side *side, struct peer *peer, int32_t result, struct peer_event *news)
{
    if (result < 0) {
        peer->state = PEER_CLOSED;
        say_unconnected(side->url, result, news->why);
        return PEER_LOST;
    }
    bench_ring_receive(&side->ring, peer->slot);
    peer->state = PEER_OPENING;
    opening_request(peer->opening, &peer->out, &side->random, side->url, "", side->key);
    peer_flush(side, peer);
    return PEER_NOTHING;
}

static enum peer_news on_opening(struct peer *peer, struct slice *input, bool ended, struct peer_event *news)
{
    char text[PEER_WHY_BYTES - 1];
    struct buf why = buf_of(text, sizeof text);
    switch (opening_response(peer->opening, input, ended, &why)) {
    case OPENING_MORE:
        return PEER_NOTHING;
    case OPENING_REFUSED:
        snprintf(news->why, sizeof news->why, "%.*s", (int)why.used, text);
        peer->state = PEER_CLOSED;
        return PEER_LOST;
    case OPENING_DONE:
        free(peer->opening);
        peer->opening = NULL;
        peer->state = PEER_OPEN;
        return PEER_OPENED;
    }
    check_failed(__FILE__, __LINE__, "a known result");
}

/* Room for a message that comes in pieces. False: it is too long. */
static bool grow(struct peer *peer, size_t bytes)
{
    if (bytes > PEER_MESSAGE_BYTES_MAX)
        return false;
    if (bytes > peer->message_capacity) {
        size_t capacity = bytes * 2;
        peer->message = realloc(peer->message, capacity);
        check(peer->message != NULL);
        peer->message_capacity = capacity;
    }
    return true;
}

/* A piece of a message, which is given out where it lies when it is the whole. */
static enum peer_news on_piece(struct peer *peer, struct slice piece, struct peer_event *news)
{
    bool complete = peer->frames.skip == 0 && peer->frames.final;
    news->text = piece;
    if (complete && peer->message_used == 0)
        return PEER_MESSAGE;
    if (!grow(peer, peer->message_used + piece.bytes))
        return lost(peer, news, "the server sends a message of more than 16 MiB", "");
    memcpy(peer->message + peer->message_used, piece.data, piece.bytes);
    peer->message_used += piece.bytes;
    if (!complete)
        return PEER_NOTHING;
    news->text = slice_of(peer->message, peer->message_used);
    peer->message_used = 0;
    return PEER_MESSAGE;
}

static enum peer_news on_control(struct peer_side *side, struct peer *peer, const struct frames_event *frame,
                                 struct peer_event *news)
{
    if (frame->opcode == WS_PING) {
        outgoing_put_frame(&peer->out, &side->random, WS_PONG, frame->payload);
        peer_flush(side, peer);
    }
    if (frame->opcode != WS_CLOSE)
        return PEER_NOTHING;
    struct slice reason;
    uint16_t error;
    uint16_t code = ws_close_parse(frame->payload, &reason, &error);
    snprintf(news->why, sizeof news->why, "closed by the server with %u %.*s", code, (int)reason.bytes,
             (const char *)reason.data);
    outgoing_put_frame(&peer->out, &side->random, WS_CLOSE, frame->payload);
    peer_flush(side, peer);
    peer->state = PEER_CLOSED;
    return PEER_LOST;
}

static enum peer_news on_frames(struct peer_side *side, struct peer *peer, struct slice *input, struct peer_event *news)
{
    enum peer_news result = PEER_NOTHING;
    while (input->bytes > 0 && result == PEER_NOTHING) {
        struct frames_event frame;
        switch (frames_next(&peer->frames, input, &frame)) {
        case FRAMES_MORE:
        case FRAMES_MESSAGE: /* not of a raw walk */
            break;
        case FRAMES_PIECE:
            result = on_piece(peer, frame.payload, news);
            break;
        case FRAMES_CONTROL:
            result = on_control(side, peer, &frame, news);
            break;
        case FRAMES_BAD:
            return lost(peer, news, "the server breaks the protocol: ", frame.why);
        }
    }
    return result;
}

static enum peer_news on_end(struct peer_side *side, struct peer *peer, int32_t result, struct peer_event *news)
{
    enum peer_state state = peer->state;
    bench_ring_drop(&side->ring, peer->slot);
    if (state == PEER_OPENING)
        return on_opening(peer, &(struct slice){0}, true, news);
    peer->state = PEER_CLOSED;
    if (state != PEER_OPEN)
        return PEER_NOTHING;
    return lost(peer, news, result == 0 ? "ended by the server without a close frame" : strerror(-result), "");
}

static void on_sent(struct peer_side *side, struct peer *peer, int32_t result)
{
    if (result < 0)
        return; /* the receive tells */
    struct slice rest = outgoing_sent(&peer->out, (size_t)result);
    if (rest.bytes > 0)
        bench_ring_send(&side->ring, peer->slot, rest.data, rest.bytes);
    else
        peer_flush(side, peer);
}

enum peer_news peer_next(struct peer_side *side, struct peer *peer, struct bench_ring_event *event,
                         struct peer_event *news)
{
    switch (event->op) {
    case BENCH_RING_CONNECT:
        return peer->state == PEER_CONNECTING ? on_connect(side, peer, event->result, news) : PEER_NOTHING;
    case BENCH_RING_SEND:
        on_sent(side, peer, event->result);
        return PEER_NOTHING;
    case BENCH_RING_RECEIVE:
        break;
    case BENCH_RING_READ:
    case BENCH_RING_WAKE:
        return PEER_NOTHING;
    }
    if (event->result <= 0)
        return on_end(side, peer, event->result, news);
    if (peer->state == PEER_OPENING)
        return on_opening(peer, &event->data, false, news);
    return peer->state == PEER_OPEN ? on_frames(side, peer, &event->data, news) : PEER_NOTHING;
}

void peer_free(struct peer *peer)
{
    outgoing_free(&peer->out);
    free(peer->opening);
    free(peer->message);
}
