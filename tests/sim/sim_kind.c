/* SPDX-License-Identifier: MIT */
/* Owns the tables and switches over the kinds of clients; each case is a call.
 * It never moves bytes and never judges itself.
 * Called by sim_client.c. */
#include "tests/sim/sim_kind.h"

#include "core/work.h"
#include "tests/sim/sim_hostile.h"

#include <stdio.h>
#include <stdlib.h>

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

void sim_kind_make(struct sim_world *world, struct sim_client *client)
{
    struct random *random = &world->random;
    if (client->kind != SIM_HOSTILE)
        sim_deflate_choose(&client->wire.deflate, random);
    switch (client->kind) {
    case SIM_PLAIN:
        choose_readers(world, client);
        break;
    case SIM_ECHO:
        break;
    case SIM_RUSTORIUM:
        client->key = (uint32_t)random_below(random, SIM_RUSTORIUM_KEYS);
        sim_chain_make(world, client);
        break;
    case SIM_JOBS:
        sim_jobs_make(client);
        break;
    case SIM_EVENTS:
        sim_events_make(world, client);
        break;
    case SIM_CRYPTO:
        sim_crypto_make(world, client);
        break;
    case SIM_HOSTILE:
        client->malice = world->plan.floods ? (enum sim_malice)(SIM_PIPELINE + random_below(random, 2))
                                            : (enum sim_malice)random_below(random, SIM_MALICES);
        sim_hostile_make(client);
        break;
    }
}

enum sim_kind sim_kind_dialect(const struct sim_client *client)
{
    if (client->kind == SIM_HOSTILE)
        return sim_hostile_dialect(client);
    return client->kind == SIM_EVENTS ? SIM_JOBS : client->kind;
}

uint16_t sim_kind_port(const struct sim_client *client)
{
    static const uint16_t ports[] = {[SIM_PLAIN] = SIM_PORT_PLAIN,
                                     [SIM_ECHO] = SIM_PORT_ECHO,
                                     [SIM_RUSTORIUM] = SIM_PORT_RUSTORIUM,
                                     [SIM_JOBS] = SIM_PORT_AITBC,
                                     [SIM_CRYPTO] = SIM_PORT_CRYPTO};
    if (client->kind == SIM_EVENTS)
        return sim_events_port(client);
    return client->kind == SIM_HOSTILE ? sim_hostile_port(client) : ports[client->kind];
}

static void put_plain_path(struct sim_world *world, struct sim_client *client, char path[SIM_PATH_BYTES])
{
    size_t used = (size_t)snprintf(path, SIM_PATH_BYTES, "/plain/");
    uint64_t now = sim_model_now(&world->model);
    for (uint32_t i = 0; i < client->reader_count; i++) {
        client->readers[i].asked = now;
        used += (size_t)snprintf(path + used, SIM_PATH_BYTES - used, "%s%s", i > 0 ? "," : "",
                                 world->model.channels[client->readers[i].channel].name);
    }
    if (client->readers[0].history > 0)
        snprintf(path + used, SIM_PATH_BYTES - used, "?last=%u", client->readers[0].history);
}

bool sim_kind_path(struct sim_world *world, struct sim_client *client, char path[SIM_PATH_BYTES])
{
    switch (client->kind) {
    case SIM_PLAIN:
        put_plain_path(world, client, path);
        break;
    case SIM_ECHO:
        snprintf(path, SIM_PATH_BYTES, "/echo");
        break;
    case SIM_RUSTORIUM:
        snprintf(path, SIM_PATH_BYTES, "/ws?token=key-%u", client->key);
        break;
    case SIM_JOBS:
        sim_jobs_path(world, client, path, SIM_PATH_BYTES);
        break;
    case SIM_EVENTS:
        sim_events_path(client, path, SIM_PATH_BYTES);
        break;
    case SIM_CRYPTO:
        sim_crypto_path(client, path, SIM_PATH_BYTES);
        sim_crypto_on_asked(world, client);
        break;
    case SIM_HOSTILE:
        snprintf(path, SIM_PATH_BYTES, "%s", sim_hostile_path(client));
        return sim_hostile_upgrades(client);
    }
    return true;
}

void sim_kind_on_open(struct sim_world *world, struct sim_client *client)
{
    uint64_t now = sim_model_now(&world->model);
    for (uint32_t i = 0; i < client->reader_count; i++)
        client->readers[i].confirmed = now;
    if (client->kind == SIM_JOBS)
        sim_jobs_on_open(world, client);
    else if (client->kind == SIM_EVENTS)
        sim_events_on_open(world, client);
    else if (client->kind == SIM_CRYPTO)
        sim_crypto_on_open(world, client);
}

static const char *complete_rustorium(struct sim_world *world, struct sim_client *client)
{
    const char *wrong =
        sim_model_complete_state(&world->model, &client->view, client->subscriptions, client->subscription_count);
    return wrong != NULL ? wrong : sim_chain_complete(world, client);
}

const char *sim_kind_complete(struct sim_world *world, struct sim_client *client)
{
    const char *wrong = NULL;
    switch (client->kind) {
    case SIM_PLAIN:
        for (uint32_t i = 0; i < client->reader_count && wrong == NULL; i++)
            wrong = sim_model_complete(&world->model, &client->readers[i]);
        return wrong;
    case SIM_RUSTORIUM:
        return complete_rustorium(world, client);
    case SIM_JOBS:
        return sim_jobs_complete(world, client);
    case SIM_EVENTS:
        return sim_events_complete(world, client);
    case SIM_CRYPTO:
        return sim_crypto_complete(world, client);
    case SIM_ECHO:
    case SIM_HOSTILE:
        break;
    }
    return NULL;
}

void sim_kind_free(struct sim_client *client)
{
    for (uint32_t i = 0; i < client->reader_count; i++)
        sim_model_reader_free(&client->readers[i]);
    free(client->view.seen);
    sim_seen_free(&client->chain.blocks.seen);
    sim_seen_free(&client->chain.transactions.seen);
    sim_seen_free(&client->job.seen);
    sim_seen_free(&client->events.seen);
    sim_seen_free(&client->events.expired);
}
