/* SPDX-License-Identifier: MIT */
/* Owns the attacks: one per client, and the close code that each deserves.
 * It never speaks a dialect.
 * Called by sim_client.c for hostile clients. */
#include "tests/sim/sim_hostile.h"

#include "core/work.h"

#include <stdio.h>

#define TRICKLE_MS 400
#define PINGS 200
#define PIPELINED 40
#define PIPELINED_BYTES 4000
#define MESSAGES 300
#define BOMB_BYTES (2U << 20) /* twice what echo takes; some 2 KiB on the wire */
#define LARGE_BYTES 70000

/* The attacks that go elsewhere than to echo. */
static const struct target {
    uint16_t port;
    enum sim_kind dialect;
    const char *path;
} targets[SIM_MALICES] = {[SIM_FLOOD] = {SIM_PORT_PLAIN, SIM_PLAIN, "/plain/flooded"},
                          [SIM_INVALID] = {SIM_PORT_RUSTORIUM, SIM_RUSTORIUM, "/ws?token=key-0"},
                          [SIM_BINARY] = {SIM_PORT_AITBC, SIM_JOBS, "/v1/events"},
                          [SIM_LARGE] = {SIM_PORT_CRYPTO, SIM_CRYPTO, "/ws/data"},
                          [SIM_PIPELINE] = {SIM_PORT_INGEST, SIM_HOSTILE, ""},
                          [SIM_PUSH] = {SIM_PORT_INGEST, SIM_HOSTILE, ""}};

static const uint16_t deserved[SIM_MALICES] = {
    [SIM_UNMASKED] = 1002,   [SIM_OVERSIZE] = 1009,    [SIM_RESERVED] = 1002, [SIM_BAD_TEXT] = 1007,
    [SIM_PING_FLOOD] = 1008, [SIM_BAD_DEFLATE] = 1007, [SIM_BOMB] = 1009,     [SIM_FLOOD] = 1008,
    [SIM_INVALID] = 4002,    [SIM_BINARY] = 1003,      [SIM_LARGE] = 1009,    [SIM_PUSH] = 1002};

static bool publishes(const struct sim_client *client)
{
    return client->malice == SIM_PIPELINE || client->malice == SIM_PUSH;
}

void sim_hostile_make(struct sim_client *client)
{
    client->wire.deflate.offer = client->malice == SIM_BAD_DEFLATE || client->malice == SIM_BOMB;
}

uint16_t sim_hostile_port(const struct sim_client *client)
{
    uint16_t port = targets[client->malice].port;
    return port == 0 ? SIM_PORT_ECHO : port;
}

const char *sim_hostile_path(const struct sim_client *client)
{
    const char *path = targets[client->malice].path;
    return path == NULL ? "/echo" : path;
}

enum sim_kind sim_hostile_dialect(const struct sim_client *client)
{
    return targets[client->malice].path == NULL ? SIM_ECHO : targets[client->malice].dialect;
}

bool sim_hostile_upgrades(const struct sim_client *client)
{
    return client->malice >= SIM_UNMASKED && !publishes(client);
}

/* To a channel that nobody reads. */
static void pipeline(struct sim_client *client)
{
    char content[PIPELINED_BYTES + 1], head[256];
    memset(content, 'a', PIPELINED_BYTES);
    content[PIPELINED_BYTES] = '\0';
    snprintf(head, sizeof head,
             "POST /ingest/v1/plain/void HTTP/1.1\r\nHost: localhost\r\nX-Ingest-Key: " SIM_INGEST_KEY
             "\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
             PIPELINED_BYTES);
    for (int i = 0; i < PIPELINED; i++) {
        sim_wire_put_text(&client->wire, head);
        sim_wire_put_text(&client->wire, content);
    }
    sim_wire_put_text(&client->wire, "garbage\r\n\r\n");
}

static void push(struct sim_world *world, struct sim_client *client)
{
    char object[PIPELINED_BYTES + 128];
    sim_wire_put_text(&client->wire,
                      "GET /ingest/v1/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " SIM_INGEST_KEY
                      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    for (int i = 1; i <= PIPELINED; i++) {
        int bytes =
            snprintf(object, sizeof object,
                     "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"void\",\"seq\":%d,\"data\":\"%0*d\"}", i,
                     PIPELINED_BYTES, i);
        sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_of(object, (size_t)bytes));
    }
    sim_wire_put_frame(&client->wire, &world->random, 0x41, true, slice_text("x"));
}

void sim_hostile_ask(struct sim_world *world, struct sim_client *client)
{
    if (client->malice == SIM_PIPELINE)
        pipeline(client);
    else if (client->malice == SIM_PUSH)
        push(world, client);
}

static void put_noise(struct sim_world *world, struct sim_client *client, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)random_u64(&world->random);
        sim_wire_put(&client->wire, &byte, 1);
    }
}

