/* SPDX-License-Identifier: MIT */
/* Owns the functions that the linker puts before getrandom, time and gettimeofday: the TLS library draws its seeds
 * there, and dates tickets and judges certificates by that clock, so a run over TLS follows from its own seed as
 * well.
 * It never hands out anything that is random, nor the machine's time.
 * Called by the library that tools/wolfssl builds; the packaged one asks the system, see sim_library_is_ours. */
#include "tests/sim/sim_library.h"

#include "core/clock.h"
#include "core/random.h"

#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

static struct random random_now;
static uint64_t calls;

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags);
time_t __wrap_time(time_t *seconds);
int __wrap_gettimeofday(struct timeval *now, void *zone);

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags)
{
    (void)flags;
    calls++;
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t word = random_u64(&random_now);
        memcpy((uint8_t *)data + at, &word, bytes - at < sizeof word ? bytes - at : sizeof word);
    }
    return (ssize_t)bytes;
}

/* The simulated wall clock, jumps and all: what the library would see if it ran there. */
int __wrap_gettimeofday(struct timeval *now, void *zone)
{
    (void)zone;
    uint64_t ms = clock_wall_ms();
    *now = (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    return 0;
}

time_t __wrap_time(time_t *seconds)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (seconds != NULL)
        *seconds = now;
    return now;
}

void sim_library_start(uint64_t seed)
{
    random_init(&random_now, seed);
}

bool sim_library_is_ours(void)
{
    return calls > 0;
}
