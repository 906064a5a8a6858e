/* SPDX-License-Identifier: MIT */
/* Owns the choice of who speaks TLS, how, and with which trust, and the tickets that one connection leaves to the next.
 * It never touches the bytes of a session.
 * Called by whoever connects, and by the world at its beginning, at a reload and at its end. */
#include "tests/sim/sim_trust.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_pem.h"
#include "tests/sim/sim_tls.h"
#include "tests/sim/sim_world.h"
#include "tests/support/tls_lost.h"

static uint32_t one_of(struct random *random, const uint32_t *values, uint32_t count)
{
    return values[random_below(random, count)];
}
#define ONE_OF(random, ...)                                                                                            \
    one_of((random), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Some listeners, or all; what fits a handshake is some 20 KiB, with the packaged library 60. */
void sim_tls_plan_choose(struct sim_tls_plan *plan, struct random *random)
{
    uint32_t some = 1 + (uint32_t)random_below(random, (1U << SIM_LISTENERS) - 1);
    *plan = (struct sim_tls_plan){
        .listeners = random_chance(random, 1, 2)   ? 0
                     : random_chance(random, 1, 2) ? (1U << SIM_LISTENERS) - 1
                                                   : some,
        .tls12 = true,
        .memory = ONE_OF(random, 20 << 10, 100 << 10, 400 << 10),
        .buffer_memory = ONE_OF(random, 288 << 10, 512 << 10),
        .handshakes = ONE_OF(random, 1, 3),
        .updates = ONE_OF(random, 2, 20),
        .records = ONE_OF(random, 3, 30),
        .intruders = 1 + (uint32_t)random_below(random, 8),
    };
}

void sim_trust_trace(struct sim_world *world)
{
    const struct sim_tls_plan *p = &world->plan.tls;
    if (p->listeners != 0)
        sim_trace(
            world,
            "tls: listeners %x, 1.2 %d, memory %u B, buffers %u B, handshakes %u, updates %u, records %u, intruders %u",
            p->listeners, p->tls12, p->memory, p->buffer_memory, p->handshakes, p->updates, p->records, p->intruders);
}

static uint64_t sum(const struct sim_world *world, enum stat_id id)
{
    uint64_t all = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++)
        if (world->shards[i] != NULL)
            all += stats_get(&world->shards[i]->stats, id);
    return all;
}

