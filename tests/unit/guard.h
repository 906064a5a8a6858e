/* SPDX-License-Identifier: MIT */
/* Inputs that end where memory ends: a reader that looks one byte too far crashes there and then. */
#ifndef RINGCAST_TESTS_GUARD_H
#define RINGCAST_TESTS_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline size_t guard_span(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes / page + 1) * page;
}

/* A copy of the input (writable) whose last byte is the last of its page; the next page may not be touched. */
static inline uint8_t *guard_place(const void *data, size_t bytes)
{
    size_t span = guard_span(bytes);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *base = mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + span, page, PROT_NONE) != 0)
        abort();
    if (bytes != 0)
        memcpy(base + span - bytes, data, bytes);
    return base + span - bytes;
}

/* `at` and `bytes` of guard_place. */
static inline void guard_free(uint8_t *at, size_t bytes)
{
    size_t span = guard_span(bytes);
    if (munmap(at + bytes - span, span + (size_t)sysconf(_SC_PAGESIZE)) != 0)
        abort();
}

#endif
