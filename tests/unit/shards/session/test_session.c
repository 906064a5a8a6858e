/* SPDX-License-Identifier: MIT */
/* Sessions over the simulated network: places in quotas through every way of being refused, order while a row of
 * actions waits, keys that a reload takes away, and a stop. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

static void finish(struct world *world, struct peer *peer)
{
    sim_peer_reset(world->network, peer->number);
    world_settle(world);
}

static int upgrade_status(struct world *world, struct peer *peer, const char *target)
{
    peer_ask_upgrade(world, peer, target);
    world_settle(world);
    return peer_response(world, peer);
}

static size_t names_counted(const struct world *world)
{
    size_t count = 0;
    for (uint16_t i = 0; i < world->count; i++)
        count += world->shards[i]->quotas->map.count;
    return count;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

Test(session, counts_connections_of_an_address_over_all_shards)
{
    static const char *const sets[] = {"echo.connections_per_address=10", NULL};
    struct world world;
    static struct peer peers[12];
    world_begin(&world, 3, 65536, sets);
    for (unsigned i = 0; i < 10; i++)
        peer_upgrade(&world, &peers[i], "/echo");
    peer_connect(&world, &peers[10], DIALECT_PORT);
    cr_assert_eq(upgrade_status(&world, &peers[10], "/echo"), 429, "the 11th");
    finish(&world, &peers[10]);
    peer_connect_from(&world, &peers[11], DIALECT_PORT, 2);
    world_settle(&world);
    cr_assert_eq(upgrade_status(&world, &peers[11], "/echo"), 101, "another address");
    finish(&world, &peers[3]);
    peer_connect(&world, &peers[3], DIALECT_PORT);
    cr_assert_eq(upgrade_status(&world, &peers[3], "/echo"), 101, "a place is free at once");
    for (unsigned i = 0; i < 12; i++)
        finish(&world, &peers[i]);
    cr_assert_eq(names_counted(&world), 0);
    world_end(&world);
}

/* The address has given its place, the key is refused: an upgrade that is refused ends its connection, and
 * its places are free. */
Test(session, gives_places_back_when_it_is_refused_after_some_were_granted)
{
    static const char *const sets[] = {"echo.connections_per_address=1", "echo.connections_per_key=1",
                                       "echo.keys=good,full", NULL};
    struct world world;
    static struct peer holder, peer;
    world_begin(&world, 2, 65536, sets);
    peer_connect_from(&world, &holder, DIALECT_PORT, 9);
    world_settle(&world);
    cr_assert_eq(upgrade_status(&world, &holder, "/echo?api_key=full"), 101);
    for (unsigned i = 0; i < 3; i++) {
        peer_connect(&world, &peer, DIALECT_PORT);
        cr_assert_eq(upgrade_status(&world, &peer, "/plain/%20"), 404, "a path of nobody's");
        sim_peer_close(world.network, peer.number);
        peer_connect(&world, &peer, DIALECT_PORT);
        cr_assert_eq(upgrade_status(&world, &peer, "/echo?api_key=bad"), 401);
        peer_connect(&world, &peer, DIALECT_PORT);
        cr_assert_eq(upgrade_status(&world, &peer, "/echo?api_key=full"), 429);
    }
    peer_connect(&world, &peer, DIALECT_PORT);
    cr_assert_eq(upgrade_status(&world, &peer, "/echo?api_key=good"), 101);
    finish(&world, &peer);
    finish(&world, &holder);
    world_advance(&world, 20000);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(names_counted(&world), 0);
    world_end(&world);
}

