/* SPDX-License-Identifier: MIT */
/* The budget of a turn: work in units that have prices (work.def), summed phase by phase. Whoever does something that can be much
 * says so once per run, and asks whether there is room for more where it can stop and go on in the next turn. Pure: the same work costs
 * the same on every machine. */
#ifndef RINGCAST_CORE_WORK_H
#define RINGCAST_CORE_WORK_H

#include <stdbool.h>
#include <stdint.h>

enum work_kind {
#define WORK(id, price_ps, text) WORK_##id,
#include "core/work.def"
    WORK_KINDS,
};

enum work_phase {
#define PHASE(id, budget_us, text) PHASE_##id,
#include "core/work.def"
    PHASES,
};

#define WORK_PS_PER_US 1000000U
/* All phases together. */
#define PHASE(id, budget_us, text) +(uint64_t)(budget_us)
enum {
    WORK_TURN_US = 0
#include "core/work.def"
};
_Static_assert(WORK_TURN_US <= 10000, "the longest turn");

struct work {
    uint64_t spent_ps; /* in this turn */
    uint64_t until_ps; /* the phase ends when spent_ps has come so far */
    uint64_t began_ps; /* the phase began when it had come so far */
    uint64_t phase_ps[PHASES];
    uint64_t units[WORK_KINDS]; /* in this turn */
    uint8_t phase;
};

extern const uint64_t work_prices_ps[WORK_KINDS];
extern const uint64_t work_budgets_ps[PHASES];
extern const char *const work_texts[WORK_KINDS];
extern const char *const work_phase_texts[PHASES];

/* Closes the accounts of the present phase: phase_ps is complete. */
static inline void work_end_turn(struct work *work)
{
    work->phase_ps[work->phase] += work->spent_ps - work->began_ps;
    work->began_ps = work->spent_ps;
}

/* What is spent from here on is the phase's; a phase may begin more than once in a turn, on what is left of its budget. */
static inline void work_begin_phase(struct work *work, enum work_phase phase)
{
    work_end_turn(work);
    uint64_t spent = work->phase_ps[phase], budget = work_budgets_ps[phase];
    work->phase = (uint8_t)phase;
    work->until_ps = work->spent_ps + (spent < budget ? budget - spent : 0);
}

static inline void work_begin_turn(struct work *work)
{
    *work = (struct work){0};
    work_begin_phase(work, (enum work_phase)0);
}

static inline void work_spend_at(struct work *work, enum work_kind kind, uint64_t units, uint64_t price_ps)
{
    work->units[kind] += units;
    work->spent_ps += units * price_ps;
}

/* Says that so many units have been done, or will be at once. */
static inline void work_spend(struct work *work, enum work_kind kind, uint64_t units)
{
    work_spend_at(work, kind, units, work_prices_ps[kind]);
}

/* Whether the phase has something left. */
static inline bool work_left(const struct work *work)
{
    return work->spent_ps < work->until_ps;
}

/* What one byte costs to compress at a level of zlib (1-9) with a window of 2^window_bits. */
uint64_t work_deflate_ps(uint64_t level, unsigned window_bits);
/* The phase that has spent most, and the kind of unit. */
enum work_phase work_heaviest_phase(const struct work *work);
enum work_kind work_heaviest_kind(const struct work *work);

#endif
