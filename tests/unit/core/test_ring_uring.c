/* SPDX-License-Identifier: MIT */
/* The ring over io_uring against real sockets on the loopback device, each test with direct and with plain descriptors.
 * The clients are blocking sockets of this process; ports are chosen by the kernel. */
#include "core/poison.h"
#include "core/ring.h"
#include "tests/unit/core/last_words.h"

#include <arpa/inet.h>
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
#define PATIENCE_MS 5000 /* of a test that is about to fail */

static const struct ring_tag listener_tag = {.index = 7, .generation = 1};
static const struct ring_tag conn_tag = {.index = 0xffffff, .generation = 0xfedcba98};

static const struct ring_address loopback = {.bytes = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}};

struct server {
    struct ring *ring;
    uint32_t listener;
    uint16_t port;
};

static struct ring *make_ring(bool direct, uint32_t sockets_max, uint32_t buffers)
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

static struct server start(bool direct, uint32_t sockets_max, uint32_t buffers)
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
static int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int small = 4096;
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in self;
    socklen_t bytes = sizeof self;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&self, &bytes), 0);
    return ntohs(self.sin_port);
}

/* The next completion, which must be of that op. */
static struct ring_completion await(struct ring *ring, enum ring_op op)
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
static void expect_silence(struct ring *ring)
{
    struct ring_completion completion;
    cr_assert_eq(ring_wait(ring, 50 * MS), 0);
    cr_assert_not(ring_next(ring, &completion), "op %d with result %d", (int)completion.op, completion.result);
}

static uint32_t accept_one(struct server *server)
{
    struct ring_completion accepted = await(server->ring, RING_ACCEPT);
    cr_assert_geq(accepted.result, 0, "%s", strerror(-accepted.result));
    cr_assert(accepted.more);
    return (uint32_t)accepted.result;
}

static void close_one(struct ring *ring, uint32_t socket, bool reset)
{
    cr_assert_eq(ring_begin_close(ring, socket, conn_tag, reset), 0);
    struct ring_completion closed = await(ring, RING_CLOSE);
    cr_assert_eq(closed.result, 0);
    cr_assert_eq(closed.tag.index, conn_tag.index);
    cr_assert_eq(closed.tag.generation, conn_tag.generation);
}

static void stop(struct server *server)
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

static void read_exactly(int fd, uint8_t *out, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, out + done, bytes - done);
        cr_assert_gt(n, 0);
        done += (size_t)n;
    }
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static uint8_t *make_pattern(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    cr_assert_not_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    return data;
}

static unsigned open_descriptors(void)
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

Test(ring_uring, probe_says_what_there_is)
{
    struct ring_features features;
    char why[256] = "";
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0, "%s", why);
    cr_assert_not_null(strstr(features.summary, features.direct_descriptors ? "direct" : "plain"));
    cr_assert_not_null(strstr(features.summary, "task work"));
    cr_assert_eq(strstr(features.summary, "not deferred") == NULL, features.defer_taskrun);
}

/* From now on this process (each test has its own) gets `error` for io_uring_setup, as under a container's profile. */
static void forbid_rings(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip_test("no seccomp filters here");
}

static void expect_reason(unsigned error, const char *part)
{
    const struct ring_options options = {
        .entries = 64, .sockets_max = 8, .receive_buffers = 2, .receive_buffer_bytes = 64, .allow_direct = true};
    struct ring_features features;
    struct ring *ring = NULL;
    char why[256] = "";
    forbid_rings(error);
    cr_assert_eq(ring_probe(&features, why, sizeof why), -(int)error);
    cr_assert_not_null(strstr(why, part), "%s", why);
    cr_assert_null(strchr(why, '\n'));
    why[0] = '\0';
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), -(int)error);
    cr_assert_not_null(strstr(why, part), "%s", why);
    cr_assert_null(ring);
}

Test(ring_uring, probe_explains_what_is_forbidden)
{
    expect_reason(EPERM, "seccomp");
}

Test(ring_uring, probe_explains_what_is_not_there)
{
    expect_reason(ENOSYS, "Linux 6.1");
}

Test(ring_uring, probe_explains_a_kernel_that_is_too_old)
{
    expect_reason(EINVAL, "Linux 6.1");
}

Test(ring_uring, probe_explains_a_lack_of_memory)
{
    expect_reason(ENOMEM, "memlock");
}

