/* SPDX-License-Identifier: MIT */
/* Owns the commands of crypto's clients and the judgement of updates and answers.
 * It never connects and never ends a connection.
 * Called by sim_talk.c for clients of that kind, and by publishers for the objects. */
#include "tests/sim/sim_crypto.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>

#define TAIL_BYTES 40U /* ,"timestamp":"2026-01-01T00:00:00.000Z"} */
#define SETTLE_MS 2000 /* of the calm part: until all turns are in time */
#define LATE_MS 15     /* of a tick, behind its time */
#define PADDING_MAX 3000U

enum command { SUBSCRIBE, UNSUBSCRIBE, PING, STATUS, MISTAKE };

/* Bits of sim_services. */
static const struct path {
    const char *path;
    uint32_t offered, subscribed;
} paths[] = {{"/ws", 63, 0},      {"/ws/master", 63, 0},      {"/ws/all", 63, 63},
             {"/ws/data", 15, 0}, {"/ws/market_data/", 1, 1}, {"/ws/ai", 16, 16}};
#define PATHS (sizeof paths / sizeof paths[0])
#define PATH_MASTER 1

/* --- objects ------------------------------------------------------------------------------------------------------ */

size_t sim_crypto_object(const struct sim_model *model, uint32_t message, char *out, size_t room)
{
    uint32_t padding = model->messages[message].bytes;
    padding = padding > PADDING_MAX ? PADDING_MAX : padding;
    int head = snprintf(out, room, "{\"n\":\"%08u\",\"padding\":\"", message);
    check(head > 0 && (size_t)head + padding + 64 < room);
    memset(out + head, 'a' + (int)(message % 26), padding);
    int tail = snprintf(out + (size_t)head + padding, room - (size_t)head - padding,
                        "\",\"timestamp\":\"2031-05-01T00:00:00.000Z\"}");
    return (size_t)head + padding + (size_t)tail;
}

uint32_t sim_crypto_choose(struct sim_world *world, uint32_t publisher)
{
    uint32_t own = (SIM_SERVICES - publisher + world->plan.publishers - 1) / world->plan.publishers;
    return publisher + (uint32_t)random_below(&world->random, own) * world->plan.publishers;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

void sim_crypto_make(struct sim_world *world, struct sim_client *client)
{
    client->crypto.path = (uint8_t)random_below(&world->random, PATHS);
    for (int i = 0; i < SIM_SERVICES; i++)
        client->crypto.topics[i].last = SIM_NONE;
}

void sim_crypto_path(const struct sim_client *client, char *out, size_t room)
{
    snprintf(out, room, "%s", paths[client->crypto.path].path);
}

static bool has_object(const struct sim_world *world, uint32_t service)
{
    const struct sim_model *model = &world->model;
    for (uint32_t i = model->newest[service]; i != SIM_NONE; i = model->messages[i].before)
        if (model->messages[i].fate == SIM_ACCEPTED)
            return true;
    return false;
}

static void want(struct sim_world *world, struct sim_client *client, uint32_t services)
{
    for (uint32_t i = 0; i < SIM_SERVICES; i++) {
        struct sim_topic *topic = &client->crypto.topics[i];
        if (!(services >> i & 1) || topic->wanted)
            continue;
        *topic = (struct sim_topic){
            .wanted = true, .had = has_object(world, i), .asked = sim_model_now(&world->model), .last = SIM_NONE};
    }
}

static void confirm(struct sim_world *world, struct sim_client *client, uint32_t services)
{
    for (uint32_t i = 0; i < SIM_SERVICES; i++) {
        struct sim_topic *topic = &client->crypto.topics[i];
        if (!(services >> i & 1) || !topic->wanted || topic->confirmed != 0)
            continue;
        topic->confirmed = sim_model_now(&world->model);
        topic->confirmed_ms = sim_world_ms();
    }
}

void sim_crypto_on_asked(struct sim_world *world, struct sim_client *client)
{
    want(world, client, paths[client->crypto.path].subscribed);
}

void sim_crypto_on_open(struct sim_world *world, struct sim_client *client)
{
    confirm(world, client, paths[client->crypto.path].subscribed);
}

static void command(struct sim_world *world, struct sim_client *client, const char *text, enum command kind,
                    uint32_t services)
{
    char line[256];
    struct sim_expected expected = {
        .number = (uint32_t)++client->requested, .bytes = kind, .good = kind != MISTAKE, .subscription = services};
    int bytes = snprintf(line, sizeof line, "{\"action\":%s,\"id\":\"c%u\"}", text, expected.number);
    sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_of(line, (size_t)bytes));
    sim_client_expect(client, expected);
}

