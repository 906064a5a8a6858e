/* SPDX-License-Identifier: MIT */
/* The life of a connection over the simulated network: places of an address, deadlines of a body, an open session and a
 * close, in all their orders (K-24). What comes in is in test_conn_read.c, what waits in test_conn_waits.c. */
#include "core/work.h"
#include "tests/unit/shards/conn/conn_rig.h"
#include "tests/unit/shards/world.h"

#include <errno.h>

/* --- connections of one address, from accept on (K-24) ------------------------------------------------------------ */

Test(conn, counts_silent_connections_of_an_address_over_all_shards)
{
    static const char *const sets[] = {"connections_per_address=3", NULL};
    struct world world;
    static struct peer peers[6];
    world_begin(&world, 2, 65536, sets);
    for (unsigned i = 0; i < 3; i++)
        peer_connect(&world, &peers[i], i == 0 ? INGEST_PORT : DIALECT_PORT);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 3, "the limit");
    peer_connect(&world, &peers[3], DIALECT_PORT);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 3, "one more is ended without a word");
    expect_gone(&world, &peers[3]);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_ADDRESS), 1);
    peer_connect_from(&world, &peers[4], DIALECT_PORT, 77);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 4, "another address");
    sim_peer_close(world.network, peers[1].number);
    world_settle(&world);
    peer_upgrade(&world, &peers[5], "/echo");
    cr_assert_eq(world_open(&world), 4, "a place is free at once");
    for (unsigned i = 0; i < 6; i++)
        if (i != 1 && i != 3)
            sim_peer_close(world.network, peers[i].number);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world.shards[0]->quotas->map.count + world.shards[1]->quotas->map.count, 0, "every place came back");
    world_end(&world);
}

/* --- a body (at least 16 KiB a second beyond 10 s) ---------------------------------------------------------------- */

/* M6: who has a /64, as every customer does, has one address. */
Test(conn, counts_the_addresses_of_one_64_as_one)
{
    static const char *const sets[] = {"connections_per_address=3", NULL};
    struct world world;
    world_begin(&world, 1, 65536, sets);
    for (uint8_t i = 0; i < 10; i++) {
        const struct ring_address from = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [8] = i, [15] = i}, .port = 1000};
        cr_assert_geq(sim_connect(world.network, DIALECT_PORT, from), 0);
        world_settle(&world);
        cr_assert_eq(world_open(&world), i < 3 ? i + 1U : 3U);
    }
    const struct ring_address next = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [7] = 1}, .port = 1000};
    cr_assert_geq(sim_connect(world.network, DIALECT_PORT, next), 0);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 4, "the next /64");
    world_end(&world);
}

static const char *const publisher[] = {"ingest.keys=secret *", NULL};

static void begin_body(struct world *world, struct peer *peer, unsigned bytes)
{
    char head[200];
    snprintf(head, sizeof head,
             "POST /ingest/v1/plain/c HTTP/1.1\r\nHost: h\r\nX-Ingest-Key: secret\r\nContent-Length: %u\r\n\r\n",
             bytes);
    peer_connect(world, peer, INGEST_PORT);
    peer_say(world, peer, head);
    world_settle(world);
}

Test(conn, ends_a_body_that_trickles)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, publisher);
    begin_body(&world, &peer, 100);
    for (unsigned second = 0; second < 9; second++) {
        peer_say(&world, &peer, "x");
        world_advance(&world, 1000);
    }
    world_advance(&world, 999);
    cr_assert_eq(world_open(&world), 1);
    world_advance(&world, 1);
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

Test(conn, gives_a_body_time_as_long_as_it_comes)
{
    enum { SECONDS = 30, PER_SECOND = 16384 };
    struct world world;
    static struct peer peer;
    static char piece[PER_SECOND];
    memset(piece, 'x', sizeof piece);
    world_begin(&world, 1, 65536, publisher);
    begin_body(&world, &peer, SECONDS * PER_SECOND);
    for (unsigned second = 0; second < SECONDS; second++) {
        peer_send(&world, &peer, piece, sizeof piece);
        world_settle(&world);
        if (second + 1 < SECONDS)
            world_advance(&world, 1000);
    }
    cr_assert_eq(peer_response(&world, &peer), 202);
    world_end(&world);
}

/* --- timers of an open session ------------------------------------------------------------------------------------ */

Test(conn, pings_and_closes_a_silent_peer_with_1001)
{
    struct world world;
    static struct peer peer;
    char payload[200];
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/echo");
    world_advance(&world, 29999);
    peer_expect_nothing(&world, &peer);
    world_advance(&world, 1);
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_PING);
    world_advance(&world, 30000);
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_PING);
    world_advance(&world, 29999);
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), -1);
    world_advance(&world, 1);
    peer_expect_close(&world, &peer, WS_CLOSE_GOING_AWAY);
    cr_assert_eq(world_sum(&world, STAT_SESSIONS), 0);
    world_end(&world);
    cr_assert_eq(peer.end, 0);
}

Test(conn, keeps_a_peer_that_answers_pings)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/echo");
    for (unsigned i = 0; i < 20; i++) {
        char payload[200];
        world_advance(&world, 30000);
        cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_PING);
        peer_frame(&world, &peer, 0x80 | WS_PONG, NULL, 0);
        world_settle(&world);
    }
    peer_text(&world, &peer, "still here");
    peer_expect(&world, &peer, "still here");
    world_end(&world);
}

