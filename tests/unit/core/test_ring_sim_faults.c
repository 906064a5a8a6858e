/* SPDX-License-Identifier: MIT */
/* The faults of the simulated ring: each happens when it is certain or directed, leaves the operation in the state that
 * ring.h promises, and says whom it has harmed. */
#include "core/clock.h"
#include "core/ring_sim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define PORT 9500
#define WINDOW 1000
#define MS_NS 1000000

static const struct sim_faults calm;
static const struct ring_address someone = {.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, .port = 1234};
static const struct ring_tag listener_tag = {.index = 1, .generation = 0};
static const struct ring_tag tag = {.index = 2, .generation = 77};

struct world {
    struct sim_network *network;
    struct ring *ring;
    uint32_t listener;
    uint32_t socket; /* a connection, */
    int peer;        /* and who is there */
};

static bool next(struct world *world, struct ring_completion *completion)
{
    return ring_next(world->ring, completion) || (ring_wait(world->ring, 0) == 0 && ring_next(world->ring, completion));
}

static struct ring_completion expect(struct world *world, enum ring_op op, int32_t result, bool more)
{
    struct ring_completion completion;
    cr_assert(next(world, &completion), "no completion of op %d", (int)op);
    cr_assert_eq(completion.op, op, "op %d", (int)completion.op);
    cr_assert_eq(completion.result, result, "result %d", completion.result);
    cr_assert_eq(completion.more, more);
    return completion;
}

static void expect_nothing(struct world *world)
{
    struct ring_completion completion;
    cr_assert_not(next(world, &completion), "op %d, result %d", (int)completion.op, completion.result);
}

static struct world start(void)
{
    const struct ring_options options = {
        .entries = 64, .sockets_max = 8, .receive_buffers = 4, .receive_buffer_bytes = 256};
    const struct ring_listen_options listening = {.address = {.port = PORT}, .backlog = 8};
    struct world world = {.network = sim_network_create(1, &calm, WINDOW)};
    struct ring_completion accepted;
    char why[128];
    cr_assert_eq(ring_create(&world.ring, &options, why, sizeof why), 0);
    world.listener = (uint32_t)ring_listen(world.ring, &listening, NULL);
    cr_assert_eq(ring_arm_accept(world.ring, world.listener, listener_tag), 0);
    world.peer = sim_connect(world.network, PORT, someone);
    cr_assert(next(&world, &accepted));
    world.socket = (uint32_t)accepted.result;
    return world;
}

static void stop(struct world *world)
{
    ring_destroy(world->ring);
    sim_network_destroy(world->network);
}

static void arm(struct world *world)
{
    cr_assert_eq(ring_arm_receive(world->ring, world->socket, tag), 0);
}

static void say(struct world *world, const char *text)
{
    cr_assert_eq(sim_peer_send(world->network, world->peer, text, (uint32_t)strlen(text)), (int)strlen(text));
}

static void give_back(struct world *world, struct ring_completion completion)
{
    ring_give_back(world->ring, completion.buffer);
}

/* --- by chance ---------------------------------------------------------------------------------------------------- */

Test(ring_sim_faults, a_send_fails_and_its_connection_is_harmed)
{
    struct world world = start();
    struct ring_completion sent;
    sim_set_faults(world.network, &(struct sim_faults){.send_error = 1000});
    cr_assert_not(sim_peer_harmed(world.network, world.peer));
    cr_assert_eq(ring_begin_send(world.ring, world.socket, tag, "text", 4), 0);
    cr_assert(next(&world, &sent));
    cr_assert_lt(sent.result, 0);
    cr_assert(sim_peer_harmed(world.network, world.peer));
    stop(&world);
}

