/* SPDX-License-Identifier: MIT */
/* What the tests of shards/ share: some shards over the simulated network, ticked in one thread, and peers that connect
 * to them. Time stands still unless a test moves it. */
#ifndef RINGCAST_TESTS_SHARDS_WORLD_H
#define RINGCAST_TESTS_SHARDS_WORLD_H

#include "core/log.h"
#include "core/ring.h"
#include "core/ring_sim.h"
#include "core/spsc.h"
#include "protocol/action.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIALECT_PORT 1
#define INGEST_PORT 2
#define ADMIN_PORT 3
#define QUIET_ROUNDS 6 /* turns without a completion after which nothing is under way between the shards either */

struct world {
    struct sim_network *network;
    struct config *config;
    struct ring *rings[4];
    struct shard *shards[4];
    uint16_t count;
    struct storage *storage; /* given to the shards; of a test that has some */
};

static const struct sim_faults calm;

static inline struct config *world_config(const char *const *sets)
{
    uint8_t memory[4096];
    struct buf why = buf_of(memory, sizeof memory - 1);
    struct config *config = NULL;
    int error = config_load(&(struct config_source){.sets = sets}, &config, &why);
    memory[why.used] = '\0';
    cr_assert_eq(error, 0, "%s", (char *)memory);
    return config;
}

static inline struct ring *world_ring(void)
{
    const struct ring_options options = {.entries = 1024,
                                         .sockets_max = 2048,
                                         .receive_buffers = 64,
                                         .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                         .memories_max = PIN_MEMORIES(4)};
    struct ring *ring = NULL;
    char why[128];
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), 0);
    return ring;
}

static inline void world_listen(struct ring *ring, const struct config *config, struct listener listeners[3])
{
    static const enum role kinds[3] = {ROLE_SESSION, ROLE_INGEST, ROLE_OPERATOR};
    for (uint16_t i = 0; i < 3; i++) {
        const struct ring_listen_options options = {.address = {.port = (uint16_t)(DIALECT_PORT + i)}, .backlog = 4096};
        int socket = ring_listen(ring, &options, NULL);
        cr_assert_geq(socket, 0);
        listeners[i] = (struct listener){.role = kinds[i], .address = options.address, .socket = (uint32_t)socket};
    }
    listeners[0].dialects = (1U << config->dialect_count) - 1;
    for (uint32_t d = 0; d < config->dialect_count; d++)
        listeners[0].mounts[d] = 1;
}

/* `sets`: "section.key=value", NULL-terminated, or NULL. `window`: bytes that a peer's socket takes unread. `storage`:
 * NULL, or the test's, which ends after the world. */
static inline void world_begin_with(struct world *world, uint16_t count, uint32_t window, const char *const *sets,
                                    struct storage *storage)
{
    log_redirect(-1);
    *world = (struct world){.count = count, .config = world_config(sets), .storage = storage};
    world->network = sim_network_create(1, &calm, window);
    for (uint16_t i = 0; i < count; i++) {
        struct listener listeners[3];
        world->rings[i] = world_ring();
        world_listen(world->rings[i], world->config, listeners);
        struct shard_options options = {.number = i,
                                        .count = count,
                                        .all = world->shards,
                                        .key = {.k0 = 1, .k1 = 2},
                                        .ring = world->rings[i],
                                        .config = world->config,
                                        .listeners = listeners,
                                        .listener_count = 3,
                                        .storage = storage};
        world->shards[i] = shard_create(&options);
        cr_assert_not_null(world->shards[i]);
    }
}

static inline void world_begin(struct world *world, uint16_t count, uint32_t window, const char *const *sets)
{
    world_begin_with(world, count, window, sets, NULL);
}

static inline uint64_t world_sum(const struct world *world, enum stat_id stat)
{
    uint64_t sum = 0;
    for (uint16_t i = 0; i < world->count; i++)
        sum += stats_get(&world->shards[i]->stats, stat);
    return sum;
}

/* What holds at the end of every turn. */
static inline void world_check(const struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        shard_check(world->shards[i]);
    cr_assert_eq(world_sum(world, STAT_EXPECTED),
                 world_sum(world, STAT_DELIVERED) + world_sum(world, STAT_IN_FLIGHT) +
                     world_sum(world, STAT_DROPPED_SLOW) + world_sum(world, STAT_DROPPED_CONFLATED) +
                     world_sum(world, STAT_DROPPED_CLOSED),
                 "messages times receivers are conserved");
}

static inline void world_turn(struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        shard_tick(world->shards[i], false);
    world_check(world);
}

