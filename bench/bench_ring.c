/* SPDX-License-Identifier: MIT */
/* Owns one io_uring with its file table, receive buffers and wake-up, for one client thread. It never looks at the
 * bytes and knows no protocol. Called by the bench's workers and by the floor's receiver. */
#include "bench/bench_ring.h"

#include "core/check.h"
#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_ENTRIES 1024
#define COMPLETION_ENTRIES 8192
#define BUFFER_COUNT 128 /* a power of two; few, so that they stay in the cache */
#define BUFFER_BYTES 16384
#define BUFFER_GROUP 0
#define SEND_BYTES_MAX (1U << 30)

static int open_buffers(struct bench_ring *ring)
{
    void *memory = NULL;
    size_t entries_bytes = BUFFER_COUNT * sizeof(struct io_uring_buf);
    if (posix_memalign(&memory, 4096, entries_bytes) != 0)
        return -ENOMEM;
    ring->buffers = memory;
    if (posix_memalign(&memory, 4096, (size_t)BUFFER_COUNT * BUFFER_BYTES) != 0)
        return -ENOMEM;
    ring->memory = memory;

    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring->buffers, .ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (error < 0)
        return error;
    io_uring_buf_ring_init(ring->buffers);
    for (int i = 0; i < BUFFER_COUNT; i++)
        io_uring_buf_ring_add(ring->buffers, ring->memory + (size_t)i * BUFFER_BYTES, BUFFER_BYTES, (uint16_t)i,
                              io_uring_buf_ring_mask(BUFFER_COUNT), i);
    io_uring_buf_ring_advance(ring->buffers, BUFFER_COUNT);
    return 0;
}

static struct io_uring_sqe *next_sqe(struct bench_ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe) {
        io_uring_submit(&ring->uring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    check(sqe != NULL);
    return sqe;
}

/* Behind io_uring_prep_*, which resets the flags. */
static void seal_sqe(struct io_uring_sqe *sqe, enum bench_ring_op op, uint32_t slot, uint8_t flags)
{
    sqe->flags |= flags;
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 32 | slot);
}

static void arm_wake(struct bench_ring *ring)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_count, sizeof ring->wake_count, 0);
    seal_sqe(sqe, BENCH_RING_WAKE, 0, 0);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

int bench_ring_open(struct bench_ring *ring, uint32_t sockets_max, uint64_t spin_ns)
{
    *ring = (struct bench_ring){.sockets_max = sockets_max, .spin_ns = spin_ns, .wake_fd = -1, .held = -1};
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETION_ENTRIES,
    };
    int error = io_uring_queue_init_params(QUEUE_ENTRIES, &ring->uring, &params);
    if (error < 0)
        return error;
    error = io_uring_register_files_sparse(&ring->uring, sockets_max);
    if (error == 0)
        error = open_buffers(ring);
    ring->starved = calloc(sockets_max > 0 ? sockets_max : 1, sizeof *ring->starved);
    if (error == 0 && !ring->starved)
        error = -ENOMEM;
    if (error == 0) {
        ring->wake_fd = eventfd(0, EFD_CLOEXEC);
        if (ring->wake_fd < 0)
            error = -errno;
    }
    if (error < 0) {
        bench_ring_close(ring);
        return error;
    }
    arm_wake(ring);
    return 0;
}

void bench_ring_close(struct bench_ring *ring)
{
    io_uring_queue_exit(&ring->uring);
    if (ring->wake_fd >= 0)
        close(ring->wake_fd);
    free(ring->buffers);
    free(ring->memory);
    free(ring->starved);
}

int bench_ring_adopt(struct bench_ring *ring, uint32_t slot, int fd)
{
    int done = io_uring_register_files_update(&ring->uring, slot, &fd, 1);
    close(fd);
    return done == 1 ? 0 : done < 0 ? done : -EBADF;
}

void bench_ring_drop(struct bench_ring *ring, uint32_t slot)
{
    int none = -1;
    io_uring_register_files_update(&ring->uring, slot, &none, 1);
}

void bench_ring_connect(struct bench_ring *ring, uint32_t slot, const struct sockaddr *address, socklen_t bytes)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_connect(sqe, (int)slot, address, bytes);
    seal_sqe(sqe, BENCH_RING_CONNECT, slot, IOSQE_FIXED_FILE);
}

void bench_ring_receive(struct bench_ring *ring, uint32_t slot)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
    sqe->buf_group = BUFFER_GROUP;
    seal_sqe(sqe, BENCH_RING_RECEIVE, slot, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
}

void bench_ring_read(struct bench_ring *ring, uint32_t slot, size_t bytes)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_recv(sqe, (int)slot, NULL, bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES, 0);
    sqe->buf_group = BUFFER_GROUP;
    seal_sqe(sqe, BENCH_RING_READ, slot, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
}

void bench_ring_send(struct bench_ring *ring, uint32_t slot, const void *data, size_t bytes)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    size_t part = bytes < SEND_BYTES_MAX ? bytes : SEND_BYTES_MAX;
    io_uring_prep_send(sqe, (int)slot, data, part, MSG_NOSIGNAL | MSG_WAITALL);
    seal_sqe(sqe, BENCH_RING_SEND, slot, IOSQE_FIXED_FILE);
}

