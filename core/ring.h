/* SPDX-License-Identifier: MIT */
/* The seam: a shard's only way to the kernel. Operations are begun here and end as completions that ring_next yields.
 * Two implementations, chosen at link time: ring_uring.c (liburing) and ring_sim.c (a simulated network, see
 * ring_sim.h). Everything but ring_wake is called by the owning thread only.
 *
 * An operation is FREE -> QUEUED -> INFLIGHT -> DONE, one that sends without a copy FREE -> QUEUED -> INFLIGHT ->
 * RESULT -> DONE. Memory named by a send must stay until its completion with more == false has been taken from
 * ring_next; nothing else releases it, a cancel least of all.
 *
 * Sockets are ring_socket numbers: places in the ring's table of registered files (direct descriptors), so that their
 * number is not bound by the process's descriptors. A listening socket has a number in the same table. */
#ifndef RINGCAST_CORE_RING_H
#define RINGCAST_CORE_RING_H

#include "core/bytes.h"

#include <sys/uio.h>

struct ring; /* opaque; one per shard */

enum ring_op {
    RING_ACCEPT,  /* result: a ring_socket >= 0 that is now ours, or -errno; more: still armed */
    RING_RECEIVE, /* result: bytes in `data` (buffer to be given back), 0: end of stream, -errno (-ENOBUFS: no
                            buffers; the receive has ended and is to be armed again later); more: still armed */
    RING_SEND,    /* result: bytes taken by the kernel or -errno; a cancelled send may report a positive short count */
    RING_SEND_ZERO_COPY, /* first the result, as of RING_SEND. With `more` the memory is still the kernel's: a second
                            completion gives it back, result: 0, or RING_COPIED when the kernel has copied all the same.
                            Without, there was nothing to give back. -ENOMEM: no memory may be
                            pinned now, nothing was sent, and the socket is as before */
    RING_SHUTDOWN,       /* result: 0 or -errno */
    RING_CLOSE,          /* result: 0 or -errno; the number is free again */
    RING_CANCEL,         /* result: number of operations found, or -errno; the cancelled ones complete on their own */
    RING_OPS,
};

/* Who an operation belongs to: given back in its completions. Packed into user_data together with the op. */
struct ring_tag {
    uint32_t generation; /* of that slot */
    uint32_t index;      /* below 2^24: slot of a connection or listener */
};

struct ring_completion {
    enum ring_op op;
    struct ring_tag tag;
    int32_t result;
    bool more;        /* this operation will complete again */
    struct span data; /* of RECEIVE with result > 0 */
    uint32_t buffer;  /* of RECEIVE with result > 0: give it back with ring_give_back */
};

/* A plain send that is to be begun, and one that is over. */
struct ring_send {
    struct ring_tag tag;
    struct slice data;
    uint32_t socket;
};

struct ring_sent {
    struct ring_tag tag;
    int32_t result; /* as of RING_SEND */
};

#define RING_SOCKET_NONE UINT32_MAX
#define RING_COPIED 1

struct ring_options {
    uint32_t entries;         /* submission queue size, 64-4096 */
    uint32_t sockets_max;     /* size of the registered-file table */
    uint32_t receive_buffers; /* power of two */
    uint32_t receive_buffer_bytes;
    uint32_t memories_max; /* numbers of ring_register_memory; 0: none */
    bool allow_direct;     /* false: force plain descriptors (probe fallback, tests) */
};

/* What the kernel offers; probed once at start. */
struct ring_features {
    bool direct_descriptors; /* sockets live in a registered-file table */
    bool defer_taskrun;
    bool zero_copy;    /* sends without a copy that report whether there was none */
    char summary[160]; /* for the start-up log */
};

struct ring_address {
    uint8_t bytes[16]; /* IPv6, or IPv4 mapped (::ffff:a.b.c.d) */
    uint16_t port;
};

struct ring_listen_options {
    struct ring_address address;
    bool v6_only;
    uint32_t backlog;
    uint32_t send_buffer_bytes;    /* SO_SNDBUF as asked for; inherited by accepted sockets; 0: the kernel's default */
    uint32_t receive_buffer_bytes; /* SO_RCVBUF */
    uint32_t notsent_lowat_bytes;  /* TCP_NOTSENT_LOWAT; 0: unset */
};

/* Checks whether rings can be used at all. 0, or -errno with one clear line in `why` (what is missing, what to do), of
 * at most why_bytes with NUL: forbidden by sysctl or seccomp, kernel older than 6.1, a needed op not there. */
int ring_probe(struct ring_features *features, char *why, size_t why_bytes);

/* Sets *out. 0 or -errno (with a line in why, as above). The calling thread becomes the ring's owner at the first
 * ring_wait (the ring is created disabled and enabled there), so main may create rings and hand them to shards. */
int ring_create(struct ring **out, const struct ring_options *options, char *why, size_t why_bytes);
/* Ends everything and frees. The caller has closed its sockets and taken their completions, those that give back memory
 * included: sockets with unacknowledged bytes live on in the kernel unless they were reset. */
void ring_destroy(struct ring *ring);

/* Listening. socket + SO_REUSEPORT + options + bind + listen; returns a ring_socket >= 0 or -errno. Port 0: the kernel
 * chooses; *bound (may be NULL) gets the address. */
