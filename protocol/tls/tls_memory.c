/* SPDX-License-Identifier: MIT */
/* Owns the allocator that wolfSSL is given: it counts what is held and refuses what goes beyond the bound. It never
 * fails in any other way than by NULL, which wolfSSL takes for an allocation that failed. Called by wolfSSL in every
 * thread: its callbacks have no context, so these counters are the process's, the only ones that are; likewise where
 * seeds come from. */
#include "protocol/tls/tls_parts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <wolfssl/wolfcrypt/memory.h>

#define HEAD_BYTES 16 /* in front of each block: its size; keeps malloc's alignment */

static _Atomic uint64_t held, bound, refused;

static void *block_new(size_t bytes)
{
    uint64_t max = atomic_load_explicit(&bound, memory_order_relaxed);
    uint64_t total = bytes + HEAD_BYTES;
    uint64_t now = atomic_fetch_add_explicit(&held, total, memory_order_relaxed) + total;
    uint8_t *block = max != 0 && now > max ? NULL : malloc(total);
    if (block == NULL) {
        atomic_fetch_sub_explicit(&held, total, memory_order_relaxed);
        atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
        return NULL;
    }
    memcpy(block, &total, sizeof total);
    return block + HEAD_BYTES;
}

static uint64_t block_bytes(const void *memory)
{
    uint64_t total;
    memcpy(&total, (const uint8_t *)memory - HEAD_BYTES, sizeof total);
    return total;
}

void tls_free(void *memory)
{
    if (memory == NULL)
        return;
    atomic_fetch_sub_explicit(&held, block_bytes(memory), memory_order_relaxed);
    free((uint8_t *)memory - HEAD_BYTES);
}

static void *block_resize(void *memory, size_t bytes)
{
    void *grown = block_new(bytes);
    if (grown == NULL || memory == NULL)
        return grown;
    size_t before = block_bytes(memory) - HEAD_BYTES;
    memcpy(grown, memory, before < bytes ? before : bytes);
    tls_free(memory);
    return grown;
}

void *tls_alloc(size_t bytes)
{
    void *memory = block_new(bytes);
    return memory == NULL ? NULL : memset(memory, 0, bytes);
}

/* --- seeds -------------------------------------------------------------------------------------------------------- */

#ifdef WC_RNG_SEED_CB
static void (*own_seed)(uint8_t *out, size_t bytes);

static int seed_from_own(OS_Seed *os, byte *out, word32 bytes)
{
    (void)os;
    own_seed(out, bytes);
    return 0;
}

bool tls_seed_from(void (*seed)(uint8_t *out, size_t bytes))
{
    own_seed = seed;
    return wc_SetSeed_Cb(seed_from_own) == 0;
}
#else
bool tls_seed_from(void (*seed)(uint8_t *out, size_t bytes))
{
    (void)seed;
    return false;
}
#endif

bool tls_start(uint64_t bytes_max)
{
    atomic_store_explicit(&bound, bytes_max, memory_order_relaxed);
#ifdef WC_RNG_SEED_CB
    if (wc_SetSeed_Cb(wc_GenerateSeed) != 0)
        return false;
#endif
    return wolfSSL_SetAllocators(block_new, tls_free, block_resize) == 0 && wolfSSL_Init() == WOLFSSL_SUCCESS;
}

uint64_t tls_memory_bytes(void)
{
    return atomic_load_explicit(&held, memory_order_relaxed);
}

uint64_t tls_memory_refused(void)
{
    return atomic_load_explicit(&refused, memory_order_relaxed);
}
