/* SPDX-License-Identifier: MIT */
/* shards/audience: memberships under random joins, moves between variants and leaves, against a table; and delivery to
 * members that are slow or want only the newest. */
#include "core/random.h"
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define RUSTORIUM 2 /* index in dialects[] */
#define CONNS 12
#define CHANNELS 5
#define VARIANTS 3

static const uint8_t variants[VARIANTS][5] = {{0, 0, '*', 0}, {0, 0, '=', 1, 'a'}, {0, 0, '=', 1, 'b'}};
static const size_t variant_bytes[VARIANTS] = {4, 5, 5};

static struct slice channel_name(unsigned channel, char text[4])
{
    return slice_of(text, (size_t)snprintf(text, 4, "c%u", channel));
}

static bool join(struct shard *shard, struct conn *conn, unsigned channel, unsigned variant)
{
    char text[4];
    struct slice name = channel_name(channel, text);
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_SUBSCRIBE, 64);
    errand->dialect = RUSTORIUM;
    errand->subscribe.channel = errand_put(errand, name);
    errand->subscribe.variant = errand_put(errand, slice_of(variants[variant], variant_bytes[variant]));
    channel_subscribe(shard, errand);
    bool joined = errand->status == 200 && audience_join(shard, conn, errand);
    errand_free(&shard->errands->pool, errand);
    return joined;
}

/* Both directions of every membership agree, and the home counts as many. */
static void check_books(struct shard *shard, struct conn *const conns[CONNS], const int table[CONNS][CHANNELS])
{
    uint32_t members = 0, wanted = 0;
    uint32_t cursor = 0;
    for (struct audience *audience; (audience = slab_next(&shard->audiences->slab, &cursor, NULL)) != NULL;) {
        cr_assert_gt(audience->count, 0, "an empty audience has been freed");
        members += audience->count;
        const struct class *class = slab_at(&shard->channels->classes, audience->class_index);
        cr_assert_eq(class->listeners, audience->count);
        for (uint32_t i = 0; i < audience->count; i++) {
            struct conn *conn = audience->members[i].conn;
            const struct membership *membership = audience_membership(conn, audience->members[i].membership);
            cr_assert_eq(membership->audience, audience->index + 1);
            cr_assert_eq(membership->position, i);
        }
    }
    for (unsigned c = 0; c < CONNS; c++) {
        unsigned count = 0;
        for (unsigned n = 0; n < CHANNELS; n++)
            count += table[c][n] >= 0;
        cr_assert_eq(conns[c]->session.memberships, count);
        wanted += count;
    }
    cr_assert_eq(members, wanted);
    cr_assert_eq(stats_get(&shard->stats, STAT_SUBSCRIPTIONS), wanted);
}

Test(audience, keeps_both_sides_of_a_membership_together)
{
    struct world world;
    static struct peer peers[CONNS];
    struct conn *conns[CONNS];
    int table[CONNS][CHANNELS];
    struct random random;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    memset(table, -1, sizeof table);
    for (unsigned c = 0; c < CONNS; c++)
        peer_upgrade(&world, &peers[c], "/echo");
    uint32_t cursor = 0;
    for (unsigned c = 0; c < CONNS; c++)
        conns[c] = slab_next(&shard->conns->slab, &cursor, NULL);
    random_init(&random, 3);
    for (unsigned step = 0; step < 5000; step++) {
        unsigned c = (unsigned)random_below(&random, CONNS), n = (unsigned)random_below(&random, CHANNELS);
        char text[4];
        if (random_chance(&random, 3, 5)) {
            table[c][n] = (int)random_below(&random, VARIANTS);
            cr_assert(join(shard, conns[c], n, (unsigned)table[c][n]));
        } else if (random_chance(&random, 9, 10)) {
            struct hash128 channel = channel_id(shard, RUSTORIUM, channel_name(n, text));
            cr_assert_eq(audience_leave(shard, conns[c], channel), table[c][n] >= 0);
            table[c][n] = -1;
        } else {
            audience_leave_all(shard, conns[c]);
            memset(table[c], -1, sizeof table[c]);
        }
        mail_drain(shard, 100); /* the home hears of those who left */
        check_books(shard, conns, (const int(*)[CHANNELS])table);
    }
    world_end(&world);
}

Test(audience, gets_what_its_present_variant_matches)
{
    struct world world;
    static struct peer peer;
    char text[4];
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    peer_upgrade(&world, &peer, "/echo");
    uint32_t cursor = 0, receivers;
    struct conn *conn = slab_next(&shard->conns->slab, &cursor, NULL);
    conn->dialect = RUSTORIUM; /* whose channels these are */
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        cr_assert(join(shard, conn, 0, variant));
        cr_assert_eq(conn->session.memberships, 1, "the new variant is in place of the one before");
        mail_drain(shard, 100);
        struct event event = {.opcode = WS_TEXT, .key = slice_text("b"), .payload = slice_text("for b")};
        struct channel *channel = channel_find(shard, RUSTORIUM, channel_name(0, text));
        cr_assert_eq(fanout_publish(shard, channel, &event, &receivers), 202);
        cr_assert_eq(receivers, variant != 1);
        world_settle(&world);
        if (variant != 1)
            peer_expect(&world, &peer, "for b");
        peer_expect_nothing(&world, &peer);
    }
    world_end(&world);
}

