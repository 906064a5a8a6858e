/* SPDX-License-Identifier: MIT */
/* The operators' pages over the simulated network: what health says of a shard that is stuck or stops, and who is
 * refused. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

static int ask(struct world *world, struct peer *peer, const char *method, const char *path)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, path);
    peer_say(world, peer, text);
    return peer_response(world, peer);
}

static int get(struct world *world, struct peer *peer, const char *path)
{
    return ask(world, peer, "GET", path);
}

Test(admin, says_live_while_every_shard_ticks)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 2, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    cr_assert_eq(get(&world, &peer, "/health/live"), 200);
    uint16_t answering = world.shards[0]->conns->slab.count_live == 1 ? 0 : 1;
    struct shard *stuck = world.shards[1 - answering];
    sim_clock_advance(UINT64_C(6000) * 1000000);
    static const char live[] = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    peer_send(&world, &peer, live, sizeof live - 1);
    for (unsigned turn = 0; turn < 20; turn++)
        shard_tick(world.shards[answering], false);
    peer.used = (uint32_t)sim_peer_receive(world.network, peer.number, peer.data, sizeof peer.data);
    cr_assert_not_null(memmem(peer.data, peer.used, " 503 ", 5));
    cr_assert_not_null(memmem(peer.data, peer.used, "stuck", 5));
    peer.used = 0;
    shard_tick(stuck, false);
    cr_assert_eq(get(&world, &peer, "/health/live"), 200, "it ticks again");
    world_end(&world);
}

Test(admin, says_ready_until_the_server_stops_and_answers_to_the_end)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    cr_assert_eq(get(&world, &peer, "/health/ready"), 200);
    cr_assert_eq(get(&world, &peer, "/health"), 200);
    atomic_store(&world.shards[0]->stage, STAGE_QUIESCE);
    world_settle(&world);
    cr_assert_eq(get(&world, &peer, "/health/ready"), 503);
    peer_connect(&world, &peer, ADMIN_PORT); /* each answer of a stop ends its connection */
    cr_assert_eq(get(&world, &peer, "/health/live"), 200);
    peer_connect(&world, &peer, ADMIN_PORT);
    cr_assert_eq(get(&world, &peer, "/healthz"), 200, "the process is there");
    world_end(&world);
}

Test(admin, has_pages_to_be_read_only)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    cr_assert_eq(get(&world, &peer, "/metrics"), 200);
    cr_assert_eq(get(&world, &peer, "/"), 404);
    cr_assert_eq(get(&world, &peer, "/metrics/"), 404);
    cr_assert_eq(ask(&world, &peer, "DELETE", "/metrics"), 405);
    world_end(&world);
}