/* In place of an upgrade. */
static void attack_http(struct sim_world *world, struct sim_client *client)
{
    switch (client->malice) {
    case SIM_GARBAGE:
        put_noise(world, client, 300);
        sim_wire_put_text(&client->wire, "\r\n\r\n");
        break;
    case SIM_ENDLESS_HEAD:
        sim_wire_put_text(&client->wire, "GET /echo HTTP/1.1\r\nHost: x\r\n");
        for (int i = 0; i < 600; i++)
            sim_wire_put_text(&client->wire, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
        break;
    default:
        break;
    }
}

/* A frame with RSV1, which means a message that zlib has made smaller if that was agreed on. */
static void attack_deflate(struct sim_world *world, struct sim_client *client)
{
    static const uint8_t zeros[BOMB_BYTES];
    struct slice payload = slice_text("\xff\xff\xff\xff");
    if (client->malice == SIM_BOMB && client->wire.deflate.on)
        payload = sim_deflate_deflate(&client->wire.deflate, slice_of(zeros, sizeof zeros));
    sim_wire_put_frame(&client->wire, &world->random, 0x42, true, payload);
}

static void attack_dialect(struct sim_world *world, struct sim_client *client)
{
    static const uint8_t large[LARGE_BYTES];
    struct random *random = &world->random;
    switch (client->malice) {
    case SIM_BINARY:
        sim_wire_put_frame(&client->wire, random, 2, true, slice_text("x"));
        break;
    case SIM_LARGE:
        sim_wire_put_frame(&client->wire, random, 2, true, slice_of(large, sizeof large));
        break;
    default:
        for (int i = 0; i < MESSAGES; i++)
            sim_wire_put_frame(&client->wire, random, 1, true, slice_text("{\"type\":\"nonsense\"}"));
    }
}

static void attack_frames(struct sim_world *world, struct sim_client *client)
{
    static const uint8_t unmasked[] = {0x81, 0x02, 'h', 'i'};
    static const uint8_t oversize[] = {0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4};
    static const uint8_t half[] = {0x82, 0xFE, 0x10, 0x00, 1, 2, 3, 4, 'a'};
    switch (client->malice) {
    case SIM_UNMASKED:
        sim_wire_put(&client->wire, unmasked, sizeof unmasked);
        break;
    case SIM_OVERSIZE:
        sim_wire_put(&client->wire, oversize, sizeof oversize);
        break;
    case SIM_RESERVED:
        sim_wire_put_frame(&client->wire, &world->random, 0x41, true, slice_text("x"));
        break;
    case SIM_BAD_TEXT:
        sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_text("\xC0\x80"));
        break;
    case SIM_HALF_FRAME:
        sim_wire_put(&client->wire, half, sizeof half);
        client->leaving = SIM_RESETS;
        client->leave_ms = sim_world_ms() + random_below(&world->random, 100);
        break;
    case SIM_BAD_DEFLATE:
    case SIM_BOMB:
        attack_deflate(world, client);
        break;
    case SIM_FLOOD:
    case SIM_INVALID:
    case SIM_BINARY:
    case SIM_LARGE:
        attack_dialect(world, client);
        break;
    default:
        for (int i = 0; i < PINGS; i++)
            sim_wire_put_frame(&client->wire, &world->random, 9, true, slice_text("ping"));
    }
}

void sim_hostile_act(struct sim_world *world, struct sim_client *client)
{
    uint64_t now = sim_world_ms();
    if (publishes(client)) {
        client->wake_ms = UINT64_MAX;
        return;
    }
    if (client->phase == SIM_OPENING && client->malice == SIM_TRICKLE && now >= client->wake_ms) {
        sim_wire_put_text(&client->wire, client->requested == 0 ? "GET /echo HTTP/1.1\r\nHost: x\r\nX-Slow: " : "a");
        client->wake_ms = now + TRICKLE_MS;
        client->requested++;
    } else if (client->phase == SIM_OPENING && !sim_hostile_upgrades(client) && client->requested++ == 0) {
        attack_http(world, client);
    } else if (client->phase == SIM_OPEN && client->requested++ == 0) {
        attack_frames(world, client);
    }
    if (client->malice != SIM_TRICKLE)
        client->wake_ms = UINT64_MAX;
}

void sim_hostile_check_rest(struct sim_world *world, struct sim_client *client)
{
    if (client->requested == 0 && client->phase == SIM_WAITING)
        return;
    if (client->phase != SIM_ENDED && !client->pauses)
        sim_fail(world, "client %u: attack %d has not been ended", client->number, client->malice);
    uint16_t code = deserved[client->malice], got = client->close_code;
    if (client->wire.deflate.offer != 0 && !client->wire.deflate.on)
        code = 1002; /* RSV1 means nothing then */
    bool refused = got == 4001 && client->malice == SIM_INVALID;
    if (client->upgraded && got != 0 && code != 0 && got != code && got != 1001 && got != 1000 && got != 1013 &&
        !refused)
        sim_fail(world, "client %u: attack %d was closed with %u, not %u", client->number, client->malice, got, code);
}
