/* SPDX-License-Identifier: MIT */
/* What one receiver has seen of one publisher: tells messages that come in order from lost, repeated and late ones. */
#ifndef RINGCAST_BENCH_TRACK_H
#define RINGCAST_BENCH_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#define TRACK_WINDOW 64 /* a message that comes later than this counts as a repetition */

struct track {
    uint64_t seen; /* bit i: message next - 1 - i has come */
    uint32_t next; /* one above the highest sequence seen */
    uint32_t gaps; /* messages below `next` that have not come */
    bool hello;    /* the probe has come */
};

enum track_result {
    TRACK_IN_ORDER,
    TRACK_LATE, /* fills a gap: the order was broken */
    TRACK_REPEATED,
};

static inline enum track_result track_take(struct track *track, uint32_t sequence)
{
    if (sequence >= track->next) {
        uint32_t skipped = sequence - track->next;
        track->seen = skipped >= TRACK_WINDOW - 1 ? 1 : track->seen << (skipped + 1) | 1;
        track->gaps += skipped;
        track->next = sequence + 1;
        return TRACK_IN_ORDER;
    }
    uint32_t back = track->next - 1 - sequence;
    if (back >= TRACK_WINDOW || (track->seen >> back & 1) != 0 || track->gaps == 0)
        return TRACK_REPEATED;
    track->seen |= UINT64_C(1) << back;
    track->gaps--;
    return TRACK_LATE;
}

/* Messages of the `published` first ones that never came. */
static inline uint64_t track_lost(const struct track *track, uint64_t published)
{
    return track->gaps + (published > track->next ? published - track->next : 0);
}

#endif
