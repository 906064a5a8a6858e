/* SPDX-License-Identifier: MIT */
/* Owns the choice of what a publisher publishes next, and the texts of objects of plain and rustorium.
 * It never sends anything and never judges.
 * Called by sim_publisher.c. */
#include "tests/sim/sim_objects.h"

#include "core/work.h"

#include <stdio.h>

void sim_objects_make(struct sim_world *world, struct sim_objects *objects, uint32_t publisher)
{
    char name[16];
    *objects = (struct sim_objects){.publisher = publisher, .stall = {.offer = SIM_NONE}};
    snprintf(name, sizeof name, "late%u", publisher);
    sim_model_channel(&world->model, name, true); /* its own: so its newest message is known */
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

/* A channel that this publisher may publish to. */
static uint32_t choose_channel(struct sim_world *world, const struct sim_objects *objects)
{
    const struct sim_model *model = &world->model;
    char own[16];
    snprintf(own, sizeof own, "late%u", objects->publisher);
    for (;;) {
        uint32_t channel = (uint32_t)random_below(&world->random, model->channel_count);
        if (!model->channels[channel].latest || strcmp(model->channels[channel].name, own) == 0)
            return channel;
    }
}

struct sim_topic_choice sim_objects_choose(struct sim_world *world, const struct sim_objects *objects)
{
    static const enum sim_object_kind kinds[] = {
        SIM_OBJECT_BLOCK, SIM_OBJECT_STATE,   SIM_OBJECT_STATE, SIM_OBJECT_PLAIN, SIM_OBJECT_PLAIN,
        SIM_OBJECT_PLAIN, SIM_OBJECT_SERVICE, SIM_OBJECT_JOB,   SIM_OBJECT_CHAIN, SIM_OBJECT_MARKET};
    static const struct sim_topic_choice fixed[] = {
        [SIM_OBJECT_BLOCK] = {.dialect = "rustorium", .topic = "blocks"},
        [SIM_OBJECT_STATE] = {.dialect = "rustorium", .topic = "state"},
        [SIM_OBJECT_PLAIN] = {.dialect = "plain"},
        [SIM_OBJECT_SERVICE] = {.dialect = "crypto"},
        [SIM_OBJECT_JOB] = {.dialect = "aitbc", .topic = "jobs"},
        [SIM_OBJECT_CHAIN] = {.dialect = "aitbc", .topic = "blockchain"},
        [SIM_OBJECT_MARKET] = {.dialect = "aitbc", .topic = "marketplace"},
    };
    enum sim_object_kind kind = kinds[random_below(&world->random, sizeof kinds / sizeof kinds[0])];
    if (kind == SIM_OBJECT_BLOCK && objects->publisher != 0)
        kind = SIM_OBJECT_STATE; /* the chain has one publisher, so that its branch is known */
    struct sim_topic_choice choice = fixed[kind];
    choice.kind = kind;
    if (kind == SIM_OBJECT_PLAIN) {
        choice.number = choose_channel(world, objects);
        choice.topic = world->model.channels[choice.number].name;
    } else if (kind == SIM_OBJECT_SERVICE) {
        choice.number = sim_crypto_choose(world, objects->publisher);
        choice.topic = sim_services[choice.number];
    }
    return choice;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static size_t begin_plain(struct sim_world *world, uint32_t channel, enum sim_form form, uint32_t stream, char *out,
                          size_t room, uint32_t *message)
{
    uint32_t bytes = (uint32_t)random_below(&world->random, world->plan.message_bytes_max);
    *message = sim_model_begin(
        &world->model, &(struct sim_message){.channel = channel, .stream = stream, .bytes = bytes, .form = form});
    return sim_model_content(&world->model, *message, (uint8_t *)out, room);
}

/* An object of rustorium's state: its value is the number of the message. */
static size_t begin_state(struct sim_world *world, uint32_t stream, char *out, size_t room, uint32_t *message)
{
    char key[16];
    uint32_t number = (uint32_t)random_below(&world->random, SIM_KEYS);
    sim_model_key(key, number);
    *message = sim_model_begin(
        &world->model, &(struct sim_message){.channel = SIM_NONE, .stream = stream, .key = number, .form = SIM_STATE});
    return (size_t)snprintf(out, room, "{\"key\":\"%s\",\"value\":\"%08u\",\"block_number\":%u}", key, *message,
                            *message);
}

static size_t begin_service(struct sim_world *world, uint32_t service, uint32_t stream, char *out, size_t room,
                            uint32_t *message)
{
    uint32_t bytes = (uint32_t)random_below(&world->random, world->plan.message_bytes_max);
    *message = sim_model_begin(
        &world->model, &(struct sim_message){
                           .channel = SIM_NONE, .stream = stream, .bytes = bytes, .form = SIM_OBJECT, .key = service});
    return sim_crypto_object(&world->model, *message, out, room);
}

static size_t begin_job(struct sim_world *world, struct sim_objects *objects, uint32_t stream, char *out, size_t room,
                        uint32_t *message)
{
    *message = sim_jobs_begin(world, &objects->desk, stream);
    return *message == SIM_NONE ? 0 : sim_jobs_object(world, *message, false, out, room);
}

static size_t begin_event(struct sim_world *world, struct sim_objects *objects, bool market, uint32_t stream, char *out,
                          size_t room, uint32_t *message)
{
    *message = sim_events_begin(world, &objects->stall, market, stream);
    return *message == SIM_NONE ? 0 : sim_events_object(world, *message, out, room);
}

size_t sim_objects_begin(struct sim_world *world, struct sim_objects *objects, const struct sim_topic_choice *choice,
                         enum sim_form form, uint32_t stream, char *out, size_t room, uint32_t *message)
{
    switch (choice->kind) {
    case SIM_OBJECT_BLOCK:
        return sim_chain_begin(world, stream, out, room, message);
    case SIM_OBJECT_STATE:
        return begin_state(world, stream, out, room, message);
    case SIM_OBJECT_PLAIN:
        return begin_plain(world, choice->number, form, stream, out, room, message);
    case SIM_OBJECT_SERVICE:
        return begin_service(world, choice->number, stream, out, room, message);
    case SIM_OBJECT_JOB:
        return begin_job(world, objects, stream, out, room, message);
    case SIM_OBJECT_CHAIN:
        return begin_event(world, objects, false, stream, out, room, message);
    case SIM_OBJECT_MARKET:
        break;
    }
    return begin_event(world, objects, true, stream, out, room, message);
}

void sim_objects_refused(struct sim_world *world, struct sim_objects *objects, uint32_t message)
{
    sim_chain_lost(world, message);
    if (message != SIM_NONE && world->model.messages[message].form == SIM_JOB)
        sim_jobs_refused(world, &objects->desk, message);
}
