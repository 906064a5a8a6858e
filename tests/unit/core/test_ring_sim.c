/* SPDX-License-Identifier: MIT */
/* The simulated ring: that it keeps the contract of ring.h, that every fault can happen and is survived by a plain
 * owner, that a seed repeats its run, and that an owner's mistakes are caught. */
#include "core/clock.h"
#include "core/ring_sim.h"
#include "tests/unit/core/last_words.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PORT 9500
#define WINDOW 1000

static const struct sim_faults calm;
static const struct ring_address someone = {.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, .port = 1234};
static const struct ring_tag listener_tag = {.index = 1, .generation = 1};
static const struct ring_tag tag = {.index = 2, .generation = 77};

struct world {
    struct sim_network *network;
    struct ring *ring;
    uint32_t listener;
};

static struct ring *make_ring(uint32_t sockets_max, uint32_t buffers)
{
    const struct ring_options options = {
        .entries = 64, .sockets_max = sockets_max, .receive_buffers = buffers, .receive_buffer_bytes = 256};
    struct ring *ring = NULL;
    char why[128];
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), 0);
    return ring;
}

static uint32_t listen_there(struct ring *ring)
{
    const struct ring_listen_options options = {.address = {.port = PORT}, .backlog = 4};
    int listener = ring_listen(ring, &options, NULL);
    cr_assert_geq(listener, 0);
    cr_assert_eq(ring_arm_accept(ring, (uint32_t)listener, listener_tag), 0);
    return (uint32_t)listener;
}

static struct world start(uint64_t seed, uint32_t sockets_max, uint32_t buffers)
{
    struct world world = {.network = sim_network_create(seed, &calm, WINDOW)};
    world.ring = make_ring(sockets_max, buffers);
    world.listener = listen_there(world.ring);
    return world;
}

static void stop(struct world *world)
{
    ring_destroy(world->ring);
    sim_network_destroy(world->network);
}

/* The next completion, which comes in this step and is of that op. */
static struct ring_completion expect(struct ring *ring, enum ring_op op)
{
    struct ring_completion completion;
    if (!ring_next(ring, &completion)) {
        cr_assert_eq(ring_wait(ring, 0), 0);
        cr_assert(ring_next(ring, &completion), "no completion of op %d", (int)op);
    }
    cr_assert_eq(completion.op, op, "op %d, result %d", (int)completion.op, completion.result);
    return completion;
}

static void expect_nothing(struct ring *ring)
{
    struct ring_completion completion;
    cr_assert_eq(ring_wait(ring, 0), 0);
    cr_assert_not(ring_next(ring, &completion), "op %d, result %d", (int)completion.op, completion.result);
}

static uint32_t connect_one(struct world *world, int *peer)
{
    *peer = sim_connect(world->network, PORT, someone);
    cr_assert_geq(*peer, 0);
    struct ring_completion accepted = expect(world->ring, RING_ACCEPT);
    cr_assert_geq(accepted.result, 0);
    cr_assert(accepted.more);
    cr_assert_eq(accepted.tag.index, listener_tag.index);
    return (uint32_t)accepted.result;
}