/* O-6, Q-20: what waits is dropped, and 1013 reaches a reader that resumes. */
Test(audience, closes_a_slow_reader_and_nobody_else)
{
    static const char *const sets[] = {"plain.outbox_bytes_max=20KiB", NULL};
    struct world world;
    static struct peer slow, fast;
    static char text[1001], got[2000];
    world_begin(&world, 1, 2048, sets);
    memset(text, 'x', sizeof text - 1);
    peer_upgrade(&world, &slow, "/plain/c");
    peer_upgrade(&world, &fast, "/plain/c");
    for (unsigned n = 0; n < 60; n++) {
        world_publish(&world, 0, "c", text);
        world_settle(&world);
        peer_expect(&world, &fast, text);
    }
    cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 1);
    cr_assert_gt(world_sum(&world, STAT_DROPPED_SLOW), 0);
    int opcode = 0;
    unsigned whole = 0;
    while ((opcode = peer_next(&world, &slow, got, sizeof got)) == WS_TEXT)
        whole++;
    cr_assert_eq(opcode, WS_CLOSE, "after %u messages", whole);
    cr_assert_eq(load_be16((const uint8_t *)got), 1013);
    world_publish(&world, 0, "c", "on");
    world_settle(&world);
    peer_expect(&world, &fast, "on");
    world_end(&world);
}

/* A flush queue that has a place for each connection and no more; many messages to all of them while these faults
 * happen. */
static void assert_all_in_order(const struct sim_faults *faults)
{
    enum { READERS = 12, MESSAGES = 200 };
    static const char *const sets[] = {"connections_max=12", NULL};
    struct world world;
    static struct peer readers[READERS];
    char text[8];
    world_begin(&world, 1, 65536, sets);
    for (unsigned i = 0; i < READERS; i++)
        peer_upgrade(&world, &readers[i], "/plain/c");
    sim_set_faults(world.network, faults);
    for (unsigned n = 0; n < MESSAGES; n++) {
        snprintf(text, sizeof text, "%u", n);
        world_publish(&world, 0, "c", text);
        world_turn(&world);
        shard_check(world.shards[0]);
    }
    sim_set_faults(world.network, &calm);
    world_settle(&world);
    for (unsigned i = 0; i < READERS; i++) {
        for (unsigned n = 0; n < MESSAGES; n++) {
            snprintf(text, sizeof text, "%u", n);
            peer_expect(&world, &readers[i], text);
        }
    }
    cr_assert_eq(world_sum(&world, STAT_DELIVERED), READERS * MESSAGES);
    world_end(&world);
}

Test(audience, delivers_in_order_although_the_ring_takes_a_part_of_its_sends)
{
    const struct sim_faults full = {.queue_full = 300};
    assert_all_in_order(&full);
}

/* Sends end turns after they were begun, several in a row: more has been pushed to some of these connections
 * meanwhile. */
Test(audience, delivers_what_was_pushed_while_a_send_was_under_way)
{
    const struct sim_faults late = {.delay = 500, .delay_max = 4};
    assert_all_in_order(&late);
}

Test(audience, gives_a_slow_reader_of_a_latest_channel_the_newest)
{
    static const char *const sets[] = {"plain.policy=latest", "plain.outbox_bytes_max=1KiB", NULL};
    struct world world;
    static struct peer slow;
    static char text[801], got[2000];
    world_begin(&world, 1, 2048, sets);
    peer_upgrade(&world, &slow, "/plain/c");
    for (unsigned n = 0; n < 26; n++) {
        memset(text, 'a' + (int)n, sizeof text - 1);
        world_publish(&world, 0, "c", text);
        if (n % 3 != 0) /* some in one tick, as one range */
            world_settle(&world);
    }
    world_settle(&world);
    char last = 0;
    unsigned count = 0;
    for (; peer_next(&world, &slow, got, sizeof got) == WS_TEXT; count++) {
        cr_assert_gt(got[0], last, "in order");
        last = got[0];
    }
    cr_assert_eq(last, 'z');
    cr_assert_lt(count, 10);
    cr_assert_eq(world_sum(&world, STAT_DELIVERED) + world_sum(&world, STAT_DROPPED_CONFLATED), 26);
    cr_assert_eq(world_open(&world), 1);
    world_end(&world);
}

/* Makes the audience of a connection conflated, and publishes to its channel. */
static void conflated(struct world *world, const char *name, uint32_t conflate, char fill, uint32_t bytes)
{
    struct shard *shard = world->shards[0];
    static char text[16000];
    uint32_t receivers, cursor = 0;
    cr_assert_leq(bytes, sizeof text);
    memset(text, fill, bytes);
    struct audience *audience = slab_next(&shard->audiences->slab, &cursor, NULL);
    struct channel *channel = channel_find(shard, audience->dialect, slice_text(name));
    audience->policy = channel->traits.policy = POLICY_CONFLATE;
    struct event event = {.opcode = WS_TEXT, .payload = slice_of(text, bytes), .conflate = conflate};
    cr_assert_eq(fanout_publish(shard, channel, &event, &receivers), 202);
    cr_assert_eq(receivers, 1);
    world_settle(world);
}

