/* SPDX-License-Identifier: MIT */
/* Owns a kernel that costs nothing: the functions by which ring_uring.c reaches liburing and ring_uring_probe.c, on a
 * ring that completes each send at once and in full. Everything above it is the real code, down to the last instruction
 * before the system call. It never touches a socket: every peer sends one request (meter_request), when its receive is
 * armed, and nothing else. Its clock stands still. Linked instead of liburing by programs that count or time user space
 * only. */
#include "bench/meter_shard.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/ring_uring.h"
#include "core/work.h"

#include <errno.h>
#include <stdlib.h>

#define CQ_PER_SQ 4 /* as ring_setup asks for */

struct null_socket {
    uint64_t receive; /* user_data of the armed receive; 0: none */
    bool said;
};

struct null_kernel {
    unsigned sq_head, sq_tail, sq_flags;
    unsigned cq_head, cq_tail;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *completions;
    struct null_socket *sockets;
    unsigned sockets_max;
    struct io_uring_buf_ring *buffers;
    unsigned buffers_mask;
    uint16_t buffers_head;
};

static struct null_kernel *kernel_of(const struct io_uring *uring)
{
    return uring->sq.ring_ptr;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static void complete(const struct io_uring *uring, uint64_t user_data, int result, unsigned flags)
{
    struct null_kernel *kernel = kernel_of(uring);
    check_op(kernel->cq_tail - kernel->cq_head, <, uring->cq.ring_entries);
    kernel->completions[kernel->cq_tail & uring->cq.ring_mask] =
        (struct io_uring_cqe){.user_data = user_data, .res = result, .flags = flags};
    kernel->cq_tail++;
}

/* The peer's request comes as soon as somebody listens and a buffer is there. */
static void receive(const struct io_uring *uring, const struct io_uring_sqe *sqe)
{
    struct null_kernel *kernel = kernel_of(uring);
    struct null_socket *from = &kernel->sockets[sqe->fd];
    from->receive = sqe->user_data;
    if (from->said)
        return;
    if (kernel->buffers_head == kernel->buffers->tail) {
        from->receive = 0;
        complete(uring, sqe->user_data, -ENOBUFS, 0);
        return;
    }
    const struct io_uring_buf *buffer = &kernel->buffers->bufs[kernel->buffers_head++ & kernel->buffers_mask];
    size_t bytes = strlen(meter_request);
    check_op(bytes, <=, buffer->len);
    memcpy((void *)(uintptr_t)buffer->addr, meter_request, bytes);
    from->said = true;
    complete(uring, sqe->user_data, (int)bytes,
             IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | (unsigned)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

static void cancel(const struct io_uring *uring, const struct io_uring_sqe *sqe)
{
    struct null_kernel *kernel = kernel_of(uring);
    int result = -ENOENT;
    for (unsigned i = 0; i < kernel->sockets_max && result != 0; i++) {
        if (kernel->sockets[i].receive != sqe->addr)
            continue;
        kernel->sockets[i].receive = 0;
        complete(uring, sqe->addr, -ECANCELED, 0);
        result = 0;
    }
    complete(uring, sqe->user_data, result, 0);
}

static int vector_bytes(const struct io_uring_sqe *sqe)
{
    const struct msghdr *header = (const struct msghdr *)(uintptr_t)sqe->addr;
    size_t bytes = 0;
    for (size_t i = 0; i < header->msg_iovlen; i++)
        bytes += header->msg_iov[i].iov_len;
    return (int)bytes;
}

static void carry_out(const struct io_uring *uring, const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_SEND:
        complete(uring, sqe->user_data, (int)sqe->len, 0);
        break;
    case IORING_OP_SENDMSG:
        complete(uring, sqe->user_data, vector_bytes(sqe), 0);
        break;
    case IORING_OP_SEND_ZC: /* the peer acknowledges at once, too */
        complete(uring, sqe->user_data, (int)sqe->len, IORING_CQE_F_MORE);
        complete(uring, sqe->user_data, 0, IORING_CQE_F_NOTIF);
        break;
    case IORING_OP_RECV:
        receive(uring, sqe);
        break;
    case IORING_OP_ASYNC_CANCEL:
        cancel(uring, sqe);
        break;
    case IORING_OP_CLOSE:
    case IORING_OP_SHUTDOWN:
        complete(uring, sqe->user_data, 0, 0);
        break;
    default: /* the poll on wake_fd and the linger before a close: neither completes */
        break;
    }
}

int io_uring_submit(struct io_uring *uring)
{
    struct null_kernel *kernel = kernel_of(uring);
    unsigned begun = kernel->sq_head;
    for (; kernel->sq_head != uring->sq.sqe_tail; kernel->sq_head++)
        carry_out(uring, &kernel->entries[kernel->sq_head & uring->sq.ring_mask]);
    return (int)(kernel->sq_head - begun);
}

int io_uring_submit_and_get_events(struct io_uring *uring)
{
    return io_uring_submit(uring);
}

int io_uring_submit_and_wait_timeout(struct io_uring *uring, struct io_uring_cqe **cqe, unsigned count,
                                     struct __kernel_timespec *timeout, sigset_t *mask)
{
    (void)cqe, (void)count, (void)timeout, (void)mask;
    return io_uring_submit(uring);
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

int io_uring_register(unsigned fd, unsigned opcode, const void *argument, unsigned count)
{
    (void)fd, (void)opcode, (void)argument, (void)count;
    return 0;
}

int io_uring_register_files_sparse(struct io_uring *uring, unsigned count)
{
    struct null_kernel *kernel = kernel_of(uring);
    kernel->sockets_max = count;
    kernel->sockets = calloc(count, sizeof *kernel->sockets);
    return kernel->sockets == NULL ? -ENOMEM : 0;
}

int io_uring_register_files_update(struct io_uring *uring, unsigned offset, const int *files, unsigned count)
{
    (void)uring, (void)offset, (void)files;
    return (int)count;
}

int io_uring_register_buffers_sparse(struct io_uring *uring, unsigned count)
{
    (void)uring, (void)count;
    return 0;
}

int io_uring_register_buffers_update_tag(struct io_uring *uring, unsigned offset, const struct iovec *memories,
                                         const __u64 *tags, unsigned count)
{
    (void)uring, (void)offset, (void)memories, (void)tags;
    return (int)count;
}

int io_uring_register_buf_ring(struct io_uring *uring, struct io_uring_buf_reg *registration, unsigned flags)
{
    (void)flags;
    struct null_kernel *kernel = kernel_of(uring);
    kernel->buffers = (struct io_uring_buf_ring *)(uintptr_t)registration->ring_addr; /* NOLINT */
    kernel->buffers_mask = registration->ring_entries - 1;
    return 0;
}

void io_uring_queue_exit(struct io_uring *uring)
{
    struct null_kernel *kernel = kernel_of(uring);
    free(kernel->entries);
    free(kernel->completions);
    free(kernel->sockets);
    free(kernel);
}

int ring_setup(struct io_uring *uring, uint32_t entries, uint32_t flags, bool *defer_taskrun)
{
    struct null_kernel *kernel = calloc(1, sizeof *kernel);
    if (kernel == NULL)
        return -ENOMEM;
    *defer_taskrun = true;
    kernel->entries = calloc(entries, sizeof *kernel->entries);
    kernel->completions = calloc((size_t)entries * CQ_PER_SQ, sizeof *kernel->completions);
    *uring = (struct io_uring){.flags = flags};
    uring->sq = (struct io_uring_sq){.khead = &kernel->sq_head,
                                     .ktail = &kernel->sq_tail,
                                     .kflags = &kernel->sq_flags,
                                     .sqes = kernel->entries,
                                     .ring_ptr = kernel,
                                     .ring_mask = entries - 1,
                                     .ring_entries = entries};
    uring->cq = (struct io_uring_cq){.khead = &kernel->cq_head,
                                     .ktail = &kernel->cq_tail,
                                     .cqes = kernel->completions,
                                     .ring_mask = entries * CQ_PER_SQ - 1,
                                     .ring_entries = entries * CQ_PER_SQ};
    if (kernel->entries != NULL && kernel->completions != NULL)
        return 0;
    io_uring_queue_exit(uring);
    return -ENOMEM;
}

int ring_probe(struct ring_features *features, char *why, size_t why_bytes)
{
    (void)why, (void)why_bytes;
    *features = (struct ring_features){
        .direct_descriptors = true, .defer_taskrun = true, .zero_copy = true, .summary = "no kernel"};
    return 0;
}

void ring_explain(int error, char *why, size_t why_bytes)
{
    (void)error, (void)why, (void)why_bytes;
}

void ring_prep_linger(struct io_uring_sqe *sqe, int socket)
{
    io_uring_prep_nop(sqe);
    sqe->fd = socket;
}

/* --- time that stands still --------------------------------------------------------------------------------------- */

uint64_t clock_monotonic_ns(void)
{
    return 1000000000;
}

uint64_t clock_wall_ms(void)
{
    return 1000000000000;
}

int clock_entropy(void *out, size_t bytes)
{
    memset(out, 0x5A, bytes);
    return 0;
}