static void close_one(struct world *world, uint32_t socket, bool reset)
{
    cr_assert_eq(ring_begin_close(world->ring, socket, tag, reset), 0);
    struct ring_completion closed = expect(world->ring, RING_CLOSE);
    cr_assert_eq(closed.result, 0);
    cr_assert_eq(closed.tag.generation, tag.generation);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

static uint8_t *make_pattern(uint32_t bytes)
{
    uint8_t *data = malloc(bytes);
    cr_assert_not_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    return data;
}

/* --- the contract ------------------------------------------------------------------------------------------------- */

Test(ring_sim, nobody_is_reached_where_nobody_listens)
{
    struct world world = start(1, 8, 4);
    cr_assert_eq(sim_connect(world.network, PORT + 1, someone), -ECONNREFUSED);
    for (int i = 0; i < 4; i++) /* the backlog: the accept has not been submitted */
        cr_assert_geq(sim_connect(world.network, PORT, someone), 0);
    cr_assert_eq(sim_connect(world.network, PORT, someone), -ECONNREFUSED);
    stop(&world);
}

Test(ring_sim, bytes_go_both_ways_and_only_after_a_submit)
{
    struct world world = start(1, 8, 4);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    cr_assert_eq(ring_peer(world.ring, socket).port, someone.port);
    cr_assert_arr_eq(ring_peer(world.ring, socket).bytes, someone.bytes, 16);

    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world.network, peer, "ping", 4), 4);
    struct ring_completion received = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(received.result, 4);
    cr_assert(received.more);
    cr_assert_eq(received.tag.index, tag.index);
    cr_assert_arr_eq(received.data.data, "ping", 4);
    cr_assert_eq(ring_buffers_free(world.ring), 3);
    ring_give_back(world.ring, received.buffer);
    unpoison(received.data.data, 4); /* the address sanitizer would not let us look */
    cr_assert_neq(memcmp(received.data.data, "ping", 4), 0, "a buffer given back is overwritten");

    char text[8];
    struct iovec vector[2] = {{(void *)(uintptr_t) "po", 2}, {(void *)(uintptr_t) "ng", 2}};
    cr_assert_eq(ring_begin_send_vector(world.ring, socket, tag, vector, 2), 0);
    cr_assert_eq(sim_peer_receive(world.network, peer, text, sizeof text), 0);
    cr_assert_eq(ring_submit(world.ring), 1);
    memset(vector, 0, sizeof vector);
    cr_assert_eq(sim_peer_receive(world.network, peer, text, sizeof text), 4);
    cr_assert_arr_eq(text, "pong", 4);
    cr_assert_eq(expect(world.ring, RING_SEND).result, 4);

    sim_peer_shutdown(world.network, peer);
    cr_assert_eq(sim_peer_send(world.network, peer, "x", 1), -EPIPE);
    received = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(received.result, 0);
    cr_assert_not(received.more);
    close_one(&world, socket, false);
    cr_assert_eq(sim_peer_receive(world.network, peer, text, sizeof text), -EPIPE);
    cr_assert_eq(sim_sockets_open(world.network), 1);
    cr_assert_eq(sim_operations_pending(world.network), 1);
    stop(&world);
}

Test(ring_sim, a_send_is_pending_while_the_window_is_full)
{
    struct world world = start(1, 8, 4);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    uint8_t *data = make_pattern(3 * WINDOW + 10);
    uint8_t seen[WINDOW];
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, data, 3 * WINDOW + 10), 0);
    for (uint32_t at = 0; at < 3 * WINDOW; at += WINDOW) {
        expect_nothing(world.ring);
        cr_assert_not(sim_ready(world.network));
        cr_assert_eq(sim_peer_receive(world.network, peer, seen, WINDOW), WINDOW);
        cr_assert_arr_eq(seen, data + at, WINDOW);
        cr_assert(sim_ready(world.network));
    }
    cr_assert_eq(expect(world.ring, RING_SEND).result, 3 * WINDOW + 10);
    close_one(&world, socket, false);
    cr_assert_eq(sim_peer_receive(world.network, peer, seen, WINDOW), 10);
    cr_assert_eq(sim_peer_receive(world.network, peer, seen, WINDOW), -EPIPE);
    stop(&world);
    free(data);
}

Test(ring_sim, a_cancel_ends_what_is_pending_and_tells_what_was_taken)
{
    struct world world = start(1, 8, 4);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    uint8_t *data = make_pattern(2 * WINDOW);
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, data, 2 * WINDOW), 0);
    expect_nothing(world.ring);
    cr_assert_eq(ring_begin_cancel(world.ring, socket, tag), 0);
    struct ring_completion received = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(received.result, -ECANCELED);
    cr_assert_not(received.more);
    cr_assert_eq(expect(world.ring, RING_SEND).result, WINDOW);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 2);

    cr_assert_eq(ring_begin_send(world.ring, socket, tag, data, 1), 0); /* the window is full: nothing is taken */
    expect_nothing(world.ring);
    cr_assert_eq(ring_begin_cancel(world.ring, socket, tag), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, -ECANCELED);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 1);
    cr_assert_eq(ring_begin_cancel(world.ring, socket, tag), 0);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 0);
    stop(&world);
    free(data);
}

Test(ring_sim, a_cancel_of_one_op_leaves_the_others)
{
    struct world world = start(1, 8, 4);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    const struct ring_tag other = {.index = tag.index, .generation = tag.generation + 1};
    cr_assert_eq(ring_begin_cancel_op(world.ring, socket, other, RING_RECEIVE), 0);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 0, "it was armed with another tag");
    cr_assert_eq(ring_begin_cancel_op(world.ring, socket, tag, RING_RECEIVE), 0);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, -ECANCELED);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 1);
    cr_assert_eq(ring_begin_cancel_op(world.ring, world.listener, listener_tag, RING_ACCEPT), 0);
    cr_assert_eq(expect(world.ring, RING_ACCEPT).result, -ECANCELED);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 1);
    cr_assert_eq(ring_arm_accept(world.ring, world.listener, listener_tag), 0);
    connect_one(&world, &peer);
    stop(&world);
}