Test(ring_sim_faults, a_send_ends_behind_a_part_of_its_bytes)
{
    struct world world = start();
    struct ring_completion sent;
    char got[8];
    sim_set_faults(world.network, &(struct sim_faults){.send_short = 1000});
    cr_assert_eq(ring_begin_send(world.ring, world.socket, tag, "text", 4), 0);
    cr_assert(next(&world, &sent));
    cr_assert(sent.result > 0 && sent.result < 4);
    cr_assert_eq(sim_peer_receive(world.network, world.peer, got, sizeof got), sent.result);
    cr_assert(sim_peer_harmed(world.network, world.peer));
    cr_assert_eq(ring_begin_send(world.ring, world.socket, tag, "x", 1), 0);
    expect(&world, RING_SEND, 1, false); /* one byte has no part */
    stop(&world);
}

Test(ring_sim_faults, a_receive_fails_and_ends)
{
    struct world world = start();
    struct ring_completion received;
    sim_set_faults(world.network, &(struct sim_faults){.receive_error = 1000});
    arm(&world);
    cr_assert(next(&world, &received));
    cr_assert_lt(received.result, 0);
    cr_assert_not(received.more);
    stop(&world);
}

Test(ring_sim_faults, an_accept_ends_behind_a_good_connection)
{
    struct world world = start();
    struct ring_completion accepted;
    sim_set_faults(world.network, &(struct sim_faults){.accept_ends = 1000});
    sim_connect(world.network, PORT, someone);
    cr_assert(next(&world, &accepted));
    cr_assert_geq(accepted.result, 0);
    cr_assert_not(accepted.more);
    stop(&world);
}

Test(ring_sim_faults, an_accept_that_fails_leaves_the_connection_where_it_is)
{
    struct world world = start();
    struct ring_completion accepted;
    sim_set_faults(world.network, &(struct sim_faults){.accept_error = 1000});
    int peer = sim_connect(world.network, PORT, someone);
    cr_assert(next(&world, &accepted));
    cr_assert_lt(accepted.result, 0);
    sim_set_faults(world.network, &calm);
    while (accepted.more && accepted.result < 0)
        cr_assert(next(&world, &accepted));
    if (accepted.result < 0)
        cr_assert_eq(ring_arm_accept(world.ring, world.listener, listener_tag), 0);
    while (accepted.result < 0)
        cr_assert(next(&world, &accepted));
    cr_assert_not(sim_peer_harmed(world.network, peer));
    stop(&world);
}

Test(ring_sim_faults, without_descriptors_every_accept_fails_until_there_are_some)
{
    struct world world = start();
    sim_set_faults(world.network, &(struct sim_faults){.descriptors_out = 1000, .descriptors_out_ms = 100});
    sim_connect(world.network, PORT, someone);
    for (int i = 0; i < 3; i++) {
        expect(&world, RING_ACCEPT, -EMFILE, false);
        cr_assert_eq(ring_arm_accept(world.ring, world.listener, listener_tag), 0);
    }
    sim_set_faults(world.network, &calm);
    expect(&world, RING_ACCEPT, (int32_t)world.socket + 1, true);
    stop(&world);
}

Test(ring_sim_faults, connections_come_in_bursts)
{
    struct world world = start();
    struct ring_completion accepted;
    uint32_t count = 0, empty = 0;
    sim_set_faults(world.network, &(struct sim_faults){.accept_burst = 1000});
    for (int i = 0; i < 4; i++)
        cr_assert_geq(sim_connect(world.network, PORT, someone), 0);
    for (int step = 0; step < 2000 && count < 4; step++) {
        cr_assert_eq(ring_wait(world.ring, 0), 0);
        while (ring_next(world.ring, &accepted))
            count += accepted.result >= 0;
        empty += count < 4;
    }
    cr_assert_eq(count, 4, "late, but all");
    cr_assert_gt(empty, 4);
    stop(&world);
}

