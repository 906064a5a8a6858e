/* SPDX-License-Identifier: MIT */
/* Private to ring_sim*.c: the simulated network, its links, and the rings' view of them. */
#ifndef RINGCAST_CORE_RING_SIM_PARTS_H
#define RINGCAST_CORE_RING_SIM_PARTS_H

#include "core/list.h"
#include "core/ring_sim.h"

/* Bytes on their way in one direction: a circular buffer, made when the first byte comes. */
struct sim_queue {
    uint8_t *data;
    uint32_t capacity;
    uint32_t head;
    uint32_t used;
};

/* One connection. Its peer's half lives in the tests, its server's half in a ring. */
struct sim_link {
    struct sim_queue to_server;
    struct sim_queue to_peer;
    struct ring_address from;
    struct ring *ring; /* NULL: the server has closed its half, or refused it */
    uint32_t socket;   /* there: the listener's number while it waits in the backlog, then its own */
    bool peer_fin;     /* no more will come from the peer */
    bool peer_gone;    /* and nobody there reads any more */
    bool server_fin;
    bool reset;
    bool harmed;              /* by a fault */
    uint64_t held_until_ns;   /* nothing moves before; UINT64_MAX: until the faults are changed */
    struct list_node held;    /* in network->held, meanwhile */
    struct list_node waiting; /* in the listener's backlog */
};

#define SIM_RINGS_MAX 64

struct sim_network {
    struct random random;  /* what happens */
    struct random entropy; /* what clock_entropy gives: apart, so that reading it does not change what happens */
    struct sim_faults faults;
    struct sim_hooks hooks;
    uint32_t socket_buffer_bytes;
    uint64_t now_ns;
    uint64_t jumped_ns;
    int64_t wall_shift_ms;
    struct list held;   /* links */
    uint16_t port_next; /* for port 0 */
    struct ring *rings[SIM_RINGS_MAX];
    uint32_t ring_count;
    struct sim_link **links; /* by peer number */
    uint32_t link_count;
    uint32_t link_capacity;
};

/* One operation, from its begin call until its last completion is taken:
 *
 *            begin            submit              last completion            taken by ring_next
 *   (none) --------> QUEUED ---------> INFLIGHT ------------------> DONE ------------------------> (none)
 *                                         |                          ^
 *                                         |  result of a send        |  memory comes back
 *                                         +-------------> PINNED ----+  without a copy
 */
enum operation_state { OPERATION_QUEUED, OPERATION_INFLIGHT, OPERATION_PINNED, OPERATION_DONE };

struct sim_operation {
    enum ring_op op;
    enum operation_state state;
    struct ring_tag tag;
    uint32_t socket;
    uint64_t due_last;     /* of its completions so far: later ones are not due before */
    uint64_t kept_step;    /* in which a test has let its next completion wait; UINT64_MAX: it has not */
    struct list_node node; /* in ring->queued, or in ring->pinned */

    /* Of a send. */
    const struct iovec *vector; /* the owner's, until the submission */
    struct iovec *pieces;       /* what it said at the begin call */
    uint32_t piece_count;
    uint8_t *copy; /* of all bytes at the begin call */
    uint32_t bytes;
    uint32_t taken;
    const struct sim_link *link; /* without a copy: its socket's number may have been given out again */
    uint64_t pinned_until_ns;

    int how;              /* of a shutdown */
    bool reset;           /* of a close */
    enum ring_op cancels; /* of a cancel; RING_OPS: receive and send */
    struct ring_tag send; /* the send's, where it is not the cancel's */
};

struct sim_completion {
    struct ring_completion completion;
    struct sim_operation *operation;
    bool gives_back; /* the second one of a send without a copy */
    uint64_t due;    /* step of the ring from which on it can be taken */
    struct list_node node;
};

enum socket_state { SOCKET_FREE, SOCKET_LISTENER, SOCKET_CONNECTION, SOCKET_CLOSING };

struct sim_socket {
    enum socket_state state;
    uint32_t next_free;
    uint32_t pending; /* operations that are not taken */
    struct sim_operation *receive;
    struct sim_operation *send;
    struct sim_operation *accept;
    struct list_node active; /* in ring->active: something may go on */

    struct sim_link *link; /* of a connection */
    bool read_shut;

    struct ring_address bound; /* of a listener */
    struct list backlog;
    uint32_t backlog_count;
    uint32_t backlog_max;
    uint64_t burst_step; /* nobody is accepted before */
};