/* K-24: nobody is idle because the server itself was not there: it pings first, and the silence counts from then on. */
Test(conn, does_not_blame_its_peers_for_a_pause_of_the_server)
{
    static const char *const sets[] = {"echo.ping_interval=500ms", "echo.idle_timeout=3s", NULL};
    enum { PEERS = 20 };
    struct world world;
    static struct peer peers[PEERS], handshaking;
    char payload[200];
    world_begin(&world, 1, 65536, sets);
    peer_connect(&world, &handshaking, DIALECT_PORT);
    peer_say(&world, &handshaking, "GET /echo HT");
    for (unsigned i = 0; i < PEERS; i++)
        peer_upgrade(&world, &peers[i], "/echo");
    world_pause(&world, 40000);
    cr_assert_eq(world_sum(&world, STAT_ABSENCES), 1);
    cr_assert_eq(world_sum(&world, STAT_SESSIONS), PEERS);
    cr_assert_eq(world_open(&world), PEERS + 1);
    for (unsigned i = 0; i < PEERS; i++) {
        cr_assert_eq(peer_next(&world, &peers[i], payload, sizeof payload), WS_PING);
        if (i > 0)
            peer_frame(&world, &peers[i], 0x80 | WS_PONG, NULL, 0);
    }
    world_advance(&world, 1500);
    for (unsigned i = 1; i < PEERS; i++)
        peer_frame(&world, &peers[i], 0x80 | WS_PONG, NULL, 0);
    world_advance(&world, 1499);
    cr_assert_eq(world_sum(&world, STAT_SESSIONS), PEERS);
    world_advance(&world, 1);
    while (peer_next(&world, &peers[0], payload, sizeof payload) == WS_PING)
        ;
    cr_assert_eq(payload[1], (char)(WS_CLOSE_GOING_AWAY & 255), "the one that did not answer");
    cr_assert_eq(world_sum(&world, STAT_SESSIONS), PEERS - 1);
    world_advance(&world, 7000); /* it has its 10 s, without the pause */
    expect_gone(&world, &handshaking);
    world_end(&world);
}

Test(conn, ends_at_its_longest_duration)
{
    static const char *const sets[] = {"echo.duration_max=60s", "echo.ping_interval=0", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &peer, "/echo");
    world_advance(&world, 59999);
    peer_text(&world, &peer, "a");
    peer_expect(&world, &peer, "a");
    world_advance(&world, 1);
    peer_expect_close(&world, &peer, WS_CLOSE_GOING_AWAY);
    sim_peer_close(world.network, peer.number);
    world_settle(&world);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_DURATION), 1);
    world_end(&world);
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

Test(conn, answers_a_close_frame_and_waits_for_the_peers_end)
{
    static const uint8_t payload[] = {0x0f, 0xa1, 'b', 'y', 'e'}; /* 4001 */
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, 0x80 | WS_CLOSE, payload, sizeof payload);
    world_settle(&world);
    peer_expect_close(&world, &peer, 4001);
    peer_receive(&world, &peer);
    cr_assert_eq(peer.end, -EPIPE, "our side is shut down");
    cr_assert_eq(world_open(&world), 1);
    sim_peer_close(world.network, peer.number);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_PEER_CLOSED), 1);
    world_end(&world);
}

Test(conn, ends_two_seconds_after_a_close_that_the_peer_does_not_finish)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, 0x80 | WS_CLOSE, NULL, 0);
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_NORMAL);
    world_advance(&world, 1999);
    cr_assert_eq(world_open(&world), 1);
    world_advance(&world, 1);
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

Test(conn, ends_a_close_that_the_peer_does_not_answer)
{
    static const char *const sets[] = {"close_timeout=3s", "plain.messages_max=1", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &peer, "/plain/c");
    peer_text(&world, &peer, "one");
    peer_text(&world, &peer, "one too many");
    peer_expect_close(&world, &peer, WS_CLOSE_POLICY);
    world_advance(&world, 2999);
    cr_assert_eq(world_open(&world), 1);
    world_advance(&world, 1);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_MESSAGE_RATE), 1, "counted by its first reason");
    world_end(&world);
}

/* RFC 6455 section 7.1.7: behind the close frame of a violation nothing of the peer is waited for. */
Test(conn, fails_a_connection_that_breaks_the_protocol)
{
    static const char *const sets[] = {"close_timeout=3s", "echo.message_bytes_max=10B", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &peer, "/echo");
    peer_text(&world, &peer, "far too long");
    peer_expect_close(&world, &peer, WS_CLOSE_TOO_BIG);
    world_advance(&world, 1999); /* lingers, so that the close frame is not lost in a reset */
    cr_assert_eq(world_open(&world), 1);
    world_advance(&world, 1);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_TOO_BIG), 1, "counted by its first reason");
    world_end(&world);
}

Test(conn, ends_with_a_peer_that_is_gone)
{
    for (unsigned how = 0; how < 3; how++) {
        struct world world;
        static struct peer peer;
        world_begin(&world, 1, 65536, NULL);
        peer_upgrade(&world, &peer, "/plain/c");
        if (how == 0)
            sim_peer_reset(world.network, peer.number);
        else if (how == 1)
            sim_peer_shutdown(world.network, peer.number);
        else
            sim_peer_close(world.network, peer.number);
        world_settle(&world);
        cr_assert_eq(world_open(&world), 0);
        cr_assert_eq(world_sum(&world, STAT_CHANNELS), 0);
        cr_assert_eq(world_sum(&world, STAT_CLOSED_PEER_GONE), 1);
        world_end(&world);
    }
}
