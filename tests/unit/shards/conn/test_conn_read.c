/* SPDX-License-Identifier: MIT */
/* The incoming half of a connection over the simulated network: heads and requests that follow each other however they
 * are cut, and the limits on hostile input (K-24). */
#include "core/work.h"
#include "tests/unit/shards/conn/conn_rig.h"
#include "tests/unit/shards/world.h"

#include <errno.h>

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/* --- the handshake (K-24: 10 s, 16 KiB, 100 headers) -------------------------------------------------------------- */

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

/* --- several requests on one connection --------------------------------------------------------------------------- */

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

/* --- limits on input of an open session (K-24) -------------------------------------------------------------------- */

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

/* --- the budget of a turn ------------------------------------------------------------------------------------------ */

/* 3,000 empty messages are 4 ms of work: it is served in pieces. */
Test(conn, a_flood_of_small_messages_waits_for_the_next_turn)
{
    static const char *const sets[] = {"echo.messages_max=0", NULL};
    enum { MESSAGES = 3000 };
    static uint8_t frames[MESSAGES * 6];
    struct world world;
    static struct peer flood, honest;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &flood, "/echo");
    peer_upgrade(&world, &honest, "/echo");
    for (size_t i = 0; i < MESSAGES; i++)
        memcpy(frames + i * 6, "\x81\x80\0\0\0\0", 6);
    peer_send(&world, &flood, frames, sizeof frames);
    peer_text(&world, &honest, "hello");
    world_settle(&world);
    cr_assert_eq(world_sum(&world, STAT_MESSAGES_IN), MESSAGES + 1, "nothing is lost");
    cr_assert_geq(world_sum(&world, STAT_YIELDED), 5, "300 us at a time");
    peer_expect(&world, &honest, "hello");
    world_end(&world);
}

/* Who has yielded and then ends its stream is read to the end of it first. */
Test(conn, a_flood_is_read_to_its_end_of_stream)
{
    static const char *const sets[] = {"echo.messages_max=0", NULL};
    enum { MESSAGES = 3000 };
    static uint8_t frames[MESSAGES * 6];
    struct world world;
    static struct peer flood;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &flood, "/echo");
    for (size_t i = 0; i < MESSAGES; i++)
        memcpy(frames + i * 6, "\x81\x80\0\0\0\0", 6);
    peer_send(&world, &flood, frames, sizeof frames);
    sim_peer_shutdown(world.network, flood.number);
    world_settle(&world);
    cr_assert_eq(world_sum(&world, STAT_MESSAGES_IN), MESSAGES);
    cr_assert_eq(world_open(&world), 0);
    world_end(&world);
}

/* H-2: what is beyond a limit is not read. */
Test(conn, a_message_beyond_the_limit_is_not_read)
{
    static const char *const sets[] = {"plain.messages_max=1", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    peer_upgrade(&world, &peer, "/plain/c");
    peer_text(&world, &peer, "one");
    peer_frame(&world, &peer, WS_TEXT, "begun, no", 9); /* its end never comes */
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_POLICY);
    cr_assert_eq(world_sum(&world, STAT_UNREAD), 1);
    world_end(&world);
}
