/* SPDX-License-Identifier: MIT */
/* shards/conn_tls: who gets the buffers that records are sealed into when there are too few, and the goodbyes. Peers
 * speak TLS by protocol/tls over the simulated network, whose sockets take 8,000 bytes that nobody reads. */
#include "core/work.h"
#include "protocol/tls/tls.h"
#include "shards/config/config_tls.h"
#include "tests/unit/shards/world.h"

#define PLAIN 0
#define WINDOW 8000
#define LONG 200000 /* more than one send seals */
#define SHORT 30000
#define STUCK_MAX 24
#define FINE 3
#define MANY 40                         /* readers of one channel, */
#define TICK_MAX ((256 << 10) / 131072) /* of whom so many get their first part in one tick */
#define CUT_MS 8000                     /* by then who has not moved has been cut */

struct guest {
    struct peer peer;
    struct tls *tls;
    uint64_t bytes; /* of plaintext, since it was upgraded */
    bool closed;    /* the server's close_notify has come */
};

static struct tls_context *clients;
static struct guest stuck[STUCK_MAX], fine[FINE], many[MANY];

static void begin_with(struct world *world, uint16_t count, const char *setting)
{
    char why[256];
    const struct tls_settings trusting = {0};
    const char *const sets[] = {"tls.certificates=" TEST_CERTS "/server.pem " TEST_CERTS "/server.key", setting, NULL};
    world_begin(world, count, WINDOW, sets);
    for (uint16_t i = 0; i < count; i++)
        world->shards[i]->listeners->items[0].tls = true;
    clients = tls_context_create_client(&trusting, false, NULL, why, sizeof why);
    cr_assert_not_null(clients, "%s", why);
}

static void begin(struct world *world)
{
    begin_with(world, 1, "tls.buffer_memory=1MiB");
}

/* Opens what has come and sends what TLS has to say to it; how many bytes of plaintext that was. */
static uint64_t guest_read(struct world *world, struct guest *guest)
{
    static uint8_t plain_memory[TLS_PLAIN_BYTES_MAX], out_memory[TLS_OUT_ROOM];
    uint64_t bytes = 0;
    enum tls_result result;
    peer_receive(world, &guest->peer);
    struct slice ciphertext = slice_of(guest->peer.data, guest->peer.used);
    do {
        struct buf plain = buf_of(plain_memory, sizeof plain_memory), out = buf_of(out_memory, sizeof out_memory);
        result = tls_read(guest->tls, &ciphertext, &plain, &out, 1);
        bytes += plain.used;
        peer_send(world, &guest->peer, out.data, (uint32_t)out.used);
    } while (result == TLS_DATA);
    cr_assert_neq(result, TLS_ERROR, "%s", tls_why(guest->tls));
    guest->closed |= result == TLS_CLOSED;
    guest->peer.used = 0;
    world_settle(world);
    return bytes;
}

static void guest_shake_hands(struct world *world, struct guest *guest, uint8_t address)
{
    peer_connect_from(world, &guest->peer, DIALECT_PORT, address);
    world_settle(world);
    guest->tls = tls_create_client(clients, "localhost");
    guest->bytes = 0;
    guest->closed = false;
    for (int round = 0; round < 8 && !tls_established(guest->tls); round++)
        guest_read(world, guest);
    cr_assert(tls_established(guest->tls));
}

