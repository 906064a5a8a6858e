/* SPDX-License-Identifier: MIT */
/* The fault matrix: each operation of the ring, with each outcome it can have, in each state of the connection or
 * listener that it belongs to. A run of the simulation is complete when every cell has been seen; cells that cannot
 * be are taken out with a reason (sim_matrix.c). The counts lie in memory that all processes of a run share. */
#ifndef RINGCAST_TESTS_SIM_SIM_MATRIX_H
#define RINGCAST_TESTS_SIM_SIM_MATRIX_H

#include "core/ring_sim.h"

enum sim_place {
    SIM_AT_HTTP, /* enum conn_state */
    SIM_AT_OPEN,
    SIM_AT_CLOSING,
    SIM_AT_LINGER,
    SIM_AT_DYING,
    SIM_AT_LISTENING,
    SIM_AT_PAUSED,
    SIM_AT_STOPPING,
    SIM_AT_NOBODY, /* an accepted socket that no connection takes */
    SIM_PLACES,
};

struct sim_cell {
    enum ring_op op;
    enum sim_outcome outcome;
    enum sim_place place;
};

/* Before the first run: nothing has been seen. */
void sim_matrix_init(void);
void sim_matrix_count(struct sim_cell cell);
/* The cells that a seed is to aim at: two of three seeds have some, so that together they go round the whole matrix. */
uint32_t sim_matrix_aims(uint64_t seed, struct sim_cell *aims, uint32_t max);
/* The seeds of the next round, each of which aims at nothing but a cell that has not been seen yet: one for each
 * such cell, a few for one that is among the last. Returns how many; 0: all have been seen, or enough was tried. */
uint32_t sim_matrix_round(uint64_t *seeds, uint32_t max);

/* "send EPIPE open" */
const char *sim_cell_name(struct sim_cell cell);
/* Prints one line with the sum, and each cell that was not seen (with `all` every cell and its count, and what
 * cannot be). Whether all have been seen. */
bool sim_matrix_print(bool all);

#endif
