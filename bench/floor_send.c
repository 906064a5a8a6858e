/* SPDX-License-Identifier: MIT */
/* Owns the sending half of the floor: one burst to every socket, as cheaply as the kernel lets it. It never builds a
 * message and never measures. Called by floor_main for each round. */
#include "bench/floor.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

struct floor_sender {
    enum floor_mode mode;
    const int *sockets;
    uint32_t count;
    uint32_t batch;
    struct io_uring uring; /* of FLOOR_RING */
};

int floor_sender_open(struct floor_sender **out, const struct floor_options *options, const int *sockets)
{
    struct floor_sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return -ENOMEM;
    sender->mode = (enum floor_mode)options->mode;
    sender->sockets = sockets;
    sender->count = (uint32_t)options->conns;
    sender->batch = (uint32_t)options->batch;
    int error = 0;
    if (sender->mode == FLOOR_RING) {
        error = io_uring_queue_init(sender->batch, &sender->uring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL);
        if (error == 0) {
            error = io_uring_register_files(&sender->uring, sockets, sender->count);
            if (error < 0)
                io_uring_queue_exit(&sender->uring);
        }
    }
    if (error < 0) {
        free(sender);
        return error;
    }
    *out = sender;
    return 0;
}

static int write_round(const struct floor_sender *sender, struct slice burst)
{
    for (uint32_t i = 0; i < sender->count; i++) {
        for (struct slice rest = burst; rest.bytes > 0;) {
            ssize_t written = write(sender->sockets[i], rest.data, rest.bytes);
            if (written < 0)
                return -errno;
            rest = slice_skip(rest, (size_t)written);
        }
    }
    return 0;
}

/* Takes the completions that are there. Their number, or -errno when a send failed or was cut short. */
static int reap(struct io_uring *uring, size_t bytes)
{
    unsigned head;
    unsigned seen = 0;
    int error = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(uring, head, cqe)
    {
        if (cqe->res < 0)
            error = cqe->res;
        else if ((size_t)cqe->res != bytes)
            error = -EPIPE; /* MSG_WAITALL ends short only when the connection does */
        seen++;
    }
    io_uring_cq_advance(uring, seen);
    return error < 0 ? error : (int)seen;
}

static int ring_round(struct floor_sender *sender, struct slice burst)
{
    struct io_uring *uring = &sender->uring;
    uint32_t begun = 0;
    uint32_t done = 0;
    while (done < sender->count) {
        for (uint32_t i = 0; i < sender->batch && begun < sender->count; i++, begun++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
            if (!sqe)
                break;
            io_uring_prep_send(sqe, (int)begun, burst.data, burst.bytes, MSG_NOSIGNAL | MSG_WAITALL);
            sqe->flags |= IOSQE_FIXED_FILE;
        }
        int result = io_uring_submit_and_wait(uring, 1);
        if (result >= 0)
            result = reap(uring, burst.bytes);
        if (result < 0 && result != -EINTR)
            return result;
        done += result > 0 ? (uint32_t)result : 0;
    }
    return 0;
}

int floor_sender_round(struct floor_sender *sender, struct slice burst)
{
    return sender->mode == FLOOR_RING ? ring_round(sender, burst) : write_round(sender, burst);
}

void floor_sender_close(struct floor_sender *sender)
{
    if (sender->mode == FLOOR_RING)
        io_uring_queue_exit(&sender->uring);
    free(sender);
}
