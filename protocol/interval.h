/* SPDX-License-Identifier: MIT */
/* Something that happens every so often, without drift: the times lie on a grid from the start on, however late each
 * one is noticed, and those that were missed altogether are not made up for. Times are monotonic milliseconds. */
#ifndef RINGCAST_PROTOCOL_INTERVAL_H
#define RINGCAST_PROTOCOL_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

struct interval {
    uint64_t period_ms;
    uint64_t next_ms; /* when it is due next */
};

/* First due one period from now. A period is at least 1 ms. */
static inline void interval_start(struct interval *interval, uint64_t period_ms, uint64_t now_ms)
{
    interval->period_ms = period_ms;
    interval->next_ms = now_ms + period_ms;
}

/* Whether it has become due; if so, the next time is the first of the grid behind now. */
static inline bool interval_passed(struct interval *interval, uint64_t now_ms)
{
    if (now_ms < interval->next_ms)
        return false;
    uint64_t periods = (now_ms - interval->next_ms) / interval->period_ms + 1;
    interval->next_ms += periods * interval->period_ms;
    return true;
}

#endif
