/* SPDX-License-Identifier: MIT */
/* Services of dialects where they live: one state for all shards, called when it wants to be, told who listens, and
 * what becomes of an event without memory for it. The services are those of rustorium (blocks) and aitbc (jobs). */
#include "core/work.h"
#include "protocol/dialects/rustorium/chain.h"
#include "shards/channel/service_host.h"
#include "tests/unit/shards/world.h"

static const char *const sets[] = {"ingest.keys=secret *", "rustorium.keys=rk-1", "aitbc.jobs_public=true",
                                   "aitbc.close_after_end=1s", NULL};

static uint8_t dialect_named(const char *name)
{
    uint8_t i = 0;
    while (strcmp(dialects[i]->name, name) != 0)
        i++;
    return i;
}

static int post(struct world *world, const char *topic, const char *body)
{
    static struct peer publisher;
    static char text[4096];
    int bytes = snprintf(text, sizeof text,
                         "POST /ingest/v1/%s HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\n"
                         "Content-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                         topic, strlen(body), body);
    peer_connect(world, &publisher, INGEST_PORT);
    peer_send(world, &publisher, text, (uint32_t)bytes);
    world_settle(world);
    return peer_response(world, &publisher);
}

static int post_block(struct world *world, unsigned number)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"number\":%u,\"hash\":\"0x%u\",\"parent_hash\":\"0x%u\",\"timestamp\":\"2024-01-23T12:34:56Z\","
             "\"transactions\":[]}",
             number, number, number - 1);
    return post(world, "rustorium/blocks", body);
}

static int post_job(struct world *world, const char *state)
{
    char body[256];
    snprintf(body, sizeof body, "{\"job_id\":\"j\",\"state\":\"%s\",\"timestamp\":\"2026-05-11T10:00:00Z\"}", state);
    return post(world, "aitbc/jobs", body);
}

/* A session that has subscribed to blocks. */
static void listen_to_blocks(struct world *world, struct peer *peer)
{
    char payload[1024];
    peer_upgrade(world, peer, "/ws?token=rk-1");
    peer_text(world, peer, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":{\"channel\":\"blocks\"}}");
    cr_assert_eq(peer_next(world, peer, payload, sizeof payload), WS_TEXT);
    cr_assert_not_null(strstr(payload, "subscribe_success"), "%s", payload);
}

static void expect_block(struct world *world, struct peer *peer, unsigned number)
{
    char payload[1024], expected[32];
    snprintf(expected, sizeof expected, "\"hash\":\"0x%u\"", number);
    cr_assert_eq(peer_next(world, peer, payload, sizeof payload), WS_TEXT);
    cr_assert_not_null(strstr(payload, expected), "%s", payload);
}

Test(service_host, has_one_state_whichever_shard_is_asked)
{
    struct world world;
    static struct peer peer;
    uint8_t chain = dialect_named("rustorium");
    world_begin(&world, 3, 65536, sets);
    listen_to_blocks(&world, &peer);
    for (unsigned i = 1; i <= 6; i++) { /* the kernel gives publishers to all shards in turn */
        cr_assert_eq(post_block(&world, i), 202);
        expect_block(&world, &peer, i);
    }
    unsigned states = 0;
    for (uint16_t i = 0; i < world.count; i++)
        states += world.shards[i]->services->states[chain] != NULL;
    cr_assert_eq(states, 1);
    world_end(&world);
}

Test(service_host, asks_for_nothing_that_nobody_listens_to)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 2, 65536, sets);
    cr_assert_eq(post_block(&world, 1), 202);
    cr_assert_eq(world_sum(&world, STAT_PUBLISHED), 0, "nobody has come yet");
    listen_to_blocks(&world, &peer);
    cr_assert_eq(post_block(&world, 2), 202);
    cr_assert_eq(world_sum(&world, STAT_PUBLISHED), 1);
    expect_block(&world, &peer, 2);
    sim_peer_reset(world.network, peer.number);
    world_settle(&world);
    cr_assert_eq(post_block(&world, 3), 202);
    cr_assert_eq(world_sum(&world, STAT_PUBLISHED), 1, "the last one has gone");
    world_end(&world);
}

Test(service_host, calls_a_service_at_the_time_that_it_names)
{
    struct world world;
    static struct peer peer;
    char payload[256];
    world_begin(&world, 2, 65536, sets);
    cr_assert_eq(post_job(&world, "RUNNING"), 202);
    peer_upgrade(&world, &peer, "/v1/jobs/j/ws");
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_TEXT);
    cr_assert_eq(post_job(&world, "COMPLETED"), 202);
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_TEXT);
    world_advance(&world, 990);
    peer_expect_nothing(&world, &peer);
    world_advance(&world, 20);
    peer_expect_close(&world, &peer, WS_CLOSE_NORMAL);
    world_end(&world);
}

Test(service_host, tells_services_of_new_settings)
{
    static const char *const longer[] = {"ingest.keys=secret *", "rustorium.keys=rk-1", "aitbc.jobs_public=true",
                                         "aitbc.close_after_end=5s", NULL};
    struct world world;
    static struct peer peer;
    char payload[256];
    world_begin(&world, 2, 65536, sets);
    cr_assert_eq(post_job(&world, "RUNNING"), 202);
    world_reload(&world, longer);
    peer_upgrade(&world, &peer, "/v1/jobs/j/ws");
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_TEXT);
    cr_assert_eq(post_job(&world, "COMPLETED"), 202);
    cr_assert_eq(peer_next(&world, &peer, payload, sizeof payload), WS_TEXT);
    world_advance(&world, 4000);
    peer_expect_nothing(&world, &peer);
    world_advance(&world, 1010);
    peer_expect_close(&world, &peer, WS_CLOSE_NORMAL);
    world_end(&world);
}

Test(service_host, serves_no_timer_that_is_not_a_services)
{
    struct world world;
    struct wheel_timer other = {0};
    world_begin(&world, 1, 65536, sets);
    struct shard *shard = world.shards[0];
    cr_assert_not(service_host_on_timer(shard, &other));
    cr_assert_not(service_host_on_timer(shard, &shard->turn->second));
    world_end(&world);
}

/* Whoever would miss an event is told so, and the publisher may try again: nobody believes to have all. */
Test(service_host, closes_with_1013_who_would_miss_an_event_for_want_of_memory)
{
    static const char block[] = "{\"number\":7,\"hash\":\"0x7\",\"parent_hash\":\"0x6\","
                                "\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[]}";
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, sets);
    struct shard *shard = world.shards[0];
    listen_to_blocks(&world, &peer);
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_SUBMIT, sizeof block);
    errand->dialect = dialect_named("rustorium");
    errand->request.kind = CHAIN_BLOCK;
    errand->request.body = errand_put(errand, slice_text(block));
    errand_ask(shard, errand, 0);
    size_t bytes_max = shard->frames->bytes_max;
    shard->frames->bytes_max = shard->frames->bytes; /* as if readers held all of it */
    mail_drain(shard, 16);
    cr_assert_eq(errand->status, 429);
    shard->frames->bytes_max = bytes_max;
    world_settle(&world);
    peer_expect_close(&world, &peer, WS_CLOSE_TRY_LATER);
    world_end(&world);
}
