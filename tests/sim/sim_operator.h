/* SPDX-License-Identifier: MIT */
/* Who looks at pages: an operator at health and metrics, and a visitor of crypto's pages for plain HTTP. Each asks
 * again and again over connections that stay open, and reads what is answered. */
#ifndef RINGCAST_TESTS_SIM_SIM_OPERATOR_H
#define RINGCAST_TESTS_SIM_SIM_OPERATOR_H

#include "tests/sim/sim_wire.h"
#include "tests/sim/sim_world.h"

#define SIM_SAMPLES_MAX 256

struct sim_operator {
    bool visitor; /* of crypto's pages; else at the operators' listener */
    struct sim_wire wire;
    bool asked; /* for `page`, an index */
    uint8_t page;
    uint64_t wake_ms;
    uint64_t samples[SIM_SAMPLES_MAX]; /* of the last metrics, in their order */
    uint32_t sample_count;
    uint32_t clients; /* of crypto, as the last page told */
    uint64_t clients_ms;
};

void sim_operator_make(struct sim_operator *operator, bool visitor);
bool sim_operator_step(struct sim_world *world, struct sim_operator *operator);
/* At rest: everything has been answered, and so many clients of crypto are connected. */
void sim_operator_check_rest(struct sim_world *world, const struct sim_operator *operator, uint32_t clients);
void sim_operator_leave(struct sim_operator *operator);
void sim_operator_free(struct sim_operator *operator);

#endif
