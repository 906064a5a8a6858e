/* SPDX-License-Identifier: MIT */
/* The publisher WebSocket over the simulated network (I-5): its window, its input while that is full, acknowledgements
 * in order, refused objects, and its key over a reload. */
#include "core/work.h"
#include "shards/publish/publisher.h"
#include "tests/unit/shards/world.h"

#include <stdio.h>

static const char *const one_key[] = {"ingest.keys=secret plain/*", "ingest.outstanding_max=1", NULL};

/* --- the window --------------------------------------------------------------------------------------------------- */

static void open_publisher(struct world *world, struct peer *peer)
{
    static const char text[] = "GET /ingest/v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "X-Ingest-Key: secret\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    peer_connect(world, peer, INGEST_PORT);
    peer_say(world, peer, text);
    cr_assert_eq(peer_response(world, peer), 101);
}

static void publish_object(struct world *world, struct peer *peer, unsigned seq, unsigned padding)
{
    static char text[8192];
    int bytes = snprintf(text, sizeof text,
                         "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"c\",\"seq\":%u,\"data\":\"%0*u\"}", seq,
                         (int)padding, seq);
    peer_frame(world, peer, 0x80 | WS_TEXT, text, (uint32_t)bytes);
}

/* The newest seq that was acknowledged; `before` when there is none. */
static unsigned acknowledged(struct world *world, struct peer *peer, unsigned before)
{
    char payload[256];
    while (peer_next(world, peer, payload, sizeof payload) == WS_TEXT) {
        cr_assert_not_null(strstr(payload, "\"op\":\"ack\""), "%s", payload);
        before = (unsigned)strtoul(strstr(payload, "\"seq\":") + 6, NULL, 10);
    }
    return before;
}

/* What waits never runs dry and never exceeds what stops the receive: after many times the stash's bound it still goes
 * on. */
Test(publisher, lets_a_publisher_stream_without_a_pause)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 1 << 20, one_key);
    open_publisher(&world, &peer);
    unsigned sent = 0, acked = 0;
    while (sent < 3000) {
        while (sent < acked + 8 && sent < 3000)
            publish_object(&world, &peer, ++sent, 4000);
        world_turn(&world);
        cr_assert_eq(world_open(&world), 1, "after %u objects", sent);
        static char payload[256];
        int taken = sim_peer_receive(world.network, peer.number, peer.data + peer.used, 4096);
        peer.used += taken > 0 ? (uint32_t)taken : 0;
        while (peer.used > 2 && peer.used >= 2U + peer.data[1]) {
            memcpy(payload, peer.data + 2, peer.data[1]);
            payload[peer.data[1]] = '\0';
            acked = (unsigned)strtoul(strstr(payload, "\"seq\":") + 6, NULL, 10);
            peer_forget(&peer, 2U + peer.data[1]);
        }
        cr_assert_lt(world.shards[0]->conns->input_bytes, (size_t)1 << 20, "the stash does not grow with the stream");
    }
    world_settle(&world);
    for (unsigned turn = 0; turn < 50; turn++)
        world_turn(&world);
    cr_assert_eq(acknowledged(&world, &peer, acked), sent);
    world_end(&world);
}

/* With the window full its input waits, and goes on with each acknowledgement. */
Test(publisher, takes_more_at_once_than_a_publishers_window_holds)
{
    static const char *const sets[] = {"ingest.keys=secret plain/*", "ingest.outstanding_max=4096", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 1 << 20, sets);
    open_publisher(&world, &peer);
    for (unsigned seq = 1; seq <= 3 * PUBLISHER_WINDOW; seq++)
        publish_object(&world, &peer, seq, 1);
    world_settle(&world);
    cr_assert_gt(world_sum(&world, STAT_PARKED), 0);
    cr_assert_eq(acknowledged(&world, &peer, 0), 3 * PUBLISHER_WINDOW);
    world_end(&world);
}

/* A publisher's permissions are those of its key, wherever the key stands in the list after a reload. */
Test(publisher, finds_a_publishers_key_again_after_a_reload)
{
    static const char *const moved[] = {"ingest.keys=other echo/*,secret plain/*", NULL};
    static const char *const gone[] = {"ingest.keys=other plain/*", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, one_key);
    open_publisher(&world, &peer);
    publish_object(&world, &peer, 1, 1);
    world_settle(&world);
    cr_assert_eq(acknowledged(&world, &peer, 0), 1);
    world_reload(&world, moved);
    publish_object(&world, &peer, 2, 1);
    world_settle(&world);
    cr_assert_eq(acknowledged(&world, &peer, 0), 2);
    world_reload(&world, gone);
    peer_expect_close(&world, &peer, WS_CLOSE_POLICY);
    world_end(&world);
}

/* --- acknowledgements --------------------------------------------------------------------------------------------- */

/* Two shards, and a topic with its home at each of them. */
struct two {
    struct world world;
    struct shard *own, *other; /* the publisher's, and the one that is not ticked */
    char here[8], there[8];
};