/* C-57, K-15: a ping, a pong and an answer wait beside the newest, whose size is charged to nobody. */
Test(audience, keeps_a_slow_reader_of_a_latest_channel_however_large_the_newest_is)
{
    static const char *const sets[] = {"plain.policy=latest", "plain.outbox_bytes_max=1KiB", "send_timeout=0", NULL};
    struct world world;
    static struct peer slow;
    static char text[20001], got[30000];
    world_begin(&world, 1, 2048, sets);
    peer_upgrade(&world, &slow, "/plain/c");
    for (unsigned n = 0; n < 5; n++) {
        memset(text, 'a' + (int)n, sizeof text - 1);
        world_publish(&world, 0, "c", text);
        world_advance(&world, 10000);
        if (n == 3)
            peer_frame(&world, &slow, 0x80 | WS_PING, "p", 1);
        world_settle(&world);
    }
    cr_assert_eq(world_open(&world), 1);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 0);
    cr_assert_eq(world_sum(&world, STAT_DROPPED_SLOW), 0);
    char last = 0;
    unsigned pings = 0;
    for (int opcode; (opcode = peer_next(&world, &slow, got, sizeof got)) != -1;) {
        cr_assert_neq(opcode, WS_CLOSE);
        pings += opcode == WS_PING;
        if (opcode == WS_TEXT)
            last = got[0];
    }
    cr_assert_eq(last, 'e');
    cr_assert_eq(pings, 1);
    world_end(&world);
}

/* K-15, A-21: the newest of each number waits, and replies beside them, whatever the sizes. */
Test(audience, keeps_a_slow_reader_with_the_newest_of_each_number)
{
    static const char *const sets[] = {"plain.outbox_bytes_max=1KiB", NULL};
    struct world world;
    static struct peer slow;
    static char got[50000];
    char seen[8] = {0};
    unsigned count = 0;
    world_begin(&world, 1, 2048, sets);
    peer_upgrade(&world, &slow, "/plain/c");
    conflated(&world, "c", 1, 'a', 10000); /* being sent */
    conflated(&world, "c", 1, 'b', 10000);
    conflated(&world, "c", 1, 'c', 12000);
    conflated(&world, "c", 2, 'd', 14000);
    conflated(&world, "c", 2, 'e', 16000);
    world_advance(&world, 30000);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 0);
    cr_assert_eq(world_sum(&world, STAT_DROPPED_CONFLATED), 2);
    for (int opcode; (opcode = peer_next(&world, &slow, got, sizeof got)) != -1;)
        if (opcode == WS_TEXT)
            seen[count++] = got[0];
    cr_assert_str_eq(seen, "ace");
    world_end(&world);
}

/* What cannot be replaced is charged: messages without a number, and the older ones of numbers that take turns. */
Test(audience, closes_a_slow_reader_for_what_nothing_replaces)
{
    static const char *const sets[] = {"plain.outbox_bytes_max=20KiB", NULL};
    static const struct {
        uint32_t numbers[2];
        uint32_t kept; /* messages before the one that closes: one is being sent, at most two charged, the newest not */
    } rows[] = {{{0, 0}, 3}, {{1, 2}, 5}, {{1, 0}, 4}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        static struct peer slow;
        world_begin(&world, 1, 2048, sets);
        peer_upgrade(&world, &slow, "/plain/c");
        for (uint32_t n = 0; n <= rows[i].kept; n++) {
            cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 0, "row %u, message %u", i, n);
            conflated(&world, "c", rows[i].numbers[n % 2], 'a', 8000);
        }
        cr_assert_eq(world_sum(&world, STAT_SLOW_CONSUMERS), 1, "row %u", i);
        world_end(&world);
    }
}

/* While nothing of the upgrade's answer is on the wire, a close frame in its place would be noise. */
Test(audience, resets_a_reader_that_is_slow_before_its_101)
{
    struct world world;
    static struct peer peers[2];
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    for (unsigned i = 0; i < 2; i++) {
        uint32_t cursor = 0;
        peer_upgrade(&world, &peers[i], "/echo");
        struct conn *conn = slab_next(&shard->conns->slab, &cursor, NULL);
        cr_assert(conn->greeted);
        conn->greeted = i == 0;
        conn_close_slow(shard, conn, CLOSE_SLOW);
        world_settle(&world);
        if (i == 0) {
            peer_expect_close(&world, &peers[0], WS_CLOSE_TRY_LATER);
            sim_peer_close(world.network, peers[0].number);
            world_settle(&world);
        }
    }
    peer_receive(&world, &peers[1]);
    cr_assert_eq(peers[1].used, 0);
    cr_assert_neq(peers[1].end, 0);
    world_end(&world);
}