Test(ring_sim_faults, shutdown_close_and_cancel_fail)
{
    struct world world = start();
    struct ring_completion failed;
    sim_set_faults(world.network,
                   &(struct sim_faults){.shutdown_error = 1000, .close_error = 1000, .cancel_error = 1000});
    arm(&world);
    cr_assert_eq(ring_begin_cancel(world.ring, world.socket, tag), 0);
    expect(&world, RING_CANCEL, -ENOMEM, false);
    cr_assert_eq(ring_begin_shutdown(world.ring, world.socket, tag, SHUT_WR), 0);
    cr_assert(next(&world, &failed));
    cr_assert_lt(failed.result, 0);
    char byte;
    cr_assert_eq(sim_peer_receive(world.network, world.peer, &byte, 1), 0, "nothing has been shut down");
    sim_peer_shutdown(world.network, world.peer);
    expect(&world, RING_RECEIVE, 0, false);
    cr_assert_eq(ring_begin_close(world.ring, world.socket, tag, false), 0);
    cr_assert(next(&world, &failed));
    cr_assert_lt(failed.result, 0);
    cr_assert_eq(sim_sockets_open(world.network), 1, "closed all the same");
    stop(&world);
}

Test(ring_sim_faults, a_cancel_that_comes_late_finds_bytes)
{
    struct world world = start();
    sim_set_faults(world.network, &(struct sim_faults){.cancel_late = 1000, .hold = 1000, .hold_ms = 1});
    arm(&world);
    expect_nothing(&world);
    say(&world, "abc"); /* held on its way */
    expect_nothing(&world);
    cr_assert_eq(ring_begin_cancel(world.ring, world.socket, tag), 0);
    sim_clock_advance(2 * MS_NS);
    struct ring_completion received;
    cr_assert(next(&world, &received));
    while (received.op != RING_RECEIVE)
        cr_assert(next(&world, &received));
    cr_assert_eq(received.result, 3);
    give_back(&world, received);
    stop(&world);
}

Test(ring_sim_faults, a_submission_stops_and_goes_on_later)
{
    struct world world = start();
    sim_set_faults(world.network, &(struct sim_faults){.submit_error = 1000});
    cr_assert_eq(ring_begin_send(world.ring, world.socket, tag, "x", 1), 0);
    cr_assert_lt(ring_submit(world.ring), 0);
    cr_assert_lt(ring_wait(world.ring, 0), 0);
    sim_set_faults(world.network, &calm);
    expect(&world, RING_SEND, 1, false);
    stop(&world);
}

Test(ring_sim_faults, a_full_queue_that_cannot_be_submitted_refuses)
{
    struct world world = start();
    uint32_t begun = 0;
    sim_set_faults(world.network, &(struct sim_faults){.submit_error = 1000});
    while (begun < 1000 && ring_begin_cancel(world.ring, world.socket, tag) == 0)
        begun++;
    cr_assert_eq(begun, 64);
    stop(&world);
}

Test(ring_sim_faults, an_overflow_loses_nothing_and_ends_multishots)
{
    struct world world = start();
    struct ring_counters counters;
    struct ring_completion completion;
    uint32_t accepted = 0, ended = 0;
    sim_set_faults(world.network, &(struct sim_faults){.overflow = 1000});
    for (int i = 0; i < 200; i++) {
        while (sim_connect(world.network, PORT, someone) >= 0)
            ;
        cr_assert_eq(ring_wait(world.ring, 0), 0);
        while (ring_next(world.ring, &completion)) {
            accepted += completion.result >= 0;
            if (completion.more)
                continue;
            ended++;
            cr_assert_eq(ring_arm_accept(world.ring, world.listener, listener_tag), 0);
        }
    }
    ring_counters_read(world.ring, &counters);
    cr_assert_eq(accepted, 6, "as many as there are numbers");
    cr_assert_gt(counters.overflow, 0);
    cr_assert_gt(ended, 0);
    stop(&world);
}