int ring_listen(struct ring *ring, const struct ring_listen_options *options, struct ring_address *bound);
/* Multishot. 0 or -EAGAIN when the submission queue is full and could not be flushed. */
int ring_arm_accept(struct ring *ring, uint32_t socket, struct ring_tag tag);
/* The peer of an accepted socket: recorded when its accept completed; valid until ring_begin_close. */
struct ring_address ring_peer(const struct ring *ring, uint32_t socket);

/* Multishot receive into the provided buffers. At most one is armed per socket. */
int ring_arm_receive(struct ring *ring, uint32_t socket, struct ring_tag tag);
void ring_give_back(struct ring *ring, uint32_t buffer);
/* Free receive buffers at this moment: after -ENOBUFS the caller waits for some. */
uint32_t ring_buffers_free(const struct ring *ring);
/* Once a second, between two waits: the memory of receive buffers goes back to the system when hardly any was needed
 * since the last call, as after a burst of handshakes; they stay on offer and take memory again as they are used. */
void ring_tidy(struct ring *ring);

/* One send in flight per socket. The kernel keeps at it until all is taken, the connection fails, or it is cancelled
 * (MSG_WAITALL): so a result below the total means that the stream is cut and can only be closed. */
int ring_begin_send(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data, uint32_t bytes);
/* The same for many sockets, in order, each once. How many were begun: the submission queue had no room for the rest
 * and could not be flushed. */
uint32_t ring_begin_sends(struct ring *ring, const struct ring_send *sends, uint32_t count);
/* The iovec array may be reused when ring_submit or ring_wait has returned 0 or more; what it points to stays. */
int ring_begin_send_vector(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                           uint32_t count);
/* Whether ring_begin_send_zero_copy may be called. */
bool ring_has_zero_copy(const struct ring *ring);
/* Sends without copying where the way to the peer allows that. As above for the stream: the socket's one send ends with
 * the result, and the next may begin. The memory comes back when the peer has acknowledged all of it, or the connection
 * has been reset: for a peer that stalls that may be never, and it may be long after the socket was closed. So `tag` is
 * not the socket's but stands for this memory. The array as above; of a single piece it may be reused at once. */
int ring_begin_send_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                              uint32_t count);
/* Makes memory known to the kernel, which pins all its pages until the ring ends. Sends that name its number need not
 * look the pages up each time (at 16 KiB a tenth of their cost). 0, or -errno: -ENOSPC when the number, which is new,
 * is not below memories_max, -ENOMEM when RLIMIT_MEMLOCK allows no more. */
int ring_register_memory(struct ring *ring, uint32_t number, const void *memory, uint32_t bytes);
/* As ring_begin_send_zero_copy, of one piece inside such memory. */
int ring_begin_send_registered(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data,
                               uint32_t bytes, uint32_t number);
/* SHUT_WR or SHUT_RDWR. */
int ring_begin_shutdown(struct ring *ring, uint32_t socket, struct ring_tag tag, int how);
/* Cancels the receive and the send of the socket, which were begun with this `tag`; they complete with -ECANCELED or
 * what they had. */
int ring_begin_cancel(struct ring *ring, uint32_t socket, struct ring_tag tag);
/* The same for a socket whose send was begun without a copy, with the tag `send`. */
int ring_begin_cancel_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, struct ring_tag send);
/* Cancels the armed receive (RING_RECEIVE) or accept (RING_ACCEPT) of the socket only; `tag` is the one it was armed
 * with. */
int ring_begin_cancel_op(struct ring *ring, uint32_t socket, struct ring_tag tag, enum ring_op op);
/* Only when no other operation of the socket is pending; memory that a send without a copy has left with the kernel
 * does not count. `reset`: linger 0, so that the peer sees RST and nothing stays in the kernel, such memory least of
 * all. */
int ring_begin_close(struct ring *ring, uint32_t socket, struct ring_tag tag, bool reset);

/* Hands what is queued to the kernel without waiting. Number submitted, or -errno: the rest stays queued for the next
 * try. */
int ring_submit(struct ring *ring);
/* Submits, then waits until at least one completion is there, ring_wake was called, or timeout_ns have passed (0: do
 * not wait, only collect). 0 or -errno (-EINTR and -ETIME are not errors and give 0). */
int ring_wait(struct ring *ring, uint64_t timeout_ns);
/* The next completion; false: none left now. */
bool ring_next(struct ring *ring, struct ring_completion *completion);
/* The same for the RING_SEND that come next, up to `max` of them, in the order of ring_next. How many; whether more of
 * them follow, ring_next tells. */
uint32_t ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max);
/* Any thread, also a signal handler: makes the owner's ring_wait return soon. */
void ring_wake(struct ring *ring);

struct ring_counters {
    uint64_t submitted[RING_OPS];
    uint64_t completed;
    uint64_t stale;       /* completions nobody could own (our bug) */
    uint64_t queue_full;  /* submission queue flushed because it was full */
    uint64_t overflow;    /* completion queue overflowed in the kernel */
    uint64_t buffers_out; /* -ENOBUFS seen */
    uint64_t refused;     /* accepted and closed at once: no number was free or the peer had gone */
    uint64_t enter_calls;
    uint64_t wakes;
};
/* Written by the owner, read by anybody (each value relaxed, so they may be a moment apart). */
void ring_counters_read(const struct ring *ring, struct ring_counters *out);

#endif
