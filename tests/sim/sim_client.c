/* SPDX-License-Identifier: MIT */
/* Owns the life of a client: connecting, the upgrade, frames in general, and its end. What the dialects say is in
 * sim_talk.c, what hostile clients do in sim_hostile.c.
 * It never looks into the server.
 * Called by the scenario. */
#include "tests/sim/sim_client.h"

#include "core/work.h"
#include "tests/sim/sim_hostile.h"
#include "tests/sim/sim_kind.h"
#include "tests/sim/sim_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

/* --- making ------------------------------------------------------------------------------------------------------- */

void sim_client_make(struct sim_world *world, struct sim_client *client, uint32_t number, enum sim_kind kind,
                     uint64_t start_ms)
{
    struct random *random = &world->random;
    *client = (struct sim_client){.number = number, .kind = kind, .start_ms = start_ms, .wire = {.peer = -1}};
    client->pause_ms = client->resume_ms = client->leave_ms = NEVER;
    client->speed = random_chance(random, 1, 4) ? 1 + (uint32_t)random_below(random, 2000) : 65536;
    client->stream = SIM_NONE;
    if (random_chance(random, 1, 3)) {
        client->leaving = (enum sim_leaving)(SIM_CLOSES + random_below(random, 4));
        bool hasty = random_chance(random, 1, 3); /* gone before the answer, or soon behind it */
        client->leave_ms = start_ms + random_below(random, hasty ? 3 : world->plan.run_ms);
    }
    if (random_chance(random, 1, 5)) {
        client->pauses = true;
        client->pause_ms = start_ms + random_below(random, world->plan.run_ms);
        client->resume_ms = random_chance(random, 1, 2) ? NEVER : client->pause_ms + random_below(random, 5000);
    }
    sim_kind_make(world, client);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void put_upgrade(struct sim_client *client, const char *path)
{
    char head[512];
    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             path, sim_deflate_line(&client->wire.deflate));
    sim_wire_put_text(&client->wire, head);
}

static void connect(struct sim_world *world, struct sim_client *client)
{
    char path[SIM_PATH_BYTES];
    if (!sim_trust_connect(world, &client->wire, sim_kind_port(client), sim_world_address(world, client->number))) {
        client->start_ms = sim_world_ms() + 50; /* backlog full, or stopping: once more */
        return;
    }
    sim_trace(world, "client %u connects, kind %d", client->number, client->kind);
    world->clients_ms = sim_world_ms();
    client->phase = SIM_OPENING;
    sim_limits_begin(world, client);
    if (sim_kind_path(world, client, path))
        put_upgrade(client, path);
    else
        sim_hostile_ask(world, client);
}

static void end(struct sim_world *world, struct sim_client *client, bool reset)
{
    client->harmed = sim_world_harmed(world, client->wire.peer, client->start_ms);
    sim_wire_close(&client->wire, reset);
    client->phase = SIM_ENDED;
    world->clients_ms = sim_world_ms();
    sim_limits_end(world, client);
}

static bool status_allowed(const struct sim_world *world, const struct sim_client *client)
{
    if (client->kind == SIM_JOBS && sim_jobs_status_allowed(world, client))
        return true;
    return client->status == 503 || (client->status == 429 && sim_limits_address_full(world, client));
}

