/* SPDX-License-Identifier: MIT */
/* Owns the comparison of two runs.
 * It never looks at bytes between the fields: what lies there is whatever the stack held.
 * Called by the program for a seed that ran twice. */
#include "tests/sim/sim_result.h"

#include <stdio.h>

static bool is_same(const char *name, uint64_t a, uint64_t b, char words[SIM_DIFFERENCE_BYTES])
{
    if (a == b)
        return true;
    snprintf(words, SIM_DIFFERENCE_BYTES, "%s %llu and %llu", name, (unsigned long long)a, (unsigned long long)b);
    return false;
}

bool sim_result_equal(const struct sim_result *a, const struct sim_result *b, char words[SIM_DIFFERENCE_BYTES])
{
    words[0] = '\0';
    return is_same("virtual ms", a->virtual_ms, b->virtual_ms, words) && is_same("steps", a->steps, b->steps, words) &&
           is_same("published", a->published, b->published, words) &&
           is_same("deliveries", a->deliveries, b->deliveries, words) && is_same("trace", a->hash, b->hash, words) &&
           is_same("repeats", a->repeats, b->repeats, words);
}