/* Whether a shard goes on in its next turn without anything that happens. */
static inline bool world_waits(const struct world *world)
{
    bool waits = false;
    for (uint16_t i = 0; i < world->count; i++)
        waits |= !list_empty(&world->shards[i]->conns->yielded) || walks_left(world->shards[i]);
    return waits;
}

/* Turns until nothing moves any more. */
static inline void world_settle(struct world *world)
{
    for (unsigned quiet = 0; quiet < QUIET_ROUNDS;) {
        world_turn(world);
        quiet = sim_ready(world->network) || world_waits(world) ? 0 : quiet + 1;
    }
}

static inline void world_advance(struct world *world, uint64_t ms)
{
    while (ms > 0) { /* as a ring waits: no longer than a second, else it was a pause of the whole server */
        uint64_t step = ms < 1000 ? ms : 1000;
        sim_clock_advance(step * 1000000);
        world_settle(world);
        ms -= step;
    }
}

/* The whole server stands still for so long. */
static inline void world_pause(struct world *world, uint64_t ms)
{
    sim_clock_advance(ms * 1000000);
    world_settle(world);
}

static inline uint32_t world_open(const struct world *world)
{
    uint32_t open = 0;
    for (uint16_t i = 0; i < world->count; i++)
        open += world->shards[i]->conns->slab.count_live;
    return open;
}

/* Stops everything; what was taken from pools and frame memory has come back. */
static inline void world_end(struct world *world)
{
    for (uint16_t i = 0; i < world->count; i++)
        atomic_store(&world->shards[i]->stage, STAGE_STOP);
    bool ticking = true;
    for (unsigned turn = 0; turn < 1000 && ticking; turn++) {
        ticking = false;
        for (uint16_t i = 0; i < world->count; i++)
            ticking |= shard_tick(world->shards[i], false);
    }
    cr_assert_not(ticking, "a shard does not stop");
    cr_assert_eq(world_open(world), 0);
    world_check(world);
    cr_assert_eq(world_sum(world, STAT_IN_FLIGHT), 0);
    cr_assert_eq(world_sum(world, STAT_SUBSCRIPTIONS), 0);
    cr_assert_eq(world_sum(world, STAT_SESSIONS), 0);
    for (uint16_t i = 0; i < world->count; i++) {
        cr_assert_eq(world->shards[i]->conns->input_bytes, 0);
        shard_destroy(world->shards[i]);
    }
    for (uint16_t i = 0; i < world->count; i++)
        ring_destroy(world->rings[i]);
    sim_network_destroy(world->network);
    config_free(world->config);
}

/* New settings for all shards, as a reload brings them. */
static inline void world_reload(struct world *world, const char *const *sets)
{
    struct config *before = world->config;
    world->config = world_config(sets);
    for (uint16_t i = 0; i < world->count; i++)
        atomic_store(&world->shards[i]->config_next, world->config);
    world_settle(world);
    config_free(before);
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

struct peer {
    int number;
    uint8_t data[1 << 16]; /* received and not looked at yet */
    uint32_t used;
    int end; /* 0; -EPIPE end of stream, -ECONNRESET reset */
};

static inline void peer_connect_from(struct world *world, struct peer *peer, uint16_t port, uint8_t last)
{
    const struct ring_address from = {.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, last}, .port = 1000};
    peer->used = 0;
    peer->end = 0;
    peer->number = sim_connect(world->network, port, from);
    cr_assert_geq(peer->number, 0);
}

static inline void peer_connect(struct world *world, struct peer *peer, uint16_t port)
{
    peer_connect_from(world, peer, port, 1);
    world_settle(world);
}

/* Sends what the window takes, with turns in between; stops when the connection has ended. */
static inline void peer_send(struct world *world, struct peer *peer, const void *data, uint32_t bytes)
{
    const uint8_t *at = data;
    for (unsigned stuck = 0; bytes > 0 && stuck < 100;) {
        int taken = sim_peer_send(world->network, peer->number, at, bytes);
        if (taken < 0)
            return;
        at += taken;
        bytes -= (uint32_t)taken;
        stuck = taken > 0 ? 0 : stuck + 1;
        if (bytes > 0)
            world_turn(world);
    }
}

static inline void peer_say(struct world *world, struct peer *peer, const char *text)
{
    peer_send(world, peer, text, (uint32_t)strlen(text));
    world_settle(world);
}

/* Takes all that has come. */
static inline void peer_receive(struct world *world, struct peer *peer)
{
    for (;;) {
        cr_assert_lt(peer->used, sizeof peer->data);
        int taken = sim_peer_receive(world->network, peer->number, peer->data + peer->used,
                                     (uint32_t)(sizeof peer->data - peer->used));
        if (taken < 0)
            peer->end = taken;
        if (taken <= 0)
            return;
        peer->used += (uint32_t)taken;
        world_settle(world);
    }
}

