/* SPDX-License-Identifier: MIT */
/* The simulated half of the seam: a network of byte queues driven by a seed. All rings of one run belong to one
 * network; everything happens in one thread. Tests play the peers through sim_* calls.
 *
 * The same seed and the same calls give the same run. A ring's step is one ring_wait, which never blocks: what is
 * queued is carried out, what can go on goes on, and what is ready can be taken. Receives of a socket keep their order,
 * as do the accepts of a listener; everything else may be overtaken. What the contract of ring.h forbids fails a check:
 * a close with operations pending, two sends or receives of a socket, a number that is not open, a buffer given back
 * twice, memory of a send that changes before its last completion is taken, an iovec array that changes before the
 * submission. Given back buffers are overwritten.
 *
 * Nothing here allocates through malloc, calloc, realloc or aligned_alloc: a test that lets these fail (--wrap) hits
 * the owner alone.
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
    uint32_t chunk;           /* a receive gives only a part (from one byte) of what is there */
    uint32_t partial_send;    /* the socket buffer takes only a part now; the send stays pending */
    uint32_t reset;           /* the connection is reset at this opportunity */
    uint32_t no_buffers;      /* a receive ends with -ENOBUFS although buffers are there */
    uint32_t accept_error;    /* a multishot accept ends with one of the machine's errors, nobody is accepted */
    uint32_t receive_ends;    /* a multishot receive ends (more == false) behind good data */
    uint32_t queue_full;      /* an arm/begin call answers -EAGAIN */
    uint32_t accept_ends;     /* a multishot accept ends (more == false) behind a good connection */
    uint32_t accept_burst;    /* connections wait in the backlog for some steps and then come together */
    uint32_t descriptors_out; /* for up to descriptors_out_ms every accept of the ring ends with -EMFILE */
    uint32_t descriptors_out_ms;
    uint32_t receive_error;  /* a receive fails */
    uint32_t send_error;     /* a send fails before its first byte */
    uint32_t send_short;     /* a send ends behind a part of its bytes */
    uint32_t shutdown_error; /* a shutdown fails and does nothing */
    uint32_t close_error;    /* a close reports an error; the number is free all the same */
    uint32_t cancel_error;   /* a cancel fails and does nothing */
    uint32_t cancel_late;    /* what a cancel finds has just got something done: it ends with that */
    uint32_t submit_error;   /* a submission stops in the middle, the rest stays queued */
    uint32_t overflow;       /* a step has room for a few completions only; multishots end meanwhile */
    uint32_t hold;           /* nothing moves on a link for up to hold_ms */
    uint32_t hold_ms;
    uint32_t stall;      /* nothing moves on a link any more, until this fault is switched off */
    uint32_t clock_stop; /* an advance of the clock is none */
    uint32_t clock_jump; /* one by a millisecond or more is followed by up to clock_jump_ms more */
    uint32_t clock_jump_ms;
    uint32_t wall_jump;  /* the wall clock is set, a day forward or backward at most */
    uint32_t unpinnable; /* a send without a copy ends with -ENOMEM, and nothing has happened */
    uint32_t copied;     /* a send without a copy was one with a copy after all */
    uint32_t pinned;     /* its memory comes back late, after up to five minutes of the clock, or when the link ends */
};

/* How an operation turns out. Of a cancel: what it has found. */
enum sim_outcome {
    SIM_GOOD,    /* bytes, a connection, the whole of a send, 0; a multishot goes on */
    SIM_LAST,    /* the same, but a multishot has ended */
    SIM_SHORT,   /* of a send: fewer bytes than asked for */
    SIM_END,     /* of a receive: the end of the stream */
    SIM_NOTHING, /* of a cancel: it came too late */
    SIM_ONE,
    SIM_BOTH,       /* the receive and the send */
    SIM_NOT_BEGUN,  /* -EAGAIN */
    SIM_GIVEN_BACK, /* the memory of a send without a copy */
    SIM_COPIED,     /* and there was a copy all the same */
    SIM_EPIPE,
    SIM_ECONNRESET,
    SIM_ECONNABORTED,
    SIM_ENOTCONN,
    SIM_ETIMEDOUT,
    SIM_EMFILE,
    SIM_ENFILE,
    SIM_ENOBUFS,
    SIM_ENOMEM,
    SIM_EINTR,
    SIM_EIO,
    SIM_EINVAL,
    SIM_ECANCELED,
    SIM_OUTCOMES,
};

