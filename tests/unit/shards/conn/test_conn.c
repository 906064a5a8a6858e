/* SPDX-License-Identifier: MIT */
/* The life of a connection over the simulated network: deadlines, limits on hostile input (K-24), closing in all its orders, and
 * requests that follow each other on one connection. */
#include "tests/unit/shards/world.h"

#include <errno.h>
#include <sys/socket.h>

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

static void expect_gone(struct world *world, struct peer *peer)
{
    peer_receive(world, peer);
    cr_assert_eq(peer->used, 0);
    cr_assert_neq(peer->end, 0, "the connection is still there");
}

/* ---- connections of one address, from accept on (K-24) ---- */

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

/* ---- a body (at least 16 KiB a second beyond 10 s) ---- */

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

/* ---- the handshake (K-24: 10 s, 16 KiB, 100 headers) ---- */

Test(conn, ends_a_handshake_after_ten_seconds)
{
    struct world world;
    static struct peer silent, slow;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &silent, DIALECT_PORT);
    peer_connect(&world, &slow, DIALECT_PORT);
    peer_say(&world, &slow, "GET /echo HTTP/1.1\r\n");
    world_advance(&world, 9000);
    peer_say(&world, &slow, "Host: a\r\n"); /* gains no time */
    world_advance(&world, 999);
    cr_assert_eq(world_open(&world), 2);
    world_advance(&world, 1);
    expect_gone(&world, &silent);
    expect_gone(&world, &slow);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_HANDSHAKE_TIMEOUT), 2);
    world_end(&world);
}

/* A GET with `count` headers, the last filled so that the head has `bytes` bytes. */
static uint32_t put_head(char *out, unsigned count, uint32_t bytes)
{
    uint32_t used = (uint32_t)sprintf(out, "GET /healthz HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 2; i < count; i++)
        used += (uint32_t)sprintf(out + used, "X-%02u: a\r\n", i);
    used += (uint32_t)sprintf(out + used, "X-Last: a");
    while (used + 4 < bytes)
        out[used++] = 'a';
    return used + (uint32_t)sprintf(out + used, "\r\n\r\n");
}

static int status_of_head(unsigned headers, uint32_t bytes, uint32_t piece)
{
    static char text[32768];
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    uint32_t used = put_head(text, headers, bytes);
    for (uint32_t at = 0; at < used; at += piece) {
        peer_send(&world, &peer, text + at, used - at < piece ? used - at : piece);
        if (piece < used)
            world_turn(&world);
    }
    world_settle(&world);
    int status = peer_response(&world, &peer);
    world_end(&world);
    return status;
}

Test(conn, takes_a_head_of_16384_bytes_and_100_headers_and_no_more)
{
    static const uint32_t pieces[] = {32768, 1000, 97};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(status_of_head(10, HTTP_HEAD_BYTES_MAX - 1, pieces[i]), 200);
        cr_assert_eq(status_of_head(10, HTTP_HEAD_BYTES_MAX, pieces[i]), 200);
        cr_assert_eq(status_of_head(10, HTTP_HEAD_BYTES_MAX + 1, pieces[i]), 431);
        cr_assert_eq(status_of_head(10, HTTP_HEAD_BYTES_MAX + 5000, pieces[i]), 431);
        cr_assert_eq(status_of_head(HTTP_HEADERS_MAX - 1, 0, pieces[i]), 200);
        cr_assert_eq(status_of_head(HTTP_HEADERS_MAX, 0, pieces[i]), 200);
        cr_assert_eq(status_of_head(HTTP_HEADERS_MAX + 1, 0, pieces[i]), 431);
    }
}

/* ---- several requests on one connection ---- */

Test(conn, answers_pipelined_requests_in_order_however_they_are_cut)
{
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
                               "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\nPUT /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for (uint32_t cut = 0; cut < sizeof text; cut++) {
        struct world world;
        static struct peer peer;
        world_begin(&world, 1, 65536, NULL);
        peer_connect(&world, &peer, ADMIN_PORT);
        peer_send(&world, &peer, text, cut);
        world_turn(&world);
        peer_send(&world, &peer, text + cut, (uint32_t)sizeof text - 1 - cut);
        world_settle(&world);
        cr_assert_eq(peer_response(&world, &peer), 200, "cut at %u", cut);
        cr_assert_eq(peer_response(&world, &peer), 404);
        cr_assert_eq(memcmp(peer.data, "HTTP/1.1 200", 12), 0);
        peer_forget(&peer, (uint32_t)((const uint8_t *)memmem(peer.data, peer.used, "\r\n\r\n", 4) - peer.data) + 4);
        cr_assert_eq(peer_response(&world, &peer), 405, "the response to HEAD has no content");
        cr_assert_eq(peer.end, 0);
        world_end(&world);
    }
}

Test(conn, keeps_an_http_connection_for_75_seconds)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    for (unsigned i = 0; i < 3; i++) {
        peer_say(&world, &peer, request);
        cr_assert_eq(peer_response(&world, &peer), 200);
        world_advance(&world, 74999);
    }
    peer_say(&world, &peer, "GET /heal"); /* a head that has begun has 10 s, or less */
    world_advance(&world, 1);
    expect_gone(&world, &peer);
    world_end(&world);
}

Test(conn, bounds_responses_that_nobody_reads)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 4096, NULL);
    struct shard *shard = world.shards[0];
    peer_connect(&world, &peer, ADMIN_PORT);
    for (unsigned i = 0; i < 2000 && world_open(&world) > 0; i++) {
        static const char metrics[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        peer_send(&world, &peer, metrics, sizeof metrics - 1);
        world_turn(&world);
        cr_assert_lt(shard->frames->bytes, (size_t)8 << 20);
    }
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0, "a client that asks and never reads is ended");
    world_end(&world);
}

