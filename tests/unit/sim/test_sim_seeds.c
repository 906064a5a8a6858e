/* SPDX-License-Identifier: MIT */
/* Owns the cases of which seeds run, over the fault matrix itself and runs that are made up: each takes what it aims
 * at from its number.
 * It never runs a simulation.
 * Called by Criterion. */
#include "tests/sim/sim_seeds.h"

#include "core/random.h"
#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_plan.h"

#include <criterion/criterion.h>

#define AT_ONE (UINT64_C(1) << 62)
#define CELLS_MAX 512
#define JOBS_MAX 8
#define ORDER_MAX 4096

static uint32_t heap_seeds_wanted, heap_asked;

/* In place of sim_heap.c: whole after so many questions. */
bool sim_heap_is_whole(void)
{
    return heap_asked++ >= heap_seeds_wanted;
}

static uint32_t list_cells(struct sim_cell *cells)
{
    uint32_t count = 0;
    for (;; count++) {
        cr_assert_lt(count, CELLS_MAX);
        sim_matrix_aims(AT_ONE + count, &cells[count], 1);
        if (count > 0 && cells[count].op == cells[0].op && cells[count].outcome == cells[0].outcome &&
            cells[count].place == cells[0].place)
            return count;
    }
}

/* Every cell but the first so many. */
static uint32_t count_all_but(uint32_t left)
{
    struct sim_cell cells[CELLS_MAX];
    uint32_t count = list_cells(cells);
    for (uint32_t i = left; i < count; i++)
        sim_matrix_count(cells[i]);
    return count;
}

static uint32_t run_rounds(struct sim_seeds *seeds)
{
    uint64_t seed;
    uint32_t count = 0;
    while (sim_seeds_next(seeds, true, &seed))
        count++;
    return count;
}

/* What a run with this seed would have hit: some of its aims. */
static void run_seed(uint64_t seed)
{
    struct random random;
    struct sim_cell aims[SIM_AIMS];
    random_init(&random, seed);
    uint32_t count = sim_matrix_aims(seed, aims, SIM_AIMS);
    for (uint32_t i = 0; i < count; i++)
        if (random_chance(&random, 1, 5))
            sim_matrix_count(aims[i]);
}

/* All seeds of a run with so many processes, which end in an order of their own. Returns how many. */
static uint32_t run_all(uint32_t jobs, uint64_t order_seed, uint64_t order[ORDER_MAX])
{
    struct sim_seeds seeds = {.first = 1, .count = 100};
    struct random random;
    uint64_t running[JOBS_MAX], seed;
    uint32_t busy = 0, count = 0;
    sim_matrix_init();
    heap_asked = 0;
    random_init(&random, order_seed);
    for (;;) {
        while (busy < jobs && sim_seeds_next(&seeds, busy == 0, &seed)) {
            cr_assert_lt(count, ORDER_MAX);
            order[count++] = running[busy++] = seed;
        }
        if (busy == 0)
            return count;
        uint32_t ended = (uint32_t)random_below(&random, busy);
        run_seed(running[ended]);
        running[ended] = running[--busy];
    }
}

Test(sim_seeds, begin_with_the_start_and_go_on_from_the_first)
{
    struct sim_seeds seeds = {.first = 70, .count = 3};
    static const uint64_t wanted[] = {0, 70, 71, 72};
    uint64_t seed;
    sim_matrix_init();
    for (int i = 0; i < 4; i++) {
        cr_assert(sim_seeds_next(&seeds, false, &seed));
        cr_assert_eq(seed, wanted[i]);
    }
    cr_assert_not(sim_seeds_next(&seeds, false, &seed), "a round begins when all before have ended");
    cr_assert(sim_seeds_next(&seeds, true, &seed));
    cr_assert_eq(seed, AT_ONE);
}

Test(sim_seeds, are_the_same_with_any_number_of_processes_in_any_order)
{
    static uint64_t alone[ORDER_MAX], others[ORDER_MAX];
    heap_seeds_wanted = 2;
    uint32_t count = run_all(1, 0, alone);
    cr_assert_gt(count, 200);
    cr_assert(sim_matrix_print(false), "all cells are hit");
    for (uint32_t i = 1; i < 40; i++) {
        cr_assert_eq(run_all(1 + i % JOBS_MAX, i, others), count, "order %u", i);
        cr_assert_arr_eq(others, alone, count * sizeof *alone);
    }
}

Test(sim_seeds, are_none_when_all_has_been_seen)
{
    struct sim_seeds seeds = {.first = 1};
    sim_matrix_init();
    count_all_but(0);
    cr_assert_eq(run_rounds(&seeds), 1, "the start only");
    cr_assert(sim_matrix_print(false));
}

Test(sim_seeds, give_up_at_a_cell_after_200_tries)
{
    struct sim_seeds seeds = {.first = 1};
    sim_matrix_init();
    count_all_but(1);
    cr_assert_eq(run_rounds(&seeds), 1 + 200);
    cr_assert_eq(seeds.tries, 200);
    cr_assert_not(sim_matrix_print(false));
}

Test(sim_seeds, give_up_after_1500_tries_in_all)
{
    struct sim_seeds seeds = {.first = 1};
    sim_matrix_init();
    count_all_but(100);
    cr_assert_eq(run_rounds(&seeds), 1 + 1500);
    cr_assert_eq(seeds.tries, 1500);
}

Test(sim_seeds, aim_at_allocations_until_all_have_failed_or_60_times)
{
    struct sim_seeds some = {.first = 1}, many = {.first = 1};
    uint64_t seed;
    sim_matrix_init();
    count_all_but(0);
    heap_seeds_wanted = 2;
    cr_assert(sim_seeds_next(&some, true, &seed) && sim_seeds_next(&some, true, &seed));
    cr_assert_eq(seed, SIM_SEEDS_AT_HEAP);
    run_rounds(&some);
    cr_assert_eq(some.heap_seeds, 8, "two rounds");
    heap_seeds_wanted = UINT32_MAX;
    run_rounds(&many);
    cr_assert_eq(many.heap_seeds, SIM_HEAP_SEEDS_MAX);
}