Test(ring_uring, create_explains_a_table_beyond_the_limits)
{
    const struct ring_options options = {.entries = 64,
                                         .sockets_max = (1U << 24) - 1,
                                         .receive_buffers = 2,
                                         .receive_buffer_bytes = 64,
                                         .allow_direct = true};
    struct ring_features features;
    char why[256] = "";
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0);
    if (!features.direct_descriptors)
        cr_skip_test("plain descriptors only");
    struct ring *ring = NULL;
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), -EMFILE);
    cr_assert_null(ring);
    cr_assert_not_null(strstr(why, "LimitNOFILE"), "%s", why);
}

Test(ring_uring, accepts_receives_answers_and_closes)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);

        struct ring_address peer = ring_peer(server.ring, socket);
        cr_assert_arr_eq(peer.bytes, loopback.bytes, 16);
        cr_assert_eq(peer.port, port_of(client));

        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        cr_assert_eq(write(client, "ping", 4), 4);
        struct ring_completion received = await(server.ring, RING_RECEIVE);
        cr_assert_eq(received.tag.index, conn_tag.index);
        cr_assert_eq(received.tag.generation, conn_tag.generation);
        cr_assert_eq(received.result, 4);
        cr_assert(received.more);
        cr_assert_eq(received.data.bytes, 4);
        cr_assert_arr_eq(received.data.data, "ping", 4);
        cr_assert_eq(ring_buffers_free(server.ring), 3);

        /* Straight from the receive buffer, which may go back when the send is done. */
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, received.data.data, 4), 0);
        cr_assert_eq(await(server.ring, RING_SEND).result, 4);
        ring_give_back(server.ring, received.buffer);
        cr_assert_eq(ring_buffers_free(server.ring), 4);
        uint8_t echoed[4];
        read_exactly(client, echoed, 4);
        cr_assert_arr_eq(echoed, "ping", 4);

        cr_assert_eq(shutdown(client, SHUT_WR), 0);
        received = await(server.ring, RING_RECEIVE);
        cr_assert_eq(received.result, 0);
        cr_assert_not(received.more);
        close_one(server.ring, socket, false);
        cr_assert_eq(read(client, echoed, 1), 0);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, nothing_is_submitted_before_it_is_asked_for)
{
    struct server server = start(true, 8, 4);
    int client = dial(server.port);
    uint32_t socket = accept_one(&server);
    cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, "x", 1), 0);
    struct pollfd arrival = {.fd = client, .events = POLLIN};
    cr_assert_eq(poll(&arrival, 1, 50), 0);
    cr_assert_eq(ring_submit(server.ring), 1);
    cr_assert_eq(poll(&arrival, 1, PATIENCE_MS), 1);
    cr_assert_eq(await(server.ring, RING_SEND).result, 1);
    close_one(server.ring, socket, false);
    close(client);
    stop(&server);
}

Test(ring_uring, a_send_is_pending_until_all_is_taken)
{
    const size_t bytes = 1 << 20;
    uint8_t *data = make_pattern(bytes);
    uint8_t *seen = calloc(1, bytes);
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, data, (uint32_t)bytes), 0);
        expect_silence(server.ring);
        for (size_t done = 0; done < bytes;) {
            ssize_t n = recv(client, seen + done, bytes - done, MSG_DONTWAIT);
            cr_assert(n > 0 || (n < 0 && errno == EAGAIN));
            if (n > 0)
                done += (size_t)n;
            else
                cr_assert_eq(ring_wait(server.ring, 10 * MS),
                             0); /* the kernel goes on with a send when the owner enters */
        }
        cr_assert_arr_eq(seen, data, bytes);
        cr_assert_eq(await(server.ring, RING_SEND).result, (int32_t)bytes);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
    free(data);
    free(seen);
}

#define BATCH 70 /* more than the submission queue holds */

/* Takes so many ends of sends, in the order in which they come; `from` is the index of the first one's tag. */
static void await_sent(struct ring *ring, uint32_t count, uint32_t from, int32_t result)
{
    struct ring_sent sent[BATCH];
    uint32_t taken = 0;
    for (int waited = 0; waited < PATIENCE_MS && taken < count; waited += 100) {
        for (uint32_t part; (part = ring_next_sent(ring, sent, count - taken)) > 0; taken += part) {
            for (uint32_t i = 0; i < part; i++) {
                cr_assert_eq(sent[i].tag.index, from + taken + i);
                cr_assert_eq(sent[i].tag.generation, ~(from + taken + i));
                cr_assert_eq(sent[i].result, result);
            }
        }
        if (taken < count)
            cr_assert_eq(ring_wait(ring, 100 * MS), 0);
    }
    cr_assert_eq(taken, count);
}

