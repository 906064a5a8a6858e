/* SPDX-License-Identifier: MIT */
/* Proves the accounts of a turn: phases end by their budgets, and what one has not spent is no other's. Run by unit_core. */
#include "core/work.h"

#include <criterion/criterion.h>

Test(work, a_phase_ends_when_its_budget_is_spent)
{
    struct work work;
    work_begin_turn(&work);
    work_begin_phase(&work, PHASE_MAIL);
    uint64_t units = work_budgets_ps[PHASE_MAIL] / work_prices_ps[WORK_MAIL];
    work_spend(&work, WORK_MAIL, units - 1);
    cr_assert(work_left(&work));
    work_spend(&work, WORK_MAIL, 2);
    cr_assert_not(work_left(&work));
    cr_assert_eq(work.units[WORK_MAIL], units + 1);
}

Test(work, a_phase_that_begins_again_has_what_it_left)
{
    struct work work;
    work_begin_turn(&work);
    work_begin_phase(&work, PHASE_WALKS);
    work_spend(&work, WORK_LOOK, work_budgets_ps[PHASE_WALKS] / work_prices_ps[WORK_LOOK]);
    cr_assert_not(work_left(&work));
    work_begin_phase(&work, PHASE_FLUSH);
    cr_assert(work_left(&work), "each has its own");
    work_begin_phase(&work, PHASE_WALKS);
    cr_assert_not(work_left(&work));
    work_end_turn(&work);
    cr_assert_eq(work.phase_ps[PHASE_WALKS], work_budgets_ps[PHASE_WALKS]);
    cr_assert_eq(work_heaviest_phase(&work), PHASE_WALKS);
    cr_assert_eq(work_heaviest_kind(&work), WORK_LOOK);
    work_begin_turn(&work);
    work_begin_phase(&work, PHASE_WALKS);
    cr_assert(work_left(&work), "a new turn, a new budget");
}
