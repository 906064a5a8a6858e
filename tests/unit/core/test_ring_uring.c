/* SPDX-License-Identifier: MIT */
/* The ring over io_uring against real sockets on the loopback device: connections, buffers, wakes, waits. Its sends are
 * in test_ring_uring_send.c. Run by unit_core. */
#include "core/ring_uring.h"
#include "tests/unit/core/uring_rig.h"

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
        cr_assert_eq(pthread_create(&thread, NULL, wake_later, ring), 0);
        cr_assert_eq(ring_wait(ring, FOREVER), 0);
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
    ring_wake(ring);
    ring_wake(ring);
    cr_assert_eq(ring_wait(ring, FOREVER), 0);
    ring_destroy(ring);
}

Test(ring_uring, a_wait_ends_when_its_time_has_passed)
{
    struct ring *ring = make_ring(true, 8, 2);
    uint64_t begin = now_ms();
    cr_assert_eq(ring_wait(ring, 40 * MS), 0);
    cr_assert_geq(now_ms() - begin, 39);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(ring_wait(ring, 0), 0, "without a wait");
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
    ring_wake(server.ring);
    cr_assert_eq(ring_wait(server.ring, FOREVER), 0);
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

/* A filter of system calls does not see what a ring does, so the ring has a list of its own. */
Test(ring_uring, takes_no_operation_that_the_engine_does_not_use)
{
    struct ring *ring = make_ring(false, 8, 4);
    cr_assert_geq(ring_submit(ring), 0);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    cr_assert_eq(io_uring_submit(&ring->uring), 1);
    struct io_uring_cqe *cqe;
    cr_assert_eq(io_uring_wait_cqe(&ring->uring, &cqe), 0);
    cr_assert_eq(cqe->res, -EACCES);
    io_uring_cqe_seen(&ring->uring, cqe);
    cr_assert_eq(io_uring_register_eventfd(&ring->uring, 0), -EACCES);
    ring_destroy(ring);
}