static void read_opening(struct sim_world *world, struct sim_client *client)
{
    struct sim_response response;
    const char *why = "";
    int result = sim_wire_response(&client->wire, &response, &why);
    if (result < 0)
        sim_fail(world, "client %u: response: %s", client->number, why);
    if (result == 0)
        return;
    if (response.status != 101) {
        client->status = response.status;
        sim_trace(world, "client %u: status %d", client->number, response.status);
        if (client->kind != SIM_HOSTILE && world->stage == STAGE_RUN && !status_allowed(world, client))
            sim_fail(world, "client %u: a good request was answered with status %d", client->number, response.status);
        end(world, client, false);
        return;
    }
    if ((why = sim_deflate_agree(&client->wire.deflate, response.head, world->plan.work.compression)) != NULL)
        sim_fail(world, "client %u: permessage-deflate: %s", client->number, why);
    client->upgraded = true;
    client->phase = SIM_OPEN;
    sim_kind_on_open(world, client);
    sim_trace(world, "client %u is open", client->number);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static void send_close(struct sim_world *world, struct sim_client *client, uint16_t code)
{
    uint8_t payload[2];
    store_be16(payload, code);
    sim_wire_put_frame(&client->wire, &world->random, 8, true, slice_of(payload, 2));
}

static void on_close_frame(struct sim_world *world, struct sim_client *client, struct slice payload)
{
    client->close_code = payload.bytes >= 2 ? load_be16(payload.data) : 1005;
    sim_trace(world, "client %u: close %u %.*s", client->number, client->close_code,
              payload.bytes > 2 ? (int)payload.bytes - 2 : 0, payload.data + 2);
    if (client->phase == SIM_OPEN)
        send_close(world, client, client->close_code == 1005 ? 1000 : client->close_code);
    client->phase = SIM_LEAVING;
}

static void on_frame(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    if (client->close_code != 0)
        sim_fail(world, "client %u: a frame behind the close frame", client->number);
    switch (frame->opcode) {
    case 8:
        on_close_frame(world, client, frame->payload);
        break;
    case 9:
        if (client->phase == SIM_OPEN)
            sim_wire_put_frame(&client->wire, &world->random, 10, true, frame->payload);
        break;
    case 10:
        break;
    default:
        if (client->kind != SIM_HOSTILE)
            sim_talk_on_message(world, client, frame);
    }
}

static void read_frames(struct sim_world *world, struct sim_client *client)
{
    struct sim_frame frame;
    const char *why = "";
    int result;
    while ((result = sim_wire_frame(&client->wire, &frame, &why)) > 0)
        on_frame(world, client, &frame);
    if (result < 0)
        sim_fail(world, "client %u: frame: %s", client->number, why);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* Whether the plan has things that end any connection without a word. */
static bool cuts_happen(const struct sim_world *world, const struct sim_client *client)
{
    const struct sim_plan *plan = &world->plan;
    return plan->frame_memory_mib < 1024 || client->pauses || world->stage == STAGE_STOP ||
           (client->speed < 65536 && plan->outbox_bytes_max < 1 << 20) || sim_limits_crowded(world, client);
}

static bool close_code_allowed(const struct sim_world *world, const struct sim_client *client)
{
    const struct sim_plan *plan = &world->plan;
    switch (client->close_code) {
    case 1000:
        return client->leave_ms != NEVER || (client->kind == SIM_JOBS && sim_jobs_close_allowed(client));
    case 1001:
        return world->stage >= STAGE_FAREWELL || (plan->quick_pings && (client->pauses || client->speed < 65536));
    case 1008:
        return client->kind == SIM_RUSTORIUM && plan->reload && client->key == SIM_RUSTORIUM_KEYS - 1;
    case 1011:
        return plan->frame_memory_mib < 1024;
    case 1013:
        return client->pauses || client->speed < 65536 || plan->outbox_bytes_max < 1 << 20 ||
               plan->frame_memory_mib < 1024;
    case 4000:
        return client->kind == SIM_RUSTORIUM && plan->reload && client->key == SIM_RUSTORIUM_KEYS - 1;
    case 4001:
        return client->refused;
    default:
        return false;
    }
}

static void on_end(struct sim_world *world, struct sim_client *client)
{
    bool reset = client->wire.end == -ECONNRESET, cut = client->wire.cut;
    sim_trace(world, "client %u: %s", client->number, reset ? "reset" : "end of stream");
    enum sim_phase before = client->phase;
    end(world, client, false);
    if (client->kind == SIM_HOSTILE || client->harmed || cuts_happen(world, client) || client->leave_ms != NEVER)
        return;
    if (client->close_code != 0) {
        if (!close_code_allowed(world, client))
            sim_fail(world, "client %u: closed with %u for no reason", client->number, client->close_code);
        if (reset)
            sim_fail(world, "client %u: reset behind an orderly close with %u", client->number, client->close_code);
        if (cut)
            sim_fail(world, "client %u: no close_notify behind an orderly close with %u", client->number,
                     client->close_code);
    } else if (before == SIM_OPENING) {
        /* A reader that falls behind before its 101 has left is cut without a word. */
        bool behind =
            (client->kind == SIM_PLAIN || client->kind == SIM_CRYPTO) && world->plan.outbox_bytes_max < 1 << 20;
        if (world->plan.connections_max >= 1000 && world->stage == STAGE_RUN && !behind && !sim_trust_crowded(world))
            sim_fail(world, "client %u: its request was never answered", client->number);
    } else {
        sim_fail(world, "client %u: ended without a close frame", client->number);
    }
}

static void begin_leaving(struct sim_world *world, struct sim_client *client)
{
    sim_trace(world, "client %u leaves, way %d", client->number, client->leaving);
    world->clients_ms = sim_world_ms();
    switch (client->leaving) {
    case SIM_RESETS:
    case SIM_VANISHES:
        end(world, client, client->leaving == SIM_RESETS);
        break;
    case SIM_HALF_CLOSES:
        sim_wire_shutdown(&client->wire);
        client->phase = SIM_LEAVING;
        break;
    default:
        if (client->upgraded)
            send_close(world, client, 1000);
        else
            sim_wire_shutdown(&client->wire);
        client->phase = SIM_LEAVING;
    }
}

/* --- answers that have to come ------------------------------------------------------------------------------------ */

void sim_client_expect(struct sim_client *client, struct sim_expected expected)
{
    client->expected[(client->expected_head + client->expected_count++) % SIM_EXPECTED_MAX] = expected;
}

struct sim_expected sim_client_next_expected(struct sim_world *world, struct sim_client *client)
{
    if (client->expected_count == 0)
        sim_fail(world, "client %u: an answer to nothing", client->number);
    struct sim_expected expected = client->expected[client->expected_head];
    client->expected_head = (client->expected_head + 1) % SIM_EXPECTED_MAX;
    client->expected_count--;
    return expected;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static bool is_reading(const struct sim_client *client, uint64_t now)
{
    return now < client->pause_ms || now >= client->resume_ms;
}

uint64_t sim_client_due(const struct sim_client *client)
{
    switch (client->phase) {
    case SIM_WAITING:
        return client->start_ms;
    case SIM_OPENING:
    case SIM_OPEN: {
        uint64_t due = client->leave_ms < client->wake_ms ? client->leave_ms : client->wake_ms;
        if (due > client->resume_ms && client->resume_ms > sim_world_ms())
            due = client->resume_ms;
        return due;
    }
    default:
        return NEVER;
    }
}

static bool exchange_bytes(struct sim_world *world, struct sim_client *client, uint64_t now)
{
    const struct sim_bytes *out = &client->wire.out;
    uint32_t most = world->calm ? 65536 : client->speed, send = 65536;
    if (out->at < out->used && !world->calm && random_chance(&world->random, 1, 4))
        send = 1 + (uint32_t)random_below(&world->random, 50);
    return sim_wire_pump(&client->wire, send, is_reading(client, now) ? most : 0);
}

static void read_on(struct sim_world *world, struct sim_client *client)
{
    if (client->phase == SIM_OPENING || (client->phase == SIM_LEAVING && !client->upgraded))
        read_opening(world, client);
    if (client->phase != SIM_ENDED && client->upgraded)
        read_frames(world, client);
}

bool sim_client_step(struct sim_world *world, struct sim_client *client)
{
    uint64_t now = sim_world_ms();
    if (client->phase == SIM_ENDED || (client->phase == SIM_WAITING && now < client->start_ms))
        return false;
    if (client->phase == SIM_WAITING) {
        connect(world, client);
        return true;
    }
    bool moved = exchange_bytes(world, client, now);
    if (moved)
        read_on(world, client);
    if (client->phase == SIM_ENDED)
        return true;
    if (client->wire.end != 0) {
        on_end(world, client);
        return true;
    }
    if ((client->phase == SIM_OPENING || client->phase == SIM_OPEN) && now >= client->leave_ms) {
        begin_leaving(world, client);
        return true;
    }
    if (client->kind == SIM_HOSTILE)
        sim_hostile_act(world, client);
    else if (client->phase == SIM_OPEN && now >= client->wake_ms)
        sim_talk_act(world, client);
    return moved;
}

void sim_client_leave(struct sim_world *world, struct sim_client *client)
{
    if (client->phase == SIM_WAITING)
        client->phase = SIM_ENDED;
    if (client->phase != SIM_OPENING && client->phase != SIM_OPEN)
        return;
    if (!is_reading(client, sim_world_ms()))
        client->leaving = SIM_RESETS;
    else if (client->leaving == SIM_STAYS)
        client->leaving = (enum sim_leaving)(SIM_CLOSES + random_below(&world->random, 4));
    client->leave_ms = sim_world_ms();
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

/* When frame memory is full, what is only kept makes room first: then the model promises no history. */
static void forget_history(struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (world->shards[i] != NULL && stats_get(&world->shards[i]->stats, STAT_RETAINED_DROPPED) > 0)
            world->model.retain = 0;
}

static void check_complete(struct sim_world *world, struct sim_client *client)
{
    forget_history(world);
    const char *wrong = sim_kind_complete(world, client);
    if (wrong != NULL)
        sim_fail(world, "client %u: %s", client->number, wrong);
}

void sim_client_check_rest(struct sim_world *world, struct sim_client *client)
{
    if (client->phase == SIM_OPENING && client->kind != SIM_HOSTILE && is_reading(client, sim_world_ms()))
        sim_fail(world, "client %u: its request is not answered", client->number);
    if (client->phase == SIM_LEAVING && is_reading(client, sim_world_ms()))
        sim_fail(world, "client %u: leaves and does not come to its end", client->number);
    if (client->kind == SIM_HOSTILE && !client->harmed)
        sim_hostile_check_rest(world, client);
    if (client->phase != SIM_OPEN || client->kind == SIM_HOSTILE || !is_reading(client, sim_world_ms()))
        return;
    if (client->kind == SIM_RUSTORIUM && world->reloaded && client->key == SIM_RUSTORIUM_KEYS - 1)
        sim_fail(world, "client %u: its key is gone, and it is still connected", client->number);
    if (client->expected_count > 0)
        sim_fail(world, "client %u: %u answers are missing", client->number, client->expected_count);
    check_complete(world, client);
}

void sim_client_check_drained(struct sim_world *world, struct sim_client *client)
{
    bool harmed = client->harmed || sim_world_harmed(world, client->wire.peer, client->start_ms);
    if (client->phase != SIM_ENDED && client->phase != SIM_WAITING && is_reading(client, sim_world_ms()) && !harmed)
        sim_fail(world, "client %u: the server has stopped and the connection has not ended", client->number);
    if (client->kind != SIM_HOSTILE && client->close_code == 1001 && !client->harmed && !client->pauses &&
        client->speed == 65536)
        check_complete(world, client);
}

void sim_client_free(struct sim_client *client)
{
    sim_kind_free(client);
    sim_wire_free(&client->wire);
}
