/* SPDX-License-Identifier: MIT */
/* A WebSocket client of a dialect that talks in whole messages: it gives out each text message in one piece and sends
 * text. The load of ringcast-bench jobs consists of such peers.
 *
 *   NEW --begin--> CONNECTING --connected--> OPENING --101--> OPEN --end of stream or error--> CLOSED */
#ifndef RINGCAST_BENCH_PEER_H
#define RINGCAST_BENCH_PEER_H

#include "bench/bench_frames.h"
#include "bench/bench_opening.h"
#include "bench/bench_ring.h"

#define PEER_MESSAGE_BYTES_MAX (16U << 20)
#define PEER_WHY_BYTES 768

enum peer_state {
    PEER_NEW,
    PEER_CONNECTING,
    PEER_OPENING,
    PEER_OPEN,
    PEER_CLOSED,
};

struct peer {
    enum peer_state state;
    uint32_t slot; /* in the ring */
    struct frames frames;
    struct outgoing out;
    struct opening *opening; /* until OPEN */
    uint8_t *message;        /* what has come of one that did not come whole */
    size_t message_used;
    size_t message_capacity;
};

/* What peers share. */
struct peer_side {
    struct bench_ring ring;
    struct random random;
    const struct url *url;
    const char *key; /* bearer, may be empty */
    const struct sockaddr_storage *sources;
    uint32_t source_count;
};

enum peer_news {
    PEER_NOTHING,
    PEER_OPENED,  /* messages may be sent */
    PEER_MESSAGE, /* `text`, good until the next call; ask again */
    PEER_LOST,    /* `why`: refused, closed, or the protocol broken; nothing more will come */
};

struct peer_event {
    struct slice text;
    char why[PEER_WHY_BYTES];
};

/* Starts to connect. False with a sentence in `why`. */
bool peer_begin(struct peer_side *side, struct peer *peer, uint32_t slot, char why[PEER_WHY_BYTES]);
/* Takes one completion of its slot: call it again with the same event while it yields PEER_MESSAGE or PEER_OPENED. */
enum peer_news peer_next(struct peer_side *side, struct peer *peer, struct bench_ring_event *event,
                         struct peer_event *news);
/* Queues a text message; sent by peer_flush, or with what is in flight. */
void peer_put(struct peer_side *side, struct peer *peer, struct slice text);
void peer_flush(struct peer_side *side, struct peer *peer);
/* Queues a close frame. */
void peer_put_close(struct peer_side *side, struct peer *peer);
void peer_free(struct peer *peer);

#endif