/* What a test may attach to a network; each function may be NULL. */
struct sim_hooks {
    void *context;
    /* At an opportunity of an operation: the outcome it shall have, SIM_OUTCOMES to leave it to chance. What cannot be
     * (a short end of a send of one byte) is left to chance as well. */
    enum sim_outcome (*direct)(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag);
    /* An owner could see this now: whether it shall not yet. Asked again in each step. That harms the connection, and
     * whoever finds no receive buffer meanwhile. */
    bool (*keep)(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag,
                 enum sim_outcome outcome);
    /* An owner is about to see this. */
    void (*watch)(void *context, const struct ring *ring, enum ring_op op, struct ring_tag tag,
                  enum sim_outcome outcome);
};

/* Starts a new network: the rings created from now on belong to it. Its monotonic clock starts at 0, its wall clock at
 * 2026-01-01. There is one network at a time: the clock and clock_entropy have no argument that could name it. */
struct sim_network *sim_network_create(uint64_t seed, const struct sim_faults *faults, uint32_t socket_buffer_bytes);
/* After all its rings have been destroyed. */
void sim_network_destroy(struct sim_network *network);
void sim_set_faults(struct sim_network *network, const struct sim_faults *faults);
void sim_set_hooks(struct sim_network *network, const struct sim_hooks *hooks);

/* A peer connects to a listening port; which of the rings that listen there gets it is chosen by the seed. Returns a
 * peer number >= 0, or -ECONNREFUSED: nobody listens, or the backlog chosen is full. */
int sim_connect(struct sim_network *network, uint16_t port, struct ring_address from);
/* Bytes taken (less than given when the peer's outgoing queue is full), or -EPIPE after a reset or close. */
int sim_peer_send(struct sim_network *network, int peer, const void *data, uint32_t bytes);
/* Bytes read, 0 when nothing is there, -EPIPE at the end of the stream, -ECONNRESET after a reset. A peer that does not
 * call it is a slow reader: its window of socket_buffer_bytes fills and the server's sends stay pending. */
int sim_peer_receive(struct sim_network *network, int peer, void *data, uint32_t bytes);
/* Whether sim_peer_receive has something to give now: bytes, or an end. */
bool sim_peer_readable(const struct sim_network *network, int peer);
void sim_peer_shutdown(struct sim_network *network, int peer); /* half-close: no more from the peer */
void sim_peer_reset(struct sim_network *network, int peer);
/* With bytes unread a reset; otherwise what the server sends later is taken once and answered by a reset. */
void sim_peer_close(struct sim_network *network, int peer);

/* Whether a fault has been done to this connection that may end it or cost it bytes. Everybody else must not notice. */
bool sim_peer_harmed(const struct sim_network *network, int peer);

/* What is alive, for leak oracles: listeners count as sockets, operations until their last completion has been
 * taken. */
uint32_t sim_sockets_open(const struct sim_network *network);
uint32_t sim_operations_pending(const struct sim_network *network);

/* Moves simulated time on (clock_monotonic_ns, clock_wall_ms), as far as the faults of the clock let it. */
void sim_clock_advance(uint64_t ns);
/* When the clock has jumped last; 0: never. */
uint64_t sim_jumped_ns(const struct sim_network *network);
/* When something that time holds up goes on, clock_monotonic_ns; UINT64_MAX: nothing does. */
uint64_t sim_next_ns(const struct sim_network *network);
/* Whether any ring of the network has something for its owner now, held back completions included: then time stands
 * still and the owners go on ticking. */
bool sim_ready(const struct sim_network *network);

#endif