Test(ring_sim, shutdown_ends_one_half)
{
    struct world world = start(1, 8, 4);
    int peer;
    char byte;
    uint32_t socket = connect_one(&world, &peer);
    cr_assert_eq(ring_begin_shutdown(world.ring, socket, tag, SHUT_WR), 0);
    cr_assert_eq(expect(world.ring, RING_SHUTDOWN).result, 0);
    cr_assert_eq(sim_peer_receive(world.network, peer, &byte, 1), -EPIPE);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, -EPIPE);
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world.network, peer, "x", 1), 1);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, 1);
    cr_assert_eq(ring_begin_shutdown(world.ring, socket, tag, SHUT_RDWR), 0);
    cr_assert_eq(expect(world.ring, RING_SHUTDOWN).result, 0);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, 0);
    stop(&world);
}

Test(ring_sim, ends_as_linux_does)
{
    struct world world = start(1, 16, 4);
    char byte;
    int peer;

    uint32_t socket = connect_one(&world, &peer); /* closed with bytes unread */
    cr_assert_eq(sim_peer_send(world.network, peer, "x", 1), 1);
    close_one(&world, socket, false);
    cr_assert_eq(sim_peer_receive(world.network, peer, &byte, 1), -ECONNRESET);
    cr_assert_eq(sim_peer_send(world.network, peer, "x", 1), -EPIPE);

    socket = connect_one(&world, &peer); /* reset: what was sent is lost */
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, 1);
    close_one(&world, socket, true);
    cr_assert_eq(sim_peer_receive(world.network, peer, &byte, 1), -ECONNRESET);

    socket = connect_one(&world, &peer); /* reset by the peer */
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world.network, peer, "x", 1), 1);
    sim_peer_reset(world.network, peer);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, -ECONNRESET);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, -ECONNRESET);
    close_one(&world, socket, false);

    socket = connect_one(&world, &peer); /* closed by the peer: the first send still goes */
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    sim_peer_close(world.network, peer);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, 0);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, 1);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, -ECONNRESET);
    close_one(&world, socket, false);

    socket = connect_one(&world, &peer); /* closed by the peer with bytes unread, a send pending */
    uint8_t *data = make_pattern(2 * WINDOW);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, data, 2 * WINDOW), 0);
    expect_nothing(world.ring);
    sim_peer_close(world.network, peer);
    cr_assert_eq(expect(world.ring, RING_SEND).result, WINDOW);
    close_one(&world, socket, false);
    free(data);

    peer = sim_connect(world.network, PORT, someone); /* gone before it was accepted */
    sim_peer_reset(world.network, peer);
    struct ring_completion accepted = expect(world.ring, RING_ACCEPT);
    cr_assert_eq(accepted.result, -ECONNABORTED);
    cr_assert(accepted.more);
    cr_assert_eq(sim_sockets_open(world.network), 1);
    stop(&world);
}

Test(ring_sim, a_receive_without_buffers_ends_and_can_be_armed_again)
{
    struct world world = start(1, 8, 2);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    uint8_t *data = make_pattern(700);
    cr_assert_eq(sim_peer_send(world.network, peer, data, 700), 700);
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    struct ring_completion first = expect(world.ring, RING_RECEIVE);
    struct ring_completion second = expect(world.ring, RING_RECEIVE);
    struct ring_completion none = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(none.result, -ENOBUFS);
    cr_assert_not(none.more);
    cr_assert_eq(ring_buffers_free(world.ring), 0);
    cr_assert_arr_eq(first.data.data, data, 256);
    cr_assert_arr_eq(second.data.data, data + 256, 256);
    ring_give_back(world.ring, second.buffer);
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    struct ring_completion third = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(third.result, 700 - 512);
    cr_assert_eq(third.buffer, second.buffer);
    cr_assert_arr_eq(third.data.data, data + 512, 700 - 512);
    stop(&world);
    free(data);
}

Test(ring_sim, a_full_table_refuses_and_numbers_are_used_again)
{
    struct world world = start(1, 2, 2);
    int first, second;
    uint32_t socket = connect_one(&world, &first);
    second = sim_connect(world.network, PORT, someone);
    struct ring_completion refused = expect(world.ring, RING_ACCEPT);
    cr_assert_eq(refused.result, -ENFILE);
    cr_assert(refused.more);
    char byte;
    cr_assert_eq(sim_peer_receive(world.network, second, &byte, 1), -EPIPE);
    close_one(&world, socket, false);
    cr_assert_eq(connect_one(&world, &second), socket);
    struct ring_counters counters;
    ring_counters_read(world.ring, &counters);
    cr_assert_eq(counters.refused, 1);
    stop(&world);
}

