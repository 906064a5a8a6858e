/* SPDX-License-Identifier: MIT */
/* The limit of whatever keeps what it acknowledges: the same bytes appended to a file and synced, and nothing else. */
#ifndef RINGCAST_BENCH_BARE_H
#define RINGCAST_BENCH_BARE_H

#include "core/clock.h"

#include <errno.h>
#include <unistd.h>

/* Nanoseconds, or a negative errno. */
static inline int64_t bare_append(int file, const void *data, size_t bytes)
{
    uint64_t began = clock_monotonic_ns();
    ssize_t written = write(file, data, bytes);
    if (written != (ssize_t)bytes)
        return written < 0 ? -errno : -ENOSPC;
    return fdatasync(file) != 0 ? -errno : (int64_t)(clock_monotonic_ns() - began);
}

#endif
