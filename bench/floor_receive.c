/* SPDX-License-Identifier: MIT */
/* Owns the receiving half of the floor: takes what comes on all sockets, counts bytes, looks at none of them. It
 * never sends anything but the byte that asks for the next burst. Called by the forked process.
 *
 * It receives through the ring of the bench, with the same buffers and the same spinning wait: whether a sender has
 * to wake a sleeping receiver is a large part of what it is charged, and must not differ between the floor and a
 * server. */
#include "bench/bench_ring.h"
#include "bench/floor.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SOCKETS_PER_ADDRESS 20000 /* of 127.0.0.1, .2, ... as source */
#define PATIENCE_NS UINT64_C(10000000000)

static int connect_one(const struct sockaddr_in *address, uint32_t number)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / SOCKETS_PER_ADDRESS)};
    if (bind(fd, (struct sockaddr *)&source, sizeof source) == 0 &&
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int connect_all(struct bench_ring *ring, const struct sockaddr_in *address, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int fd = connect_one(address, i);
        int error = fd < 0 ? fd : bench_ring_adopt(ring, i, fd);
        if (error < 0)
            return error;
        bench_ring_receive(ring, i);
    }
    return 0;
}

/* Receives that many bytes in sum. 0, -ECONNRESET when the sender has gone, -ETIMEDOUT or another -errno. */
static int receive_round(struct bench_ring *ring, uint64_t bytes)
{
    struct bench_ring_event event;
    while (bytes > 0) {
        uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
        int error = bench_ring_wait(ring, deadline_ns);
        if (error < 0)
            return error;
        if (ring->now_ns >= deadline_ns)
            return -ETIMEDOUT;
        while (bench_ring_next(ring, &event)) {
            if (event.op != BENCH_RING_RECEIVE)
                continue;
            if (event.result <= 0)
                return event.result < 0 ? event.result : -ECONNRESET;
            bytes -= (uint64_t)event.result;
        }
    }
    return 0;
}

static int receive_rounds(struct bench_ring *ring, int control, uint64_t round_bytes)
{
    int error;
    do {
        if (send(control, "+", 1, MSG_NOSIGNAL) != 1)
            return 0;
        error = receive_round(ring, round_bytes);
    } while (error == 0);
    return error == -ECONNRESET ? 0 : error;
}

int floor_receive(const struct floor_options *options, const struct sockaddr_in *address, size_t burst_bytes)
{
    struct bench_ring ring;
    int error = bench_ring_open(&ring, (uint32_t)options->conns, options->spin_us * 1000);
    if (error == 0) {
        int control = connect_one(address, 0);
        error = control < 0 ? control : connect_all(&ring, address, (uint32_t)options->conns);
        if (error == 0)
            error = receive_rounds(&ring, control, options->conns * burst_bytes);
        if (control >= 0)
            close(control);
        bench_ring_close(&ring);
    }
    if (error < 0)
        fprintf(stderr, "ringcast-floor: receiver: %s\n", strerror(-error));
    return error < 0 ? 1 : 0;
}