Test(ring_uring, a_batch_of_sends_larger_than_the_queue_begins_whole_and_in_order)
{
    BOTH(direct)
    {
        struct server server = start(direct, BATCH + 1, 4);
        struct ring_send sends[BATCH];
        int clients[BATCH];
        uint8_t *data = make_pattern(BATCH + 8), seen[8];
        for (uint32_t i = 0; i < BATCH; i++) {
            clients[i] = dial(server.port);
            sends[i] = (struct ring_send){
                .tag = {.index = i, .generation = ~i}, .data = slice_of(data + i, 8), .socket = accept_one(&server)};
        }
        cr_assert_eq(ring_begin_sends(server.ring, sends, BATCH), BATCH);
        await_sent(server.ring, BATCH, 0, 8);
        for (uint32_t i = 0; i < BATCH; i++) {
            read_exactly(clients[i], seen, sizeof seen);
            cr_assert_arr_eq(seen, data + i, sizeof seen);
            close(clients[i]);
            close_one(server.ring, sends[i].socket, false);
        }
        struct ring_counters counters;
        ring_counters_read(server.ring, &counters);
        cr_assert_eq(counters.submitted[RING_SEND], BATCH);
        cr_assert_gt(counters.queue_full, 0);
        stop(&server);
        free(data);
    }
}

/* Batches of three meet the end of both queues (64 and 256 entries) at every place. */
Test(ring_uring, a_batch_of_sends_goes_around_the_end_of_both_queues)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        struct ring_send sends[3];
        int clients[3];
        uint8_t seen[2];
        for (uint32_t i = 0; i < 3; i++) {
            clients[i] = dial(server.port);
            sends[i].socket = accept_one(&server);
        }
        for (uint32_t n = 0; n < 300; n++) {
            const uint8_t text[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
            for (uint32_t i = 0; i < 3; i++) {
                sends[i].tag = (struct ring_tag){.index = 3 * n + i, .generation = ~(3 * n + i)};
                sends[i].data = slice_of(text, sizeof text);
            }
            cr_assert_eq(ring_begin_sends(server.ring, sends, 3), 3);
            await_sent(server.ring, 3, 3 * n, sizeof text);
            for (uint32_t i = 0; i < 3; i++) {
                read_exactly(clients[i], seen, sizeof seen);
                cr_assert_arr_eq(seen, text, sizeof text);
            }
        }
        for (uint32_t i = 0; i < 3; i++) {
            close_one(server.ring, sends[i].socket, false);
            close(clients[i]);
        }
        stop(&server);
    }
}

Test(ring_uring, the_ends_of_sends_are_taken_up_to_what_else_has_come)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        struct ring_sent sent[2];
        struct ring_completion completion;
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 0);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, "x", 1), 0);
        cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
        cr_assert_eq(ring_begin_cancel_op(server.ring, socket, conn_tag, RING_RECEIVE), 0); /* ends at once */
        cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 1);
        cr_assert_eq(sent[0].tag.index, conn_tag.index);
        cr_assert_eq(sent[0].tag.generation, conn_tag.generation);
        cr_assert_eq(sent[0].result, 1);
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 0);
        cr_assert(ring_next(server.ring, &completion));
        cr_assert_eq(completion.op, RING_CANCEL);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, vectors_are_gathered_and_their_arrays_free_after_the_submit)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        char one[] = "one ", two[] = "two ", three[] = "three";
        struct iovec vector[3] = {{one, 4}, {two, 4}, {three, 5}};
        cr_assert_eq(ring_begin_send_vector(server.ring, socket, conn_tag, vector, 3), 0);
        cr_assert_eq(ring_submit(server.ring), 1);
        memset(vector, 0xff, sizeof vector);
        cr_assert_eq(await(server.ring, RING_SEND).result, 13);
        uint8_t seen[13];
        read_exactly(client, seen, sizeof seen);
        cr_assert_arr_eq(seen, "one two three", 13);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, a_cancelled_send_tells_what_was_taken)
{
    const size_t bytes = 8 << 20;
    uint8_t *data = make_pattern(bytes);
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, data, (uint32_t)bytes), 0);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_cancel(server.ring, socket, conn_tag), 0);

        int32_t results[RING_OPS] = {0};
        for (int i = 0; i < 3; i++) {
            struct ring_completion completion;
            while (!ring_next(server.ring, &completion))
                cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            cr_assert_not(completion.more);
            results[completion.op] = completion.result;
        }
        cr_assert_eq(results[RING_CANCEL], 2);
        cr_assert_eq(results[RING_RECEIVE], -ECANCELED);
        cr_assert_gt(results[RING_SEND], 0);
        cr_assert_lt(results[RING_SEND], (int32_t)bytes);
        close_one(server.ring, socket, true);
        close(client);
        stop(&server);
    }
    free(data);
}