Test(ring_sim, a_full_submission_queue_is_flushed)
{
    struct world world = start(1, 8, 2);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    for (uint32_t i = 0; i < 200; i++)
        cr_assert_eq(ring_begin_cancel(world.ring, socket, (struct ring_tag){.index = i}), 0);
    for (uint32_t i = 0; i < 200; i++)
        cr_assert_eq(expect(world.ring, RING_CANCEL).tag.index, i);
    struct ring_counters counters;
    ring_counters_read(world.ring, &counters);
    cr_assert_eq(counters.queue_full, 3);
    stop(&world);
}

Test(ring_sim, a_closed_listener_resets_those_who_wait)
{
    struct world world = start(1, 8, 2);
    cr_assert_eq(ring_begin_cancel_op(world.ring, world.listener, listener_tag, RING_ACCEPT), 0);
    cr_assert_eq(expect(world.ring, RING_ACCEPT).result, -ECANCELED);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 1);
    int peer = sim_connect(world.network, PORT, someone);
    cr_assert_geq(peer, 0);
    cr_assert_eq(ring_begin_close(world.ring, world.listener, listener_tag, false), 0);
    cr_assert_eq(expect(world.ring, RING_CLOSE).result, 0);
    char byte;
    cr_assert_eq(sim_peer_receive(world.network, peer, &byte, 1), -ECONNRESET);
    cr_assert_eq(sim_connect(world.network, PORT, someone), -ECONNREFUSED);
    cr_assert_eq(sim_sockets_open(world.network), 0);
    cr_assert_eq(sim_operations_pending(world.network), 0);
    cr_assert_not(sim_ready(world.network));
    stop(&world);
}

Test(ring_sim, rings_share_a_port)
{
    struct world world = start(5, 64, 2);
    struct ring *second = make_ring(64, 2);
    listen_there(second);
    int accepted[2] = {0, 0};
    for (int i = 0; i < 40; i++) {
        cr_assert_geq(sim_connect(world.network, PORT, someone), 0);
        struct ring *rings[] = {world.ring, second};
        for (int r = 0; r < 2; r++) {
            struct ring_completion completion;
            ring_wait(rings[r], 0);
            while (ring_next(rings[r], &completion))
                accepted[r]++;
        }
    }
    cr_assert_eq(accepted[0] + accepted[1], 40);
    cr_assert_gt(accepted[0], 5);
    cr_assert_gt(accepted[1], 5);
    ring_destroy(second);
    stop(&world);
}

Test(ring_sim, wakes_make_ready_until_the_next_wait)
{
    struct world world = start(1, 8, 2);
    expect_nothing(world.ring);
    cr_assert_not(sim_ready(world.network));
    ring_wake(world.ring);
    cr_assert(sim_ready(world.network));
    expect_nothing(world.ring);
    cr_assert_not(sim_ready(world.network));
    stop(&world);
}

Test(ring_sim, time_moves_only_when_told)
{
    struct world world = start(1, 8, 2);
    cr_assert_eq(clock_monotonic_ns(), 0);
    uint64_t wall = clock_wall_ms();
    expect_nothing(world.ring);
    cr_assert_eq(clock_monotonic_ns(), 0);
    sim_clock_advance(2500000);
    cr_assert_eq(clock_monotonic_ns(), 2500000);
    cr_assert_eq(clock_wall_ms(), wall + 2);
    stop(&world);
}

Test(ring_sim, entropy_comes_from_the_seed)
{
    uint8_t bytes[3][32];
    const uint64_t seeds[3] = {1, 1, 2};
    for (int i = 0; i < 3; i++) {
        struct world world = start(seeds[i], 8, 2);
        cr_assert_eq(clock_entropy(bytes[i], sizeof bytes[i]), 0);
        stop(&world);
    }
    cr_assert_arr_eq(bytes[0], bytes[1], sizeof bytes[0]);
    cr_assert_neq(memcmp(bytes[0], bytes[2], sizeof bytes[0]), 0);
}

