/* SPDX-License-Identifier: MIT */
/* Owns what the TLS library takes for the system: seeds, and the clock by which it dates tickets and judges certificates, so
 * that a run over TLS follows from its own seed as well. The library that tools/wolfssl builds is given them by the
 * linker (--wrap); in Debian's shared one what a program exports comes before what the library has itself.
 * It never hands out anything that is random, nor the machine's time.
 * Called by the library; sim_world.c starts it and sim_run.c asks whether it was heard. */
#include "tests/sim/sim_library.h"

#include "core/clock.h"
#include "core/random.h"

#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#ifndef RINGCAST_WOLFSSL_STATIC
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/random.h>
#endif

static struct random random_now;
static uint64_t calls;

static void draw(void *data, size_t bytes)
{
    calls++;
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t word = random_u64(&random_now);
        memcpy((uint8_t *)data + at, &word, bytes - at < sizeof word ? bytes - at : sizeof word);
    }
}

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags);
time_t __wrap_time(time_t *seconds);
int __wrap_gettimeofday(struct timeval *now, void *zone);

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags)
{
    (void)flags;
    draw(data, bytes);
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

#ifndef RINGCAST_WOLFSSL_STATIC
/* Before the library's own, which reads /dev/urandom. */
int wc_GenerateSeed(OS_Seed *os, byte *data, word32 bytes)
{
    (void)os;
    draw(data, bytes);
    return 0;
}

time_t time(time_t *seconds)
{
    return __wrap_time(seconds);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    return __wrap_gettimeofday(now, zone);
}
#endif

void sim_library_start(uint64_t seed)
{
    random_init(&random_now, seed);
}

bool sim_library_is_ours(void)
{
    return calls > 0;
}