Test(ring_uring, a_reset_is_seen_as_a_reset)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        close_one(server.ring, socket, true);
        char byte;
        cr_assert_eq(read(client, &byte, 1), -1);
        cr_assert_eq(errno, ECONNRESET);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, a_close_next_to_idle_receives_reaches_the_peer_at_once)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int idle = dial(server.port);
        uint32_t idle_socket = accept_one(&server);
        cr_assert_eq(ring_arm_receive(server.ring, idle_socket, conn_tag), 0);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        close_one(server.ring, socket, false);
        struct pollfd end = {.fd = client, .events = POLLIN};
        char byte;
        cr_assert_eq(poll(&end, 1, PATIENCE_MS), 1);
        cr_assert_eq(read(client, &byte, 1), 0);
        close(client);

        cr_assert_eq(ring_begin_cancel_op(server.ring, idle_socket, conn_tag, RING_RECEIVE), 0);
        for (int ended = 0; ended < 2;) {
            struct ring_completion completion;
            cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            for (; ring_next(server.ring, &completion); ended++)
                cr_assert_eq(completion.result, completion.op == RING_CANCEL ? 1 : -ECANCELED);
        }
        close_one(server.ring, idle_socket, false);
        close(idle);
        stop(&server);
    }
}

Test(ring_uring, shutdown_ends_one_half)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_begin_shutdown(server.ring, socket, conn_tag, SHUT_WR), 0);
        cr_assert_eq(await(server.ring, RING_SHUTDOWN).result, 0);
        char byte;
        cr_assert_eq(read(client, &byte, 1), 0);
        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        cr_assert_eq(write(client, "!", 1), 1);
        struct ring_completion received = await(server.ring, RING_RECEIVE);
        cr_assert_eq(received.result, 1);
        ring_give_back(server.ring, received.buffer);
        close(client);
        cr_assert_eq(await(server.ring, RING_RECEIVE).result, 0);
        close_one(server.ring, socket, false);
        stop(&server);
    }
}

Test(ring_uring, a_receive_without_buffers_ends_and_can_be_armed_again)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 2);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        uint8_t *data = make_pattern(3 * 4096);
        cr_assert_eq(write(client, data, 3 * 4096), 3 * 4096);
        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        struct ring_completion first = await(server.ring, RING_RECEIVE);
        struct ring_completion second = await(server.ring, RING_RECEIVE);
        cr_assert(first.result > 0 && second.result > 0);
        cr_assert_eq(ring_buffers_free(server.ring), 0);
        struct ring_completion none = await(server.ring, RING_RECEIVE);
        cr_assert_eq(none.result, -ENOBUFS);
        cr_assert_not(none.more);
        expect_silence(server.ring);

        size_t seen = (size_t)first.result + (size_t)second.result;
        ring_give_back(server.ring, second.buffer);
        ring_give_back(server.ring, first.buffer);
        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        while (seen < 3 * 4096) {
            struct ring_completion more = await(server.ring, RING_RECEIVE);
            cr_assert_gt(more.result, 0);
            for (size_t i = 0; i < more.data.bytes; i++)
                cr_assert_eq(more.data.data[i], pattern(seen + i));
            seen += more.data.bytes;
            ring_give_back(server.ring, more.buffer);
        }
        struct ring_counters counters;
        ring_counters_read(server.ring, &counters);
        cr_assert_eq(counters.buffers_out, 1);
        cr_assert_eq(counters.stale, 0);
        cr_assert_eq(counters.submitted[RING_RECEIVE], 2);
        close(client);
        cr_assert_eq(await(server.ring, RING_RECEIVE).result, 0);
        close_one(server.ring, socket, false);
        stop(&server);
        free(data);
    }
}

Test(ring_uring, a_full_table_refuses_the_peer_and_stays_armed)
{
    BOTH(direct)
    {
        struct server server = start(direct, 2, 2); /* the listener and one more */
        int first = dial(server.port);
        uint32_t socket = accept_one(&server);
        int second = dial(server.port);
        struct ring_completion refused = await(server.ring, RING_ACCEPT);
        cr_assert_eq(refused.result, -ENFILE);
        cr_assert(refused.more);
        char byte;
        cr_assert_eq(read(second, &byte, 1), 0);
        close(second);

        close_one(server.ring, socket, false);
        int third = dial(server.port);
        cr_assert_eq(accept_one(&server), socket, "the number that was freed");
        cr_assert_eq(ring_peer(server.ring, socket).port, port_of(third));
        struct ring_counters counters;
        ring_counters_read(server.ring, &counters);
        cr_assert_eq(counters.refused, 1);
        close_one(server.ring, socket, false);
        close(first);
        close(third);
        stop(&server);
    }
}