static void starve(struct bench_ring *ring, uint32_t slot)
{
    check_op(ring->starved_count, <, ring->sockets_max);
    ring->starved[(ring->starved_first + ring->starved_count++) % ring->sockets_max] = slot;
    ring->out_of_buffers++;
}

/* As many as there are buffers: to arm all that starve would cost a failed receive for each of the others, again and
 * again. All of them have data, so these complete at once and the next ones follow. */
static void feed_starved(struct bench_ring *ring)
{
    for (uint32_t i = 0; i < BUFFER_COUNT && ring->starved_count > 0; i++, ring->starved_count--) {
        bench_ring_receive(ring, ring->starved[ring->starved_first]);
        ring->starved_first = (ring->starved_first + 1) % ring->sockets_max;
    }
}

static bool kernel_has_work(const struct bench_ring *ring)
{
    return (__atomic_load_n(ring->uring.sq.kflags, __ATOMIC_ACQUIRE) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !=
           0;
}

static int sleep_until(struct bench_ring *ring, uint64_t deadline_ns)
{
    uint64_t left_ns = deadline_ns - ring->now_ns;
    struct __kernel_timespec limit = {.tv_sec = (int64_t)(left_ns / 1000000000),
                                      .tv_nsec = (long long)(left_ns % 1000000000)};
    struct io_uring_cqe *cqe = NULL;
    int result = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &limit, NULL);
    ring->now_ns = clock_monotonic_ns();
    ring->busy_ns = ring->now_ns;
    return result < 0 && result != -ETIME && result != -EINTR ? result : 0;
}

int bench_ring_wait(struct bench_ring *ring, uint64_t deadline_ns)
{
    feed_starved(ring);
    for (bool looked = false;; looked = true) {
        bool work = io_uring_sq_ready(&ring->uring) > 0 || kernel_has_work(ring);
        if (work) {
            int result = io_uring_submit_and_get_events(&ring->uring);
            if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
                return result;
        }
        uint64_t before_ns = ring->now_ns;
        ring->now_ns = clock_monotonic_ns();
        if (looked && !work)
            ring->spun_ns += ring->now_ns - before_ns;
        if (io_uring_cq_ready(&ring->uring) > 0) {
            ring->busy_ns = ring->now_ns;
            return 0;
        }
        if (ring->now_ns >= deadline_ns)
            return 0;
        if (ring->now_ns - ring->busy_ns >= ring->spin_ns)
            return sleep_until(ring, deadline_ns);
        relax();
    }
}

static void give_back_held(struct bench_ring *ring)
{
    if (ring->held < 0)
        return;
    io_uring_buf_ring_add(ring->buffers, ring->memory + (size_t)ring->held * BUFFER_BYTES, BUFFER_BYTES,
                          (uint16_t)ring->held, io_uring_buf_ring_mask(BUFFER_COUNT), 0);
    io_uring_buf_ring_advance(ring->buffers, 1);
    ring->held = -1;
}

/* Whether the completion is one that the caller gets to see. */
static bool take(struct bench_ring *ring, const struct io_uring_cqe *cqe, struct bench_ring_event *event)
{
    *event = (struct bench_ring_event){
        .op = (enum bench_ring_op)(cqe->user_data >> 32), .slot = (uint32_t)cqe->user_data, .result = cqe->res};
    if (event->op == BENCH_RING_WAKE)
        arm_wake(ring);
    if (event->op != BENCH_RING_RECEIVE && event->op != BENCH_RING_READ)
        return true;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        ring->held = (int32_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        event->data = slice_of(ring->memory + (size_t)ring->held * BUFFER_BYTES, cqe->res > 0 ? (size_t)cqe->res : 0);
    }
    if (event->op == BENCH_RING_READ) {
        ring->out_of_buffers += cqe->res == -ENOBUFS;
        return true;
    }
    bool ended = (cqe->flags & IORING_CQE_F_MORE) == 0;
    if (cqe->res == -ENOBUFS)
        starve(ring, event->slot);
    else if (ended && cqe->res > 0)
        bench_ring_receive(ring, event->slot);
    return cqe->res != -ENOBUFS;
}

bool bench_ring_next(struct bench_ring *ring, struct bench_ring_event *event)
{
    for (;;) {
        give_back_held(ring);
        /* Asked first: io_uring_peek_cqe would enter the kernel for more, which bench_ring_wait alone may do. */
        struct io_uring_cqe *cqe = NULL;
        if (io_uring_cq_ready(&ring->uring) == 0 || io_uring_peek_cqe(&ring->uring, &cqe) != 0)
            return false;
        bool seen = take(ring, cqe, event);
        io_uring_cqe_seen(&ring->uring, cqe);
        if (seen)
            return true;
    }
}

void bench_ring_wake(const struct bench_ring *ring)
{
    uint64_t one = 1;
    ssize_t written = write(ring->wake_fd, &one, sizeof one);
    check_op(written, ==, sizeof one);
}
