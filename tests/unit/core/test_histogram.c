/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/histogram: exactness of small values, the promised error over all 64 bits, and percentiles
 * against a sorted array of the very same values. */
#include "core/histogram.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* As many bits as chance says, so that all magnitudes are hit alike. */
static uint64_t any_value(struct random *random)
{
    return random_u64(random) >> random_below(random, 64);
}

/* What the histogram makes of a value: the upper end of its bucket, seen while a larger value holds the maximum. */
static uint64_t rounded(uint64_t value)
{
    struct histogram h;
    histogram_init(&h);
    histogram_record(&h, value);
    histogram_record(&h, UINT64_MAX);
    return histogram_percentile(&h, 50);
}

Test(histogram, answers_zero_when_nothing_was_recorded)
{
    struct histogram h;
    histogram_init(&h);
    cr_assert_eq(histogram_percentile(&h, 50), 0);
    cr_assert_eq(histogram_percentile(&h, 100), 0);
    cr_assert_float_eq(histogram_mean(&h), 0.0, 0.0);
    cr_assert_eq(h.total, 0);
}

Test(histogram, keeps_values_below_128_exactly)
{
    for (uint64_t value = 0; value < 128; value++)
        cr_assert_eq(rounded(value), value);
    cr_assert_eq(rounded(128), 129);
    cr_assert_eq(rounded(129), 129);
    cr_assert_eq(rounded(130), 131);
}

static void expect_small_error(uint64_t value)
{
    uint64_t upper = rounded(value);
    cr_assert_geq(upper, value);
    cr_assert_leq(upper - value, value / 64, "%lu became %lu", value, upper);
}

Test(histogram, errs_by_at_most_a_64th_over_all_magnitudes)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        expect_small_error(power - 1);
        expect_small_error(power);
        expect_small_error(power + 1);
    }
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 2000; i++)
        expect_small_error(any_value(&random));
    expect_small_error(UINT64_MAX);
}

Test(histogram, never_answers_above_the_maximum)
{
    struct histogram h;
    histogram_init(&h);
    for (uint64_t i = 0; i < 100; i++)
        histogram_record(&h, 1000000 + i);
    cr_assert_eq(histogram_percentile(&h, 100), 1000099);
    cr_assert_eq(h.max, 1000099);
    cr_assert_eq(h.min, 1000000);
    cr_assert_float_eq(histogram_mean(&h), 1000049.5, 1e-6);
}

Test(histogram, takes_percentages_outside_0_to_100_as_the_ends)
{
    struct histogram h;
    histogram_init(&h);
    histogram_record(&h, 3);
    histogram_record(&h, 90);
    cr_assert_eq(histogram_percentile(&h, 0), 3);
    cr_assert_eq(histogram_percentile(&h, -1), 3);
    cr_assert_eq(histogram_percentile(&h, 101), 90);
    cr_assert_eq(histogram_percentile(&h, (double)NAN), 3);
}

Test(histogram, counts_ranks_from_the_lowest_value_upwards)
{
    struct histogram h;
    histogram_init(&h);
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(&h, value);
    cr_assert_eq(histogram_percentile(&h, 1), 1);
    cr_assert_eq(histogram_percentile(&h, 50), 50);
    cr_assert_eq(histogram_percentile(&h, 50.1), 51);
    cr_assert_eq(histogram_percentile(&h, 99), 99);
    cr_assert_eq(histogram_percentile(&h, 99.9), 100);
}

/* Property: within a 64th above the value that a sorted array has at that rank. */
Test(histogram, agrees_with_a_sorted_array)
{
    enum { VALUES = 1000 };
    static const double percents[] = {0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 100};
    static uint64_t values[VALUES];
    struct random random;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct histogram h;
        histogram_init(&h);
        random_init(&random, seed);
        for (int i = 0; i < VALUES; i++)
            histogram_record(&h, values[i] = any_value(&random));
        qsort(values, VALUES, sizeof *values, ascending);
        for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
            uint64_t exact = values[(size_t)ceil(percents[i] * VALUES / 100.0) - 1];
            uint64_t got = histogram_percentile(&h, percents[i]);
            cr_assert_geq(got, exact, "seed %lu, %f %%", seed, percents[i]);
            cr_assert_leq(got - exact, exact / 64, "seed %lu, %f %%", seed, percents[i]);
        }
        cr_assert_eq(h.min, values[0]);
        cr_assert_eq(h.max, values[VALUES - 1]);
    }
}

static void expect_equal(const struct histogram *a, const struct histogram *b)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        cr_assert_eq(a->counts[i], b->counts[i], "bucket %u", i);
    cr_assert_eq(a->total, b->total);
    cr_assert_eq(a->min, b->min);
    cr_assert_eq(a->max, b->max);
    cr_assert_float_eq(a->sum, b->sum, b->sum * 1e-9);
}

Test(histogram, merges_as_if_all_had_been_recorded_in_one)
{
    struct histogram one, two, both;
    histogram_init(&one);
    histogram_init(&two);
    histogram_init(&both);
    struct random random;
    random_init(&random, 9);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = 1 + any_value(&random) / 2;
        histogram_record(random_chance(&random, 1, 3) ? &one : &two, value);
        histogram_record(&both, value);
    }
    histogram_merge(&one, &two);
    expect_equal(&one, &both);
}

Test(histogram, is_left_alone_by_the_merge_of_an_empty_one)
{
    struct histogram empty, one, copy;
    histogram_init(&empty);
    histogram_init(&one);
    histogram_record(&one, 17);
    copy = one;
    histogram_merge(&one, &empty);
    expect_equal(&one, &copy);
    histogram_merge(&empty, &one);
    expect_equal(&empty, &copy);
}