Test(ring_uring, a_queued_close_does_not_hit_the_next_owner_of_its_number)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int first = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_begin_close(server.ring, socket, conn_tag, false), 0);
        int second = dial(server.port); /* accepted by the same submission that closes the first */
        uint32_t other = RING_SOCKET_NONE;
        bool closed = false;
        while (other == RING_SOCKET_NONE || !closed) {
            struct ring_completion completion;
            while (!ring_next(server.ring, &completion))
                cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            if (completion.op == RING_ACCEPT)
                other = (uint32_t)completion.result;
            else
                closed = completion.op == RING_CLOSE;
        }
        cr_assert_eq(ring_begin_send(server.ring, other, conn_tag, "x", 1), 0);
        cr_assert_eq(await(server.ring, RING_SEND).result, 1);
        uint8_t byte;
        read_exactly(second, &byte, 1);
        cr_assert_eq(read(first, &byte, 1), 0);
        close_one(server.ring, other, false);
        close(first);
        close(second);
        stop(&server);
    }
}

Test(ring_uring, direct_sockets_hold_no_descriptors_of_the_process)
{
    struct ring_features features;
    char why[256] = "";
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0);
    if (!features.direct_descriptors)
        cr_skip_test("plain descriptors only");
    enum { CLIENTS = 20 };
    struct server server = start(true, 64, 4);
    unsigned before = open_descriptors();
    int clients[CLIENTS];
    uint32_t sockets[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = dial(server.port);
        sockets[i] = accept_one(&server);
    }
    cr_assert_eq(open_descriptors(), before + CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        close_one(server.ring, sockets[i], false);
        close(clients[i]);
    }
    stop(&server);
}

Test(ring_uring, accepted_sockets_inherit_the_options_of_their_listener)
{
    struct ring *ring = make_ring(false, 8, 2);
    const struct ring_listen_options options = {.address = loopback,
                                                .backlog = 16,
                                                .send_buffer_bytes = 20000,
                                                .receive_buffer_bytes = 10000,
                                                .notsent_lowat_bytes = 12345};
    struct ring_address bound;
    int listener = ring_listen(ring, &options, &bound);
    cr_assert_geq(listener, 0);
    struct server server = {.ring = ring, .listener = (uint32_t)listener, .port = bound.port};
    cr_assert_eq(ring_arm_accept(ring, server.listener, listener_tag), 0);
    int client = dial(server.port);
    int accepted = dup(client); /* the lowest free descriptor: the one that the accept will get */
    close(accepted);
    uint32_t socket = accept_one(&server);

    const struct {
        int level, name, value;
    } expected[] = {
        {SOL_SOCKET, SO_SNDBUF, 40000}, /* the kernel doubles both */
        {SOL_SOCKET, SO_RCVBUF, 20000},
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 12345},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int value = 0;
        socklen_t bytes = sizeof value;
        cr_assert_eq(getsockopt(accepted, expected[i].level, expected[i].name, &value, &bytes), 0);
        cr_assert_eq(value, expected[i].value, "option %d: %d", expected[i].name, value);
    }
    cr_assert_neq(fcntl(accepted, F_GETFD) & FD_CLOEXEC, 0);
    close_one(ring, socket, false);
    close(client);
    stop(&server);
}

Test(ring_uring, listens_on_both_families_and_on_ipv6_only)
{
    int there = socket(AF_INET6, SOCK_STREAM, 0);
    if (there < 0)
        cr_skip_test("no IPv6 here");
    close(there);
    for (int v6_only = 0; v6_only < 2; v6_only++) {
        struct ring *ring = make_ring(true, 8, 2);
        const struct ring_listen_options options = {.backlog = 16, .v6_only = v6_only}; /* [::]:0 */
        struct ring_address bound;
        int listener = ring_listen(ring, &options, &bound);
        cr_assert_geq(listener, 0);
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = htons(bound.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(client, (struct sockaddr *)&to, sizeof to), v6_only ? -1 : 0);
        if (!v6_only) {
            struct server server = {.ring = ring, .listener = (uint32_t)listener};
            cr_assert_eq(ring_arm_accept(ring, server.listener, listener_tag), 0);
            uint32_t socket = accept_one(&server);
            cr_assert_arr_eq(ring_peer(ring, socket).bytes, loopback.bytes, 16);
            close_one(ring, socket, false);
        }
        close(client);
        ring_destroy(ring);
    }
}

