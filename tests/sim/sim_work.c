/* SPDX-License-Identifier: MIT */
/* Owns the choices about dialects and limits. Those that can be left out have switches in sim_plan.c.
 * It never acts on them.
 * Called by sim_plan.c and sim_world.c. */
#include "tests/sim/sim_work.h"

#include "core/work.h"
#include "tests/sim/sim_world.h"

const char *const sim_services[SIM_SERVICES] = {"market_data", "explorers",   "news",
                                                "sentiment",   "huggingface", "pool_manager"};

static uint32_t one_of(struct random *random, const uint32_t *values, uint32_t count)
{
    return values[random_below(random, count)];
}
#define ONE_OF(random, ...)                                                                                            \
    one_of((random), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

void sim_work_choose(struct sim_work *work, struct random *random)
{
    work->weave = ONE_OF(random, 20, 100);
    work->compression = true;
    work->addresses = 4;
    work->per_address = ONE_OF(random, 2, 5);
    work->all_per_address = 3;
    work->attempts = 4;
    work->per_key_reloaded = ONE_OF(random, 1, 3, 10);
    work->outbox_bytes_more = ONE_OF(random, 0, 1 << 20);
    for (int i = 0; i < SIM_SERVICES; i++)
        work->interval_ms[i] = ONE_OF(random, 100, 350, 1000, 4000);
    work->resend_unchanged = random_chance(random, 1, 2);
    work->wait_for_jobs = random_chance(random, 1, 2);
}

void sim_work_trace(struct sim_world *world)
{
    const struct sim_work *w = &world->plan.work;
    sim_trace(world,
              "work: weave %u, compression %d, addresses %u, per address %u, of all %u, attempts %u, per key then %u, "
              "outbox then %u more, resend %d, wait for jobs %d",
              w->weave, w->compression, w->addresses, w->per_address, w->all_per_address, w->attempts,
              w->per_key_reloaded, w->outbox_bytes_more, w->resend_unchanged, w->wait_for_jobs);
    for (int i = 0; i < SIM_SERVICES; i++)
        sim_trace(world, "work: %s every %u ms", sim_services[i], w->interval_ms[i]);
}
