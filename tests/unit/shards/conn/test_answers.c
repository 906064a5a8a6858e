/* SPDX-License-Identifier: MIT */
/* Memory for what one connection alone is told, its shares, and the deadline of sends that do not move (K-24): whoever
 * does not read is ended, and nobody else notices. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define HOARDERS 40
#define MESSAGE_BYTES 16000

static char message[MESSAGE_BYTES + 1];

static void begin(struct world *world, uint32_t window, const char *const *sets)
{
    memset(message, 'm', MESSAGE_BYTES);
    world_begin(world, 1, window, sets);
}

static size_t answers(const struct world *world)
{
    return frame_memory_alive(&world->shards[0]->frames[FRAMES_ANSWERS]);
}

/* As if the shard's share were so small. */
static void set_budget(struct world *world, size_t bytes)
{
    struct answer_budget *budget = &world->shards[0]->answers->clients;
    budget->bytes_max = budget->mark = bytes;
}

/* Asks an echo for its message again and again and reads nothing of it. */
static void hoard(struct world *world, struct peer *peer, unsigned messages)
{
    for (unsigned i = 0; i < messages && world_open(world) > 0; i++)
        peer_frame(world, peer, 0x80 | WS_TEXT, message, MESSAGE_BYTES);
}

/* Each holds 120 bytes for each 256 KiB that somebody else got and read: it is charged for what it holds, and it holds
 * no more. */
Test(answers, of_one_connection_do_not_keep_the_memory_of_others)
{
    struct world world;
    static struct peer reader, hoarder;
    begin(&world, 1 << 15, NULL);
    peer_upgrade(&world, &reader, "/echo");
    peer_upgrade(&world, &hoarder, "/echo");
    hoard(&world, &hoarder, 4); /* its window is full */
    world_settle(&world);
    size_t before = answers(&world);
    for (unsigned i = 0; i < 40; i++) {
        peer_text(&world, &hoarder, "a short one, unread");
        for (unsigned n = 0; n < 4; n++) {
            char got[MESSAGE_BYTES + 1];
            peer_frame(&world, &reader, 0x80 | WS_TEXT, message, MESSAGE_BYTES);
            world_settle(&world);
            cr_assert_eq(peer_next(&world, &reader, got, sizeof got), WS_TEXT);
        }
    }
    cr_assert_lt(answers(&world), before + ANSWER_SEGMENT_BYTES_MAX + 8192, "40 answers of 21 bytes");
    cr_assert_eq(world.shards[0]->frames[FRAMES_CHANNELS].bytes, 0);
    world_end(&world);
}

/* 28b, H1: when the memory is used up, those who hold it go, the largest first, and an honest request has its answer.
 * */
Test(answers, end_who_holds_most_when_they_have_used_up_their_memory)
{
    static const char *const sets[] = {"echo.ping_interval=0", NULL};
    struct world world;
    static struct peer honest, small, hoarders[HOARDERS], later;
    begin(&world, 1 << 15, sets);
    set_budget(&world, 1 << 20);
    peer_upgrade(&world, &honest, "/echo");
    peer_upgrade(&world, &small, "/echo");
    hoard(&world, &small, 3); /* more than its window: something waits, less than with the others */
    for (unsigned i = 0; i < HOARDERS; i++) {
        peer_upgrade(&world, &hoarders[i], "/echo");
        hoard(&world, &hoarders[i], 12);
        peer_text(&world, &honest, "still there?");
        peer_expect(&world, &honest, "still there?");
        cr_assert_lt(answers(&world), 2 << 20);
    }
    cr_assert_gt(world_sum(&world, STAT_SLOW_ANSWERS), HOARDERS / 2);
    peer_upgrade(&world, &later, "/echo");
    char got[MESSAGE_BYTES + 1];
    unsigned texts = 0;
    while (peer_next(&world, &small, got, sizeof got) == WS_TEXT)
        texts++;
    cr_assert_eq(texts, 3, "who holds little is left alone");
    cr_assert_eq(small.end, 0);
    world_end(&world);
}

