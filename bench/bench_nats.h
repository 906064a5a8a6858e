/* SPDX-License-Identifier: MIT */
/* The client's half of the NATS protocol, as much as subscribing, publishing and counting messages need. Inside
 * WebSocket messages it is one stream of bytes: the borders of messages and frames mean nothing. */
#ifndef RINGCAST_BENCH_NATS_H
#define RINGCAST_BENCH_NATS_H

#include "bench/bench_stamp.h"
#include "core/buf.h"

#define NATS_LINE_BYTES_MAX 512 /* of a line that is looked at; what is longer (INFO) is passed over */

enum nats_result {
    NATS_MORE,    /* the input is used up */
    NATS_MESSAGE, /* `stamped`, `stamp` and `bytes` of the event */
    NATS_PING,    /* to be answered with PONG */
    NATS_REFUSED, /* -ERR: `text` */
    NATS_BAD,     /* not this protocol: `text` */
};

struct nats_event {
    bool stamped;
    struct stamp stamp;
    uint64_t bytes;    /* payload */
    struct slice text; /* good until the next call */
};

struct nats {
    uint64_t bytes; /* payload of the message that has begun */
    uint64_t skip;  /* of it and its line end, still to come */
    uint16_t line_used;
    uint8_t head_used;
    uint8_t head_need; /* bytes of the payload in which its stamp lies; 0: between messages */
    bool stamped;
    struct stamp stamp;
    uint8_t head[STAMP_HEAD_BYTES];
    uint8_t line[NATS_LINE_BYTES_MAX];
};

void nats_init(struct nats *nats);
/* Takes from *input and yields one event. */
enum nats_result nats_next(struct nats *nats, struct slice *input, struct nats_event *event);

/* What a client says first; a subscriber with its subject, a publisher with NULL. */
void nats_put_connect(struct buf *out, const char *subject);
/* The line before a message of so many bytes; behind them comes "\r\n". */
void nats_put_publish(struct buf *out, struct slice subject, size_t bytes);

#endif