struct ring {
    struct sim_network *network;
    uint64_t step;
    bool woken;
    uint32_t entries;
    uint32_t room;              /* for completions, until the next step */
    uint32_t batch;             /* of them that can be taken until then */
    uint64_t descriptors_at_ns; /* none are to be had before */
    struct slice *memories;     /* by number; bytes 0: not registered */
    uint32_t memories_max;

    struct sim_socket *sockets;
    uint32_t sockets_made;
    uint32_t sockets_max;
    uint32_t sockets_open;
    uint32_t socket_free;

    struct list queued; /* operations */
    uint32_t queued_count;
    struct list active;      /* sockets */
    struct list pinned;      /* operations whose memory is still the kernel's */
    struct list completions; /* in the order in which they came about */
    uint32_t operations;

    uint8_t *buffers;
    uint32_t buffer_bytes;
    uint32_t buffer_count;
    bool *buffer_out;
    uint32_t *buffers_free; /* circular: the one given back first is used first */
    uint32_t buffers_head;
    uint32_t buffers_free_count;

    struct ring_counters counters;
};

/* ring_sim_network.c */

/* The network that new rings join; there must be one. */
struct sim_network *sim_network_current(void);
void sim_network_join(struct sim_network *network, struct ring *ring);
void sim_network_leave(struct sim_network *network, struct ring *ring);
/* Zeroed; the test ends when there is none. */
void *sim_memory(size_t count, size_t bytes);

/* Bytes moved, at most what fits or what is there. */
uint32_t sim_queue_put(struct sim_queue *queue, const uint8_t *data, uint32_t bytes);
uint32_t sim_queue_take(struct sim_queue *queue, uint8_t *out, uint32_t bytes);

/* Ends both directions at once; what was on its way is lost. */
void sim_link_reset(struct sim_link *link);
/* The server's half ends. */
void sim_link_close(struct sim_link *link, bool reset);
/* Whether nothing moves on it now. */
bool sim_link_is_held(const struct sim_network *network, const struct sim_link *link);

/* ring_sim_faults.c */

/* Draws one of the sim_faults. */
bool sim_fault(struct sim_network *network, uint32_t chance);
/* Whether the operation shall have this outcome: because it is directed so, or by that chance. */
bool sim_outcome_is(struct ring *ring, const struct sim_operation *operation, enum sim_outcome outcome,
                    uint32_t chance);
/* The error an operation shall fail with at this opportunity, as -errno; 0: none. */
int32_t sim_error(struct ring *ring, const struct sim_operation *operation);
/* Whether a begin call shall be refused. */
bool sim_refuses(struct ring *ring, enum ring_op op, struct ring_tag tag);
/* Whether an accept finds no descriptor. */
bool sim_descriptors_out(struct ring *ring);
/* Perhaps nothing moves on this link for a while from now on. */
void sim_hold(struct sim_network *network, struct sim_link *link);
/* Links whose time has come go on; `all` of them. */
void sim_release(struct sim_network *network, bool all);
/* Whether a test wants the completion to wait. */
bool sim_keeps(const struct ring *ring, const struct sim_completion *entry);
/* Tells who watches. */
void sim_tell(const struct ring *ring, const struct sim_completion *entry);

/* ring_sim_steps.c */

/* Does what was submitted, or starts it. */
void sim_carry_out(struct ring *ring, struct sim_operation *operation);
/* Lets the socket's operations go on as far as they can now. */
void sim_socket_go_on(struct ring *ring, uint32_t number);
/* What a send still names must be what it named at the begin call. */
void sim_send_check(const struct sim_operation *send);
/* Whether the memory of a pinned send is to come back: its time has come, or its link was reset. */
bool sim_unpinned(const struct ring *ring, const struct sim_operation *send);
/* Gives all such memory back. */
void sim_unpin(struct ring *ring);

/* ring_sim.c */

/* A fresh number; RING_SOCKET_NONE when the table is full. */
uint32_t sim_socket_take(struct ring *ring, enum socket_state state);

/* Something has happened to the socket from outside. */
void sim_ring_touch(struct ring *ring, uint32_t socket);
/* The ring's listener on that port, RING_SOCKET_NONE when it has none. */
uint32_t sim_ring_listener(const struct ring *ring, uint16_t port);
/* Lets the link wait at that listener; false when the backlog is full. */
bool sim_ring_offer(struct ring *ring, uint32_t listener, struct sim_link *link);
bool sim_ring_ready(const struct ring *ring);
uint32_t sim_ring_sockets(const struct ring *ring);
uint32_t sim_ring_operations(const struct ring *ring);

#endif
