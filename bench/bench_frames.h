/* SPDX-License-Identifier: MIT */
/* The frames that a server sends, walked as cheaply as a load client must: of a message only header and stamp are read,
 * the rest is passed over where it lies. Nothing but those few bytes is ever copied. */
#ifndef RINGCAST_BENCH_FRAMES_H
#define RINGCAST_BENCH_FRAMES_H

#include "bench/bench_stamp.h"
#include "core/limits.h"
#include "protocol/ws.h"

enum frames_result {
    FRAMES_MORE,    /* the input is used up */
    FRAMES_MESSAGE, /* a text or binary message is complete */
    FRAMES_PIECE,   /* raw only: some bytes of a message */
    FRAMES_CONTROL, /* a close, ping or pong */
    FRAMES_BAD,     /* the server breaks RFC 6455; nothing more can be read */
};

struct frames_event {
    uint8_t opcode;
    bool stamped; /* of MESSAGE: `stamp` was there */
    struct stamp stamp;
    uint64_t bytes;       /* of MESSAGE: payload */
    struct slice payload; /* of CONTROL and PIECE; good until the next call */
    const char *why;      /* of BAD */
};

#define FRAMES_HEAD_BYTES_MAX 127 /* a whole control frame; of a data frame: header and stamp */

struct frames {
    uint64_t skip;  /* payload bytes of the present frame still to come */
    uint64_t bytes; /* payload of the present message up to now, announced ones included */
    struct stamp stamp;
    bool stamped;
    bool raw;       /* messages are a stream of bytes: PIECEs instead of MESSAGEs, no stamps */
    bool open;      /* a message has begun and is not complete */
    bool final;     /* the present frame completes it */
    uint8_t opcode; /* of the present message */
    uint8_t head_used;
    uint8_t head[FRAMES_HEAD_BYTES_MAX]; /* of a frame whose head came in pieces */
};

void frames_init(struct frames *frames);
/* Takes from *input and yields one event. */
enum frames_result frames_next(struct frames *frames, struct slice *input, struct frames_event *event);

#endif
