/* SPDX-License-Identifier: MIT */
/* Owns the search through the allocations of a start: the first fails, then the second, until none is left to fail.
 * It never lets a client in.
 * Called by the program, in a process of its own, as seed 0. */
#include "tests/sim/sim_start.h"

#include "core/work.h"
#include "tests/sim/sim_world.h"

/* Whether the shards could be made; what they had got before is back either way. */
static bool start(struct sim_world *world, const struct sim_options *options, uint32_t at, bool for_good)
{
    const struct sim_heap_plan heap = {.at = at, .ns = for_good ? UINT64_MAX : 0};
    bool made = sim_world_try_create(world, options, &heap);
    uint32_t failed = sim_heap_failed();
    if (made)
        sim_world_destroy(world);
    if (sim_heap_live() != 0)
        sim_fail(world, "start with allocation %u failing: %lld pieces of memory were not given back", at,
                 (long long)sim_heap_live());
    if (failed == 0 && !made)
        sim_fail(world, "start: no allocation has failed and there are no shards");
    return failed > 0;
}

struct sim_result sim_start(const struct sim_options *options)
{
    static struct sim_world world;
    uint32_t at[2] = {1, 1};
    for (int for_good = 0; for_good < 2; for_good++)
        while (start(&world, options, at[for_good], for_good))
            at[for_good]++;
    if (at[0] != at[1])
        sim_fail(&world, "start: %u and %u allocations", at[0] - 1, at[1] - 1);
    return (struct sim_result){.steps = at[0] - 1};
}
