/* SPDX-License-Identifier: MIT */
/* The hub against its reference model (tests/support/hub_model.h, hub_play.h): random plays of clients, workers and a
 * monitor, with restarts from what is on the disk (E-16 to E-19, E-28, E-39, E-42, E-47, E-50, E-60 to E-63, E-84,
 * E-88, E-89, E-90, E-91, E-92, E-93, E-94, E-95, E-96, E-97, E-98, Q-24, Q-26 to Q-28). Run by unit_protocol. */
#include "core/random.h"
#include "tests/support/hub_play.h"

#include <criterion/criterion.h>

#ifndef SEEDS
#define SEEDS 60
#endif
#define STEPS 250

static uint32_t choose(void *context, uint32_t bound)
{
    return (uint32_t)random_below(context, bound);
}

/* Whether the play went to its end. */
static bool play_seed(uint64_t seed)
{
    static struct play play;
    struct random random;
    random_init(&random, seed);
    memset(&play, 0, sizeof play);
    play.choose = choose;
    play.context = &random;
    play_begin(&play);
    for (int i = 0; i < STEPS && play_step(&play); i++)
        ;
    bool whole = !play.ambiguous;
    play_end(&play);
    cr_assert_str_eq(play.error, "", "seed %llu %s", (unsigned long long)seed, play.error);
    return whole;
}

Test(hub_model, foretells_every_message_of_random_plays)
{
    int whole = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        whole += play_seed(seed) ? 1 : 0;
    cr_assert_gt(whole, SEEDS / 2, "%d of %d plays came to their end", whole, SEEDS);
}
