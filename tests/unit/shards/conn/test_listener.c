/* SPDX-License-Identifier: MIT */
/* shards/listener: the pause when descriptors run out, what ends it, and the end of a listener in a stop. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#include <errno.h>

static const struct sim_faults no_descriptors = {.descriptors_out = 1000, .descriptors_out_ms = 1};

static void turns(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        world_turn(world);
}

/* A peer that is waiting to be accepted while no descriptor is free. */
static void connect_in_vain(struct world *world, struct peer *peer)
{
    uint32_t before = world_open(world);
    sim_set_faults(world->network, &no_descriptors);
    peer_connect_from(world, peer, DIALECT_PORT, 1);
    turns(world, 20);
    cr_assert_eq(world_open(world), before);
    cr_assert(world->shards[0]->listeners->items[0].paused);
    sim_set_faults(world->network, &calm);
}

Test(listener, tries_once_in_100_ms_while_there_is_no_descriptor)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    connect_in_vain(&world, &peer);
    cr_assert_eq(world_sum(&world, STAT_REFUSED_DESCRIPTORS), 1, "in 20 turns");
    sim_set_faults(world.network, &no_descriptors);
    for (unsigned ms = 0; ms < 1000; ms += 10) {
        sim_clock_advance(10 * 1000000);
        turns(&world, 2);
    }
    cr_assert_eq(world_sum(&world, STAT_REFUSED_DESCRIPTORS), 11);
    cr_assert_eq(world_sum(&world, STAT_ACCEPT_PAUSED), 11);
    sim_set_faults(world.network, &calm);
    world_end(&world);
}

Test(listener, accepts_those_who_waited_when_its_pause_is_over)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    connect_in_vain(&world, &peer);
    world_advance(&world, 99);
    cr_assert_eq(world_open(&world), 0);
    world_advance(&world, 1);
    cr_assert_eq(world_open(&world), 1);
    world_end(&world);
}

Test(listener, goes_on_as_soon_as_a_connection_has_closed)
{
    struct world world;
    static struct peer first, second;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &first, "/echo");
    connect_in_vain(&world, &second);
    sim_peer_reset(world.network, first.number);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 1, "the second one");
    peer_ask_upgrade(&world, &second, "/echo");
    world_settle(&world);
    cr_assert_eq(peer_response(&world, &second), 101);
    world_end(&world);
}

/* The kernel may keep the accept armed although there was no place: it would go on to refuse one peer after the
 * other. */
Test(listener, stops_an_accept_that_stays_armed_without_a_place)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    const struct ring_completion full = {.op = RING_ACCEPT, .result = -ENFILE, .more = true};
    listener_on_accept(world.shards[0], &full);
    world_settle(&world);
    cr_assert_not(world.shards[0]->listeners->items[0].armed);
    peer_connect(&world, &peer, DIALECT_PORT);
    cr_assert_eq(world_open(&world), 0);
    world_advance(&world, 100);
    cr_assert_eq(world_open(&world), 1);
    world_end(&world);
}

Test(listener, takes_nobody_any_more_once_a_stop_has_begun)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    atomic_store(&world.shards[0]->stage, STAGE_QUIESCE);
    world_settle(&world);
    const struct ring_address from = {.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, .port = 1000};
    cr_assert_lt(sim_connect(world.network, DIALECT_PORT, from), 0);
    peer_connect(&world, &peer, ADMIN_PORT);
    cr_assert_eq(world_open(&world), 1, "operators ask how the stop goes");
    cr_assert_not(listener_all_ended(world.shards[0]));
    world_end(&world);
}