Test(ring_sim, a_batch_of_sends_ends_in_a_row)
{
    struct world world = start(1, 8, 4);
    struct ring_send sends[3];
    struct ring_sent sent[4];
    static const char text[] = "abcd";
    int peers[3];
    uint8_t seen[2];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t socket = connect_one(&world, &peers[i]);
        sends[i] =
            (struct ring_send){.tag = {.index = i, .generation = 9}, .data = slice_of(&text[i], 2), .socket = socket};
    }
    cr_assert_eq(ring_begin_sends(world.ring, sends, 3), 3);
    cr_assert_eq(ring_next_sent(world.ring, sent, 4), 0);
    cr_assert_eq(ring_wait(world.ring, 0), 0);
    cr_assert_eq(ring_next_sent(world.ring, sent, 2), 2, "no more than asked for");
    cr_assert_eq(ring_next_sent(world.ring, sent + 2, 2), 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(sent[i].tag.index, i);
        cr_assert_eq(sent[i].tag.generation, 9);
        cr_assert_eq(sent[i].result, 2);
        cr_assert_eq(sim_peer_receive(world.network, peers[i], seen, 2), 2);
        cr_assert_arr_eq(seen, &text[i], 2);
    }
    cr_assert_eq(ring_arm_receive(world.ring, sends[0].socket, tag), 0);
    cr_assert_eq(sim_peer_send(world.network, peers[0], "x", 1), 1);
    cr_assert_eq(ring_wait(world.ring, 0), 0);
    cr_assert_eq(ring_next_sent(world.ring, sent, 4), 0, "what comes next is no send");
    ring_give_back(world.ring, expect(world.ring, RING_RECEIVE).buffer);
    stop(&world);
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

Test(ring_sim, each_fault_happens_when_it_is_certain)
{
    struct world world = start(1, 8, 4);
    int peer;
    uint32_t socket = connect_one(&world, &peer);

    sim_set_faults(world.network, &(struct sim_faults){.queue_full = 1000});
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), -EAGAIN);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), -EAGAIN);
    cr_assert_eq(ring_begin_close(world.ring, socket, tag, false), -EAGAIN);
    const struct ring_send refused = {.tag = tag, .data = slice_of("x", 1), .socket = socket};
    cr_assert_eq(ring_begin_sends(world.ring, &refused, 1), 0);

    sim_set_faults(world.network, &(struct sim_faults){.no_buffers = 1000});
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world.network, peer, "abc", 3), 3);
    cr_assert_eq(expect(world.ring, RING_RECEIVE).result, -ENOBUFS);

    sim_set_faults(world.network, &(struct sim_faults){.receive_ends = 1000});
    cr_assert_eq(ring_arm_receive(world.ring, socket, tag), 0);
    struct ring_completion received = expect(world.ring, RING_RECEIVE);
    cr_assert_eq(received.result, 3);
    cr_assert_not(received.more);

    sim_set_faults(world.network, &(struct sim_faults){.partial_send = 1000});
    uint8_t *data = make_pattern(WINDOW);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, data, WINDOW), 0);
    expect_nothing(world.ring);
    cr_assert(sim_ready(world.network));
    sim_set_faults(world.network, &calm);
    cr_assert_eq(expect(world.ring, RING_SEND).result, WINDOW);
    free(data);

    sim_set_faults(world.network, &(struct sim_faults){.delay = 1000, .delay_max = 1});
    cr_assert_eq(ring_begin_cancel(world.ring, socket, tag), 0);
    expect_nothing(world.ring);
    cr_assert(sim_ready(world.network));
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 0);

    sim_set_faults(world.network, &calm);
    int second = sim_connect(world.network, PORT, someone);
    uint32_t late = (uint32_t)expect(world.ring, RING_ACCEPT).result;

    sim_set_faults(world.network, &(struct sim_faults){.reset = 1000});
    cr_assert_eq(ring_begin_send(world.ring, late, tag, "x", 1), 0);
    cr_assert_eq(expect(world.ring, RING_SEND).result, -ECONNRESET);
    char byte;
    cr_assert_eq(sim_peer_receive(world.network, second, &byte, 1), -ECONNRESET);
    stop(&world);
}

/* An owner that echoes what its connections send, with one send of each at a time, and closes at the end of their
 * stream: small, but it keeps the whole contract and survives every fault that loses no bytes. */
#define ECHO_SOCKETS 8
#define ECHO_BYTES 20000

struct echo {
    bool open, armed, sending, ended, closing, want_arm;
    uint32_t queued; /* bytes in `data` */
    uint32_t sent;
    uint32_t asked; /* of the send in flight */
    uint8_t data[ECHO_BYTES];
};

struct echo_server {
    struct ring *ring;
    uint32_t listener;
    bool accepting;
    uint64_t trace; /* of all completions: a hash */
    struct echo echoes[ECHO_SOCKETS];
};

static void echo_go_on(struct echo_server *server, uint32_t socket)
{
    struct echo *echo = &server->echoes[socket];
    const struct ring_tag own = {.index = socket, .generation = 5};
    if (!echo->open || echo->closing)
        return;
    if (echo->want_arm && ring_buffers_free(server->ring) > 0 && ring_arm_receive(server->ring, socket, own) == 0) {
        echo->want_arm = false;
        echo->armed = true;
    }
    uint32_t left = echo->queued - echo->sent;
    if (!echo->sending && left > 0 && ring_begin_send(server->ring, socket, own, echo->data + echo->sent, left) == 0) {
        echo->sending = true;
        echo->asked = left;
    }
    if (echo->ended && left == 0 && !echo->sending && ring_begin_close(server->ring, socket, own, false) == 0)
        echo->closing = true;
}