/* A service of the path, or all of them. */
static uint32_t choose_services(struct sim_world *world, const struct sim_client *client, const char **name)
{
    uint32_t offered = paths[client->crypto.path].offered, service;
    *name = "all";
    if (random_chance(&world->random, 1, 8))
        return offered;
    do
        service = (uint32_t)random_below(&world->random, SIM_SERVICES);
    while (!(offered >> service & 1));
    *name = sim_services[service];
    return 1U << service;
}

static void err(struct sim_world *world, struct sim_client *client)
{
    static const char *const mistakes[] = {"\"subscribe\",\"service\":\"gold\"", "\"fly\"", "7",
                                           "\"unsubscribe\",\"service\":12"};
    command(world, client, mistakes[random_below(&world->random, sizeof mistakes / sizeof mistakes[0])], MISTAKE, 0);
}

void sim_crypto_say(struct sim_world *world, struct sim_client *client)
{
    char text[96];
    const char *name;
    if (client->expected_count > SIM_EXPECTED_MAX / 2)
        return;
    switch (random_below(&world->random, 8)) {
    case 0:
        command(world, client, "\"ping\",\"data\":{\"k\":[1,2.50]}", PING, 0);
        break;
    case 1:
        command(world, client, "\"get_status\"", STATUS, 0);
        break;
    case 2:
        err(world, client);
        break;
    case 3:
    case 4: {
        uint32_t services = choose_services(world, client, &name);
        snprintf(text, sizeof text, "\"unsubscribe\",\"service\":\"%s\"", name);
        command(world, client, text, UNSUBSCRIBE, services);
        break;
    }
    default: {
        /* One at a time: what is asked for while the end of it is on its way would be owed and not owed. */
        if (client->expected_count > 0)
            return;
        uint32_t services = choose_services(world, client, &name);
        snprintf(text, sizeof text, "\"subscribe\",\"service\":\"%s\"", name);
        want(world, client, services);
        command(world, client, text, SUBSCRIBE, services);
    }
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* What was there when it was asked for has come before anything else is answered. */
static void check_snapshots(struct sim_world *world, const struct sim_client *client)
{
    for (uint32_t i = 0; i < SIM_SERVICES; i++) {
        const struct sim_topic *topic = &client->crypto.topics[i];
        if (topic->wanted && topic->had && topic->confirmed != 0 && topic->count == 0 && !sim_world_starved(world))
            sim_fail(world, "client %u: the object of %s has not come behind the subscription", client->number,
                     sim_services[i]);
    }
}

static void forget(struct sim_client *client, uint32_t services)
{
    for (uint32_t i = 0; i < SIM_SERVICES; i++)
        if (services >> i & 1)
            client->crypto.topics[i] = (struct sim_topic){.last = SIM_NONE};
}

static void hear_answer(struct sim_world *world, struct sim_client *client, struct slice text, struct slice type)
{
    static const char *const types[] = {[SUBSCRIBE] = "subscription_confirmed",
                                        [UNSUBSCRIBE] = "unsubscription_confirmed",
                                        [PING] = "pong",
                                        [STATUS] = "status",
                                        [MISTAKE] = "error"};
    struct sim_expected expected = sim_client_next_expected(world, client);
    char id[16];
    snprintf(id, sizeof id, "c%u", expected.number);
    if (!slice_is(sim_text_between(text, ",\"id\":\"", '"'), id) || !slice_is(type, types[expected.bytes]))
        sim_fail(world, "client %u: expected %s to %s, got %.*s", client->number, types[expected.bytes], id,
                 (int)text.bytes, text.data);
    if (expected.bytes == PING && sim_text_behind(text, "\"data\":{\"k\":[1,2.50]},").data == NULL)
        sim_fail(world, "client %u: a pong with other data", client->number);
    check_snapshots(world, client);
    sim_trace(world, "client %u: answer %s", client->number, id);
    if (expected.bytes == SUBSCRIBE)
        confirm(world, client, expected.subscription);
    else if (expected.bytes == UNSUBSCRIBE)
        forget(client, expected.subscription);
}

static void hear_system(struct sim_world *world, struct sim_client *client, struct slice text)
{
    struct slice type = sim_text_between(text, "\"type\":\"", '"');
    bool greeting = slice_is(type, "connection_established");
    if (greeting == client->crypto.greeted)
        sim_fail(world, "client %u: greeted twice, or not first", client->number);
    client->crypto.greeted = true;
    bool welcome = slice_is(type, "welcome") && client->crypto.path == PATH_MASTER;
    bool report = slice_is(type, "status") && sim_text_behind(text, ",\"id\":\"").data == NULL;
    if (!greeting && !welcome && !report)
        hear_answer(world, client, text, type);
}

/* --- updates ------------------------------------------------------------------------------------------------------ */

/* The message that the object is; SIM_NONE: an object of the server's own, or none that anybody has published. */
static uint32_t recognise(const struct sim_model *model, uint32_t service, struct slice object)
{
    char expected[PADDING_MAX + 256];
    uint32_t message = sim_text_number(sim_text_between(object, "{\"n\":\"", '"'));
    if (message >= model->count || model->messages[message].form != SIM_OBJECT ||
        model->messages[message].key != service)
        return SIM_NONE;
    size_t bytes = sim_crypto_object(model, message, expected, sizeof expected);
    return slice_equal(object, slice_of(expected, bytes)) ? message : SIM_NONE;
}

/* Nothing that the home had taken before `at_ms` for certain is newer. */
static const char *check_newest(const struct sim_model *model, uint32_t service, uint32_t message, uint64_t at_ms)
{
    for (uint32_t i = model->newest[service]; i != SIM_NONE; i = model->messages[i].before) {
        const struct sim_message *other = &model->messages[i];
        if (i != message && other->fate == SIM_ACCEPTED && other->settled_ms < at_ms &&
            (message == SIM_NONE || sim_model_is_behind(model, i, message)))
            return "not the newest object";
        if (i < message && message != SIM_NONE)
            break;
    }
    return NULL;
}

/* In the calm part ticks are in time, and none is left out. */
static const char *check_tick(struct sim_world *world, const struct sim_client *client, uint32_t service,
                              struct sim_topic *topic, uint64_t at_ms)
{
    struct sim_grid *grid = &world->grids[service];
    uint64_t interval = world->plan.work.interval_ms[service], phase = at_ms % interval;
    if (!world->calm || at_ms < world->calm_ms + SETTLE_MS || sim_world_starved(world))
        return NULL;
    topic->calm_count++;
    if (!grid->known && !client->pauses)
        *grid = (struct sim_grid){.known = true, .phase_ms = phase};
    if (!grid->known)
        return NULL;
    uint64_t apart = (phase + interval - grid->phase_ms) % interval;
    if (apart > LATE_MS && apart < interval - LATE_MS && !(client->pauses && sim_world_wall_jumps(world)))
        return "an update beside its time";
    if (topic->calm_count > 1 && !client->pauses && world->plan.work.resend_unchanged &&
        (at_ms - topic->last_ms > interval + LATE_MS || at_ms - topic->last_ms + LATE_MS < interval))
        return "ticks that are not one interval apart";
    return NULL;
}

static const char *judge(struct sim_world *world, struct sim_client *client, uint32_t service, struct slice object,
                         uint64_t at_ms)
{
    struct sim_topic *topic = &client->crypto.topics[service];
    struct sim_model *model = &world->model;
    uint32_t message = recognise(model, service, object);
    bool own = message == SIM_NONE && strcmp(sim_services[service], "pool_manager") == 0 &&
               slice_starts(object, slice_text("{\"pools\":{"));
    if (message == SIM_NONE && !own)
        return "an object that nobody published";
    if (!topic->wanted)
        return "not subscribed to";
    if (!own && model->messages[message].fate == SIM_REFUSED)
        return "an object that was refused";
    if (!sim_world_wall_jumps(world) && (at_ms < topic->last_ms || at_ms > sim_world_ms()))
        return "times that do not rise";
    if (!sim_world_wall_jumps(world) && at_ms == topic->last_ms && topic->count > 1)
        return "twice at one tick";
    if (!own && topic->last != SIM_NONE && sim_model_is_behind(model, topic->last, message))
        return "an older object behind a newer one";
    const char *wrong = sim_world_wall_jumps(world) ? NULL : check_newest(model, service, message, at_ms);
    if (wrong == NULL)
        wrong = check_tick(world, client, service, topic, at_ms);
    topic->last_ms = at_ms;
    topic->last = message;
    topic->count++;
    return wrong;
}

static void hear_update(struct sim_world *world, struct sim_client *client, struct slice text)
{
    struct slice name = sim_text_between(text, "{\"service\":\"", '"');
    struct slice rest = sim_text_behind(text, "\",\"type\":\"update\",\"data\":");
    uint32_t service = 0;
    uint64_t at_ms = 0;
    while (service < SIM_SERVICES && !slice_is(name, sim_services[service]))
        service++;
    bool timed = rest.bytes >= TAIL_BYTES && sim_text_clock(slice_of(rest.data + rest.bytes - 26, 24), &at_ms);
    if (sim_world_wall_jumps(world))
        at_ms = sim_world_ms(); /* of a reader in time, that is about the same */
    if (rest.bytes < TAIL_BYTES || (!timed && !sim_world_wall_jumps(world)))
        sim_fail(world, "client %u: no update: %.*s", client->number, (int)text.bytes, text.data);
    if (service == SIM_SERVICES)
        return; /* one that nobody publishes to: a report of the server's own */
    const char *wrong = judge(world, client, service, slice_of(rest.data, rest.bytes - TAIL_BYTES), at_ms);
    if (wrong != NULL)
        sim_fail(world, "client %u: %s: %s: %.*s", client->number, sim_services[service], wrong,
                 (int)(text.bytes < 100 ? text.bytes : 100), text.data);
    world->model.deliveries++;
    sim_trace(world, "client %u: %s of %llu ms: message %d", client->number, sim_services[service],
              (unsigned long long)at_ms, (int)client->crypto.topics[service].last);
}

void sim_crypto_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    if (slice_starts(frame->payload, slice_text("{\"service\":\"system\"")))
        hear_system(world, client, frame->payload);
    else
        hear_update(world, client, frame->payload);
}

/* --- at rest ------------------------------------------------------------------------------------------------------ */

static const char *complete_topic(struct sim_world *world, uint32_t service, const struct sim_topic *topic)
{
    uint64_t interval = world->plan.work.interval_ms[service];
    uint64_t ticks = (sim_world_ms() - world->calm_ms - SETTLE_MS) / interval;
    if (!topic->wanted || topic->confirmed == 0 || !has_object(world, service) || sim_world_starved(world))
        return NULL;
    if (topic->last == SIM_NONE)
        return "an object that there is has never come";
    if (check_newest(&world->model, service, topic->last, UINT64_MAX) != NULL)
        return "the newest object has not come";
    if (world->plan.work.resend_unchanged && topic->confirmed_ms < world->calm_ms && topic->calm_count + 2 < ticks)
        return "ticks are missing";
    return NULL;
}

const char *sim_crypto_complete(struct sim_world *world, const struct sim_client *client)
{
    const char *wrong = NULL;
    for (uint32_t i = 0; i < SIM_SERVICES && wrong == NULL && world->calm && !client->pauses; i++)
        if ((wrong = complete_topic(world, i, &client->crypto.topics[i])) != NULL)
            sim_trace(world, "client %u: %s: message %d is the last", client->number, sim_services[i],
                      (int)client->crypto.topics[i].last);
    return wrong;
}