Test(session, gives_back_a_place_that_is_granted_to_a_connection_that_has_ended)
{
    static const char *const sets[] = {"echo.connections_per_address=100", NULL};
    struct world world;
    static struct peer peers[12]; /* some at the home of the address, some not */
    world_begin(&world, 3, 65536, sets);
    for (unsigned turns = 0; turns < 20; turns++) {
        for (unsigned n = 0; n < 12; n++) {
            peer_connect_from(&world, &peers[n], DIALECT_PORT, 1);
            peer_ask_upgrade(&world, &peers[n], "/echo");
        }
        for (unsigned i = 0; i < turns / 2; i++)
            world_turn(&world);
        for (unsigned n = 0; n < 12; n++) {
            if (turns % 2 == 0)
                sim_peer_reset(world.network, peers[n].number);
            else
                sim_peer_close(world.network, peers[n].number);
        }
        world_settle(&world);
        world_advance(&world, 20000);
        cr_assert_eq(world_open(&world), 0, "after %u turns", turns / 2);
        cr_assert_eq(names_counted(&world), 0, "after %u turns", turns / 2);
    }
    world_end(&world);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

Test(session, answers_in_order_what_came_while_it_was_being_opened)
{
    static const char *const sets[] = {"echo.connections_per_address=5", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 3, 65536, sets);
    peer_connect(&world, &peer, DIALECT_PORT);
    peer_ask_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, 0x80 | WS_TEXT, "one", 3);
    peer_frame(&world, &peer, WS_TEXT, "tw", 2);
    world_turn(&world);
    peer_frame(&world, &peer, 0x80 | WS_CONTINUATION, "o", 1);
    peer_frame(&world, &peer, 0x80 | WS_TEXT, "three", 5);
    world_settle(&world);
    cr_assert_eq(peer_response(&world, &peer), 101);
    peer_expect(&world, &peer, "one");
    peer_expect(&world, &peer, "two");
    peer_expect(&world, &peer, "three");
    world_end(&world);
}

/* A peer that is gone before its session opens leaves none behind. */
/* Whether there is a 101 is for the service to say; what it answers to has been kept meanwhile. */
Test(session, is_opened_when_its_service_has_answered)
{
    static const char accept[] = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"; /* RFC 6455 section 1.3 */
    static const char *const sets[] = {"aitbc.jobs_public=true", "aitbc.unknown_job=wait", NULL};
    struct world world;
    static struct peer peers[4]; /* some at the home of the service, some not */
    world_begin(&world, 2, 65536, sets);
    for (unsigned i = 0; i < 4; i++) {
        peer_connect(&world, &peers[i], DIALECT_PORT);
        peer_ask_upgrade(&world, &peers[i], "/v1/jobs/unknown/ws");
        world_settle(&world);
        peer_receive(&world, &peers[i]);
        cr_assert_not_null(memmem(peers[i].data, peers[i].used, accept, sizeof accept - 1));
        cr_assert_eq(peer_response(&world, &peers[i]), 101);
    }
    world_end(&world);
}

/* Its close frame is looked at when the subscription has taken effect, so the membership ends with it. */
Test(session, is_in_no_audience_when_its_close_came_while_it_subscribed)
{
    static const uint8_t code[2] = {1000 >> 8, 1000 & 0xFF};
    struct world world;
    static struct peer peers[4]; /* some at the home of the channel, some not */
    world_begin(&world, 2, 65536, NULL);
    for (unsigned i = 0; i < 4; i++) {
        peer_connect(&world, &peers[i], DIALECT_PORT);
        peer_ask_upgrade(&world, &peers[i], "/plain/c");
        peer_frame(&world, &peers[i], 0x80 | WS_CLOSE, code, sizeof code);
        world_settle(&world);
        cr_assert_eq(peer_response(&world, &peers[i]), 101);
        peer_expect_close(&world, &peers[i], WS_CLOSE_NORMAL);
        cr_assert_eq(world_sum(&world, STAT_SUBSCRIPTIONS), 0);
    }
    world_end(&world);
}

Test(session, ends_when_the_peers_end_came_while_it_was_being_opened)
{
    static const char *const sets[] = {"echo.connections_per_address=5", "echo.idle_timeout=0", "echo.ping_interval=0",
                                       NULL};
    struct world world;
    static struct peer peers[8];
    world_begin(&world, 3, 65536, sets);
    for (unsigned i = 0; i < 8; i++) {
        peer_connect_from(&world, &peers[i], DIALECT_PORT, (uint8_t)i);
        peer_ask_upgrade(&world, &peers[i], "/echo");
        sim_peer_shutdown(world.network, peers[i].number);
    }
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(names_counted(&world), 0);
    world_end(&world);
}

