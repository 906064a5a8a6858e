/* SPDX-License-Identifier: MIT */
/* Owns the cases of two runs that are compared.
 * It never runs a simulation.
 * Called by Criterion. */
#include "tests/sim/sim_result.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct sim_result run = {
    .hash = 0x8451, .virtual_ms = 16845, .steps = 241994, .published = 1407, .deliveries = 333, .repeats = true};

/* The same run where memory held something else before. */
static void lay_over(struct sim_result *result, int byte)
{
    memset(result, byte, sizeof *result);
    result->hash = run.hash;
    result->virtual_ms = run.virtual_ms;
    result->steps = run.steps;
    result->published = run.published;
    result->deliveries = run.deliveries;
    result->repeats = run.repeats;
}

Test(sim_result, is_the_same_whatever_lies_between_the_fields)
{
    struct sim_result a, b;
    char words[SIM_DIFFERENCE_BYTES];
    lay_over(&a, 0xff);
    lay_over(&b, 0);
    cr_assert(sim_result_equal(&a, &b, words), "%s", words);
    cr_assert_str_eq(words, "");
}

Test(sim_result, names_the_field_that_differs_with_both_values)
{
    struct sim_result others[6];
    static const char *const words_wanted[] = {"trace 33873 and 33874",   "virtual ms 16845 and 16846",
                                               "steps 241994 and 241995", "published 1407 and 1408",
                                               "deliveries 333 and 334",  "repeats 1 and 0"};
    for (size_t i = 0; i < 6; i++)
        others[i] = run;
    others[0].hash++;
    others[1].virtual_ms++;
    others[2].steps++;
    others[3].published++;
    others[4].deliveries++;
    others[5].repeats = false;
    for (size_t i = 0; i < 6; i++) {
        char words[SIM_DIFFERENCE_BYTES];
        cr_assert_not(sim_result_equal(&run, &others[i], words));
        cr_assert_str_eq(words, words_wanted[i]);
    }
}