Test(ring_uring, rings_share_a_port_and_foreign_addresses_are_refused)
{
    struct ring *one = make_ring(true, 8, 2);
    struct ring *two = make_ring(true, 8, 2);
    struct ring_listen_options options = {.address = loopback, .backlog = 16};
    struct ring_address bound;
    cr_assert_geq(ring_listen(one, &options, &bound), 0);
    options.address = bound;
    cr_assert_geq(ring_listen(two, &options, NULL), 0);
    options.address = (struct ring_address){.bytes = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}}; /* RFC 5737 */
    cr_assert_eq(ring_listen(two, &options, NULL), -EADDRNOTAVAIL);
    ring_destroy(one);
    ring_destroy(two);
}

Test(ring_uring, a_full_submission_queue_is_flushed)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        for (uint32_t i = 0; i < 200; i++) { /* the queue has 64 entries */
            const struct ring_tag unknown = {.index = i, .generation = 9};
            cr_assert_eq(ring_begin_cancel_op(server.ring, socket, unknown, RING_RECEIVE), 0);
        }
        for (uint32_t i = 0; i < 200; i++) {
            struct ring_completion cancelled = await(server.ring, RING_CANCEL);
            cr_assert_eq(cancelled.tag.index, i);
            cr_assert_eq(cancelled.result, 0);
        }
        struct ring_counters counters;
        ring_counters_read(server.ring, &counters);
        cr_assert_eq(counters.queue_full, 3);
        cr_assert_eq(counters.submitted[RING_CANCEL], 200);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
}

static void *wake_later(void *ring)
{
    usleep(30000);
    ring_wake(ring);
    return NULL;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

Test(ring_uring, a_wake_ends_a_wait_and_is_no_completion)
{
    struct ring *ring = make_ring(true, 8, 2);
    struct ring_completion completion;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        uint64_t begin = now_ms();
        cr_assert_eq(pthread_create(&thread, NULL, wake_later, ring), 0);
        cr_assert_eq(ring_wait(ring, PATIENCE_MS * MS), 0);
        cr_assert_lt(now_ms() - begin, PATIENCE_MS / 2);
        cr_assert_not(ring_next(ring, &completion));
        pthread_join(thread, NULL);
    }
    struct ring_counters counters;
    ring_counters_read(ring, &counters);
    cr_assert_eq(counters.wakes, 3);
    ring_destroy(ring);
}

Test(ring_uring, a_wake_before_the_first_wait_is_not_lost)
{
    struct ring *ring = make_ring(true, 8, 2);
    uint64_t begin = now_ms();
    ring_wake(ring);
    ring_wake(ring);
    cr_assert_eq(ring_wait(ring, PATIENCE_MS * MS), 0);
    cr_assert_lt(now_ms() - begin, PATIENCE_MS / 2);
    ring_destroy(ring);
}

Test(ring_uring, a_wait_ends_when_its_time_has_passed)
{
    struct ring *ring = make_ring(true, 8, 2);
    uint64_t begin = now_ms();
    cr_assert_eq(ring_wait(ring, 40 * MS), 0);
    cr_assert_geq(now_ms() - begin, 39);
    begin = now_ms();
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(ring_wait(ring, 0), 0);
    cr_assert_lt(now_ms() - begin, 1000);
    ring_destroy(ring);
}

/* More completions than the queue of 256 holds, and a wake that finds it full. */
Test(ring_uring, an_overflowing_completion_queue_loses_nothing_and_wakes_go_on)
{
    struct server server = start(true, 8, 4);
    int client = dial(server.port);
    uint32_t socket = accept_one(&server);
    cr_assert_eq(ring_wait(server.ring, 0), 0); /* arms the wake if it is not yet */
    for (uint32_t i = 0; i < 600; i++) {
        const struct ring_tag unknown = {.index = i, .generation = 9};
        cr_assert_eq(ring_begin_cancel_op(server.ring, socket, unknown, RING_RECEIVE), 0);
    }
    ring_wake(server.ring);
    cr_assert_eq(ring_wait(server.ring, 0), 0);
    cr_assert_eq(ring_wait(server.ring, 0), 0);
    for (uint32_t i = 0; i < 600; i++)
        cr_assert_eq(await(server.ring, RING_CANCEL).tag.index, i);
    struct ring_counters counters;
    ring_counters_read(server.ring, &counters);
    cr_assert_gt(counters.overflow, 0);

    expect_silence(server.ring);
    uint64_t begin = now_ms();
    ring_wake(server.ring);
    cr_assert_eq(ring_wait(server.ring, PATIENCE_MS * MS), 0);
    cr_assert_lt(now_ms() - begin, PATIENCE_MS / 2);
    close_one(server.ring, socket, false);
    close(client);
    stop(&server);
}

