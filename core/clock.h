/* SPDX-License-Identifier: MIT */
/* Time, a link-time seam: clock.c reads the kernel's clocks, ring_sim.c has its own. */
#ifndef RINGCAST_CORE_CLOCK_H
#define RINGCAST_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Never runs backwards; starts anywhere. */
uint64_t clock_monotonic_ns(void);
/* Milliseconds since 1970 UTC. */
uint64_t clock_wall_ms(void);
/* Fills with unpredictable bytes (getrandom; in the simulation from the seed). 0 or -errno. */
int clock_entropy(void *out, size_t bytes);

#endif
