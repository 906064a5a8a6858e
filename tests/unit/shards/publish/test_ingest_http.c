/* SPDX-License-Identifier: MIT */
/* The publisher API over HTTP over the simulated network: requests that follow each other, states of any size, and what
 * waits for room when the server stops. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#include <stdio.h>

static const char *const one_key[] = {"ingest.keys=secret plain/*", "ingest.outstanding_max=1", NULL};

static int post(struct world *world, struct peer *peer, const char *type, const char *body)
{
    static char text[65536];
    snprintf(text, sizeof text,
             "POST /ingest/v1/plain/c HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\nContent-Type: %s\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             type, strlen(body), body);
    peer_say(world, peer, text);
    return peer_response(world, peer);
}

Test(ingest_http, serves_requests_of_one_publisher_one_after_another)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 2, 65536, one_key);
    peer_connect(&world, &peer, INGEST_PORT);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(post(&world, &peer, "text/plain", "hello"), 202);
        cr_assert_eq(post(&world, &peer, "application/x-ndjson", "{\"a\":1}\n\n{\"a\":2}\n"), 202);
        cr_assert_eq(post(&world, &peer, "text/plain", ""), 202);
    }
    world_end(&world);
}

/* One response of any size is sent: a bound is on what waits behind it. */
Test(ingest_http, answers_with_a_state_of_many_megabytes)
{
    static const char *const sets[] = {"ingest.keys=secret plain/*", "plain.retain=1", NULL};
    static const char get[] = "GET /ingest/v1/plain/c HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\n\r\n";
    enum { BYTES = 6 << 20 };
    static uint8_t sink[65536];
    struct world world;
    static struct peer peer;
    char *text = malloc(BYTES + 1);
    uint64_t received = 0;
    world_begin(&world, 1, 1 << 20, sets);
    memset(text, 'x', BYTES);
    text[BYTES] = '\0';
    world_publish(&world, 0, "c", text);
    free(text);
    peer_connect(&world, &peer, INGEST_PORT);
    peer_send(&world, &peer, get, sizeof get - 1);
    for (unsigned turn = 0; turn < 1000 && received <= BYTES; turn++) {
        world_turn(&world);
        for (int taken; (taken = sim_peer_receive(world.network, peer.number, sink, sizeof sink)) > 0;)
            received += (uint64_t)taken;
    }
    cr_assert_gt(received, BYTES);
    world_end(&world);
}

/* A request that waits for room when the server stops is answered, and nothing is acknowledged that was not
 * published. */
Test(ingest_http, answers_a_publisher_that_waits_when_the_server_stops)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, one_key);
    struct shard *shard = world.shards[0];
    peer_connect(&world, &peer, INGEST_PORT);
    shard->errands->outstanding++; /* as if somebody's publish were under way for long */
    cr_assert_eq(post(&world, &peer, "text/plain", "hello"), 0);
    cr_assert_not(list_empty(&shard->conns->parked));
    atomic_store(&shard->stage, STAGE_QUIESCE);
    world_settle(&world);
    cr_assert_eq(peer_response(&world, &peer), 503);
    cr_assert_eq(atomic_load(&shard->quiet), false);
    shard->errands->outstanding--;
    world_settle(&world);
    cr_assert_eq(atomic_load(&shard->quiet), true);
    world_end(&world);
}