struct handed_over {
    struct server server;
    char got;
};

/* Owns a ring that another thread made, from its first operation to its last completion. */
static void *own_and_serve(void *argument)
{
    struct handed_over *over = argument;
    struct ring *ring = over->server.ring;
    cr_assert_eq(ring_arm_accept(ring, over->server.listener, listener_tag), 0);
    uint32_t socket = accept_one(&over->server);
    cr_assert_eq(ring_arm_receive(ring, socket, conn_tag), 0);
    struct ring_completion received = await(ring, RING_RECEIVE);
    over->got = (char)received.data.data[0];
    ring_give_back(ring, received.buffer);
    cr_assert_eq(await(ring, RING_RECEIVE).result, 0);
    close_one(ring, socket, false);
    return NULL;
}

Test(ring_uring, is_made_by_one_thread_and_owned_by_another)
{
    struct handed_over over = {.server = {.ring = make_ring(true, 8, 2)}};
    const struct ring_listen_options options = {.address = loopback, .backlog = 16};
    struct ring_address bound;
    over.server.listener = (uint32_t)ring_listen(over.server.ring, &options, &bound);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, own_and_serve, &over), 0);
    int client = dial(bound.port);
    cr_assert_eq(write(client, "k", 1), 1);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(over.got, 'k');
    close(client);
    struct ring_features features;
    char why[256];
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0);
    if (features.defer_taskrun) /* SINGLE_ISSUER comes with it: nobody else may submit any more */
        cr_assert_eq(ring_wait(over.server.ring, 0), -EEXIST);
    ring_destroy(over.server.ring);
}

/* Our own bugs end the process. */

Test(ring_uring, a_buffer_given_back_twice_is_caught, .signal = SIGABRT)
{
    struct server server = start(true, 8, 4);
    int client = dial(server.port);
    uint32_t socket = accept_one(&server);
    cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
    cr_assert_eq(write(client, "x", 1), 1);
    struct ring_completion received = await(server.ring, RING_RECEIVE);
    ring_give_back(server.ring, received.buffer);
    ring_give_back(server.ring, received.buffer);
}

Test(ring_uring, a_socket_used_after_its_close_is_caught, .signal = SIGABRT)
{
    struct server server = start(true, 8, 4);
    (void)dial(server.port);
    uint32_t socket = accept_one(&server);
    cr_assert_eq(ring_begin_close(server.ring, socket, conn_tag, false), 0);
    (void)ring_arm_receive(server.ring, socket, conn_tag);
}

/* Memory that goes back is not missed: what comes later, or has come unseen, arrives as it was sent. */
Test(ring_uring, receive_buffers_that_nobody_needed_give_their_memory_back)
{
    struct server server = start(true, 8, 16);
    int client = dial(server.port);
    uint32_t socket = accept_one(&server);
    cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(write(client, "ping", 4), 4);
        ring_tidy(server.ring);
        struct ring_completion received = await(server.ring, RING_RECEIVE);
        cr_assert_eq(received.data.bytes, 4);
        cr_assert_arr_eq(received.data.data, "ping", 4);
        ring_tidy(server.ring); /* with the caller: kept */
        cr_assert_arr_eq(received.data.data, "ping", 4);
        ring_give_back(server.ring, received.buffer);
        ring_tidy(server.ring);
        ring_tidy(server.ring);  /* nothing was needed between the two */
#if !POISON_ASAN && !POISON_MSAN /* else nobody may look */
        struct ring_features features;
        char why[256];
        cr_assert_eq(ring_probe(&features, why, sizeof why), 0);
        if (features.defer_taskrun)
            cr_assert_eq(received.data.data[0], 0, "the page is a fresh one");
#endif
    }
    close_one(server.ring, socket, true);
    close(client);
    stop(&server);
}

/* --- sends without a copy ----------------------------------------------------------------------------------------- */

static const struct ring_tag memory_tag = {.index = 9, .generation = 5};

static struct ring_completion await_memory(struct ring *ring)
{
    struct ring_completion completion = await(ring, RING_SEND_ZERO_COPY);
    cr_assert_eq(completion.tag.index, memory_tag.index);
    cr_assert_eq(completion.tag.generation, memory_tag.generation);
    return completion;
}

