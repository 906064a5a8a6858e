/* SPDX-License-Identifier: MIT */
/* Bytes that wait, in the order in which they came; as many as there are. */
#ifndef RINGCAST_TESTS_SIM_SIM_BYTES_H
#define RINGCAST_TESTS_SIM_SIM_BYTES_H

#include "core/bytes.h"

/* [at, used) */
struct sim_bytes {
    uint8_t *data;
    size_t at, used, capacity;
};

void sim_bytes_put(struct sim_bytes *bytes, const void *data, size_t count);
/* All that waits, good until the next call. */
struct slice sim_bytes_waiting(const struct sim_bytes *bytes);
void sim_bytes_free(struct sim_bytes *bytes);

#endif
