/* SPDX-License-Identifier: MIT */
/* Owns the life of a client: connecting, the upgrade, frames in general, and its end. What the dialects say is in
 * sim_talk.c, what hostile clients do in sim_hostile.c.
 * It never looks into the server.
 * Called by the scenario. */
#include "tests/sim/sim_client.h"

#include "tests/sim/sim_hostile.h"
#include "tests/sim/sim_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

/* --- making ---------------------------------------------------------------------------------------------------------- */

static void choose_readers(struct sim_world *world, struct sim_client *client)
{
    struct sim_model *model = &world->model;
    uint32_t count = 1 + (uint32_t)random_below(&world->random, SIM_READERS_MAX);
    uint32_t history = random_chance(&world->random, 1, 2) ? (uint32_t)random_below(&world->random, 60) : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t channel = (uint32_t)random_below(&world->random, model->channel_count);
        bool twice = false;
        for (uint32_t j = 0; j < client->reader_count; j++)
            twice |= client->readers[j].channel == channel;
        if (!twice)
            client->readers[client->reader_count++] =
                (struct sim_reader){.channel = channel, .history = history, .first = SIM_NONE, .last = SIM_NONE};
    }
}

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
    if (kind == SIM_PLAIN)
        choose_readers(world, client);
    if (kind == SIM_RUSTORIUM)
        client->key = (uint32_t)random_below(random, SIM_RUSTORIUM_KEYS);
    if (kind == SIM_HOSTILE)
        client->malice = world->plan.floods ? (enum sim_malice)(SIM_PIPELINE + random_below(random, 2))
                                            : (enum sim_malice)random_below(random, SIM_MALICES);
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

static void put_upgrade(struct sim_client *client, const char *path)
{
    char head[512];
    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path);
    sim_wire_put_text(&client->wire, head);
}

static void ask_plain(struct sim_world *world, struct sim_client *client)
{
    char path[256] = "/plain/";
    size_t used = strlen(path);
    for (uint32_t i = 0; i < client->reader_count; i++)
        used += (size_t)snprintf(path + used, sizeof path - used, "%s%s", i > 0 ? "," : "",
                                 world->model.channels[client->readers[i].channel].name);
    if (client->readers[0].history > 0)
        snprintf(path + used, sizeof path - used, "?last=%u", client->readers[0].history);
    put_upgrade(client, path);
    uint64_t now = sim_model_now(&world->model);
    for (uint32_t i = 0; i < client->reader_count; i++)
        client->readers[i].asked = now;
}

static void ask(struct sim_world *world, struct sim_client *client)
{
    char path[64];
    switch (client->kind) {
    case SIM_PLAIN:
        ask_plain(world, client);
        break;
    case SIM_ECHO:
        put_upgrade(client, "/echo");
        break;
    case SIM_RUSTORIUM:
        snprintf(path, sizeof path, "/ws?token=key-%u", client->key);
        put_upgrade(client, path);
        break;
    case SIM_HOSTILE:
        if (sim_hostile_upgrades(client))
            put_upgrade(client, "/echo");
        else
            sim_hostile_ask(world, client);
        break;
    }
}

static void connect(struct sim_world *world, struct sim_client *client)
{
    static const uint16_t ports[] = {
        [SIM_PLAIN] = SIM_PORT_PLAIN, [SIM_ECHO] = SIM_PORT_ECHO, [SIM_RUSTORIUM] = SIM_PORT_RUSTORIUM};
    uint16_t port = client->kind == SIM_HOSTILE ? sim_hostile_port(client) : ports[client->kind];
    if (!sim_wire_connect(&client->wire, world->network, port, sim_world_address(client->number))) {
        client->start_ms = sim_world_ms() + 50; /* backlog full, or stopping: once more */
        return;
    }
    sim_trace(world, "client %u connects, kind %d", client->number, client->kind);
    client->phase = SIM_OPENING;
    ask(world, client);
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
        sim_wire_close(&client->wire, false);
        client->phase = SIM_ENDED;
        if (client->kind != SIM_HOSTILE && world->stage == STAGE_RUN && response.status != 503)
            sim_fail(world, "client %u: a good request was answered with status %d", client->number, response.status);
        return;
    }
    client->upgraded = true;
    client->phase = SIM_OPEN;
    uint64_t now = sim_model_now(&world->model);
    for (uint32_t i = 0; i < client->reader_count; i++)
        client->readers[i].confirmed = now;
    sim_trace(world, "client %u is open", client->number);
}

/* --- frames ---------------------------------------------------------------------------------------------------------- */

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