static void echo_received(struct echo_server *server, struct echo *echo, const struct ring_completion *completion)
{
    if (completion->result > 0) {
        cr_assert_leq(echo->queued + completion->data.bytes, ECHO_BYTES);
        memcpy(echo->data + echo->queued, completion->data.data, completion->data.bytes);
        echo->queued += (uint32_t)completion->result;
        ring_give_back(server->ring, completion->buffer);
    }
    echo->ended |= completion->result == 0;
    if (!completion->more) {
        echo->armed = false;
        echo->want_arm = !echo->ended;
        cr_assert(completion->result >= 0 || completion->result == -ENOBUFS);
    }
}

static void echo_complete(struct echo_server *server, const struct ring_completion *completion)
{
    struct echo *echo = &server->echoes[completion->tag.index];
    server->trace = (server->trace ^ (uint64_t)completion->op ^ ((uint64_t)completion->tag.index << 8) ^
                     ((uint64_t)(uint32_t)completion->result << 16)) *
                    0x100000001b3U;
    switch (completion->op) {
    case RING_ACCEPT:
        server->accepting = completion->more;
        if (completion->result >= 0) {
            memset(&server->echoes[completion->result], 0, sizeof *echo);
            server->echoes[completion->result].open = server->echoes[completion->result].want_arm = true;
        }
        break;
    case RING_RECEIVE:
        echo_received(server, echo, completion);
        break;
    case RING_SEND:
        cr_assert_eq((uint32_t)completion->result, echo->asked, "nobody cancelled it");
        echo->sent += echo->asked;
        echo->sending = false;
        break;
    case RING_CLOSE:
        echo->open = false;
        break;
    default:
        cr_assert_fail("op %d", (int)completion->op);
    }
}

static void echo_tick(struct echo_server *server)
{
    struct ring_completion completion;
    if (!server->accepting && ring_arm_accept(server->ring, server->listener, listener_tag) == 0)
        server->accepting = true;
    cr_assert_eq(ring_wait(server->ring, 0), 0);
    while (ring_next(server->ring, &completion))
        echo_complete(server, &completion);
    for (uint32_t i = 0; i < ECHO_SOCKETS; i++)
        echo_go_on(server, i);
}

/* Three peers send a pattern each and must get it back whole; returns the trace of the run. */
static uint64_t run_echo(uint64_t seed, const struct sim_faults *faults)
{
    enum { PEERS = 3 };
    static struct echo_server server;
    struct world world = {.network = sim_network_create(seed, faults, WINDOW)};
    const struct ring_listen_options options = {.address = {.port = PORT}, .backlog = 4};
    server = (struct echo_server){.ring = make_ring(ECHO_SOCKETS, 2)};
    server.listener = (uint32_t)ring_listen(server.ring, &options, NULL);
    uint8_t *data = make_pattern(ECHO_BYTES);
    uint32_t sent[PEERS] = {0}, seen[PEERS] = {0};
    int peers[PEERS], ended = 0, steps = 0;
    for (int i = 0; i < PEERS; i++)
        peers[i] = sim_connect(world.network, PORT, someone);

    for (bool done[PEERS] = {false}; ended < PEERS; steps++) {
        cr_assert_lt(steps, 200000, "seed %llu does not end", (unsigned long long)seed);
        echo_tick(&server);
        for (int i = 0; i < PEERS; i++) {
            uint8_t got[300];
            if (done[i])
                continue;
            int n =
                sim_peer_send(world.network, peers[i], data + sent[i], sent[i] < ECHO_BYTES ? ECHO_BYTES - sent[i] : 0);
            sent[i] += n > 0 ? (uint32_t)n : 0;
            if (sent[i] == ECHO_BYTES)
                sim_peer_shutdown(world.network, peers[i]);
            n = sim_peer_receive(world.network, peers[i], got, sizeof got);
            for (int k = 0; k < n; k++)
                cr_assert_eq(got[k], pattern(seen[i] + (uint32_t)k), "seed %llu", (unsigned long long)seed);
            seen[i] += n > 0 ? (uint32_t)n : 0;
            if (n < 0) {
                cr_assert_eq(n, -EPIPE);
                cr_assert_eq(seen[i], ECHO_BYTES);
                done[i] = true;
                ended++;
            }
        }
    }
    while (sim_sockets_open(world.network) > 1)
        echo_tick(&server);
    while (sim_ready(world.network))
        echo_tick(&server);
    cr_assert_leq(sim_operations_pending(world.network), 1); /* the accept */
    cr_assert_eq(ring_buffers_free(server.ring), 2);
    ring_destroy(server.ring);
    sim_network_destroy(world.network);
    free(data);
    return server.trace;
}

