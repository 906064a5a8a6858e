/* SPDX-License-Identifier: MIT */
/* A machine whose memory has run out: between starve_begin and starve_end the process gets no more address space, so
 * that an allocation larger than what lies free in the heap fails. Sanitizers map memory of their own and do not
 * survive that: under them STARVE_WORKS is 0. */
#ifndef RINGCAST_TESTS_STARVE_H
#define RINGCAST_TESTS_STARVE_H

#include <stdlib.h>
#include <sys/resource.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define STARVE_WORKS 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STARVE_WORKS 0
#endif
#ifndef STARVE_WORKS
#define STARVE_WORKS 1
#endif

static inline void starve_limit(rlim_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0)
        abort();
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        abort();
}

static inline void starve_begin(void)
{
    starve_limit(0);
}

static inline void starve_end(void)
{
    starve_limit(RLIM_INFINITY);
}

#endif