/* --- ends ------------------------------------------------------------------------------------------------------------ */

/* Whether the plan has things that end any connection without a word. */
static bool cuts_happen(const struct sim_world *world, const struct sim_client *client)
{
    const struct sim_plan *plan = &world->plan;
    return plan->frame_memory_mib < 1024 || client->pauses || world->stage == STAGE_STOP ||
           (client->speed < 65536 && plan->outbox_bytes_max < 1 << 20);
}

static bool close_code_allowed(const struct sim_world *world, const struct sim_client *client)
{
    const struct sim_plan *plan = &world->plan;
    switch (client->close_code) {
    case 1000:
        return client->leave_ms != NEVER;
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
    bool reset = client->wire.end == -ECONNRESET;
    client->harmed = sim_world_harmed(world, client->wire.peer, client->start_ms);
    sim_trace(world, "client %u: %s", client->number, reset ? "reset" : "end of stream");
    sim_wire_close(&client->wire, false);
    enum sim_phase before = client->phase;
    client->phase = SIM_ENDED;
    if (client->kind == SIM_HOSTILE || client->harmed || cuts_happen(world, client) || client->leave_ms != NEVER)
        return;
    if (client->close_code != 0) {
        if (!close_code_allowed(world, client))
            sim_fail(world, "client %u: closed with %u for no reason", client->number, client->close_code);
        if (reset)
            sim_fail(world, "client %u: reset behind an orderly close with %u", client->number, client->close_code);
    } else if (before == SIM_OPENING) {
        /* A reader that falls behind before its 101 has left is cut without a word. */
        bool cut = client->kind == SIM_PLAIN && world->plan.outbox_bytes_max < 1 << 20;
        if (world->plan.connections_max >= 1000 && world->stage == STAGE_RUN && !cut)
            sim_fail(world, "client %u: its request was never answered", client->number);
    } else {
        sim_fail(world, "client %u: ended without a close frame", client->number);
    }
}

static void begin_leaving(struct sim_world *world, struct sim_client *client)
{
    sim_trace(world, "client %u leaves, way %d", client->number, client->leaving);
    switch (client->leaving) {
    case SIM_RESETS:
    case SIM_VANISHES:
        sim_wire_close(&client->wire, client->leaving == SIM_RESETS);
        client->phase = SIM_ENDED;
        break;
    case SIM_HALF_CLOSES:
        sim_peer_shutdown(world->network, client->wire.peer);
        client->phase = SIM_LEAVING;
        break;
    default:
        if (client->upgraded)
            send_close(world, client, 1000);
        else
            sim_peer_shutdown(world->network, client->wire.peer);
        client->phase = SIM_LEAVING;
    }
}

/* --- steps ----------------------------------------------------------------------------------------------------------- */

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

static bool exchange_bytes(struct sim_world *world, struct sim_client *client)
{
    uint64_t now = sim_world_ms();
    uint32_t most = world->calm ? 65536 : client->speed;
    uint32_t send =
        world->calm || random_chance(&world->random, 3, 4) ? 65536 : 1 + (uint32_t)random_below(&world->random, 50);
    return sim_wire_pump(&client->wire, send, is_reading(client, now) ? most : 0);
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
    bool moved = exchange_bytes(world, client);
    if (client->phase == SIM_OPENING || (client->phase == SIM_LEAVING && !client->upgraded))
        read_opening(world, client);
    if (client->phase == SIM_ENDED)
        return true;
    if (client->upgraded)
        read_frames(world, client);
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

/* --- judging --------------------------------------------------------------------------------------------------------- */

/* When frame memory is full, what is only kept makes room first: then the model promises no history. */
static void forget_history(struct sim_world *world)
{
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (world->shards[i] != NULL && stats_get(&world->shards[i]->stats, STAT_RETAINED_DROPPED) > 0)
            world->model.retain = 0;
}

static void check_complete(struct sim_world *world, struct sim_client *client)
{
    const char *wrong = NULL;
    forget_history(world);
    for (uint32_t i = 0; i < client->reader_count && wrong == NULL; i++)
        wrong = sim_model_complete(&world->model, &client->readers[i]);
    if (client->kind == SIM_RUSTORIUM && wrong == NULL)
        wrong =
            sim_model_complete_state(&world->model, &client->view, client->subscriptions, client->subscription_count);
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
    for (uint32_t i = 0; i < client->reader_count; i++)
        sim_model_reader_free(&client->readers[i]);
    free(client->view.seen);
    sim_wire_free(&client->wire);
}