static void two_begin(struct two *two, struct peer *peer)
{
    static const char *const sets[] = {"ingest.keys=secret plain/*", "ingest.outstanding_max=4096", NULL};
    world_begin(&two->world, 2, 1 << 20, sets);
    open_publisher(&two->world, peer);
    uint16_t number = two->world.shards[0]->conns->slab.count_live == 1 ? 0 : 1;
    two->own = two->world.shards[number];
    two->other = two->world.shards[1 - number];
    two->here[0] = two->there[0] = '\0';
    for (unsigned i = 0; two->here[0] == '\0' || two->there[0] == '\0'; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        uint16_t home =
            channel_home(two->own, (uint8_t)ingest_dialect(two->own, slice_text("plain")), slice_text(name));
        memcpy(home == number ? two->here : two->there, name, sizeof name);
    }
}

static void publish_to(struct two *two, struct peer *peer, const char *topic, unsigned seq)
{
    char text[256];
    int bytes =
        snprintf(text, sizeof text, "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"%s\",\"seq\":%u,\"data\":1}",
                 topic, seq);
    peer_frame(&two->world, peer, 0x80 | WS_TEXT, text, (uint32_t)bytes);
}

/* As if the other one were busy for long. */
static void tick_own(struct two *two)
{
    for (unsigned turn = 0; turn < 50; turn++)
        shard_tick(two->own, false);
}

Test(publisher, acknowledges_nothing_before_what_came_first_has_been_served)
{
    struct two two;
    static struct peer peer;
    two_begin(&two, &peer);
    publish_to(&two, &peer, two.there, 5);
    publish_to(&two, &peer, two.here, 6);
    publish_to(&two, &peer, two.here, 9);
    tick_own(&two);
    cr_assert_eq(two.own->errands->outstanding, 1, "two of three have been served");
    uint8_t byte;
    cr_assert_eq(sim_peer_receive(two.world.network, peer.number, &byte, 1), 0, "and nothing is said of them");
    world_settle(&two.world);
    peer_expect(&two.world, &peer, "{\"op\":\"ack\",\"seq\":9}");
    peer_expect_nothing(&two.world, &peer);
    world_end(&two.world);
}

Test(publisher, has_1024_objects_under_way_and_no_more)
{
    struct two two;
    static struct peer peer;
    two_begin(&two, &peer);
    for (unsigned seq = 1; seq <= PUBLISHER_WINDOW + 1; seq++)
        publish_to(&two, &peer, two.there, seq);
    tick_own(&two);
    cr_assert_eq(two.own->errands->outstanding, PUBLISHER_WINDOW);
    cr_assert_eq(stats_get(&two.own->stats, STAT_INGEST_ACCEPTED), PUBLISHER_WINDOW);
    world_settle(&two.world);
    cr_assert_eq(acknowledged(&two.world, &peer, 0), PUBLISHER_WINDOW + 1);
    world_end(&two.world);
}

/* A refused object holds no place: it would for ever, since nobody answers it. */
Test(publisher, says_no_at_once_and_goes_on)
{
    static const char *const refused[][2] = {
        {"[1]", "{\"op\":\"nack\",\"seq\":null,\"error\":\"Not a JSON object\"}"},
        {"{\"op\":\"subscribe\",\"seq\":7}",
         "{\"op\":\"nack\",\"seq\":7,\"error\":\"op must be \\\"publish\\\", \\\"serve\\\" or \\\"results\\\"\"}"},
        {"{\"op\":\"publish\",\"seq\":-1}",
         "{\"op\":\"nack\",\"seq\":null,\"error\":\"seq must be an integer of 0 or more\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"plain\"}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"dialect and topic must be strings\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"plain\",\"topic\":\"c\"}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"Either data or data_base64 is needed\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"plain\",\"topic\":\"c\",\"data\":1,\"data_base64\":\"MQ==\"}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"Either data or data_base64 is needed\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"nobody\",\"topic\":\"c\",\"data\":1}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"Unknown dialect\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"plain\",\"topic\":\"c\",\"data_base64\":\"MQ\"}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"data_base64 is not base64 with padding\"}"},
        {"{\"op\":\"publish\",\"seq\":1,\"dialect\":\"rustorium\",\"topic\":\"blocks\",\"data\":1}",
         "{\"op\":\"nack\",\"seq\":1,\"error\":\"This key may not publish to this topic\"}"},
    };
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, one_key);
    open_publisher(&world, &peer);
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        peer_text(&world, &peer, refused[i][0]);
        peer_expect(&world, &peer, refused[i][1]);
    }
    cr_assert_eq(world_sum(&world, STAT_INGEST_ACCEPTED), 0);
    publish_object(&world, &peer, 8, 1);
    world_settle(&world);
    peer_expect(&world, &peer, "{\"op\":\"ack\",\"seq\":8}");
    world_end(&world);
}

Test(publisher, reads_text_only)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, one_key);
    open_publisher(&world, &peer);
    peer_frame(&world, &peer, 0x80 | WS_BINARY, "x", 1);
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_UNSUPPORTED);
    world_end(&world);
}
