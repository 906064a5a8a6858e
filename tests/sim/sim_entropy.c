/* SPDX-License-Identifier: MIT */
/* Owns the function that the linker puts before getrandom: the TLS library draws its seeds there, so a run over TLS follows from its
 * own seed as well. It never hands out anything that is random.
 * Called by the library that tools/wolfssl builds; the packaged one reads a device, see sim_entropy_is_ours. */
#include "tests/sim/sim_entropy.h"

#include "core/random.h"

#include <string.h>
#include <sys/types.h>

static struct random random_now;
static uint64_t calls;

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags);

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

void sim_entropy_start(uint64_t seed)
{
    random_init(&random_now, seed);
}

bool sim_entropy_is_ours(void)
{
    return calls > 0;
}
