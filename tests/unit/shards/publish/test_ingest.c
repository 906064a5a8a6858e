/* SPDX-License-Identifier: MIT */
/* Who may publish what (I-2): the key that a request brings, what a key covers, what stays of it over a reload, and
 * which dialects take anything. */
#include "core/work.h"
#include "protocol/http1.h"
#include "shards/conn/conn.h"
#include "shards/publish/ingest.h"
#include "tests/unit/shards/world.h"

static const char *const two_keys[] = {"ingest.keys=first plain/*,second echo/room rustorium/blocks", NULL};

/* The index of the key that a request with these fields brings. */
static int key_of(const struct world *world, const char *target, const char *fields)
{
    static const struct conn conn; /* without TLS */
    struct http1_request request;
    char head[1024];
    size_t scanned = 0, head_bytes;
    int bytes = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
    const char *why;
    cr_assert_eq(http1_parse_head(slice_of(head, (size_t)bytes), &scanned, &request, &head_bytes, &why), HTTP1_OK, "%s",
                 head);
    return ingest_key(world->shards[0], &conn, &request);
}

static bool permitted(const struct world *world, uint32_t key, const char *dialect, const char *topic)
{
    for (uint32_t i = 0; i < world->config->dialect_count; i++)
        if (strcmp(dialects[i]->name, dialect) == 0)
            return ingest_permitted(world->shards[0], key, dialects[i], slice_text(topic));
    cr_assert_fail("no dialect %s", dialect);
    return false;
}

Test(ingest, takes_a_key_from_its_own_field_then_from_authorization)
{
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: first\r\n"), 0);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: second\r\n"), 1);
    cr_assert_eq(key_of(&world, "/", "Authorization: Bearer second\r\n"), 1);
    cr_assert_eq(key_of(&world, "/", "Authorization: Bearer second\r\nX-Ingest-Key: first\r\n"), 0);
    cr_assert_eq(key_of(&world, "/", "Authorization: Bearer second\r\nX-Ingest-Key: none\r\n"), -1,
                 "a wrong key is not replaced by another one");
    world_end(&world);
}

Test(ingest, lets_nobody_publish_without_a_key_of_the_list)
{
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    cr_assert_eq(key_of(&world, "/", ""), -1);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: \r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: firs\r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: first2\r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: first plain/*\r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "Authorization: Basic first\r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "X-Api-Key: first\r\n"), -1, "the field of readers is not that of publishers");
    cr_assert_eq(key_of(&world, "/?key=first&api_key=first&token=first", ""), -1, "never from the query");
    world_end(&world);
}

/* The entry of a certificate is for whoever holds the certificate, not for whoever knows its name. */
Test(ingest, takes_no_certificates_entry_as_a_key)
{
    static const char *const sets[] = {"ingest.keys=certificate:feed plain/*", NULL};
    struct world world;
    world_begin(&world, 1, 65536, sets);
    cr_assert_eq(key_of(&world, "/", "X-Ingest-Key: certificate:feed\r\n"), -1);
    cr_assert_eq(key_of(&world, "/", "Authorization: Bearer certificate:feed\r\n"), -1);
    world_end(&world);
}

Test(ingest, permits_what_a_pattern_of_the_key_covers_and_nothing_else)
{
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    cr_assert(permitted(&world, 0, "plain", "anything"));
    cr_assert(permitted(&world, 0, "plain", ""));
    cr_assert_not(permitted(&world, 0, "rustorium", "blocks"));
    cr_assert(permitted(&world, 1, "rustorium", "blocks"));
    cr_assert_not(permitted(&world, 1, "rustorium", "blocks2"));
    cr_assert_not(permitted(&world, 1, "rustorium", "block"));
    cr_assert_not(permitted(&world, 1, "plain", "anything"), "the key of another one");
    cr_assert_not(permitted(&world, 2, "plain", "anything"), "a key that a reload has taken away");
    world_end(&world);
}

Test(ingest, permits_no_topic_that_is_longer_than_a_name_may_be)
{
    static char topic[CHANNEL_NAME_BYTES_MAX + 66];
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    memset(topic, 'x', sizeof topic - 1);
    cr_assert_not(permitted(&world, 0, "plain", topic), "rather than to look at its beginning");
    topic[CHANNEL_NAME_BYTES_MAX] = '\0';
    cr_assert(permitted(&world, 0, "plain", topic));
    world_end(&world);
}

Test(ingest, finds_a_key_by_its_name_wherever_it_stands)
{
    static const char *const moved[] = {"ingest.keys=new echo/*,second plain/*", NULL};
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    struct hash128 first = ingest_key_name(world.shards[0], 0), second = ingest_key_name(world.shards[0], 1);
    cr_assert_eq(ingest_key_named(world.shards[0], first), 0);
    cr_assert_eq(ingest_key_named(world.shards[0], second), 1);
    world_reload(&world, moved);
    cr_assert_eq(ingest_key_named(world.shards[0], first), -1);
    cr_assert_eq(ingest_key_named(world.shards[0], second), 1);
    world_end(&world);
}

Test(ingest, knows_dialects_that_take_objects_and_are_served)
{
    struct world world;
    world_begin(&world, 1, 65536, two_keys);
    struct shard *shard = world.shards[0];
    int plain = ingest_dialect(shard, slice_text("plain"));
    cr_assert_geq(plain, 0);
    cr_assert_str_eq(dialects[plain]->name, "plain");
    cr_assert_eq(ingest_dialect(shard, slice_text("plai")), -1);
    cr_assert_eq(ingest_dialect(shard, slice_text("")), -1);
    cr_assert_eq(ingest_dialect(shard, slice_text("Plain")), -1);
    shard->listeners->items[0].dialects &= ~(1U << plain);
    cr_assert_eq(ingest_dialect(shard, slice_text("plain")), -1, "no listener serves it");
    world_end(&world);
}

/* The publisher's own refusals come before the dialect has looked at anything. */
Test(ingest, takes_nothing_while_the_server_stops)
{
    struct world world;
    static const struct conn conn;
    struct ingest_refusal refusal;
    world_begin(&world, 1, 65536, two_keys);
    struct shard *shard = world.shards[0];
    struct ingest_object object = {.dialect = (uint8_t)ingest_dialect(shard, slice_text("plain")),
                                   .topic = slice_text("c"),
                                   .body = slice_text("x")};
    cr_assert_eq(ingest_submit(shard, &conn, &object, 0, &refusal), 0);
    cr_assert_eq(stats_get(&shard->stats, STAT_INGEST_ACCEPTED), 1);
    atomic_store(&shard->stage, STAGE_QUIESCE);
    world_settle(&world);
    cr_assert_eq(ingest_submit(shard, &conn, &object, 0, &refusal), 503);
    cr_assert_str_eq(refusal.message, "The server is stopping");
    cr_assert_eq(shard->errands->outstanding, 0);
    world_end(&world);
}