Test(ring_sim_faults, a_held_link_goes_on_and_a_stalled_one_when_the_fault_is_gone)
{
    struct world world = start();
    arm(&world);
    expect_nothing(&world);
    sim_set_faults(world.network, &(struct sim_faults){.hold = 1000, .hold_ms = 10});
    say(&world, "abc");
    expect_nothing(&world);
    cr_assert_leq(sim_next_ns(world.network), 10 * MS_NS);
    sim_clock_advance(11 * MS_NS);
    give_back(&world, expect(&world, RING_RECEIVE, 3, true));
    cr_assert_not(sim_peer_harmed(world.network, world.peer));

    sim_set_faults(world.network, &(struct sim_faults){.stall = 1000});
    say(&world, "de");
    sim_clock_advance(UINT64_C(3600) * 1000 * MS_NS);
    expect_nothing(&world);
    cr_assert(sim_peer_harmed(world.network, world.peer));
    sim_set_faults(world.network, &calm);
    give_back(&world, expect(&world, RING_RECEIVE, 2, true));
    stop(&world);
}

Test(ring_sim_faults, the_clock_stops_and_jumps_and_the_wall_clock_is_set)
{
    struct world world = start();
    uint64_t wall = clock_wall_ms();
    sim_set_faults(world.network, &(struct sim_faults){.clock_stop = 1000});
    sim_clock_advance(5 * MS_NS);
    cr_assert_eq(clock_monotonic_ns(), 0);
    cr_assert_eq(sim_jumped_ns(world.network), 0);
    sim_set_faults(world.network, &(struct sim_faults){.clock_jump = 1000, .clock_jump_ms = 1000});
    sim_clock_advance(MS_NS);
    cr_assert_gt(clock_monotonic_ns(), MS_NS);
    cr_assert_eq(sim_jumped_ns(world.network), clock_monotonic_ns());
    bool back = false;
    sim_set_faults(world.network, &(struct sim_faults){.wall_jump = 1000});
    for (int i = 0; i < 20; i++) {
        uint64_t before = clock_monotonic_ns();
        sim_clock_advance(1);
        cr_assert_geq(clock_monotonic_ns(), before);
        back |= clock_wall_ms() < wall;
    }
    cr_assert(back);
    stop(&world);
}

Test(ring_sim_faults, a_listener_that_is_shut_down_ends_its_accept)
{
    struct world world = start();
    cr_assert_eq(ring_begin_shutdown(world.ring, world.listener, listener_tag, SHUT_RDWR), 0);
    expect(&world, RING_ACCEPT, -EINVAL, false);
    expect(&world, RING_SHUTDOWN, 0, false);
    stop(&world);
}

/* --- as directed -------------------------------------------------------------------------------------------------- */

struct script {
    enum ring_op op;
    enum sim_outcome outcome;
    uint32_t seen[SIM_OUTCOMES];
    uint32_t kept;
};

static enum sim_outcome direct(void *context, const struct ring *ring, enum ring_op op, struct ring_tag owner)
{
    const struct script *script = context;
    (void)ring;
    (void)owner;
    return op == script->op ? script->outcome : SIM_OUTCOMES;
}

static bool keep(void *context, const struct ring *ring, enum ring_op op, struct ring_tag owner,
                 enum sim_outcome outcome)
{
    struct script *script = context;
    (void)ring;
    (void)owner;
    (void)outcome;
    if (op != script->op || script->kept == 0)
        return false;
    script->kept--;
    return true;
}

static void watch(void *context, const struct ring *ring, enum ring_op op, struct ring_tag owner,
                  enum sim_outcome outcome)
{
    struct script *script = context;
    (void)ring;
    cr_assert_eq(owner.index, tag.index);
    script->seen[outcome] += op == script->op;
}