/* On the loopback device the kernel copies in the end, and says so. */
Test(ring_uring, a_send_without_a_copy_gives_its_memory_back_and_tells_of_a_copy)
{
    BOTH(direct) for (uint32_t pieces = 1; pieces <= 3; pieces += 2)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        uint8_t *data = make_pattern(9000), got[9000];
        const struct iovec vector[3] = {{data, 3000}, {data + 3000, 3000}, {data + 6000, 3000}};
        uint32_t bytes = pieces * 3000;
        cr_assert_eq(ring_begin_send_zero_copy(server.ring, socket, memory_tag, vector, pieces), 0);
        struct ring_completion result = await_memory(server.ring);
        cr_assert_eq(result.result, (int)bytes);
        cr_assert(result.more);
        read_exactly(fd, got, bytes);
        cr_assert_arr_eq(got, data, bytes);
        struct ring_completion back = await_memory(server.ring);
        cr_assert_not(back.more);
        cr_assert_eq(back.result, RING_COPIED);
        close_one(server.ring, socket, true);
        close(fd);
        free(data);
        stop(&server);
    }
}

Test(ring_uring, a_stalled_peer_keeps_the_memory_until_its_connection_is_reset)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        const size_t bytes = 4 << 20;
        uint8_t *data = make_pattern(bytes);
        const struct iovec one = {.iov_base = data, .iov_len = bytes};
        cr_assert_eq(ring_begin_send_zero_copy(server.ring, socket, memory_tag, &one, 1), 0);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_cancel_zero_copy(server.ring, socket, conn_tag, memory_tag), 0);
        struct ring_completion completion;
        bool result = false, cancelled = false;
        for (int waited = 0; waited < PATIENCE_MS && !(result && cancelled); waited += 100) {
            cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            while (ring_next(server.ring, &completion)) {
                result |= completion.op == RING_SEND_ZERO_COPY && completion.more;
                cancelled |= completion.op == RING_CANCEL && completion.result == 1;
                cr_assert(completion.op != RING_SEND_ZERO_COPY || (uint32_t)completion.result < bytes);
            }
        }
        cr_assert(result && cancelled);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_close(server.ring, socket, conn_tag, true), 0);
        bool closed = false, back = false;
        for (int waited = 0; waited < PATIENCE_MS && !(closed && back); waited += 100) {
            cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            while (ring_next(server.ring, &completion)) {
                closed |= completion.op == RING_CLOSE;
                back |= completion.op == RING_SEND_ZERO_COPY && !completion.more;
            }
        }
        cr_assert(closed && back);
        close(fd);
        free(data);
        stop(&server);
    }
}

#if POISON_ASAN

static struct ring_completion receive_ping(struct server *server)
{
    int client = dial(server->port);
    uint32_t socket = accept_one(server);
    cr_assert_eq(ring_arm_receive(server->ring, socket, conn_tag), 0);
    cr_assert_eq(write(client, "ping", 4), 4);
    return await(server->ring, RING_RECEIVE);
}

static void touch_what_was_given_back(void)
{
    struct server server = start(true, 8, 4);
    struct ring_completion received = receive_ping(&server);
    ring_give_back(server.ring, received.buffer);
    ((volatile uint8_t *)received.data.data)[0] = 0;
}

static void touch_behind_what_was_received(void)
{
    struct server server = start(true, 8, 4);
    struct ring_completion received = receive_ping(&server);
    ((volatile uint8_t *)received.data.data)[received.data.bytes] = 0;
}

Test(ring_uring, the_address_sanitizer_watches_buffers_that_are_the_kernels)
{
    expect_poisoned(touch_what_was_given_back);
    expect_poisoned(touch_behind_what_was_received);
}

#endif

Test(ring_uring, sends_from_registered_memory)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        uint8_t *memory = aligned_alloc(4096, 65536), got[8000];
        cr_assert_not_null(memory);
        for (size_t i = 0; i < 65536; i++)
            memory[i] = pattern(i);
        cr_assert_eq(ring_register_memory(server.ring, 2, memory, 65536), -ENOSPC);
        cr_assert_eq(ring_register_memory(server.ring, 1, memory, 65536), 0);
        for (size_t at = 1; at < 60000; at += 9000) { /* across pages, anywhere */
            cr_assert_eq(ring_begin_send_registered(server.ring, socket, memory_tag, memory + at, sizeof got, 1), 0);
            struct ring_completion result = await_memory(server.ring);
            cr_assert_eq(result.result, (int)sizeof got);
            cr_assert(result.more);
            read_exactly(fd, got, sizeof got);
            cr_assert_arr_eq(got, memory + at, sizeof got);
            cr_assert_not(await_memory(server.ring).more);
        }
        close_one(server.ring, socket, true);
        close(fd);
        stop(&server);
        free(memory);
    }
}
