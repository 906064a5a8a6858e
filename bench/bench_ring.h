/* SPDX-License-Identifier: MIT */
/* A client thread's ring: sockets in a table of registered files, multishot receives into shared buffers, sends, and
 * a wait that spins for a moment before it sleeps. The bench and the floor receive through the same code, so what a
 * sender is charged for waking its receiver is the same in both. A slot may be used again when its socket was dropped
 * and nothing of it is in flight. */
#ifndef RINGCAST_BENCH_RING_H
#define RINGCAST_BENCH_RING_H

#include "core/bytes.h"

#include <liburing.h>
#include <sys/socket.h>

enum bench_ring_op {
    BENCH_RING_CONNECT, /* result: 0 or -errno */
    BENCH_RING_RECEIVE, /* result: bytes in `data`, 0: end of stream, -errno */
    BENCH_RING_READ,    /* the same, once; -ENOBUFS: try again */
    BENCH_RING_SEND,    /* result: bytes sent or -errno */
    BENCH_RING_WAKE,    /* bench_ring_wake was called */
};

struct bench_ring_event {
    enum bench_ring_op op;
    uint32_t slot;
    int32_t result;
    struct slice data; /* of RECEIVE and READ with result > 0; good until the next bench_ring_next */
};

struct bench_ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    uint8_t *memory;   /* of the buffers, one behind the other */
    uint32_t *starved; /* slots whose receive found no buffer, as a queue: each at most once */
    uint32_t starved_first;
    uint32_t starved_count;
    uint32_t sockets_max;
    uint64_t spin_ns;
    uint64_t now_ns;     /* when the kernel was last asked: what bench_ring_next yields had come by then */
    uint64_t busy_ns;    /* when there was last something */
    uint64_t spun_ns;    /* spent looking in vain before sleeps: CPU time without work */
    uint64_t wake_count; /* what the kernel reads the eventfd into */
    uint64_t out_of_buffers;
    int wake_fd;
    int32_t held; /* buffer of the event that was yielded last, -1: none */
};

/* To be called by the thread that will use the ring. spin_ns: how long a wait looks for completions before it
 * sleeps. 0 or -errno; after an error there is nothing to close. */
int bench_ring_open(struct bench_ring *ring, uint32_t sockets_max, uint64_t spin_ns);
/* Closes every socket with it. */
void bench_ring_close(struct bench_ring *ring);

/* Moves a socket into the table: the descriptor is closed, also when this fails. 0 or -errno. */
int bench_ring_adopt(struct bench_ring *ring, uint32_t slot, int fd);
/* Closes a socket whose receive has ended. */
void bench_ring_drop(struct bench_ring *ring, uint32_t slot);

/* The address and what is sent must stay until the completion. One send at a time per slot. */
void bench_ring_connect(struct bench_ring *ring, uint32_t slot, const struct sockaddr *address, socklen_t bytes);
/* Stays armed until the end of the stream or an error; running out of buffers is dealt with here. */
void bench_ring_receive(struct bench_ring *ring, uint32_t slot);
/* One receive of at most so many bytes. */
void bench_ring_read(struct bench_ring *ring, uint32_t slot, size_t bytes);
void bench_ring_send(struct bench_ring *ring, uint32_t slot, const void *data, size_t bytes);

/* Submits, then waits for a completion or until the clock shows deadline_ns. 0 or -errno. */
int bench_ring_wait(struct bench_ring *ring, uint64_t deadline_ns);
/* The next completion; false: none left now. */
bool bench_ring_next(struct bench_ring *ring, struct bench_ring_event *event);
/* Any thread: the owner gets a BENCH_RING_WAKE soon. */
void bench_ring_wake(const struct bench_ring *ring);

#endif
