/* SPDX-License-Identifier: MIT */
/* What a run leaves behind. */
#ifndef RINGCAST_TESTS_SIM_SIM_RESULT_H
#define RINGCAST_TESTS_SIM_SIM_RESULT_H

#include <stdbool.h>
#include <stdint.h>

struct sim_result {
    uint64_t hash; /* of the trace: the same whenever the seed is the same */
    uint64_t virtual_ms;
    uint64_t steps;
    uint64_t published;
    uint64_t deliveries;
    bool repeats; /* not when a library draws from the system */
};

#define SIM_DIFFERENCE_BYTES 128

/* Whether two runs were the same, field by field. Else `words` names the first field that differs with both values,
 * as in "steps 17 and 18". */
bool sim_result_equal(const struct sim_result *a, const struct sim_result *b, char words[SIM_DIFFERENCE_BYTES]);

#endif
