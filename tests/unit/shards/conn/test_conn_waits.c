/* SPDX-License-Identifier: MIT */
/* What a connection waits for when the ring or its buffers are short: room, buffers, a cancel; and the listener beside
 * it. */
#include "core/work.h"
#include "tests/unit/shards/conn/conn_rig.h"
#include "tests/unit/shards/world.h"

#include <errno.h>

/* --- waiting lists ------------------------------------------------------------------------------------------------ */

static struct conn *only_conn(struct shard *shard)
{
    uint32_t cursor = 0;
    return slab_next(&shard->conns->slab, &cursor, NULL);
}

/* There is one list node for two reasons to wait: the receive is armed with the unparking. */
Test(conn, waits_for_room_even_when_it_waits_for_buffers)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    peer_upgrade(&world, &peer, "/echo");
    struct conn *conn = only_conn(shard);
    list_push_back(&shard->conns->starved, &conn->wait);
    conn_park(shard, conn);
    conn_wait_for_room(shard, conn);
    cr_assert(list_empty(&shard->conns->starved));
    cr_assert_eq(list_first(&shard->conns->parked), &conn->wait);
    list_remove(&conn->wait);
    conn_unpark(shard, conn);
    peer_text(&world, &peer, "on");
    peer_expect(&world, &peer, "on");
    world_end(&world);
}

Test(conn, reads_the_close_frame_of_a_peer_although_buffers_ran_out)
{
    struct world world;
    static struct peer peer;
    const struct sim_faults starving = {.no_buffers = 1000, .queue_full = 1000};
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    peer_upgrade(&world, &peer, "/echo");
    sim_set_faults(world.network, &starving);
    peer_frame(&world, &peer, 0x80 | WS_CLOSE, NULL, 0);
    for (unsigned i = 0; i < 5; i++)
        world_turn(&world);
    cr_assert_eq(list_first(&shard->conns->starved), &only_conn(shard)->wait);
    conn_close(shard, only_conn(shard), CLOSE_SHUTDOWN, 0, NULL);
    sim_set_faults(world.network, &calm);
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_GOING_AWAY);
    peer_receive(&world, &peer);
    cr_assert_eq(peer.end, -EPIPE, "both close frames are through");
    world_end(&world);
}

/* Whatever the ring refuses now is done in a later turn, and no socket is lost. */
Test(conn, survives_a_submission_queue_that_is_full_now_and_then)
{
    const struct sim_faults full = {.queue_full = 400};
    static const char *const sets[] = {"connections_max=8", NULL};
    struct world world;
    static struct peer peers[24];
    world_begin(&world, 1, 65536, sets);
    sim_set_faults(world.network, &full);
    uint32_t listeners = sim_sockets_open(world.network);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < 24; i++) {
            peer_connect_from(&world, &peers[i], DIALECT_PORT, 1);
            peer_ask_upgrade(&world, &peers[i], "/plain/c");
        }
        world_settle(&world);
        world_publish(&world, 0, "c", "x");
        for (unsigned i = 0; i < 60; i++)
            world_turn(&world);
        for (unsigned i = 0; i < 24; i++)
            sim_peer_reset(world.network, peers[i].number);
        for (unsigned i = 0; i < 60; i++)
            world_turn(&world);
        cr_assert_eq(world_open(&world), 0, "round %u", round);
        cr_assert_eq(sim_sockets_open(world.network), listeners, "round %u", round);
    }
    sim_set_faults(world.network, &calm);
    world_end(&world);
}

/* A cancelled send tells what it took; the rest is in the middle of a stream that nobody can go on with. */
Test(conn, counts_a_message_that_was_cut_as_dropped)
{
    struct world world;
    static struct peer peer;
    char payload[5001];
    memset(payload, 'x', 5000);
    payload[5000] = '\0';
    world_begin(&world, 1, 1000, NULL);
    peer_upgrade(&world, &peer, "/plain/c");
    struct conn *conn = only_conn(world.shards[0]);
    world_publish(&world, 0, "c", payload);
    world_settle(&world);
    cr_assert(conn->sending, "the window has taken a part");
    conn_terminate(world.shards[0], conn, CLOSE_DURATION);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_DELIVERED), 0);
    cr_assert_eq(world_sum(&world, STAT_DROPPED_CLOSED), 1);
    world_end(&world);
}

/* A cancel that fails has found nothing: the connection would wait for its receive for ever. */
Test(conn, cancels_again_what_a_failed_cancel_has_left)
{
    const struct sim_faults failing = {.cancel_error = 1000};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/plain/c");
    sim_set_faults(world.network, &failing);
    conn_terminate(world.shards[0], only_conn(world.shards[0]), CLOSE_SHUTDOWN);
    for (unsigned i = 0; i < 20; i++)
        world_turn(&world);
    cr_assert_eq(world_open(&world), 1);
    sim_set_faults(world.network, &calm);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

Test(conn, shuts_a_listener_down_again_when_that_has_failed)
{
    const struct sim_faults failing = {.shutdown_error = 1000, .cancel_error = 1000};
    struct world world;
    world_begin(&world, 1, 65536, NULL);
    sim_set_faults(world.network, &failing);
    atomic_store(&world.shards[0]->stage, STAGE_STOP);
    for (unsigned i = 0; i < 20; i++)
        cr_assert(shard_tick(world.shards[0], false), "its listeners still take connections");
    sim_set_faults(world.network, &calm);
    world_end(&world);
}
