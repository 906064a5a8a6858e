/* SPDX-License-Identifier: MIT */
/* Owns the slots of the timer wheel and the list of timers that have expired and wait to be popped. Never reads a
 * clock, never allocates, never calls anybody back. Called by the shard (advance, pop, next) and by the owners of
 * timers (set, cancel).
 *
 * Read times as numbers in base 64, a digit for each level. A timer lies at the level of the highest digit in which its
 * expiry differs from now, in the slot of that digit of its expiry:
 *
 *     now     ... 7  2 41  3
 *     expiry  ... 7  2 55 19     the highest difference is digit 1: level 1, slot 55
 *
 * From this follow the rules that everything here rests on:
 * - The place of a timer depends on its expiry and now alone, so timers of one expiry share a slot, as they were set.
 * - The slots in use at a level lie above now's own digit, so the lowest bit of the bitmap is the first; nothing wraps.
 * - All timers of a level expire before those of the levels above.
 * - A slot begins at the time with its own digit and zeros below. Until now reaches it, its timers are where they
 *   belong; then they are filed anew, each at a lower level or as expired. So a timer moves at most WHEEL_LEVELS times,
 *   and time that passes over empty slots costs nothing.
 * A timer that is due when it is set waits in the level-0 slot of now itself, which the next advance takes first. */
#include "core/wheel.h"

#define DIGIT_BITS 6

_Static_assert(WHEEL_SLOTS == 1 << DIGIT_BITS, "a level is a digit, a bitmap a word");
_Static_assert(64 <= WHEEL_LEVELS * DIGIT_BITS, "every time has its place");

struct place {
    unsigned level;
    unsigned slot;
};

static unsigned digit(uint64_t time_ms, unsigned level)
{
    return (unsigned)(time_ms >> (level * DIGIT_BITS)) & (WHEEL_SLOTS - 1);
}

static struct place place_of(const struct wheel *wheel, uint64_t expiry_ms)
{
    uint64_t due = expiry_ms > wheel->now_ms ? expiry_ms : wheel->now_ms;
    uint64_t difference = due ^ wheel->now_ms;
    unsigned level = difference == 0 ? 0 : (63U - (unsigned)__builtin_clzll(difference)) / DIGIT_BITS;
    return (struct place){.level = level, .slot = digit(due, level)};
}

/* Now with the place's digit, and zeros below it. */
static uint64_t start_of(const struct wheel *wheel, struct place place)
{
    unsigned shift = place.level * DIGIT_BITS;
    uint64_t above = wheel->now_ms >> shift & ~(uint64_t)(WHEEL_SLOTS - 1);
    return (above | place.slot) << shift;
}

/* The occupied slot that begins first; false: no timer waits in any. */
static bool first_place(const struct wheel *wheel, struct place *place)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] != 0) {
            *place = (struct place){.level = level, .slot = (unsigned)__builtin_ctzll(wheel->occupied[level])};
            return true;
        }
    }
    return false;
}

static void file(struct wheel *wheel, struct wheel_timer *timer)
{
    struct place place = place_of(wheel, timer->expiry_ms);
    list_push_back(&wheel->slots[place.level][place.slot], &timer->node);
    wheel->occupied[place.level] |= (uint64_t)1 << place.slot;
}

static void unfile(struct wheel *wheel, struct wheel_timer *timer)
{
    struct place place = place_of(wheel, timer->expiry_ms); /* an expired timer's: empty, or of timers that are due */
    list_remove(&timer->node);
    if (list_empty(&wheel->slots[place.level][place.slot]))
        wheel->occupied[place.level] &= ~((uint64_t)1 << place.slot);
}

/* Now has reached the slot: its timers have expired or belong further down. */
static void empty_slot(struct wheel *wheel, struct place place)
{
    wheel->occupied[place.level] &= ~((uint64_t)1 << place.slot);
    struct list_node *node;
    while ((node = list_pop_front(&wheel->slots[place.level][place.slot])) != NULL) {
        struct wheel_timer *timer = list_entry(node, struct wheel_timer, node);
        if (timer->expiry_ms <= wheel->now_ms)
            list_push_back(&wheel->expired, node);
        else
            file(wheel, timer);
    }
}

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
    list_init(&wheel->expired);
    wheel->now_ms = now_ms;
    wheel->count = 0;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t expiry_ms)
{
    wheel_cancel(wheel, timer);
    timer->expiry_ms = expiry_ms;
    file(wheel, timer);
    wheel->count++;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    if (!wheel_timer_set(timer))
        return;
    unfile(wheel, timer);
    wheel->count--;
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t target = now_ms > wheel->now_ms ? now_ms : wheel->now_ms;
    struct place place;
    while (first_place(wheel, &place) && start_of(wheel, place) <= target) {
        wheel->now_ms = start_of(wheel, place);
        empty_slot(wheel, place);
    }
    wheel->now_ms = target;
}

struct wheel_timer *wheel_pop(struct wheel *wheel)
{
    struct list_node *node = list_pop_front(&wheel->expired);
    if (node == NULL)
        return NULL;
    wheel->count--;
    return list_entry(node, struct wheel_timer, node);
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
    if (!list_empty(&wheel->expired))
        return wheel->now_ms;
    struct place place;
    return first_place(wheel, &place) ? start_of(wheel, place) : UINT64_MAX;
}