Test(ring_sim, streams_arrive_whole_whatever_the_faults_do_and_a_seed_repeats_its_run)
{
    const struct sim_faults faults = {.delay = 300,
                                      .delay_max = 7,
                                      .chunk = 300,
                                      .partial_send = 300,
                                      .no_buffers = 100,
                                      .accept_error = 300,
                                      .receive_ends = 200,
                                      .queue_full = 100};
    uint64_t last = run_echo(0, &calm);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t trace = run_echo(seed, &faults);
        cr_assert_eq(trace, run_echo(seed, &faults), "seed %llu does not repeat", (unsigned long long)seed);
        cr_assert_neq(trace, last);
        last = trace;
    }
}

/* --- mistakes of the owner ---------------------------------------------------------------------------------------- */

static uint32_t socket_in_use(struct world *world)
{
    int peer;
    *world = start(1, 8, 2);
    uint32_t socket = connect_one(world, &peer);
    cr_assert_eq(ring_arm_receive(world->ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world->network, peer, "x", 1), 1);
    return socket;
}

Test(ring_sim, a_close_with_operations_pending_is_caught, .signal = SIGABRT)
{
    struct world world;
    uint32_t socket = socket_in_use(&world);
    (void)ring_begin_close(world.ring, socket, tag, false);
}

Test(ring_sim, a_second_send_is_caught, .signal = SIGABRT)
{
    struct world world;
    uint32_t socket = socket_in_use(&world);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, "x", 1), 0);
    cr_assert_eq(ring_wait(world.ring, 0), 0); /* it has completed, but nobody has taken that */
    (void)ring_begin_send(world.ring, socket, tag, "x", 1);
}

Test(ring_sim, a_second_receive_is_caught, .signal = SIGABRT)
{
    struct world world;
    uint32_t socket = socket_in_use(&world);
    (void)ring_arm_receive(world.ring, socket, tag);
}

Test(ring_sim, a_number_that_is_not_open_is_caught, .signal = SIGABRT)
{
    struct world world = start(1, 8, 2);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    close_one(&world, socket, false);
    (void)ring_arm_receive(world.ring, socket, tag);
}

Test(ring_sim, a_buffer_given_back_twice_is_caught, .signal = SIGABRT)
{
    struct world world;
    (void)socket_in_use(&world);
    uint32_t buffer = expect(world.ring, RING_RECEIVE).buffer;
    ring_give_back(world.ring, buffer);
    ring_give_back(world.ring, buffer);
}

Test(ring_sim, memory_that_changes_before_its_completion_is_taken_is_caught, .signal = SIGABRT)
{
    struct world world = start(1, 8, 2);
    int peer;
    char text[] = "text";
    uint32_t socket = connect_one(&world, &peer);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, text, 4), 0);
    cr_assert_eq(ring_wait(world.ring, 0), 0); /* taken by the network, not yet by the owner */
    text[3] = '!';
    struct ring_completion completion;
    (void)ring_next(world.ring, &completion);
}

Test(ring_sim, a_vector_that_changes_before_the_submission_is_caught, .signal = SIGABRT)
{
    struct world world = start(1, 8, 2);
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    struct iovec vector = {(void *)(uintptr_t) "x", 1};
    cr_assert_eq(ring_begin_send_vector(world.ring, socket, tag, &vector, 1), 0);
    vector.iov_len = 0;
    (void)ring_submit(world.ring);
}

Test(ring_sim, a_second_network_is_caught, .signal = SIGABRT)
{
    (void)start(1, 8, 2);
    (void)sim_network_create(2, &calm, WINDOW);
}

/* --- sends without a copy ----------------------------------------------------------------------------------------- */

static const struct ring_tag memory_tag = {.index = 9, .generation = 5};

static void send_in_place(struct world *world, uint32_t socket, uint8_t *data, size_t bytes)
{
    const struct iovec one = {.iov_base = data, .iov_len = bytes};
    cr_assert_eq(ring_begin_send_zero_copy(world->ring, socket, memory_tag, &one, 1), 0);
    cr_assert_geq(ring_submit(world->ring), 0);
    struct ring_completion result = expect(world->ring, RING_SEND_ZERO_COPY);
    cr_assert_eq(result.result, (int)bytes);
    cr_assert(result.more, "the memory is still in use");
}