Test(conn, answers_a_client_that_has_closed_its_half)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    peer_send(&world, &peer, request, sizeof request - 1);
    sim_peer_shutdown(world.network, peer.number);
    world_settle(&world);
    cr_assert_eq(peer_response(&world, &peer), 200);
    cr_assert_eq(peer.end, -EPIPE, "in order, no reset");
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

/* ---- timers of an open session ---- */

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

/* ---- limits on input of an open session (K-24) ---- */

static void send_pings(struct world *world, struct peer *peer, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        peer_frame(world, peer, 0x80 | WS_PING, NULL, 0);
    world_settle(world);
}

static unsigned count_pongs(struct world *world, struct peer *peer)
{
    char payload[200];
    unsigned pongs = 0;
    while (peer_next(world, peer, payload, sizeof payload) == WS_PONG)
        pongs++;
    return pongs;
}

Test(conn, takes_50_control_frames_a_second)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/echo");
    send_pings(&world, &peer, WS_CONTROLS_PER_SECOND);
    cr_assert_eq(count_pongs(&world, &peer), WS_CONTROLS_PER_SECOND);
    world_advance(&world, 1000);
    send_pings(&world, &peer, WS_CONTROLS_PER_SECOND);
    cr_assert_eq(count_pongs(&world, &peer), WS_CONTROLS_PER_SECOND, "a new second");
    send_pings(&world, &peer, 1);
    peer_expect_close(&world, &peer, WS_CLOSE_POLICY);
    world_end(&world);
}

Test(conn, takes_1024_empty_fragments_of_a_message)
{
    for (unsigned over = 0; over < 2; over++) {
        struct world world;
        static struct peer peer;
        world_begin(&world, 1, 65536, NULL);
        peer_upgrade(&world, &peer, "/echo");
        peer_frame(&world, &peer, WS_TEXT, NULL, 0);
        for (unsigned i = 1; i < WS_EMPTY_FRAGMENTS_MAX + over; i++)
            peer_frame(&world, &peer, WS_CONTINUATION, NULL, 0);
        peer_frame(&world, &peer, 0x80 | WS_CONTINUATION, "end", 3);
        world_settle(&world);
        if (over == 0)
            peer_expect(&world, &peer, "end");
        else
            peer_expect_close(&world, &peer, WS_CLOSE_POLICY);
        world_end(&world);
    }
}

Test(conn, gives_a_message_60_seconds)
{
    struct world world;
    static struct peer quick, slow;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &quick, "/echo");
    peer_upgrade(&world, &slow, "/echo");
    peer_frame(&world, &quick, WS_TEXT, "a", 1);
    peer_frame(&world, &slow, WS_TEXT, "a", 1);
    world_settle(&world);
    for (unsigned s = 0; s < 59; s++) {
        world_advance(&world, 1000);
        peer_frame(&world, &slow, WS_CONTINUATION, "a", 1); /* a byte a second gains no time */
        peer_frame(&world, &slow, 0x80 | WS_PONG, NULL, 0); /* nor does a control frame within */
    }
    world_advance(&world, 999);
    peer_frame(&world, &quick, 0x80 | WS_CONTINUATION, "b", 1);
    world_settle(&world);
    world_advance(&world, 1);
    char payload[200];
    cr_assert_eq(peer_next(&world, &quick, payload, sizeof payload), WS_PING, "after 30 s");
    peer_expect(&world, &quick, "ab");
    cr_assert_eq(peer_next(&world, &slow, payload, sizeof payload), WS_PING, "after 30 s");
    peer_expect_close(&world, &slow, WS_CLOSE_POLICY);
    world_end(&world);
}

/* Every receive ends in the middle of a message, for more than the time that one message has. */
Test(conn, does_not_take_a_stream_of_messages_for_one_that_never_ends)
{
    static const char *const sets[] = {"echo.messages_max=0", NULL};
    struct world world;
    static struct peer peer;
    char payload[200];
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, WS_TEXT, "a", 1);
    world_settle(&world);
    for (unsigned s = 0; s < 100; s++) {
        world_advance(&world, 1000);
        peer_frame(&world, &peer, 0x80 | WS_CONTINUATION, "b", 1);
        peer_frame(&world, &peer, WS_TEXT, "a", 1); /* in one receive with the end of the one before */
        world_settle(&world);
        int opcode;
        while ((opcode = peer_next(&world, &peer, payload, sizeof payload)) == WS_PING)
            ;
        cr_assert_eq(opcode, WS_TEXT, "second %u", s);
        cr_assert_str_eq(payload, "ab");
    }
    world_end(&world);
}

Test(conn, bounds_a_message_by_the_setting)
{
    static const char *const sets[] = {"echo.message_bytes_max=1KiB", NULL};
    static char text[1026];
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    memset(text, 'x', 1025);
    peer_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, 0x80 | WS_TEXT, text, 1024);
    world_settle(&world);
    peer_receive(&world, &peer);
    cr_assert_eq(peer.used, 1028);
    peer_forget(&peer, 1028);
    peer_frame(&world, &peer, 0x80 | WS_TEXT, text, 1025);
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_TOO_BIG);
    world_end(&world);
}

/* ---- closing ---- */

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

/* ---- waiting lists ---- */

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

/* ---- listeners ---- */

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
