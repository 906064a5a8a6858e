/* SPDX-License-Identifier: MIT */
/* The certificates of the simulated server, each signed by itself: before a reload and behind it. FOR TESTS ONLY:
 * everybody knows the keys. They are part of the program, because a seed is the same run everywhere only with the same
 * certificate. */
#ifndef RINGCAST_TESTS_SIM_SIM_PEM_H
#define RINGCAST_TESTS_SIM_SIM_PEM_H

#include "core/bytes.h"

enum sim_pem { SIM_PEM_BEFORE, SIM_PEM_BEHIND, SIM_PEMS };

/* Good for "sim", from 2020 to 2120. */
struct slice sim_pem_certificate(enum sim_pem pem);
/* "CHAIN KEY", two files in memory, as a configuration names them; good as long as the process lives. */
const char *sim_pem_paths(enum sim_pem pem);

#endif