Test(ring_sim_faults, a_test_directs_an_outcome_and_sees_it)
{
    static const struct {
        enum sim_outcome outcome;
        int32_t result;
    } cases[] = {{SIM_EPIPE, -EPIPE},
                 {SIM_ENOBUFS, -ENOBUFS},
                 {SIM_EINTR, -EINTR},
                 {SIM_ENOMEM, -ENOMEM},
                 {SIM_ECANCELED, -ECANCELED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world = start();
        struct script script = {.op = RING_SEND, .outcome = cases[i].outcome};
        const struct sim_hooks hooks = {.context = &script, .direct = direct, .watch = watch};
        sim_set_hooks(world.network, &hooks);
        cr_assert_eq(ring_begin_send(world.ring, world.socket, tag, "text", 4), 0);
        expect(&world, RING_SEND, cases[i].result, false);
        cr_assert_eq(script.seen[cases[i].outcome], 1);
        stop(&world);
    }
}

Test(ring_sim_faults, a_test_has_a_begin_call_refused)
{
    struct world world = start();
    struct script script = {.op = RING_RECEIVE, .outcome = SIM_NOT_BEGUN};
    const struct sim_hooks hooks = {.context = &script, .direct = direct, .watch = watch};
    sim_set_hooks(world.network, &hooks);
    cr_assert_eq(ring_arm_receive(world.ring, world.socket, tag), -EAGAIN);
    cr_assert_eq(script.seen[SIM_NOT_BEGUN], 1);
    stop(&world);
}

Test(ring_sim_faults, a_completion_that_is_kept_comes_later_and_in_order)
{
    struct world world = start();
    struct script script = {.op = RING_RECEIVE, .outcome = SIM_OUTCOMES, .kept = 3};
    const struct sim_hooks hooks = {.context = &script, .direct = direct, .keep = keep, .watch = watch};
    sim_set_hooks(world.network, &hooks);
    arm(&world);
    say(&world, "abc");
    expect_nothing(&world);
    say(&world, "de");
    expect_nothing(&world);
    cr_assert(sim_ready(world.network));
    expect_nothing(&world);
    give_back(&world, expect(&world, RING_RECEIVE, 3, true));
    give_back(&world, expect(&world, RING_RECEIVE, 2, true));
    cr_assert(sim_peer_harmed(world.network, world.peer));
    stop(&world);
}

static bool keep_first(void *context, const struct ring *ring, enum ring_op op, struct ring_tag owner,
                       enum sim_outcome outcome)
{
    (void)ring;
    (void)outcome;
    return *(bool *)context && op == RING_RECEIVE && owner.index == tag.index;
}

/* Three full buffers, and a fourth with the rest of what a link holds: all of them. */
static int32_t bytes_of_buffer(int number)
{
    return number < 3 ? 256 : WINDOW - 3 * 256;
}

Test(ring_sim_faults, who_finds_no_buffer_is_harmed_only_when_one_is_kept)
{
    static const struct ring_tag other_tag = {.index = 3, .generation = 78};
    for (int i = 0; i < 2; i++) {
        bool keeps = i > 0;
        char text[WINDOW + 1] = {0};
        struct ring_completion accepted, taken[4];
        const struct sim_hooks hooks = {.context = &keeps, .keep = keep_first};
        struct world world = start();
        sim_set_hooks(world.network, &hooks);
        int other = sim_connect(world.network, PORT, someone);
        cr_assert(next(&world, &accepted));
        arm(&world);
        say(&world, memset(text, 'x', WINDOW));
        for (int k = 0; !keeps && k < 4; k++)
            taken[k] = expect(&world, RING_RECEIVE, bytes_of_buffer(k), true);
        expect_nothing(&world);
        cr_assert_eq(sim_peer_send(world.network, other, "y", 1), 1);
        cr_assert_eq(ring_arm_receive(world.ring, (uint32_t)accepted.result, other_tag), 0);
        expect(&world, RING_RECEIVE, -ENOBUFS, false);
        cr_assert_eq(sim_peer_harmed(world.network, other), keeps);
        for (int k = 0; !keeps && k < 4; k++)
            give_back(&world, taken[k]);
        stop(&world);
    }
}
