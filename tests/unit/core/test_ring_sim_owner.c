/* SPDX-License-Identifier: MIT */
/* What the simulated ring catches of its owner: operations on what is closed, memory that changes while the kernel
 * reads it or after it was given back; and sends without a copy, which lend it for longest. Run by unit_core_sim. */
#include "core/ring_sim.h"
#include "tests/unit/core/last_words.h"
#include "tests/unit/core/sim_rig.h"

#include <signal.h>

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
