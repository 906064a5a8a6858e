/* SPDX-License-Identifier: MIT */
/* Counting in fixed windows of time: a window begins with the first event counted after the previous one has ended
 * (requirements, section 0: so the N-th event is allowed and the N+1-th is the first one over). */
#ifndef RINGCAST_CORE_BUCKET_H
#define RINGCAST_CORE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Eight bytes, because every connection has two: the start is kept modulo 2^32 ms, so an event that comes 49.7 days
 * after the window's first, to within a window, counts with it. */
struct bucket {
    uint32_t start_ms;
    uint32_t count;
};

/* Whether the window is over, so that a next event would begin another. */
static inline bool bucket_over(const struct bucket *bucket, uint64_t now_ms, uint64_t window_ms)
{
    return (uint32_t)now_ms - bucket->start_ms >= window_ms;
}

/* How many events the window holds, none added. */
static inline uint32_t bucket_held(const struct bucket *bucket, uint64_t now_ms, uint64_t window_ms)
{
    return bucket_over(bucket, now_ms, window_ms) ? 0 : bucket->count;
}

/* Counts one event at `now_ms` and returns how many the window of `window_ms` now holds, this one included. */
static inline uint32_t bucket_count(struct bucket *bucket, uint64_t now_ms, uint64_t window_ms)
{
    if (bucket->count == 0 || bucket_over(bucket, now_ms, window_ms)) {
        bucket->start_ms = (uint32_t)now_ms;
        bucket->count = 0;
    }
    if (bucket->count < UINT32_MAX)
        bucket->count++;
    return bucket->count;
}

/* The event that was counted last is none. */
static inline void bucket_take_back(struct bucket *bucket)
{
    if (bucket->count > 0)
        bucket->count--;
}

#endif