static void publish_with_little_room(const char *bound)
{
    const char *sets[] = {"plain.client_publish=true", bound, "plain.messages_max=0", NULL};
    struct world world;
    static struct peer publisher, reader;
    char text[16];
    world_begin(&world, 2, 65536, sets);
    peer_upgrade(&world, &reader, "/plain/c");
    peer_upgrade(&world, &publisher, "/plain/c");
    for (unsigned n = 0; n < 200; n++) {
        int bytes = snprintf(text, sizeof text, "%u", n);
        peer_frame(&world, &publisher, 0x80 | WS_TEXT, text, (uint32_t)bytes);
    }
    world_settle(&world);
    for (unsigned turn = 0; turn < 500; turn++)
        world_turn(&world);
    cr_assert_gt(world_sum(&world, STAT_PARKED), 0);
    for (unsigned n = 0; n < 200; n++) {
        snprintf(text, sizeof text, "%u", n);
        peer_expect(&world, &reader, text);
    }
    world_end(&world);
}

Test(session, publishes_in_order_when_there_is_little_room)
{
    publish_with_little_room("ingest.outstanding_max=1");
}

Test(session, publishes_in_order_when_little_memory_may_be_under_way)
{
    publish_with_little_room("ingest.outstanding_bytes_max=1B");
}

/* --- publishers --------------------------------------------------------------------------------------------------- */

/* who has come with a key that is no longer configured is closed, and nobody else. */
Test(session, closes_those_whose_key_is_gone_after_a_reload)
{
    static const char *const both[] = {"echo.keys=gone,kept", NULL};
    static const char *const one[] = {"echo.keys=kept", NULL};
    static const char *const lenient[] = {"echo.keys=new", "echo.close_on_revoke=false", NULL};
    struct world world;
    static struct peer gone, kept;
    world_begin(&world, 2, 65536, both);
    peer_upgrade(&world, &gone, "/echo?api_key=gone");
    peer_upgrade(&world, &kept, "/echo?api_key=kept");
    world_reload(&world, one);
    peer_expect_close(&world, &gone, WS_CLOSE_POLICY);
    peer_expect_nothing(&world, &kept);
    world_reload(&world, lenient);
    peer_text(&world, &kept, "still here");
    peer_expect(&world, &kept, "still here");
    world_end(&world);
}

Test(session, says_farewell_with_1001_behind_what_was_published)
{
    struct world world;
    static struct peer peers[6];
    world_begin(&world, 2, 65536, NULL);
    for (unsigned i = 0; i < 6; i++)
        peer_upgrade(&world, &peers[i], "/plain/c");
    world_publish(&world, 0, "c", "last words");
    for (uint16_t i = 0; i < 2; i++)
        atomic_store(&world.shards[i]->stage, STAGE_QUIESCE);
    for (unsigned turn = 0; turn < 20 && !(world.shards[0]->quiet && world.shards[1]->quiet); turn++)
        world_turn(&world);
    for (uint16_t i = 0; i < 2; i++)
        atomic_store(&world.shards[i]->stage, STAGE_FAREWELL);
    world_settle(&world);
    for (unsigned i = 0; i < 6; i++) {
        peer_expect(&world, &peers[i], "last words");
        peer_expect_close(&world, &peers[i], WS_CLOSE_GOING_AWAY);
    }
    world_end(&world);
}

/* Quiet means that everything is in the mailboxes, not that it has been taken out. */
Test(session, says_farewell_behind_what_is_still_in_the_mailbox)
{
    struct world world;
    static struct peer peers[6];
    world_begin(&world, 2, 65536, NULL);
    uint16_t number = channel_home(world.shards[0], 0, slice_text("c"));
    struct shard *home = world.shards[number], *other = world.shards[1 - number];
    for (unsigned i = 0; i < 6; i++)
        peer_upgrade(&world, &peers[i], "/plain/c");
    world_publish(&world, number, "c", "last words");
    shard_tick(home, false);
    cr_assert_gt(spsc_count(&other->mail->in[number]), 0, "peers are connected to both");
    for (uint16_t i = 0; i < 2; i++)
        atomic_store(&world.shards[i]->stage, STAGE_FAREWELL);
    world_settle(&world);
    for (unsigned i = 0; i < 6; i++) {
        peer_expect(&world, &peers[i], "last words");
        peer_expect_close(&world, &peers[i], WS_CLOSE_GOING_AWAY);
    }
    world_end(&world);
}
