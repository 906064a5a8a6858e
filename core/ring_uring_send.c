/* SPDX-License-Identifier: MIT */
/* The ring's sends: in batches, as vectors, and without a copy from memory that the kernel reads in place.
 * It never submits, unless the submission queue is full, and never sees a completion: those are ring_uring.c's.
 * Called by the shard that owns the ring. */
#include "core/ring_uring.h"

/* Fills in the next `count` entries, which lie in a row. The bounds of all tags and lengths are checked at once. */
static void queue_sends(struct ring *ring, const struct ring_send *sends, uint32_t count)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    struct io_uring_sqe *sqe = &sq->sqes[sq->sqe_tail & sq->ring_mask];
    const uint8_t flags = ring->direct ? IOSQE_FIXED_FILE : 0;
    uint64_t bytes = 0;
    uint32_t indices = 0;
    for (const struct ring_send *send = sends; send < sends + count; send++, sqe++) {
        *sqe = (struct io_uring_sqe){
            .opcode = IORING_OP_SEND,
            .flags = flags,
            .fd = ring_target(ring, send->socket),
            .addr = (uintptr_t)send->data.data,
            .len = (uint32_t)send->data.bytes,
            .msg_flags = MSG_WAITALL | MSG_NOSIGNAL,
            .user_data = ring_user_data(RING_SEND, send->tag),
        };
        indices |= send->tag.index;
        bytes |= send->data.bytes;
    }
    check_op(indices, <, 1U << RING_TAG_INDEX_BITS);
    check_op(bytes, <=, INT32_MAX);
    sq->sqe_tail += count;
    ring_count(&ring->counters.submitted[RING_SEND], count);
}

uint32_t ring_begin_sends(struct ring *ring, const struct ring_send *sends, uint32_t count)
{
    const struct io_uring_sq *sq = &ring->uring.sq;
    uint32_t begun = 0;
    while (begun < count && ring_reserve(ring, 1)) {
        uint32_t room = io_uring_sq_space_left(&ring->uring), row = sq->ring_entries - (sq->sqe_tail & sq->ring_mask);
        uint32_t part = count - begun;
        part = part < room ? part : room;
        part = part < row ? part : row;
        queue_sends(ring, sends + begun, part);
        begun += part;
    }
    return begun;
}

int ring_begin_send(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data, uint32_t bytes)
{
    const struct ring_send send = {.tag = tag, .data = {data, bytes}, .socket = socket};
    return ring_begin_sends(ring, &send, 1) == 1 ? 0 : -EAGAIN;
}

/* The header of a send whose entry is `sqe`. The kernel copies header and vector when the entry is submitted
 * (IORING_FEAT_SUBMIT_STABLE). */
static struct msghdr *header_of(struct ring *ring, const struct io_uring_sqe *sqe, const struct iovec *vector,
                                uint32_t count)
{
    struct msghdr *header = &ring->headers[sqe - ring->uring.sq.sqes];
    *header = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)vector, .msg_iovlen = count};
    return header;
}

int ring_begin_send_vector(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                           uint32_t count)
{
    int to = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    io_uring_prep_sendmsg(sqe, to, header_of(ring, sqe, vector, count), MSG_WAITALL | MSG_NOSIGNAL);
    return ring_queue(ring, sqe, RING_SEND, tag);
}

bool ring_has_zero_copy(const struct ring *ring)
{
    return ring->zero_copy;
}

int ring_begin_send_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                              uint32_t count)
{
    check(ring->zero_copy && count > 0);
    int to = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    if (count == 1)
        io_uring_prep_send_zc(sqe, to, vector->iov_base, vector->iov_len, MSG_WAITALL | MSG_NOSIGNAL, 0);
    else
        io_uring_prep_sendmsg_zc(sqe, to, header_of(ring, sqe, vector, count), MSG_WAITALL | MSG_NOSIGNAL);
    sqe->ioprio |= RING_SEND_ZC_REPORT_USAGE;
    return ring_queue(ring, sqe, RING_SEND_ZERO_COPY, tag);
}

int ring_register_memory(struct ring *ring, uint32_t number, const void *memory, uint32_t bytes)
{
    struct iovec whole = {.iov_base = (void *)(uintptr_t)memory, .iov_len = bytes};
    __u64 no_tag = 0;
    if (number >= ring->memories_max)
        return -ENOSPC;
    int result = io_uring_register_buffers_update_tag(&ring->uring, number, &whole, &no_tag, 1);
    return result == 1 ? 0 : result < 0 ? result : -ENOMEM;
}

int ring_begin_send_registered(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data,
                               uint32_t bytes, uint32_t number)
{
    check(ring->zero_copy && number < ring->memories_max);
    int to = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    io_uring_prep_send_zc_fixed(sqe, to, data, bytes, MSG_WAITALL | MSG_NOSIGNAL, RING_SEND_ZC_REPORT_USAGE, number);
    return ring_queue(ring, sqe, RING_SEND_ZERO_COPY, tag);
}
