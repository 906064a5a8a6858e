/* SPDX-License-Identifier: MIT */
/* The closes of a drain: all of them, evenly over their time, in random order (K-31). */
#include "tests/unit/shards/world.h"

#define PEERS 200
#define SPREAD_MS 2000

static struct world world;
static struct peer peers[PEERS];
static bool closed[PEERS];

static void set_stage(enum stage stage)
{
    for (uint16_t i = 0; i < world.count; i++) {
        atomic_store(&world.shards[i]->farewell_ms, SPREAD_MS);
        atomic_store(&world.shards[i]->stage, stage);
    }
    if (stage != STAGE_STOP)
        world_settle(&world); /* it begins now, not when time has moved on */
}

static void begin(uint16_t shards)
{
    world_begin(&world, shards, 65536, NULL);
    for (unsigned i = 0; i < PEERS; i++)
        peer_upgrade(&world, &peers[i], "/plain/c");
    set_stage(STAGE_QUIESCE);
}

/* How many have been told since the last time, each with 1001. */
static unsigned count_closed(void)
{
    char payload[128];
    unsigned count = 0;
    for (unsigned i = 0; i < PEERS; i++) {
        if (closed[i])
            continue;
        int opcode = peer_next(&world, &peers[i], payload, sizeof payload);
        if (opcode == -1)
            continue;
        cr_assert_eq(opcode, WS_CLOSE);
        cr_assert_eq((uint8_t)payload[0] << 8 | (uint8_t)payload[1], WS_CLOSE_GOING_AWAY);
        closed[i] = true;
        count++;
    }
    return count;
}

Test(farewell, closes_evenly_over_its_time_and_forgets_nobody)
{
    for (uint16_t shards = 1; shards <= 2; shards++) {
        unsigned all = 0;
        memset(closed, 0, sizeof closed);
        begin(shards);
        cr_assert_eq(count_closed(), 0, "nobody before the farewell");
        set_stage(STAGE_FAREWELL);
        for (unsigned tenth = 0; tenth < 10; tenth++) {
            world_advance(&world, SPREAD_MS / 10);
            unsigned count = count_closed();
            all += count;
            cr_assert(count >= PEERS / 20 && count <= PEERS / 5, "tenth %u: %u of %u", tenth, count, PEERS);
            uint64_t left = world_sum(&world, STAT_DRAIN_LEFT);
            cr_assert(left >= PEERS - all && left <= PEERS, "%u said, %lu left", all, (unsigned long)left);
        }
        cr_assert_eq(all, PEERS);
        world_end(&world);
    }
}

/* Neighbours in the order of their coming do not fall together. */
Test(farewell, closes_in_no_order_of_coming)
{
    unsigned early = 0;
    begin(1);
    set_stage(STAGE_FAREWELL);
    world_advance(&world, SPREAD_MS / 2);
    (void)count_closed();
    for (unsigned i = 0; i < PEERS / 2; i++)
        early += closed[i];
    cr_assert(early > PEERS / 8 && early < PEERS * 3 / 8, "%u of the first half", early);
    world_end(&world);
}

/* Whoever has not been told yet still hears what comes, and then the close behind it. */
Test(farewell, delivers_to_who_is_still_there)
{
    char payload[128];
    unsigned heard = 0, told;
    begin(2);
    set_stage(STAGE_FAREWELL);
    world_advance(&world, SPREAD_MS / 2);
    told = count_closed();
    world_publish(&world, 0, "c", "late");
    world_settle(&world);
    for (unsigned i = 0; i < PEERS; i++)
        if (!closed[i] && peer_next(&world, &peers[i], payload, sizeof payload) == WS_TEXT) {
            cr_assert_str_eq(payload, "late");
            heard++;
        }
    cr_assert(heard > 0 && heard + told + count_closed() >= PEERS, "%u heard, %u told", heard, told);
    world_advance(&world, SPREAD_MS / 2);
    (void)count_closed();
    for (unsigned i = 0; i < PEERS; i++)
        cr_assert(closed[i], "peer %u", i);
    world_end(&world);
}

/* What had no time left in a server that stood still is made up for at once. */
Test(farewell, makes_up_for_a_pause)
{
    begin(1);
    set_stage(STAGE_FAREWELL);
    world_pause(&world, 10 * SPREAD_MS);
    world_settle(&world);
    (void)count_closed();
    for (unsigned i = 0; i < PEERS; i++)
        cr_assert(closed[i], "peer %u", i);
    world_end(&world);
}

Test(farewell, waits_for_nobody_once_it_is_to_stop)
{
    begin(1);
    set_stage(STAGE_FAREWELL);
    world_advance(&world, SPREAD_MS / 10);
    cr_assert_gt(world_open(&world), 0);
    set_stage(STAGE_STOP);
    for (unsigned i = 0; i < 20; i++)
        world_turn(&world);
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

/* A connection that is kept for HTTP has its turn as well; operators are answered to the end. */
Test(farewell, closes_http_and_leaves_operators)
{
    static struct peer visitor, operator;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &visitor, DIALECT_PORT);
    peer_connect(&world, &operator, ADMIN_PORT);
    world_settle(&world);
    set_stage(STAGE_FAREWELL);
    world_advance(&world, SPREAD_MS);
    peer_receive(&world, &visitor);
    peer_receive(&world, &operator);
    cr_assert_neq(visitor.end, 0);
    cr_assert_eq(operator.end, 0);
    world_end(&world);
}