static inline void peer_forget(struct peer *peer, uint32_t bytes)
{
    memmove(peer->data, peer->data + bytes, peer->used - bytes);
    peer->used -= bytes;
}

/* Takes a response head and its content; the status, or 0 when none has come. */
static inline int peer_response(struct world *world, struct peer *peer)
{
    peer_receive(world, peer);
    const char *end = memmem(peer->data, peer->used, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    uint32_t head = (uint32_t)(end + 4 - (const char *)peer->data);
    const char *length = memmem(peer->data, head, "Content-Length: ", 16);
    uint32_t content = length == NULL ? 0 : (uint32_t)strtoul(length + 16, NULL, 10);
    int status = (int)strtol((const char *)peer->data + 9, NULL, 10);
    cr_assert_leq(head + content, peer->used);
    peer_forget(peer, head + content);
    return status;
}

static inline void peer_ask_upgrade(struct world *world, struct peer *peer, const char *target)
{
    char text[512];
    int bytes = snprintf(text, sizeof text,
                         "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                         target);
    peer_send(world, peer, text, (uint32_t)bytes);
}

static inline void peer_upgrade(struct world *world, struct peer *peer, const char *target)
{
    peer_connect(world, peer, DIALECT_PORT);
    peer_ask_upgrade(world, peer, target);
    world_settle(world);
    cr_assert_eq(peer_response(world, peer), 101, "%s", target);
}

/* A masked frame; `first` is its first byte. */
static inline void peer_frame(struct world *world, struct peer *peer, uint8_t first, const void *payload,
                              uint32_t bytes)
{
    static const uint8_t key[4] = {1, 2, 3, 4};
    uint8_t header[14];
    uint8_t *copy = malloc(bytes + 1);
    size_t header_bytes = ws_header_write_masked(header, (enum ws_opcode)(first & 0x0F), bytes, key);
    header[0] = first;
    if (bytes > 0)
        memcpy(copy, payload, bytes);
    ws_mask(copy, bytes, key, 0);
    peer_send(world, peer, header, (uint32_t)header_bytes);
    peer_send(world, peer, copy, bytes);
    free(copy);
}

static inline void peer_text(struct world *world, struct peer *peer, const char *text)
{
    peer_frame(world, peer, 0x80 | WS_TEXT, text, (uint32_t)strlen(text));
    world_settle(world);
}

/* Takes the next frame: its payload to `payload` with a NUL; its opcode, or -1 when none has come. */
static inline int peer_next(struct world *world, struct peer *peer, char *payload, size_t room)
{
    peer_receive(world, peer);
    uint64_t bytes = ws_frame_bytes(slice_of(peer->data, peer->used));
    if (bytes == 0 || bytes > peer->used)
        return -1;
    int opcode = peer->data[0] & 0x0F;
    size_t header = bytes < 128 ? 2 : bytes < 65540 ? 4 : 10;
    cr_assert_lt(bytes - header, room);
    memcpy(payload, peer->data + header, bytes - header);
    payload[bytes - header] = '\0';
    peer_forget(peer, (uint32_t)bytes);
    return opcode;
}

static inline void peer_expect(struct world *world, struct peer *peer, const char *text)
{
    char payload[4096];
    int opcode = peer_next(world, peer, payload, sizeof payload);
    cr_assert(opcode == WS_TEXT || opcode == WS_BINARY, "opcode %d instead of \"%s\"", opcode, text);
    cr_assert_str_eq(payload, text);
}

static inline void peer_expect_nothing(struct world *world, struct peer *peer)
{
    peer_receive(world, peer);
    cr_assert_eq(peer->used, 0);
    cr_assert_eq(peer->end, 0);
}

static inline void peer_expect_close(struct world *world, struct peer *peer, uint16_t code)
{
    char payload[256];
    cr_assert_eq(peer_next(world, peer, payload, sizeof payload), WS_CLOSE, "no close frame; end %d", peer->end);
    cr_assert_eq(load_be16((const uint8_t *)payload), code);
}

/* Publishes through a shard, as a client of a dialect would; the answer is not waited for. */
static inline void world_publish(struct world *world, uint16_t from, const char *channel, const char *payload)
{
    struct shard *shard = world->shards[from];
    struct slice name = slice_text(channel), text = slice_text(payload);
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_PUBLISH, name.bytes + text.bytes);
    cr_assert_not_null(errand);
    errand->publish.event.opcode = WS_TEXT;
    errand->publish.event.channel = errand_put(errand, name);
    errand->publish.event.payload = errand_put(errand, text);
    errand_ask(shard, errand, channel_home(shard, 0, name));
}

#endif