static void put_upgrade(struct guest *guest, const char *target, struct buf *out)
{
    char text[256];
    int bytes = snprintf(text, sizeof text,
                         "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                         target);
    cr_assert(tls_seal(guest->tls, slice_of(text, (size_t)bytes), out));
}

static void guest_open(struct world *world, struct guest *guest, const char *target)
{
    static uint8_t memory[4096];
    struct buf request = buf_of(memory, sizeof memory);
    guest_shake_hands(world, guest, 1);
    put_upgrade(guest, target, &request);
    peer_send(world, &guest->peer, request.data, (uint32_t)request.used);
    world_settle(world);
    cr_assert_gt(guest_read(world, guest), 0, "an answer to the upgrade");
}

/* Reads until nothing more comes. */
static void guest_read_all(struct world *world, struct guest *guest)
{
    for (uint64_t bytes = 1; bytes > 0 || guest->peer.used > 0; guest->bytes += bytes)
        bytes = guest_read(world, guest);
}

static void publish_unsettled(struct world *world, const char *channel, uint32_t bytes)
{
    static uint8_t payload[LONG];
    uint32_t receivers;
    struct channel *found = channel_find(world->shards[0], PLAIN, slice_text(channel));
    cr_assert_not_null(found);
    memset(payload, 'x', bytes);
    struct event event = {.opcode = WS_TEXT, .payload = slice_of(payload, bytes)};
    fanout_publish(world->shards[0], found, &event, &receivers);
    cr_assert_gt(receivers, 0);
}

static void publish(struct world *world, const char *channel, uint32_t bytes)
{
    publish_unsettled(world, channel, bytes);
    world_settle(world);
}

/* Readers that do not read hold all buffers, one more waits for one, and behind it those who do read. */
static void run_short(struct world *world)
{
    char target[64];
    for (int i = 0; i < FINE; i++)
        guest_open(world, &fine[i], "/plain/fine");
    for (int i = 0; i < STUCK_MAX; i++) {
        snprintf(target, sizeof target, "/plain/stuck%d", i);
        guest_open(world, &stuck[i], target);
    }
    for (int i = 0; i < STUCK_MAX && world_sum(world, STAT_TLS_BUFFERS_SHORT) == 0; i++) {
        snprintf(target, sizeof target, "stuck%d", i);
        publish(world, target, LONG);
    }
    cr_assert_eq(world_sum(world, STAT_TLS_BUFFERS_SHORT), 1);
    publish(world, "fine", SHORT);
    for (int i = 0; i < FINE; i++) {
        guest_read_all(world, &fine[i]);
        cr_assert_eq(fine[i].bytes, 0, "nothing while there is no buffer");
    }
}

static void expect_all_served(struct world *world)
{
    for (int i = 0; i < FINE; i++) {
        guest_read_all(world, &fine[i]);
        cr_assert_eq(fine[i].bytes, SHORT + 4, "guest %d got %lu", i, (unsigned long)fine[i].bytes);
    }
}

static void end(struct world *world)
{
    for (int i = 0; i < FINE; i++)
        tls_destroy(fine[i].tls);
    for (int i = 0; i < STUCK_MAX; i++)
        tls_destroy(stuck[i].tls);
    tls_context_release(clients);
    world_end(world);
}

Test(conn_tls, memory_that_comes_back_reaches_those_behind_one_that_stalls_again)
{
    struct world world;
    begin(&world);
    run_short(&world);
    sim_peer_reset(world.network, stuck[0].peer.number);
    world_settle(&world);
    expect_all_served(&world);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CUT), 0);
    end(&world);
}

Test(conn_tls, cuts_who_does_not_move_while_others_need_buffers)
{
    struct world world;
    begin(&world);
    run_short(&world);
    world_advance(&world, CUT_MS);
    expect_all_served(&world);
    cr_assert_gt(world_sum(&world, STAT_SLOW_CUT), 0);
    end(&world);
}

Test(conn_tls, a_shard_has_buffers_enough_to_send_however_many_share_the_memory)
{
    struct world world;
    begin(&world);
    world.config->tls.buffer_bytes = 16 << 10; /* 1 MiB of 64 shards */
    tls_buffers_init(&world.shards[0]->tls->buffers, world.config->tls.buffer_bytes / world.shards[0]->count);
    guest_open(&world, &fine[0], "/plain/fine");
    publish(&world, "fine", SHORT);
    guest_read_all(&world, &fine[0]);
    cr_assert_eq(fine[0].bytes, SHORT + 4);
    end(&world);
}

Test(conn_tls, lets_stalled_readers_be_while_nobody_needs_their_buffers)
{
    struct world world;
    begin(&world);
    guest_open(&world, &stuck[0], "/plain/stuck");
    publish(&world, "stuck", SHORT);
    world_advance(&world, CUT_MS);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CUT), 0);
    guest_read_all(&world, &stuck[0]);
    cr_assert_eq(stuck[0].bytes, SHORT + 4);
    end(&world);
}

