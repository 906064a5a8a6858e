/* SPDX-License-Identifier: MIT */
/* A hierarchical timer wheel in milliseconds. It never reads a clock: `now` is an argument. A timer is embedded in its
 * owner, so setting one allocates nothing. Expired timers are pulled, one by one. */
#ifndef RINGCAST_CORE_WHEEL_H
#define RINGCAST_CORE_WHEEL_H

#include "core/list.h"

#include <stdint.h>

#define WHEEL_LEVELS 11 /* 64^11 > 2^64: every time has a place of its own, none is parked */
#define WHEEL_SLOTS 64

struct wheel_timer {
    struct list_node node; /* unlinked: not set */
    uint64_t expiry_ms;
};

struct wheel {
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    uint64_t occupied[WHEEL_LEVELS]; /* bit per slot: may hold timers */
    struct list expired;
    uint64_t now_ms;
    uint64_t count;
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
/* Sets or moves the timer; a time that is not in the future expires at the next advance. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t expiry_ms);
/* Nothing happens when it is not set. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);
/* Moves time on; a time before the last one is taken as the last one. */
void wheel_advance(struct wheel *wheel, uint64_t now_ms);
/* The next expired timer, unlinked, in the order of expiry (same slot: order of setting); NULL: none. */
struct wheel_timer *wheel_pop(struct wheel *wheel);
/* A time until which nothing expires for certain (a lower bound of the next expiry); UINT64_MAX: no timer is set. */
uint64_t wheel_next_ms(const struct wheel *wheel);

static inline bool wheel_timer_set(const struct wheel_timer *timer)
{
    return list_linked(&timer->node);
}

#endif
