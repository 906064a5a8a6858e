/* SPDX-License-Identifier: MIT */
/* Owns a whole server of one or two shards over the simulated network, which the input plays against as several peers
 * at once: raw bytes, well-formed openings and frames around its bytes, publishes, slow readers, half-closes, resets,
 * faults of the kernel, and time. It never knows what a good answer is: the oracle is every check() of the server, the
 * law of conservation (each message for each reader is delivered, dropped or in flight), and that all is back at the
 * end. */
#include "core/clock.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/ring_sim.h"
#include "fuzz/fuzz.h"
#include "protocol/dialect.h"
#include "protocol/ws.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

#define SHARDS 2
#define PEERS_MAX 8
#define STEPS_MAX 200
#define TURNS_MAX 20000 /* to the end of a drain */
#define STEP_NS 1000000

enum { PORT_DIALECTS = 9500, PORT_INGEST = 9400, PORT_ADMIN = 9401, LISTENERS = 3 };

struct world {
    struct fuzz_input input;
    struct sim_network *network;
    struct config *config;
    struct ring *rings[SHARDS];
    struct shard *shards[SHARDS];
    bool stopped[SHARDS];
    uint16_t count;
    int peers[PEERS_MAX]; /* -1: none */
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static struct config *make_config(uint8_t shape)
{
    const char *sets[] = {
        "admin.listen=127.0.0.1:9401",
        "ingest.listen=127.0.0.1:9400",
        "ingest.keys=key *",
        "plain.listen=127.0.0.1:9500",
        "echo.listen=127.0.0.1:9500",
        "rustorium.listen=127.0.0.1:9500",
        "rustorium.keys=key",
        "rustorium.attempts_per_minute=0",
        "plain.retain=3",
        "plain.policy=lossless,late=latest",
        "plain.outbox_bytes_max=4KiB",
        "connections_max=16",
        "handshake_timeout=2s",
        "close_timeout=1s",
        (shape & 1) != 0 ? "plain.client_publish=true" : "plain.client_publish=false",
        (shape & 2) != 0 ? "plain.ping_interval=1s" : "plain.ping_interval=30s",
        (shape & 4) != 0 ? "frame_memory=1MiB" : "frame_memory=64MiB",
        (shape & 8) != 0 ? "ingest.outstanding_max=1" : "ingest.outstanding_max=64",
        NULL,
    };
    static char memory[4096];
    struct buf why = buf_of(memory, sizeof memory);
    struct config_source source = {.sets = sets};
    struct config *config = NULL;
    if (config_load(&source, &config, &why) != 0)
        fprintf(stderr, "%.*s", (int)why.used, memory);
    expect(config != NULL);
    return config;
}

static void make_listeners(struct ring *ring, struct listener listeners[LISTENERS])
{
    static const enum role kinds[LISTENERS] = {ROLE_SESSION, ROLE_INGEST, ROLE_OPERATOR};
    static const uint16_t ports[LISTENERS] = {PORT_DIALECTS, PORT_INGEST, PORT_ADMIN};
    for (uint32_t i = 0; i < LISTENERS; i++) {
        struct ring_address address = {.bytes = {[10] = 0xFF, [11] = 0xFF, [12] = 127, [15] = 1}, .port = ports[i]};
        struct ring_listen_options options = {.address = address, .backlog = 8};
        listeners[i] = (struct listener){.role = kinds[i], .address = address};
        for (uint32_t d = 0; kinds[i] == ROLE_SESSION && dialects[d] != NULL; d++)
            listeners[i].dialects |= 1U << d;
        int number = ring_listen(ring, &options, NULL);
        expect(number >= 0);
        listeners[i].socket = (uint32_t)number;
    }
}

static void make_shard(struct world *world, uint16_t number)
{
    struct listener listeners[LISTENERS];
    struct ring_options ring_options = {
        .entries = 64, .sockets_max = 16, .receive_buffers = 16, .receive_buffer_bytes = 1024, .allow_direct = true};
    char why[256];
    expect(ring_create(&world->rings[number], &ring_options, why, sizeof why) == 0);
    make_listeners(world->rings[number], listeners);
    struct shard_options options = {.number = number,
                                    .count = world->count,
                                    .all = world->shards,
                                    .key = {.k0 = 1, .k1 = 2},
                                    .ring = world->rings[number],
                                    .config = world->config,
                                    .listeners = listeners,
                                    .listener_count = LISTENERS};
    world->shards[number] = shard_create(&options);
    expect(world->shards[number] != NULL);
}

static void world_create(struct world *world)
{
    static const struct sim_faults none;
    uint8_t shape = fuzz_byte(&world->input);
    world->count = (uint16_t)(1 + (shape >> 7));
    world->network = sim_network_create(fuzz_byte(&world->input), &none, (shape & 16) != 0 ? 512 : 65536);
    world->config = make_config(shape);
    for (uint16_t i = 0; i < world->count; i++)
        make_shard(world, i);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        world->peers[i] = -1;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static uint64_t total(const struct world *world, enum stat_id stat)
{
    uint64_t sum = 0;
    for (uint16_t i = 0; i < world->count; i++)
        sum += stats_get(&world->shards[i]->stats, stat);
    return sum;
}

/* Holds between any two turns. */
static void expect_conserved(const struct world *world)
{
    uint64_t dropped =
        total(world, STAT_DROPPED_SLOW) + total(world, STAT_DROPPED_CONFLATED) + total(world, STAT_DROPPED_CLOSED);
    expect(total(world, STAT_EXPECTED) == total(world, STAT_DELIVERED) + dropped + total(world, STAT_IN_FLIGHT));
    for (uint16_t i = 0; i < world->count; i++)
        shard_check(world->shards[i]);
}

/* One turn of each shard that has not stopped. */
static void turn(struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        if (!world->stopped[i] && !shard_tick(world->shards[i], false))
            world->stopped[i] = true;
    expect_conserved(world);
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

/* Sends all of it in pieces of the input's choice, with turns between; what finds no room in the window is lost. */
static void send_bytes(struct world *world, int peer, struct slice bytes)
{
    uint32_t step = fuzz_below(&world->input, 4) == 0 ? 1 + fuzz_below(&world->input, 16) : UINT32_MAX;
    for (uint32_t stalls = 0; bytes.bytes > 0 && stalls < 4;) {
        uint32_t n = bytes.bytes < step ? (uint32_t)bytes.bytes : step;
        int taken = sim_peer_send(world->network, peer, bytes.data, n);
        if (taken < 0)
            return;
        bytes = slice_skip(bytes, (size_t)taken);
        if (taken == 0 || step != UINT32_MAX)
            turn(world);
        stalls += taken == 0;
    }
}

static void send_text(struct world *world, int peer, const char *text)
{
    send_bytes(world, peer, slice_text(text));
}

/* A well-formed opening of one of the paths that there are. */
static void send_opening(struct world *world, int peer)
{
    static const char *const targets[] = {"/plain/news",   "/plain/late,news?last=2", "/echo",
                                          "/ws?token=key", "/ingest/v1/ws",           "/plain/late"};
    char text[512];
    uint32_t i = fuzz_below(&world->input, sizeof targets / sizeof targets[0]);
    int bytes = snprintf(text, sizeof text,
                         "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                         targets[i], fuzz_below(&world->input, 2) == 1 ? "X-Ingest-Key: key\r\n" : "");
    send_bytes(world, peer, slice_of(text, (size_t)bytes));
}

/* A masked frame around the input's bytes. */
static void send_frame(struct world *world, int peer)
{
    static const uint8_t first[] = {0x81, 0x82, 0x89, 0x8A, 0x88, 0x01, 0x80, 0x00};
    static const uint8_t key[4] = {1, 2, 3, 4};
    uint8_t frame[14 + 256];
    uint8_t byte0 = first[fuzz_below(&world->input, sizeof first)];
    struct slice payload = fuzz_piece(&world->input);
    size_t head = ws_header_write_masked(frame, WS_TEXT, payload.bytes, key);
    frame[0] = byte0;
    if (payload.bytes > 0)
        memcpy(frame + head, payload.data, payload.bytes);
    ws_mask(frame + head, payload.bytes, key, 0);
    send_bytes(world, peer, slice_of(frame, head + payload.bytes));
}

/* A request of the rustorium or publisher kind, so that something listens and something is said. */
static void send_known(struct world *world, int peer)
{
    static const char *const texts[] = {
        "{\"type\":\"subscribe\",\"id\":\"1\",\"data\":{\"channel\":\"blocks\"}}",
        ("{\"type\":\"subscribe\",\"id\":\"2\","
         "\"data\":{\"channel\":\"transactions\",\"filter\":{\"confirmations\":2}}}"),
        "{\"type\":\"ping\",\"id\":\"3\"}",
        "{\"id\":1,\"topic\":\"plain/news\",\"data\":{\"a\":1}}",
    };
    static const uint8_t key[4] = {9, 8, 7, 6};
    uint8_t frame[14 + 256];
    struct slice text = slice_text(texts[fuzz_below(&world->input, sizeof texts / sizeof texts[0])]);
    size_t head = ws_header_write_masked(frame, WS_TEXT, text.bytes, key);
    memcpy(frame + head, text.data, text.bytes);
    ws_mask(frame + head, text.bytes, key, 0);
    send_bytes(world, peer, slice_of(frame, head + text.bytes));
}

/* A publish of the input's bytes, by length or in one chunk. */
static void send_publish(struct world *world, int peer)
{
    static const char *const topics[] = {"plain/news", "plain/late", "rustorium/blocks", "rustorium/state",
                                         "plain/a%20b"};
    char text[1024], block[300];
    const char *topic = topics[fuzz_below(&world->input, sizeof topics / sizeof topics[0])];
    struct slice body = fuzz_piece(&world->input);
    uint8_t shape = fuzz_byte(&world->input);
    snprintf(
        block, sizeof block,
        "{\"number\":1,\"hash\":\"h%u\",\"parent_hash\":\"h%u\",\"timestamp\":1706013296,\"transactions\":[\"t%u\"]}",
        shape % 7U, (shape + 6U) % 7U, shape % 5U);
    if (strstr(topic, "blocks") != NULL && (shape & 1) == 0)
        body = slice_text(block);
    int bytes = snprintf(text, sizeof text,
                         "POST /ingest/v1/%s HTTP/1.1\r\nHost: h\r\nX-Ingest-Key: key\r\nContent-Type: %s\r\n", topic,
                         (shape & 2) != 0 ? "application/x-ndjson" : "application/json");
    send_bytes(world, peer, slice_of(text, (size_t)bytes));
    if ((shape & 4) != 0)
        bytes = snprintf(text, sizeof text, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", body.bytes);
    else
        bytes = snprintf(text, sizeof text, "Content-Length: %zu\r\n\r\n", body.bytes);
    send_bytes(world, peer, slice_of(text, (size_t)bytes));
    send_bytes(world, peer, body);
    if ((shape & 4) != 0)
        send_text(world, peer, body.bytes == 0 ? "\r\n" : "\r\n0\r\n\r\n");
}

static void receive(struct world *world, int peer, uint32_t bytes)
{
    uint8_t memory[4096];
    while (bytes > 0) {
        uint32_t n = bytes < sizeof memory ? bytes : (uint32_t)sizeof memory;
        int got = sim_peer_receive(world->network, peer, memory, n);
        if (got <= 0)
            return;
        bytes -= (uint32_t)got;
    }
}

static void connect_peer(struct world *world, int *peer)
{
    static const uint16_t ports[] = {PORT_DIALECTS, PORT_DIALECTS, PORT_INGEST, PORT_ADMIN};
    struct ring_address from = {.bytes = {[10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = fuzz_byte(&world->input) % 4},
                                .port = 1};
    *peer = sim_connect(world->network, ports[fuzz_below(&world->input, 4)], from);
    if (*peer < 0)
        *peer = -1;
}

static void end_peer(struct world *world, int *peer, uint32_t how)
{
    if (how == 0)
        sim_peer_reset(world->network, *peer);
    else
        sim_peer_close(world->network, *peer);
    *peer = -1;
}

static void set_faults(struct world *world)
{
    uint8_t bits = fuzz_byte(&world->input);
    struct sim_faults faults = {
        .delay = (bits & 1) != 0 ? 200 : 0,
        .delay_max = 5,
        .chunk = (bits & 2) != 0 ? 300 : 0,
        .partial_send = (bits & 4) != 0 ? 300 : 0,
        .reset = (bits & 8) != 0 ? 10 : 0,
        .no_buffers = (bits & 16) != 0 ? 100 : 0,
        .accept_error = (bits & 32) != 0 ? 100 : 0,
        .receive_ends = (bits & 64) != 0 ? 100 : 0,
        .queue_full = (bits & 128) != 0 ? 50 : 0,
    };
    sim_set_faults(world->network, &faults);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void step(struct world *world)
{
    int *peer = &world->peers[fuzz_below(&world->input, PEERS_MAX)];
    uint32_t what = fuzz_below(&world->input, 16);
    if (what == 0) {
        sim_clock_advance((uint64_t)STEP_NS << fuzz_below(&world->input, 18)); /* at most two minutes */
    } else if (what == 1) {
        set_faults(world);
    } else if (what == 2) {
        for (uint32_t i = 0; i < 8; i++)
            turn(world);
    } else if (*peer < 0) {
        connect_peer(world, peer);
        turn(world);
        if (*peer >= 0 && what > 8)
            send_opening(world, *peer);
    } else if (what == 3) {
        sim_peer_shutdown(world->network, *peer);
    } else if (what == 4) {
        end_peer(world, peer, fuzz_below(&world->input, 2));
    } else if (what == 5) {
        receive(world, *peer, fuzz_below(&world->input, 4096));
    } else if (what < 8) {
        send_bytes(world, *peer, fuzz_piece(&world->input));
    } else if (what == 8) {
        send_opening(world, *peer);
    } else if (what < 11) {
        send_publish(world, *peer);
    } else if (what < 13) {
        send_known(world, *peer);
    } else {
        send_frame(world, *peer);
    }
    sim_clock_advance(STEP_NS);
    turn(world);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void set_stage(struct world *world, enum stage stage)
{
    for (uint16_t i = 0; i < world->count; i++)
        atomic_store_explicit(&world->shards[i]->stage, stage, memory_order_release);
}

static bool all_quiet(const struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        if (!atomic_load(&world->shards[i]->quiet))
            return false;
    return true;
}

static uint32_t open_connections(const struct world *world)
{
    uint32_t open = 0;
    for (uint16_t i = 0; i < world->count; i++)
        open += atomic_load(&world->shards[i]->conns->clients);
    return open;
}

/* Peers go on reading until a farewell has reached them. */
static void settle_turn(struct world *world)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (world->peers[i] >= 0)
            receive(world, world->peers[i], 1U << 20);
    sim_clock_advance(10 * STEP_NS);
    turn(world);
}

/* The stages of a stop, without faults: it ends in time, and everything is back. */
static void finish(struct world *world)
{
    static const struct sim_faults none;
    uint32_t turns = 0;
    bool leave = fuzz_below(&world->input, 2) == 1;
    sim_set_faults(world->network, &none);
    for (uint32_t i = 0; i < PEERS_MAX && leave; i++)
        if (world->peers[i] >= 0)
            end_peer(world, &world->peers[i], i % 2);
    set_stage(world, STAGE_QUIESCE);
    do
        settle_turn(world);
    while (!all_quiet(world) && ++turns < TURNS_MAX);
    expect(turns < TURNS_MAX);
    set_stage(world, STAGE_FAREWELL);
    while (open_connections(world) > 0 && ++turns < TURNS_MAX)
        settle_turn(world);
    expect(turns < TURNS_MAX);
    for (uint32_t i = 0; i < 50; i++)
        settle_turn(world);
    expect(total(world, STAT_IN_FLIGHT) == 0);
    expect(total(world, STAT_SESSIONS) == 0 && total(world, STAT_SUBSCRIPTIONS) == 0);
    expect(total(world, STAT_RING_STALE) == 0);
    set_stage(world, STAGE_STOP);
    for (uint16_t i = 0; i < world->count; i++)
        while (!world->stopped[i] && ++turns < TURNS_MAX)
            turn(world);
    expect(turns < TURNS_MAX);
    expect(total(world, STAT_CONNECTIONS) == 0); /* operators' too, who are answered up to here */
    expect(sim_sockets_open(world->network) <= LISTENERS * world->count);
}

static void world_destroy(struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        shard_destroy(world->shards[i]);
    for (uint16_t i = 0; i < world->count; i++)
        ring_destroy(world->rings[i]);
    sim_network_destroy(world->network);
    config_free(world->config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct world world;
    log_redirect(-1);
    world = (struct world){.input = {data, bytes}};
    world_create(&world);
    for (uint32_t i = 0; i < STEPS_MAX && world.input.left > 0; i++)
        step(&world);
    finish(&world);
    world_destroy(&world);
    return 0;
}
