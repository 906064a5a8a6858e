/* SPDX-License-Identifier: MIT */
/* Owns the paths of ringcast-transmit that are the kernel alone: the same bytes to every socket by write(), by sends
 * through io_uring, and by zero-copy sends of plain and of registered memory. It never builds more than one burst and
 * never reads a clock. Called by transmit_main. */
#include "bench/transmit.h"
#include "core/frame.h"
#include "core/frame_memory.h"
#include "protocol/ws.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 1024 /* sends per system call, as many as the server's ring takes */
#define FRAME_MEMORY_BYTES (256U << 20)

/* Newer than the headers of liburing 2.3 (Linux 6.2, include/uapi/linux/io_uring.h). */
#define SEND_ZC_REPORT_USAGE (1U << 3)
#define NOTIF_USAGE_ZC_COPIED (UINT32_C(1) << 31)

enum mode { MODE_WRITE, MODE_RING, MODE_ZERO_COPY, MODE_REGISTERED };

struct sender {
    enum mode mode;
    struct peers *peers;
    uint32_t conns;
    struct frame burst; /* lies in frame memory, as the server's does */
    struct frame_memory memory;
    struct frame_log log;
    struct io_uring uring; /* of all but MODE_WRITE */
    bool has_ring;
    uint64_t pending; /* zero-copy sends whose memory has not come back */
    struct transmit_usage usage;
};

static int build_burst(struct sender *sender, const struct transmit_load *load)
{
    struct frame_idle idle = {0};
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint32_t header_bytes = (uint32_t)ws_header_write(header, WS_TEXT, load->size);
    uint32_t frame_bytes = header_bytes + load->size;
    frame_memory_init(&sender->memory, 0, 1, FRAME_MEMORY_BYTES);
    uint8_t *at = frame_append_reserve(&sender->memory, &idle, &sender->log, frame_bytes * load->window);
    if (at == NULL)
        return -ENOMEM;
    memset(at, 'x', (size_t)frame_bytes * load->window);
    for (uint32_t i = 0; i < load->window; i++)
        memcpy(at + (size_t)i * frame_bytes, header, header_bytes);
    sender->burst = frame_append_commit(&sender->log, frame_bytes * load->window);
    return 0;
}

static int open_ring(struct sender *sender)
{
    int error = io_uring_queue_init(BATCH, &sender->uring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL);
    if (error < 0)
        return error;
    sender->has_ring = true;
    int *sockets = malloc(sender->conns * sizeof *sockets);
    if (sockets == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < sender->conns; i++)
        sockets[i] = peers_socket(sender->peers, i);
    error = io_uring_register_files(&sender->uring, sockets, sender->conns);
    free(sockets);
    if (error < 0 || sender->mode != MODE_REGISTERED)
        return error;
    const struct segment *segment = sender->burst.segment;
    const struct iovec memory = {.iov_base = segment->data, .iov_len = segment->capacity};
    return io_uring_register_buffers(&sender->uring, &memory, 1);
}

static void sender_close(void *state)
{
    struct sender *sender = state;
    if (sender->peers != NULL)
        peers_close(sender->peers); /* resets: no zero-copied memory is left with the kernel */
    if (sender->has_ring)
        io_uring_queue_exit(&sender->uring);
    frame_memory_destroy(&sender->memory);
    free(sender);
}

static int sender_open(void **out, const struct transmit_path *path, const struct transmit_load *load)
{
    struct sender *sender = calloc(1, sizeof *sender);
    if (sender == NULL)
        return -ENOMEM;
    sender->mode = (enum mode)path->mode;
    sender->conns = load->conns;
    int error = build_burst(sender, load);
    if (error == 0)
        error = peers_open(&sender->peers, load->first_peer, load->conns);
    if (error == 0 && sender->mode != MODE_WRITE)
        error = open_ring(sender);
    if (error < 0) {
        sender_close(sender);
        return error;
    }
    *out = sender;
    return 0;
}

