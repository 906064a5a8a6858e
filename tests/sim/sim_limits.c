/* SPDX-License-Identifier: MIT */
/* Owns the count of connections and attempts as clients know it. It never looks into the server: that no limit is
 * exceeded is checked by sim_audit.c, that nobody is refused too early here. Called by sim_client.c when a connection
 * begins, ends, or is refused. */
#include "tests/sim/sim_limits.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_kind.h"

#define NOTICED_MS 15000 /* behind the client's end the server has let go of its place */
#define MINUTE_MS 60000

static uint32_t address_of(const struct sim_world *world, const struct sim_client *client)
{
    return sim_world_address(world, client->number).bytes[15];
}

void sim_limits_begin(struct sim_world *world, const struct sim_client *client)
{
    check_op(client->number, <, SIM_HOLDERS_MAX);
    world->limits.holders[client->number] = (struct sim_holder){.from_ms = sim_world_ms(),
                                                                .until_ms = UINT64_MAX,
                                                                .address = address_of(world, client),
                                                                .dialect = sim_kind_dialect(client),
                                                                .key = client->key,
                                                                .present = true};
}

void sim_limits_end(struct sim_world *world, const struct sim_client *client)
{
    /* A link that stalls, or an end that is lost, the server notices only by its timeouts. */
    world->limits.holders[client->number].until_ms = client->harmed ? UINT64_MAX : sim_world_ms() + NOTICED_MS;
}

typedef bool counts_fn(const struct sim_holder *holder, const struct sim_holder *own);

static bool same_dialect(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->address == own->address && holder->dialect == own->dialect && holder->until_ms > sim_world_ms();
}

static bool same_address(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->address == own->address && holder->until_ms > sim_world_ms();
}

static bool same_key(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->dialect == own->dialect && holder->key == own->key && holder->until_ms > sim_world_ms();
}

static bool key_tried(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->dialect == own->dialect && holder->key == own->key && holder->from_ms + MINUTE_MS > sim_world_ms();
}

static bool address_tried(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->dialect == own->dialect && holder->address == own->address &&
           holder->from_ms + MINUTE_MS > sim_world_ms();
}

/* Whether at least `limit` others count. */
static bool reached(const struct sim_world *world, const struct sim_client *client, counts_fn *counts, uint32_t limit)
{
    const struct sim_holder *own = &world->limits.holders[client->number];
    uint32_t count = 0;
    for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++) {
        const struct sim_holder *holder = &world->limits.holders[i];
        count += holder->present && holder != own && counts(holder, own);
    }
    return limit > 0 && count >= limit;
}

/* What cannot be counted is refused, even without a limit. */
static bool uncounted(void)
{
    return sim_heap_failed() > 0;
}

bool sim_limits_address_full(const struct sim_world *world, const struct sim_client *client)
{
    return uncounted() || reached(world, client, same_dialect, world->plan.work.per_address);
}

bool sim_limits_crowded(const struct sim_world *world, const struct sim_client *client)
{
    return world->plan.work.all_per_address > 0 &&
           (uncounted() || reached(world, client, same_address, world->plan.work.all_per_address));
}

bool sim_limits_key_full(const struct sim_world *world, const struct sim_client *client)
{
    uint32_t now = sim_world_per_key(world), before = world->plan.per_key;
    return uncounted() || reached(world, client, same_key, now < before ? now : before) ||
           reached(world, client, key_tried, world->plan.work.attempts) ||
           reached(world, client, address_tried, world->plan.work.attempts);
}

static bool key_accepted(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->accepted && holder->dialect == own->dialect && holder->key == own->key;
}

static bool address_accepted(const struct sim_holder *holder, const struct sim_holder *own)
{
    return holder->accepted && holder->dialect == own->dialect && holder->address == own->address;
}

bool sim_limits_exceeded(struct sim_world *world, const struct sim_client *client)
{
    world->limits.holders[client->number].accepted = true;
    if (sim_world_ms() >= MINUTE_MS || uncounted())
        return false; /* all attempts up to here are of one window */
    return reached(world, client, key_accepted, world->plan.work.attempts) ||
           reached(world, client, address_accepted, world->plan.work.attempts);
}
