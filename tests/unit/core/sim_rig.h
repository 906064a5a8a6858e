/* SPDX-License-Identifier: MIT */
/* One simulated ring with a listener, and peers of it: what the tests of ring_sim start from. */
#ifndef RINGCAST_TESTS_UNIT_CORE_SIM_RIG_H
#define RINGCAST_TESTS_UNIT_CORE_SIM_RIG_H

#include "core/ring_sim.h"

#include <criterion/criterion.h>
#include <stdlib.h>

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

static inline struct ring *make_ring(uint32_t sockets_max, uint32_t buffers)
{
    const struct ring_options options = {
        .entries = 64, .sockets_max = sockets_max, .receive_buffers = buffers, .receive_buffer_bytes = 256};
    struct ring *ring = NULL;
    char why[128];
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), 0);
    return ring;
}

static inline uint32_t listen_there(struct ring *ring)
{
    const struct ring_listen_options options = {.address = {.port = PORT}, .backlog = 4};
    int listener = ring_listen(ring, &options, NULL);
    cr_assert_geq(listener, 0);
    cr_assert_eq(ring_arm_accept(ring, (uint32_t)listener, listener_tag), 0);
    return (uint32_t)listener;
}

static inline struct world start(uint64_t seed, uint32_t sockets_max, uint32_t buffers)
{
    struct world world = {.network = sim_network_create(seed, &calm, WINDOW)};
    world.ring = make_ring(sockets_max, buffers);
    world.listener = listen_there(world.ring);
    return world;
}

static inline void stop(struct world *world)
{
    ring_destroy(world->ring);
    sim_network_destroy(world->network);
}

/* The next completion, which comes in this step and is of that op. */
static inline struct ring_completion expect(struct ring *ring, enum ring_op op)
{
    struct ring_completion completion;
    if (!ring_next(ring, &completion)) {
        cr_assert_eq(ring_wait(ring, 0), 0);
        cr_assert(ring_next(ring, &completion), "no completion of op %d", (int)op);
    }
    cr_assert_eq(completion.op, op, "op %d, result %d", (int)completion.op, completion.result);
    return completion;
}

static inline void expect_nothing(struct ring *ring)
{
    struct ring_completion completion;
    cr_assert_eq(ring_wait(ring, 0), 0);
    cr_assert_not(ring_next(ring, &completion), "op %d, result %d", (int)completion.op, completion.result);
}

static inline uint32_t connect_one(struct world *world, int *peer)
{
    *peer = sim_connect(world->network, PORT, someone);
    cr_assert_geq(*peer, 0);
    struct ring_completion accepted = expect(world->ring, RING_ACCEPT);
    cr_assert_geq(accepted.result, 0);
    cr_assert(accepted.more);
    cr_assert_eq(accepted.tag.index, listener_tag.index);
    return (uint32_t)accepted.result;
}

static inline void close_one(struct world *world, uint32_t socket, bool reset)
{
    cr_assert_eq(ring_begin_close(world->ring, socket, tag, reset), 0);
    struct ring_completion closed = expect(world->ring, RING_CLOSE);
    cr_assert_eq(closed.result, 0);
    cr_assert_eq(closed.tag.generation, tag.generation);
}

static inline uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

static inline uint8_t *make_pattern(uint32_t bytes)
{
    uint8_t *data = malloc(bytes);
    cr_assert_not_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    return data;
}

#endif