static int write_round(const struct sender *sender)
{
    for (uint32_t i = 0; i < sender->conns; i++) {
        ssize_t written = write(peers_socket(sender->peers, i), frame_data(sender->burst), sender->burst.bytes);
        if (written != (ssize_t)sender->burst.bytes)
            return written < 0 ? -errno : -ENOBUFS;
    }
    return 0;
}

static void prep(const struct sender *sender, struct io_uring_sqe *sqe, uint32_t i)
{
    const uint8_t *data = frame_data(sender->burst);
    if (sender->mode == MODE_RING) {
        io_uring_prep_send(sqe, (int)i, data, sender->burst.bytes, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
        io_uring_prep_send_zc(sqe, (int)i, data, sender->burst.bytes, MSG_NOSIGNAL | MSG_WAITALL, SEND_ZC_REPORT_USAGE);
        if (sender->mode == MODE_REGISTERED)
            sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
}

/* Takes the completions that are there. How many sends have ended, or -errno when one failed or was cut short. */
static int reap(struct sender *sender)
{
    unsigned head;
    unsigned seen = 0;
    int ended = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&sender->uring, head, cqe)
    {
        seen++;
        if ((cqe->flags & IORING_CQE_F_NOTIF) != 0) {
            sender->pending--;
            sender->usage.notified++;
            sender->usage.copied += ((uint32_t)cqe->res & NOTIF_USAGE_ZC_COPIED) != 0;
            continue;
        }
        if (ended >= 0)
            ended = cqe->res == (int)sender->burst.bytes ? ended + 1 : cqe->res < 0 ? cqe->res : -ENOBUFS;
        sender->pending += (cqe->flags & IORING_CQE_F_MORE) != 0;
    }
    io_uring_cq_advance(&sender->uring, seen);
    return ended;
}

static int sender_round(void *state)
{
    struct sender *sender = state;
    if (sender->mode == MODE_WRITE)
        return write_round(sender);
    for (uint32_t begun = 0, done = 0; done < sender->conns;) {
        for (uint32_t n = 0; n < BATCH && begun < sender->conns; n++, begun++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&sender->uring);
            if (sqe == NULL)
                break;
            prep(sender, sqe, begun);
        }
        int result = io_uring_submit_and_wait(&sender->uring, 1);
        if (result >= 0)
            result = reap(sender);
        if (result < 0 && result != -EINTR)
            return result;
        done += result > 0 ? (uint32_t)result : 0;
    }
    return 0;
}

static int sender_answer(void *state)
{
    struct sender *sender = state;
    int64_t result = peers_acknowledge(sender->peers);
    if (result < 0)
        return (int)result;
    return result == (int64_t)sender->burst.bytes * sender->conns ? 0 : -ENOBUFS; /* the window was too small */
}

static int sender_collect(void *state)
{
    struct sender *sender = state;
    int error = 0;
    while (error >= 0 && sender->pending > 0) {
        error = io_uring_submit_and_wait(&sender->uring, 1);
        if (error >= 0)
            error = reap(sender);
    }
    return error < 0 ? error : 0;
}

static struct transmit_usage sender_usage(const void *state)
{
    return ((const struct sender *)state)->usage;
}

#define PATH(variable, name_, mode_, doc_)                                                                             \
    const struct transmit_path variable = {.name = name_,                                                              \
                                           .doc = doc_,                                                                \
                                           .open = sender_open,                                                        \
                                           .round = sender_round,                                                      \
                                           .answer = sender_answer,                                                    \
                                           .collect = sender_collect,                                                  \
                                           .usage = sender_usage,                                                      \
                                           .close = sender_close,                                                      \
                                           .mode = mode_}

PATH(transmit_write, "write", MODE_WRITE, "a write() per socket");
PATH(transmit_ring, "ring", MODE_RING, "io_uring sends, 1,024 per system call");
PATH(transmit_zero_copy, "zero-copy", MODE_ZERO_COPY, "the same without copying, from plain memory");
PATH(transmit_registered, "registered", MODE_REGISTERED, "the same from frame memory registered with the ring");
