/* SPDX-License-Identifier: MIT */
/* The budget of input that is not complete (K-24): bodies and messages that are held end whoever holds most of them for
 * longest, and an honest publisher is served meanwhile. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define HOLDERS 24
#define HELD 60000

static char bytes[HELD];

static void begin_body(struct world *world, struct peer *peer, unsigned length)
{
    char head[256];
    snprintf(head, sizeof head,
             "POST /ingest/v1/plain/a HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\nContent-Type: text/plain\r\n"
             "Content-Length: %u\r\n\r\n",
             length);
    peer_connect(world, peer, INGEST_PORT);
    peer_say(world, peer, head);
}

static void publish(struct world *world, struct peer *peer)
{
    peer_say(world, peer,
             "POST /ingest/v1/plain/a HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\nContent-Type: text/plain\r\n"
             "Content-Length: 2\r\n\r\nhi");
    cr_assert_eq(peer_response(world, peer), 202);
}

static void begin(struct world *world, const char *const *sets)
{
    memset(bytes, 'x', sizeof bytes);
    world_begin(world, 1, 65536, sets);
    world->shards[0]->conns->input.bytes_max = 400000;
}

/* M7: bodies have a budget and a gauge. */
Test(input, of_bodies_that_are_held_ends_those_who_hold_them)
{
    static const char *const sets[] = {"ingest.keys=secret *", NULL};
    struct world world;
    static struct peer holders[HOLDERS], honest;
    begin(&world, sets);
    peer_connect(&world, &honest, INGEST_PORT);
    for (unsigned i = 0; i < HOLDERS; i++) {
        begin_body(&world, &holders[i], 1 << 20);
        peer_send(&world, &holders[i], bytes, HELD);
        world_settle(&world);
        cr_assert_leq(world.shards[0]->conns->input_bytes, 800000);
        publish(&world, &honest);
    }
    cr_assert_gt(world.shards[0]->conns->input_bytes, HELD);
    cr_assert_gt(world_sum(&world, STAT_INPUT_CUT), HOLDERS / 2);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_OVERLOAD), world_sum(&world, STAT_INPUT_CUT));
    world_end(&world);
}

/* M14: so have pieces of messages; whose last bytes are long ago goes before who holds as much and gets on. */
Test(input, of_messages_that_do_not_get_on_goes_first)
{
    struct world world;
    static struct peer holders[8], busy, talker;
    begin(&world, NULL);
    peer_upgrade(&world, &talker, "/echo");
    peer_upgrade(&world, &busy, "/echo");
    peer_frame(&world, &busy, WS_TEXT, bytes, 40000);
    for (unsigned i = 0; i < 8; i++) {
        peer_upgrade(&world, &holders[i], "/echo");
        peer_frame(&world, &holders[i], WS_TEXT, bytes, 40000);
        world_advance(&world, 2000);
        peer_frame(&world, &busy, WS_CONTINUATION, "more", 4);
        peer_text(&world, &talker, "hello");
        peer_expect(&world, &talker, "hello");
    }
    cr_assert_gt(world_sum(&world, STAT_INPUT_CUT), 0);
    peer_frame(&world, &busy, 0x80 | WS_CONTINUATION, ".", 1);
    world_settle(&world);
    char got[50000];
    cr_assert_eq(peer_next(&world, &busy, got, sizeof got), WS_TEXT, "who gets on is left alone");
    world_end(&world);
}

/* L13: a limit that a reload has made smaller than what is here ends the message, and nothing wraps. */
Test(input, beyond_a_limit_that_a_reload_has_lowered_is_refused)
{
    static const char *const sets[] = {"echo.message_bytes_max=64KiB", NULL};
    static const char *const lower[] = {"echo.message_bytes_max=1KiB", NULL};
    struct world world;
    static struct peer peer;
    begin(&world, sets);
    peer_upgrade(&world, &peer, "/echo");
    peer_frame(&world, &peer, WS_TEXT, bytes, 50000);
    world_settle(&world);
    struct config *next = world_config(lower), *before = world.config;
    atomic_store(&world.shards[0]->config_next, next);
    world_turn(&world);
    world.config = next;
    config_free(before);
    peer_frame(&world, &peer, WS_CONTINUATION, bytes, 20000);
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_TOO_BIG);
    world_end(&world);
}
