/* SPDX-License-Identifier: MIT */
/* What the TLS library takes for the system's randomness. */
#ifndef RINGCAST_TESTS_SIM_SIM_ENTROPY_H
#define RINGCAST_TESTS_SIM_SIM_ENTROPY_H

#include <stdbool.h>
#include <stdint.h>

void sim_entropy_start(uint64_t seed);
/* Whether the library has asked here; if not, what it does differs from run to run. */
bool sim_entropy_is_ours(void);

#endif
