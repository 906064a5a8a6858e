/* SPDX-License-Identifier: MIT */
/* The kernel's clocks and its source of randomness.
 * It keeps no state and never smooths what the kernel says; CLOCK_MONOTONIC and CLOCK_REALTIME cannot fail.
 * Called by shards once a tick, by the log, and wherever a secret is made; a simulation links ring_sim.c instead. */
#include "core/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
}

int clock_entropy(void *out, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = getrandom((char *)out + done, bytes - done, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}
