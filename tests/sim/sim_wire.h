/* SPDX-License-Identifier: MIT */
/* A peer's end of one simulated connection: bytes out, bytes in, and the two framings that come in (HTTP responses and
 * WebSocket frames). The decoders are written against the RFCs and share no code with protocol/, so that they can judge
 * it. */
#ifndef RINGCAST_TESTS_SIM_SIM_WIRE_H
#define RINGCAST_TESTS_SIM_SIM_WIRE_H

#include "core/bytes.h"
#include "core/ring_sim.h"
#include "tests/sim/sim_bytes.h"
#include "tests/sim/sim_deflate.h"
#include "tests/sim/sim_tls.h"

struct sim_wire {
    struct sim_network *network;
    int peer; /* -1: never connected, or given up */
    struct sim_bytes in, out;
    struct sim_deflate deflate;
    struct sim_tls *tls;             /* NULL: plain text */
    struct WOLFSSL_SESSION **ticket; /* where its ticket goes */
    bool cut;                        /* the end came without close_notify */
    int end;                         /* 0: alive for all we know; -EPIPE: the server's end of stream; -ECONNRESET */
};

struct sim_frame {
    uint8_t opcode;
    struct slice payload;
};

struct sim_response {
    int status;
    struct slice head;
    struct slice content;
};

/* False when nobody takes the connection. */
bool sim_wire_connect(struct sim_wire *wire, struct sim_network *network, uint16_t port, struct ring_address from);
void sim_wire_put(struct sim_wire *wire, const void *data, size_t bytes);
void sim_wire_put_text(struct sim_wire *wire, const char *text);
/* One frame, masked with a key from `random`; at times compressed, when that has been agreed on. */
void sim_wire_put_frame(struct sim_wire *wire, struct random *random, uint8_t opcode, bool final, struct slice payload);
/* Moves at most so many bytes each way. Whether anything moved or ended. */
bool sim_wire_pump(struct sim_wire *wire, uint32_t send_max, uint32_t receive_max);

/* The next response or frame of what has come; what it points to is good until the next pump. 1, 0: not complete, -1:
 * not what the RFC allows (why, a literal). A 1xx response has no content (RFC 9110 section 6.4.1). */
int sim_wire_response(struct sim_wire *wire, struct sim_response *response, const char **why);
int sim_wire_frame(struct sim_wire *wire, struct sim_frame *frame, const char **why);

/* Our half ends: with TLS behind a close_notify, unless the peer is rude. */
void sim_wire_shutdown(struct sim_wire *wire);
/* Lets go of the connection, politely or by a reset, and forgets what waits. */
void sim_wire_close(struct sim_wire *wire, bool reset);
/* That and its memory. */
void sim_wire_free(struct sim_wire *wire);

#endif