void sim_trust_trace_sum(struct sim_world *world)
{
    if (world->plan.tls.listeners != 0)
        sim_trace(world,
                  "tls: full %llu, resumed %llu, failed %llu, refused %llu, buffers short %llu, memory refused %llu",
                  (unsigned long long)sum(world, STAT_TLS_FULL), (unsigned long long)sum(world, STAT_TLS_RESUMED),
                  (unsigned long long)sum(world, STAT_TLS_FAILED), (unsigned long long)sum(world, STAT_TLS_REFUSED),
                  (unsigned long long)sum(world, STAT_TLS_BUFFERS_SHORT), (unsigned long long)tls_memory_refused());
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

static void make_contexts(struct sim_trust *trust, enum sim_belief belief, struct slice authorities)
{
    for (int i = 0; i < 2; i++)
        trust->contexts[belief][i] = sim_tls_context(authorities, i > 0);
}

void sim_trust_start(struct sim_world *world)
{
    struct sim_trust *trust = &world->trust;
    struct slice before = sim_pem_certificate(SIM_PEM_BEFORE), behind = sim_pem_certificate(SIM_PEM_BEHIND);
    if (world->plan.tls.listeners == 0)
        return;
    struct sim_bytes both = {0};
    sim_bytes_put(&both, before.data, before.bytes);
    sim_bytes_put(&both, behind.data, behind.bytes);
    make_contexts(trust, SIM_BELIEVES_BEFORE, before);
    make_contexts(trust, SIM_BELIEVES_BEHIND, behind);
    make_contexts(trust, SIM_BELIEVES_BOTH, sim_bytes_waiting(&both));
    sim_bytes_free(&both);
    trust->bytes_before = sim_tls_server_bytes();
}

void sim_trust_on_shards(struct sim_world *world)
{
    const struct sim_tls_plan *plan = &world->plan.tls;
    if (plan->listeners == 0)
        return;
    for (uint16_t i = 0; i < world->plan.shards && plan->buffer_memory < 1 << 20; i++)
        world->shards[i]->tls->buffers.pool.bytes_max = plan->buffer_memory;
    if (!world->reloaded)
        world->trust.bytes = sim_tls_server_bytes();
    sim_tls_bound(plan->memory == 0 ? 0 : world->trust.bytes + plan->memory);
}

void sim_trust_calm(const struct sim_world *world)
{
    if (world->plan.tls.listeners != 0)
        sim_tls_bound(0);
}

/* Behind a reload it holds other certificates. */
void sim_trust_check_empty(const struct sim_world *world)
{
    if (world->plan.tls.listeners == 0 || world->reloaded)
        return;
    uint64_t more = sim_tls_server_bytes() - world->trust.bytes;
    if (!tls_lost_explains(more, tls_memory_refused()))
        sim_fail(world, "the TLS library holds %lld bytes more than at the start, and everybody has gone",
                 (long long)more);
}

void sim_trust_end(struct sim_world *world)
{
    if (world->plan.tls.listeners == 0)
        return;
    uint64_t left = sim_tls_server_bytes() - world->trust.bytes_before;
    if (!tls_lost_explains(left, tls_memory_refused()))
        sim_fail(world, "the TLS library holds %llu bytes for shards that are gone", (unsigned long long)left);
}

void sim_trust_free(struct sim_world *world)
{
    struct sim_trust *trust = &world->trust;
    for (int i = 0; i < 2; i++) {
        if (trust->tickets[i] != NULL)
            sim_tls_free_ticket(trust->tickets[i]);
        for (int belief = 0; belief < SIM_BELIEFS; belief++)
            if (trust->contexts[belief][i] != NULL)
                sim_tls_free_context(trust->contexts[belief][i]);
    }
    *trust = (struct sim_trust){0};
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

bool sim_trust_speaks(const struct sim_world *world, uint16_t port)
{
    return world->plan.tls.listeners >> (port - SIM_PORT_PLAIN) & 1;
}

/* A reload may come before the server's hello. A shard that had no memory for the new certificates has kept the old
 * ones. */
static enum sim_belief belief(const struct sim_world *world)
{
    if (!world->plan.reload)
        return SIM_BELIEVES_BEFORE;
    bool certain = world->reloaded && world->config_before == NULL && !sim_world_starved(world);
    return certain ? SIM_BELIEVES_BEHIND : SIM_BELIEVES_BOTH;
}

/* With TLS 1.2 only while the key of the tickets is certain to be the same: with a ticket wolfSSL's client sends no
 * session ID, so that it takes a ticket that was refused for one that was taken (RFC 5077 section 3.4). */
static void begin(struct sim_world *world, struct sim_wire *wire)
{
    struct random *random = &world->random;
    struct sim_trust *trust = &world->trust;
    int version = world->plan.tls.tls12 && random_chance(random, 1, 3);
    bool offers = random_chance(random, 2, 3) && (version == 0 || !sim_world_wall_jumps(world));
    struct WOLFSSL_SESSION *ticket = offers ? trust->tickets[version] : NULL;
    wire->tls = sim_tls_create(trust->contexts[belief(world)][version], ticket, random_u64(random));
    wire->tls->updates = version == 0 ? world->plan.tls.updates : 0;
    wire->tls->rude = random_chance(random, 1, 3);
    wire->ticket = &trust->tickets[version];
}

bool sim_trust_connect(struct sim_world *world, struct sim_wire *wire, uint16_t port, struct ring_address from)
{
    if (!sim_wire_connect(wire, world->network, port, from))
        return false;
    if (sim_trust_speaks(world, port))
        begin(world, wire);
    return true;
}

bool sim_trust_starved(const struct sim_world *world)
{
    return world->plan.tls.listeners != 0 && tls_memory_refused() > 0;
}

bool sim_trust_crowded(const struct sim_world *world)
{
    return world->plan.tls.listeners != 0 && world->plan.tls.handshakes < 1024;
}
