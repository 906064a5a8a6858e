/* SPDX-License-Identifier: MIT */
/* Private to ring_uring*.c: the ring over io_uring, shared by its four files (operations, sends, sockets, probe). */
#ifndef RINGCAST_CORE_RING_URING_H
#define RINGCAST_CORE_RING_URING_H

#include "core/check.h"
#include "core/ring.h"

#include <liburing.h>

/* Newer than the headers of liburing 2.3 (include/uapi/linux/io_uring.h); used only where ring_probe saw them work. */
#define RING_SOCKET_SETSOCKOPT 3                       /* SOCKET_URING_OP_SETSOCKOPT, Linux 6.7 */
#define RING_SEND_ZC_REPORT_USAGE (1U << 3)            /* IORING_SEND_ZC_REPORT_USAGE, Linux 6.2 */
#define RING_NOTIF_USAGE_ZC_COPIED (UINT32_C(1) << 31) /* IORING_NOTIF_USAGE_ZC_COPIED */

/* One place in the table of sockets.
 *
 *            take                  begin_close                 completion of the close
 *   FREE ------------> OPEN ------------------> CLOSING ----------------------------> FREE
 *
 * A number is given out again only when the kernel has closed its file: a file put into a place of the kernel's table
 * before that would be the one that the queued close then closes. */
struct ring_slot {
    union {
        struct ring_address peer; /* OPEN */
        struct ring_tag closing;  /* CLOSING: who is told */
        uint32_t next_free;       /* FREE */
    };
    int32_t descriptor; /* OPEN: the plain descriptor, or RING_SLOT_DIRECT; else one of the two below */
};

#define RING_SLOT_DIRECT (-1)
#define RING_SLOT_CLOSING (-2)
#define RING_SLOT_FREE (-3)

struct ring {
    struct io_uring uring;
    bool zero_copy; /* ring_features */
    uint32_t memories_max;
    bool direct;     /* sockets live in the kernel's table of registered files */
    bool enabled;    /* the owner has begun */
    bool wake_armed; /* the poll on wake_fd is in the kernel or queued */
    int wake_fd;

    int32_t receives_cancelled; /* result of the first half of a ring_begin_cancel */

    struct msghdr *headers; /* one per place of the submission queue, so one lives as long as its entry is queued */

    struct ring_slot *slots; /* sockets_max; those from slots_made on have never been used */
    uint32_t slots_made;
    uint32_t sockets_max;
    uint32_t slot_free; /* RING_SOCKET_NONE: none */

    struct io_uring_buf_ring *buffer_ring; /* start of the mapping: the ring, then the buffers */
    size_t mapping_bytes;
    uint8_t *buffers;
    bool *buffer_out; /* per buffer: with the caller */
    uint32_t buffer_count;
    uint32_t buffer_bytes;
    uint32_t buffers_offered; /* to the kernel, at one time or another */
    uint32_t buffers_free;
    uint32_t buffers_used; /* times, since the last ring_tidy */
    bool buffers_touched;  /* since their memory last went back */

    struct ring_counters counters;
};

/* Counters have one writer; readers on other threads must see whole values. */
static inline void ring_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* user_data of every entry:
 *
 *   63      56 55                    32 31                              0
 *   +---------+------------------------+---------------------------------+
 *   |   op    |       tag.index        |         tag.generation          |
 *   +---------+------------------------+---------------------------------+
 *
 * op is an enum ring_op or one of ring_uring.c's own. A close carries its socket's number in place of the tag: the
 * number is free again when it completes, and the tag waits in the slot. */
#define RING_TAG_INDEX_BITS 24

static inline uint64_t ring_user_data(unsigned op, struct ring_tag tag)
{
    return (uint64_t)op << 56 | (uint64_t)tag.index << 32 | tag.generation;
}

static inline uint64_t ring_pack(unsigned op, struct ring_tag tag)
{
    check_op(tag.index, <, 1U << RING_TAG_INDEX_BITS);
    return ring_user_data(op, tag);
}

/* ring_uring_probe.c */

/* Sets a ring up with the best flags there are, plus `flags`. 0 or -errno. */
int ring_setup(struct io_uring *uring, uint32_t entries, uint32_t flags, bool *defer_taskrun);
/* The line for the operator that belongs to a failed set-up. */
void ring_explain(int error, char *why, size_t why_bytes);
/* Fills in "set linger on this socket", so that a close resets. The entry's flags and user_data are the caller's. */
void ring_prep_linger(struct io_uring_sqe *sqe, int socket);

/* ring_uring_socket.c */

/* Gives an open descriptor a number and takes the descriptor over. A number, or -errno (-ENFILE: the table is full):
 * then the descriptor is still the caller's. */
int32_t ring_slot_take(struct ring *ring, int descriptor, const struct ring_address *peer);
/* The same for one that was just accepted, with the peer's address; on failure it is closed. */
int32_t ring_slot_take_accepted(struct ring *ring, int descriptor);
void ring_slot_release(struct ring *ring, uint32_t socket);

/* The slot of an open socket; anything else is our bug. */
static inline struct ring_slot *ring_slot_open(const struct ring *ring, uint32_t socket)
{
    check_op(socket, <, ring->slots_made);
    struct ring_slot *slot = &ring->slots[socket];
    check(slot->descriptor >= RING_SLOT_DIRECT);
    return slot;
}

/* ring_uring.c */

/* Submits what is queued. False: there is still no room for so many entries. */
bool ring_make_room(struct ring *ring, uint32_t count);

/* Makes room for `count` entries, so that the next `count` calls of io_uring_get_sqe succeed. False: none to be had. */
static inline bool ring_reserve(struct ring *ring, uint32_t count)
{
    return io_uring_sq_space_left(&ring->uring) >= count || ring_make_room(ring, count);
}

/* An empty entry, or NULL. */
static inline struct io_uring_sqe *ring_entry(struct ring *ring)
{
    return ring_reserve(ring, 1) ? io_uring_get_sqe(&ring->uring) : NULL;
}

/* What the kernel is to be given for a socket: its place in the table, or the plain descriptor. */
static inline int ring_target(const struct ring *ring, uint32_t socket)
{
    const struct ring_slot *slot = ring_slot_open(ring, socket);
    return slot->descriptor == RING_SLOT_DIRECT ? (int)socket : slot->descriptor;
}

/* Finishes a prepared entry that works on a socket. */
static inline int ring_queue(struct ring *ring, struct io_uring_sqe *sqe, enum ring_op op, struct ring_tag tag)
{
    if (ring->direct)
        sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = ring_pack(op, tag);
    ring_count(&ring->counters.submitted[op], 1);
    return 0;
}

#endif
