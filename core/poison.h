/* SPDX-License-Identifier: MIT */
/* Memory that nobody may touch for a while, such as a buffer that the kernel is filling. In a build with the address sanitizer a
 * read or write of it ends the process; in every other build nothing happens. */
#ifndef RINGCAST_CORE_POISON_H
#define RINGCAST_CORE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) /* gcc */
#define POISON_WORKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_WORKS 1
#endif
#endif
#ifndef POISON_WORKS
#define POISON_WORKS 0
#endif

#if POISON_WORKS
/* Of the sanitizer's run-time library. */
void __asan_poison_memory_region(const volatile void *memory, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes);
#endif

/* Whole multiples of 8 bytes: a shadow byte describes eight. */
static inline void poison(const void *memory, size_t bytes)
{
#if POISON_WORKS
    __asan_poison_memory_region(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

static inline void unpoison(const void *memory, size_t bytes)
{
#if POISON_WORKS
    __asan_unpoison_memory_region(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

#endif
