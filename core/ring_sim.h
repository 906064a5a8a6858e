/* SPDX-License-Identifier: MIT */
/* The simulated half of the seam: a network of byte queues driven by a seed. All rings of one run belong to one network;
 * everything happens in one thread. Tests play the peers through sim_* calls.
 *
 * The same seed and the same calls give the same run. A ring's step is one ring_wait, which never blocks: what is queued is
 * carried out, what can go on goes on, and what is ready can be taken. Receives of a socket keep their order, as do the
 * accepts of a listener; everything else may be overtaken. What the contract of ring.h forbids fails a check: a close with
 * operations pending, two sends or receives of a socket, a number that is not open, a buffer given back twice, memory of a
 * send that changes before its last completion is taken, an iovec array that changes before the submission. Given back buffers
 * are overwritten.
 *
 * As in Linux, a close with unread bytes is a reset. A reset throws away what is on its way in both directions. */
#ifndef RINGCAST_CORE_RING_SIM_H
#define RINGCAST_CORE_RING_SIM_H

#include "core/random.h"
#include "core/ring.h"

struct sim_network; /* opaque */

struct sim_faults { /* chances in 1000 per opportunity; 0: never */
    uint32_t delay; /* a completion is held back for 1..delay_max steps (and so overtaken by others of other sockets) */
    uint32_t delay_max;
    uint32_t chunk;        /* a receive gives only a part (from one byte) of what is there */
    uint32_t partial_send; /* the socket buffer takes only a part now; the send stays pending */
    uint32_t reset;        /* the connection is reset at this opportunity */
    uint32_t no_buffers;   /* a receive ends with -ENOBUFS although buffers are there */
    uint32_t accept_error; /* a multishot accept ends with -EMFILE */
    uint32_t receive_ends; /* a multishot receive ends (more == false) behind good data */
    uint32_t queue_full;   /* an arm/begin call answers -EAGAIN */
    uint32_t copied;       /* a send without a copy was one with a copy after all */
    uint32_t pinned; /* its memory comes back late, after up to five minutes of the clock, or when the link ends */
};

/* Starts a new network: the rings created from now on belong to it. Its monotonic clock starts at 0, its wall clock at
 * 2026-01-01. There is one network at a time: the clock and clock_entropy have no argument that could name it. */
struct sim_network *sim_network_create(uint64_t seed, const struct sim_faults *faults, uint32_t socket_buffer_bytes);
/* After all its rings have been destroyed. */
void sim_network_destroy(struct sim_network *network);
void sim_set_faults(struct sim_network *network, const struct sim_faults *faults);

/* A peer connects to a listening port; which of the rings that listen there gets it is chosen by the seed. Returns a peer
 * number >= 0, or -ECONNREFUSED: nobody listens, or the backlog chosen is full. */
int sim_connect(struct sim_network *network, uint16_t port, struct ring_address from);
/* Bytes taken (less than given when the peer's outgoing queue is full), or -EPIPE after a reset or close. */
int sim_peer_send(struct sim_network *network, int peer, const void *data, uint32_t bytes);
/* Bytes read, 0 when nothing is there, -EPIPE at the end of the stream, -ECONNRESET after a reset. A peer that does not
 * call it is a slow reader: its window of socket_buffer_bytes fills and the server's sends stay pending. */
int sim_peer_receive(struct sim_network *network, int peer, void *data, uint32_t bytes);
void sim_peer_shutdown(struct sim_network *network, int peer); /* half-close: no more from the peer */
void sim_peer_reset(struct sim_network *network, int peer);
/* With bytes unread a reset; otherwise what the server sends later is taken once and answered by a reset. */
void sim_peer_close(struct sim_network *network, int peer);

/* What is alive, for leak oracles: listeners count as sockets, operations until their last completion has been taken. */
uint32_t sim_sockets_open(const struct sim_network *network);
uint32_t sim_operations_pending(const struct sim_network *network);

/* Moves simulated time on (clock_monotonic_ns, clock_wall_ms). */
void sim_clock_advance(uint64_t ns);
/* Whether any ring of the network has something for its owner now, held back completions included: then time stands still
 * and the owners go on ticking. */
bool sim_ready(const struct sim_network *network);

#endif