/* What is sealed still lies in the cache when the kernel copies it. */
Test(conn_tls, seals_for_many_a_few_in_each_turn)
{
    struct world world;
    begin_with(&world, 1, "tls.buffer_memory=64MiB");
    for (int i = 0; i < MANY; i++)
        guest_open(&world, &many[i], "/plain/many");
    publish_unsettled(&world, "many", LONG);
    const struct pool *buffers = &world.shards[0]->tls->buffers.pool;
    for (int turn = 0; turn < 2 && buffers->taken == 0; turn++)
        world_turn(&world); /* one delivers, and the same one or the next seals */
    for (uint32_t turns = 1; turns * TICK_MAX <= MANY; turns++) {
        cr_assert_eq(buffers->taken, turns * TICK_MAX);
        world_turn(&world);
    }
    cr_assert_eq(buffers->taken, MANY);
    for (int i = 0; i < MANY; i++)
        tls_destroy(many[i].tls);
    end(&world);
}

Test(conn_tls, changes_keys_that_are_worn_without_a_word_lost)
{
    struct world world;
    begin(&world);
    world.config->tls.material->settings.records_per_key = 2;
    cr_assert(conn_tls_configure(world.shards[0]));
    guest_open(&world, &fine[0], "/plain/fine");
    for (uint64_t i = 1; i <= 20; i++) {
        publish(&world, "fine", 10);
        guest_read_all(&world, &fine[0]);
        cr_assert_eq(fine[0].bytes, i * 12);
    }
    end(&world);
}

/* The place of an address is asked for at its home, which is another shard for some: the request waits for the
 * answer. */
Test(conn_tls, answers_a_close_notify_behind_an_upgrade_that_waits)
{
    struct world world;
    static uint8_t memory[4096];
    begin_with(&world, 2, "plain.connections_per_address=1");
    for (uint8_t address = 1; address <= MANY; address++) {
        struct guest *guest = &many[address - 1];
        struct buf out = buf_of(memory, sizeof memory);
        guest_shake_hands(&world, guest, address);
        put_upgrade(guest, "/plain/many", &out);
        tls_close(guest->tls, &out);
        peer_send(&world, &guest->peer, out.data, (uint32_t)out.used);
        world_settle(&world);
        guest_read(&world, guest);
        cr_assert(guest->closed, "no close_notify for address %u", address);
        tls_destroy(guest->tls);
    }
    cr_assert_gt(world_sum(&world, STAT_PARKED), 0);
    end(&world);
}

static void send_hello(struct world *world, struct peer *peer, uint32_t bytes_max)
{
    static uint8_t memory[TLS_OUT_ROOM], nothing[TLS_PLAIN_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory), plain = buf_of(nothing, sizeof nothing);
    struct slice none = slice_of(NULL, 0);
    struct tls *tls = tls_create_client(clients, "localhost");
    tls_read(tls, &none, &plain, &out, 1);
    cr_assert_gt(out.used, 100);
    peer_connect(world, peer, DIALECT_PORT);
    peer_send(world, peer, out.data, out.used < bytes_max ? (uint32_t)out.used : bytes_max);
    world_settle(world);
    tls_destroy(tls);
}

/* M1: what has not said all of its hello takes nobody's place, and at the limit the oldest handshake ends, not the
 * next. */
Test(conn_tls, gives_an_honest_handshake_a_place_however_many_are_begun)
{
    enum { HALF = 40, WHOLE = 12, PLACES = 4 };
    static struct peer half[HALF], whole[WHOLE];
    struct world world;
    begin_with(&world, 1, "tls.handshakes_max=4");
    for (int i = 0; i < HALF; i++)
        send_hello(&world, &half[i], i == 0 ? 1 : 100);
    cr_assert_eq(world.shards[0]->tls->handshaking, 0);
    for (uint32_t i = 0; i < WHOLE; i++) {
        send_hello(&world, &whole[i], UINT32_MAX);
        cr_assert_eq(world.shards[0]->tls->handshaking, i < PLACES ? i + 1 : (uint32_t)PLACES);
    }
    cr_assert_eq(world_sum(&world, STAT_CLOSED_TLS_BUSY), WHOLE - PLACES);
    guest_shake_hands(&world, &fine[0], 1);
    cr_assert_eq(world_sum(&world, STAT_TLS_REFUSED), 0);
    peer_receive(&world, &whole[0]);
    cr_assert_neq(whole[0].end, 0, "the oldest has gone");
    tls_destroy(fine[0].tls);
    tls_context_release(clients);
    world_end(&world);
}
