/* SPDX-License-Identifier: MIT */
/* What the sanitizers cannot see by themselves: memory that nobody may touch for a while, such as a buffer that the
 * kernel is filling, and memory that the kernel or a library has written. Without a sanitizer nothing happens. */
#ifndef RINGCAST_CORE_POISON_H
#define RINGCAST_CORE_POISON_H

#include <stddef.h>

#if defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer)
#define POISON_ASAN 1
#elif __has_feature(memory_sanitizer)
#define POISON_MSAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__) /* gcc */
#define POISON_ASAN 1
#endif
#ifndef POISON_ASAN
#define POISON_ASAN 0
#endif
#ifndef POISON_MSAN
#define POISON_MSAN 0
#endif

/* Of the sanitizers' run-time libraries. */
#if POISON_ASAN
void __asan_poison_memory_region(const volatile void *memory, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes);
#elif POISON_MSAN
void __msan_poison(const volatile void *memory, size_t bytes);
void __msan_unpoison(const volatile void *memory, size_t bytes);
#endif

/* From here on the memory is another's: the address sanitizer ends the process at any touch, the memory sanitizer when
 * a decision depends on what was read. */
static inline void poison(const void *memory, size_t bytes)
{
#if POISON_ASAN
    __asan_poison_memory_region(memory, bytes);
#elif POISON_MSAN
    __msan_poison(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

/* It is ours (again), and what stands there is meant: also for what code without the sanitizer has written. */
static inline void unpoison(const void *memory, size_t bytes)
{
#if POISON_ASAN
    __asan_unpoison_memory_region(memory, bytes);
#elif POISON_MSAN
    __msan_unpoison(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

#endif
