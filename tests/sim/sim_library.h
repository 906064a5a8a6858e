/* SPDX-License-Identifier: MIT */
/* What the TLS library takes for the system's randomness and for the time of day. */
#ifndef RINGCAST_TESTS_SIM_SIM_LIBRARY_H
#define RINGCAST_TESTS_SIM_SIM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

void sim_library_start(uint64_t seed);
/* Whether the library has drawn a seed here; if not, what it does differs from run to run. */
bool sim_library_is_ours(void);

#endif
