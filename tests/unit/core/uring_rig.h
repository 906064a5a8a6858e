/* SPDX-License-Identifier: MIT */
/* A ring over io_uring with a listener, and blocking clients of this process: what the ring's tests begin with. Tests
 * run with direct and with plain descriptors (BOTH); ports are chosen by the kernel. */
#ifndef RINGCAST_TESTS_UNIT_CORE_URING_RIG_H
#define RINGCAST_TESTS_UNIT_CORE_URING_RIG_H

#include "core/poison.h"
#include "core/ring.h"
#include "tests/unit/core/last_words.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ULL
#define PATIENCE_MS 120000 /* of a test that is about to fail, on a machine however busy */
#define FOREVER                                                                                                        \
    (24 * 3600 * 1000 * MS) /* a wait that something else has to end; the program's --timeout is the brake */

static const struct ring_tag listener_tag = {.index = 7, .generation = 1};
static const struct ring_tag conn_tag = {.index = 0xffffff, .generation = 0xfedcba98};

static const struct ring_address loopback = {.bytes = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}};

struct server {
    struct ring *ring;
    uint32_t listener;
    uint16_t port;
};

static inline struct ring *make_ring(bool direct, uint32_t sockets_max, uint32_t buffers)
{
    const struct ring_options options = {.entries = 64,
                                         .sockets_max = sockets_max,
                                         .receive_buffers = buffers,
                                         .receive_buffer_bytes = 4096,
                                         .memories_max = 2,
                                         .allow_direct = direct};
    struct ring *ring = NULL;
    char why[256] = "";
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), 0, "%s", why);
    return ring;
}

static inline struct server start(bool direct, uint32_t sockets_max, uint32_t buffers)
{
    struct server server = {.ring = make_ring(direct, sockets_max, buffers)};
    const struct ring_listen_options options = {.address = loopback, .backlog = 128, .send_buffer_bytes = 32768};
    struct ring_address bound;
    int listener = ring_listen(server.ring, &options, &bound);
    cr_assert_geq(listener, 0, "%s", strerror(-listener));
    server.listener = (uint32_t)listener;
    server.port = bound.port;
    cr_assert_eq(ring_arm_accept(server.ring, server.listener, listener_tag), 0);
    cr_assert_geq(ring_submit(server.ring), 0);
    return server;
}

/* A connected client with a small receive buffer, so that a send to it stalls soon. */
static inline int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int small = 4096;
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

static inline uint16_t port_of(int fd)
{
    struct sockaddr_in self;
    socklen_t bytes = sizeof self;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&self, &bytes), 0);
    return ntohs(self.sin_port);
}

/* The next completion, which must be of that op. */
static inline struct ring_completion await(struct ring *ring, enum ring_op op)
{
    struct ring_completion completion = {.op = RING_OPS};
    for (int waited = 0; waited < PATIENCE_MS; waited += 100) {
        if (ring_next(ring, &completion)) {
            cr_assert_eq(completion.op, op, "op %d with result %d instead of op %d", (int)completion.op,
                         completion.result, (int)op);
            return completion;
        }
        cr_assert_eq(ring_wait(ring, 100 * MS), 0);
    }
    cr_assert_fail("no completion of op %d came", (int)op);
    return completion;
}

/* Nothing comes for a while. */
static inline void expect_silence(struct ring *ring)
{
    struct ring_completion completion;
    cr_assert_eq(ring_wait(ring, 50 * MS), 0);
    cr_assert_not(ring_next(ring, &completion), "op %d with result %d", (int)completion.op, completion.result);
}

static inline uint32_t accept_one(struct server *server)
{
    struct ring_completion accepted = await(server->ring, RING_ACCEPT);
    cr_assert_geq(accepted.result, 0, "%s", strerror(-accepted.result));
    cr_assert(accepted.more);
    return (uint32_t)accepted.result;
}

static inline void close_one(struct ring *ring, uint32_t socket, bool reset)
{
    cr_assert_eq(ring_begin_close(ring, socket, conn_tag, reset), 0);
    struct ring_completion closed = await(ring, RING_CLOSE);
    cr_assert_eq(closed.result, 0);
    cr_assert_eq(closed.tag.index, conn_tag.index);
    cr_assert_eq(closed.tag.generation, conn_tag.generation);
}

static inline void stop(struct server *server)
{
    cr_assert_eq(ring_begin_cancel_op(server->ring, server->listener, listener_tag, RING_ACCEPT), 0);
    bool accept_ended = false;
    bool cancelled = false;
    struct ring_completion completion;
    for (int waited = 0; waited < PATIENCE_MS && !(accept_ended && cancelled); waited += 100) {
        cr_assert_eq(ring_wait(server->ring, 100 * MS), 0);
        while (ring_next(server->ring, &completion)) {
            accept_ended |= completion.op == RING_ACCEPT && !completion.more;
            cancelled |= completion.op == RING_CANCEL && completion.result == 1;
        }
    }
    cr_assert(accept_ended && cancelled);
    close_one(server->ring, server->listener, false);
    ring_destroy(server->ring);
}

static inline void read_exactly(int fd, uint8_t *out, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, out + done, bytes - done);
        cr_assert_gt(n, 0);
        done += (size_t)n;
    }
}

static inline uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static inline uint8_t *make_pattern(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    cr_assert_not_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    return data;
}

static inline unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

#define BOTH(direct) for (int direct = 0; direct < 2; direct++)

#endif
