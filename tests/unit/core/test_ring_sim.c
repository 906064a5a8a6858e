/* SPDX-License-Identifier: MIT */
/* The simulated ring as its contract: bytes, cancels, ends, buffers, listeners and time, as ring.h says them. Faults
 * are in test_ring_sim_faults.c, mistakes of an owner in test_ring_sim_owner.c. Run by unit_core_sim. */
#include "core/clock.h"
#include "core/poison.h"
#include "core/ring_sim.h"
#include "tests/unit/core/sim_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
