/* SPDX-License-Identifier: MIT */
/* The simulated ring under faults: each can happen, streams arrive whole all the same by a plain owner that echoes, and
 * a seed repeats its run. Run by unit_core_sim. */
#include "core/ring_sim.h"
#include "tests/unit/core/sim_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