/* Between result and return the socket goes on as if there were nothing: the next send, and its end. */
Test(ring_sim, memory_comes_back_apart_from_the_socket_that_sent_it)
{
    const struct sim_faults late = {.pinned = 1000};
    struct world world = start(1, 8, 4);
    uint8_t first[100] = {1}, second[50] = {2}, got[200];
    int peer, again;
    uint32_t socket = connect_one(&world, &peer);
    sim_set_faults(world.network, &late);
    send_in_place(&world, socket, first, sizeof first);
    cr_assert_eq(ring_begin_send(world.ring, socket, tag, second, sizeof second), 0);
    cr_assert_not(expect(world.ring, RING_SEND).more);
    cr_assert_eq(sim_peer_receive(world.network, peer, got, sizeof got), 150);
    close_one(&world, socket, false);
    cr_assert_eq(connect_one(&world, &again), socket, "the number is free");
    expect_nothing(world.ring);
    cr_assert_eq(sim_operations_pending(world.network), 2, "an accept and the memory");
    sim_clock_advance(UINT64_C(300000000000));
    cr_assert(sim_ready(world.network));
    struct ring_completion back = expect(world.ring, RING_SEND_ZERO_COPY);
    cr_assert_not(back.more);
    cr_assert_eq(back.result, 0);
    cr_assert_eq(back.tag.index, memory_tag.index);
    cr_assert_eq(back.tag.generation, memory_tag.generation);
    close_one(&world, socket, false);
    stop(&world);
}

Test(ring_sim, a_reset_brings_the_memory_back_at_once)
{
    const struct sim_faults late = {.pinned = 1000, .copied = 1000};
    struct world world = start(1, 8, 4);
    uint8_t data[100] = {1};
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    sim_set_faults(world.network, &late);
    send_in_place(&world, socket, data, sizeof data);
    close_one(&world, socket, true);
    struct ring_completion back = expect(world.ring, RING_SEND_ZERO_COPY);
    cr_assert_not(back.more);
    cr_assert_eq(back.result, RING_COPIED);
    stop(&world);
}

Test(ring_sim, a_send_without_a_copy_is_cancelled_by_its_own_tag)
{
    struct world world = start(1, 8, 4);
    uint8_t data[3 * WINDOW] = {1};
    const struct iovec one = {.iov_base = data, .iov_len = sizeof data};
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    cr_assert_eq(ring_begin_send_zero_copy(world.ring, socket, memory_tag, &one, 1), 0);
    expect_nothing(world.ring);
    cr_assert_eq(ring_begin_cancel_zero_copy(world.ring, socket, tag, memory_tag), 0);
    struct ring_completion result = expect(world.ring, RING_SEND_ZERO_COPY);
    cr_assert_eq(result.result, WINDOW, "the bytes that were gone");
    cr_assert(result.more);
    cr_assert_eq(expect(world.ring, RING_CANCEL).result, 1);
    close_one(&world, socket, true);
    cr_assert_not(expect(world.ring, RING_SEND_ZERO_COPY).more);
    stop(&world);
}

Test(ring_sim, catches_memory_that_changes_before_it_has_come_back, .signal = SIGABRT)
{
    struct world world = start(1, 8, 4);
    uint8_t data[100] = {1};
    int peer;
    uint32_t socket = connect_one(&world, &peer);
    send_in_place(&world, socket, data, sizeof data);
    data[99] = 1;
    sim_clock_advance(UINT64_C(5000000));
    (void)ring_wait(world.ring, 0);
}

#if POISON_ASAN

static struct ring_completion receive_ping(struct world *world)
{
    int peer;
    uint32_t socket = connect_one(world, &peer);
    cr_assert_eq(ring_arm_receive(world->ring, socket, tag), 0);
    cr_assert_eq(sim_peer_send(world->network, peer, "ping", 4), 4);
    return expect(world->ring, RING_RECEIVE);
}

static void touch_what_was_given_back(void)
{
    struct world world = start(1, 8, 4);
    struct ring_completion received = receive_ping(&world);
    ring_give_back(world.ring, received.buffer);
    ((volatile uint8_t *)received.data.data)[0] = 0;
}

static void touch_behind_what_was_received(void)
{
    struct world world = start(1, 8, 4);
    struct ring_completion received = receive_ping(&world);
    ((volatile uint8_t *)received.data.data)[received.data.bytes] = 0;
}

Test(ring_sim, the_address_sanitizer_watches_buffers_that_are_the_rings)
{
    expect_poisoned(touch_what_was_given_back);
    expect_poisoned(touch_behind_what_was_received);
}

#endif
