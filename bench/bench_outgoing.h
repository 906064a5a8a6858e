/* SPDX-License-Identifier: MIT */
/* What a connection has to send: bytes are gathered in one half while the other one is in flight, then they change
 * places, so that everything that waits goes out with one send. */
#ifndef RINGCAST_BENCH_OUTGOING_H
#define RINGCAST_BENCH_OUTGOING_H

#include "core/random.h"
#include "protocol/ws.h"

struct outgoing_half {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
};

struct outgoing {
    struct outgoing_half fill;
    struct outgoing_half flight;
    size_t sent; /* of `flight` */
};

/* Room for `bytes` behind what waits; ends the process when memory is exhausted. */
uint8_t *outgoing_reserve(struct outgoing *out, size_t bytes);
void outgoing_commit(struct outgoing *out, size_t bytes);
void outgoing_put(struct outgoing *out, struct slice bytes);
/* A whole frame, masked (RFC 6455 section 5.3). */
void outgoing_put_frame(struct outgoing *out, struct random *random, enum ws_opcode opcode, struct slice payload);
/* The bytes to send now; empty when nothing waits or a send is in flight. */
struct slice outgoing_begin(struct outgoing *out);
/* A send has ended with `bytes`. The rest of it to send now, if any. */
struct slice outgoing_sent(struct outgoing *out, size_t bytes);
/* Bytes that the kernel has not taken. */
size_t outgoing_waiting(const struct outgoing *out);
void outgoing_free(struct outgoing *out);

#endif