/* Operators and publishers have memory of their own. */
Test(answers, of_clients_leave_operators_and_publishers_alone)
{
    static const char *const sets[] = {"frame_memory=1MiB", NULL};
    struct world world;
    static struct peer hoarder, operator, reader;
    begin(&world, 1 << 14, sets);
    set_budget(&world, 1 << 20);
    peer_connect(&world, &operator, ADMIN_PORT);
    peer_upgrade(&world, &reader, "/plain/c");
    peer_upgrade(&world, &hoarder, "/echo");
    hoard(&world, &hoarder, 40);
    world_settle(&world);
    cr_assert_gt(answers(&world), 600000);
    cr_assert_lt(answers(&world), 1 << 20);
    set_budget(&world, 1); /* nothing is left for anybody */
    peer_say(&world, &operator, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(peer_response(&world, &operator), 200);
    for (unsigned i = 0; i < 20; i++)
        world_publish(&world, 0, "c", message);
    world_settle(&world);
    cr_assert_eq(world_sum(&world, STAT_FRAMES_REFUSED), 0);
    cr_assert_gt(world.shards[0]->frames[FRAMES_OPERATORS].bytes, 0);
    world_end(&world);
}

/* Even at twice the budget a connection that holds nothing gets a short answer; a long one is refused. */
Test(answers, are_short_for_everybody_when_nothing_is_left)
{
    struct world world;
    static struct peer peer;
    begin(&world, 1 << 15, NULL);
    set_budget(&world, 0);
    peer_upgrade(&world, &peer, "/echo");
    peer_text(&world, &peer, "short");
    peer_expect(&world, &peer, "short");
    peer_frame(&world, &peer, 0x80 | WS_TEXT, message, MESSAGE_BYTES);
    world_settle(&world);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_CLOSED_MEMORY), 1);
    world_end(&world);
}

/* --- sends that do not move --------------------------------------------------------------------------------------- */

Test(progress, ends_a_connection_whose_peer_takes_nothing_for_the_time_of_a_send)
{
    static const char *const sets[] = {"send_timeout=8s", "echo.ping_interval=0", "echo.idle_timeout=0", NULL};
    struct world world;
    static struct peer stalled, steady;
    begin(&world, 1 << 14, sets);
    peer_upgrade(&world, &stalled, "/echo");
    peer_upgrade(&world, &steady, "/echo");
    hoard(&world, &stalled, 4); /* 64,000 bytes: some of them are in a send, which has 8 s and up to 4 s more */
    hoard(&world, &steady, 4);
    world_advance(&world, 8000);
    cr_assert_eq(world_open(&world), 2);
    for (unsigned second = 0; second < 20; second++) {
        char got[MESSAGE_BYTES + 1];
        world_advance(&world, 1000);
        if (second % 5 == 0)
            peer_next(&world, &steady, got, sizeof got);
    }
    cr_assert_eq(world_sum(&world, STAT_CLOSED_SEND_TIMEOUT), 1);
    cr_assert_eq(world_open(&world), 1, "who reads a little now and then stays");
    world_end(&world);
}

Test(progress, leaves_a_peer_alone_that_is_only_silent)
{
    static const char *const sets[] = {"send_timeout=2s", "echo.ping_interval=0", "echo.idle_timeout=0", NULL};
    struct world world;
    static struct peer peer;
    begin(&world, 1 << 15, sets);
    peer_upgrade(&world, &peer, "/echo");
    for (unsigned i = 0; i < 4; i++) {
        world_advance(&world, 10000);
        peer_text(&world, &peer, "a");
        peer_expect(&world, &peer, "a");
    }
    world_end(&world);
}

/* --- who could not read yet is not slow --------------------------------------------------------------------------- */

/* SC-2, Q-14: a snapshot is longer than the outbox, and arrives whole all the same. */
Test(answers, of_one_request_are_not_taken_for_a_slow_reader)
{
    static const char *const sets[] = {"crypto.outbox_bytes_max=4KiB", "ingest.keys=secret crypto/*", NULL};
    static const char *const topics[] = {"news", "onchain", "explorers", "sentiment"};
    struct world world;
    static struct peer publisher, reader;
    char head[256], content[4096];
    begin(&world, 1 << 15, sets);
    peer_connect(&world, &publisher, INGEST_PORT);
    for (unsigned i = 0; i < 4; i++) {
        int bytes = snprintf(content, sizeof content, "{\"text\":\"%.3000s\"}", message);
        snprintf(head, sizeof head,
                 "POST /ingest/v1/crypto/%s HTTP/1.1\r\nHost: a\r\nX-Ingest-Key: secret\r\nContent-Type: "
                 "application/json\r\nContent-Length: %d\r\n\r\n",
                 topics[i], bytes);
        peer_send(&world, &publisher, head, (uint32_t)strlen(head));
        peer_say(&world, &publisher, content);
        cr_assert_eq(peer_response(&world, &publisher), 202);
    }
    peer_connect(&world, &reader, DIALECT_PORT);
    peer_ask_upgrade(&world, &reader, "/ws/all");
    world_settle(&world);
    cr_assert_eq(peer_response(&world, &reader), 101);
    peer_receive(&world, &reader);
    cr_assert_gt(reader.used, 4 * 3000);
    cr_assert_eq(reader.end, 0);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 0);
    world_end(&world);
}
