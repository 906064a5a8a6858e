/* SPDX-License-Identifier: MIT */
/* Owns the tables of prices and budgets, and the accounts of a turn's phases. It never reads a clock and never stops anybody: who works
 * asks. Called by shard_tick (phases) and by whoever does much. */
#include "core/work.h"

const uint64_t work_prices_ps[WORK_KINDS] = {
#define WORK(id, price_ps, text) [WORK_##id] = (price_ps),
#include "core/work.def"
};

const uint64_t work_budgets_ps[PHASES] = {
#define PHASE(id, budget_us, text) [PHASE_##id] = (uint64_t)(budget_us)*WORK_PS_PER_US,
#include "core/work.def"
};

const char *const work_texts[WORK_KINDS] = {
#define WORK(id, price_ps, text) [WORK_##id] = (text),
#include "core/work.def"
};

const char *const work_phase_texts[PHASES] = {
#define PHASE(id, budget_us, text) [PHASE_##id] = (text),
#include "core/work.def"
};

/* zlib 1.2.13, 128 KiB of JSON with many hashes and of noise, the dearer of both, a window of 15 bits; shorter windows are the dearest at
 * every level (512 bytes: 120 ns a byte), because their tables are slid all the time. */
uint64_t work_deflate_ps(uint64_t level, unsigned window_bits)
{
    uint64_t wide = level <= 4 ? 22000 : level <= 7 ? 71000 : 330000;
    uint64_t narrow = level <= 7 ? 120000 : 330000;
    return window_bits >= 12 ? wide : narrow;
}

enum work_phase work_heaviest_phase(const struct work *work)
{
    unsigned heaviest = 0;
    for (unsigned i = 1; i < PHASES; i++)
        if (work->phase_ps[i] > work->phase_ps[heaviest])
            heaviest = i;
    return heaviest;
}

enum work_kind work_heaviest_kind(const struct work *work)
{
    unsigned heaviest = 0;
    for (unsigned i = 1; i < WORK_KINDS; i++)
        if (work->units[i] * work_prices_ps[i] > work->units[heaviest] * work_prices_ps[heaviest])
            heaviest = i;
    return heaviest;
}
