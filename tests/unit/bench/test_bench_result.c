/* SPDX-License-Identifier: MIT */
/* Proves the verdict of a bench, its exit codes, the arithmetic behind it, and the distribution that it writes. Run by
 * unit_bench. */
#include "bench/bench_report.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct options options;
static struct result result;

static void setup(void)
{
    options = (struct options){.scenario = SCENARIO_FANOUT, .url = "ws://127.0.0.1/"};
    result = (struct result){.options = &options, .client_share = 0.5};
    histogram_init(&result.lag_ns);
    histogram_init(&result.latency_ns);
    histogram_init(&result.opening_ns);
}

TestSuite(bench_result, .init = setup);

Test(bench_result, a_run_without_faults_is_clean)
{
    cr_assert_eq(result_verdict(&result), VERDICT_CLEAN);
    cr_assert_eq(verdict_exit_code(VERDICT_CLEAN), 0);
}

Test(bench_result, each_fault_alone_fails_a_run)
{
    struct result clean = result;
    result.faults.lost = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY);
    result = clean;
    result.faults.repeated = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY);
    result = clean;
    result.faults.late = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY);
    result = clean;
    result.lost_connections = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY);
    result = clean;
    result.stalled = true;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY);
    cr_assert_eq(verdict_exit_code(VERDICT_FAULTY), 1);
}

Test(bench_result, what_slow_and_roaming_subscribers_see_is_no_fault)
{
    ends_add(&result.apart.slow_ends, 1013, 10);
    result.apart.roaming.lost = 3;
    cr_assert_eq(result_verdict(&result), VERDICT_CLEAN);
}

Test(bench_result, a_client_without_time_left_is_the_limit)
{
    result.client_share = CLIENT_SHARE_MAX + 0.01;
    cr_assert_eq(result_verdict(&result), VERDICT_CLIENT_LIMITED);
    cr_assert_eq(verdict_exit_code(VERDICT_CLIENT_LIMITED), 3);
    result.faults.lost = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_FAULTY, "a fault weighs more");
}

Test(bench_result, a_schedule_that_falls_behind_is_the_clients_unless_the_server_held_it_up)
{
    options.rate = 100;
    for (int i = 0; i < 100; i++)
        histogram_record(&result.lag_ns, 2 * CLIENT_LAG_NS_MAX);
    cr_assert_eq(result_verdict(&result), VERDICT_CLIENT_LIMITED);
    result.backlogs = 1;
    cr_assert_eq(result_verdict(&result), VERDICT_CLEAN);
}

Test(bench_result, cost_is_per_delivery_with_copies_and_per_handshake)
{
    result.server_cpu_ns = 12000;
    result.deliveries = 3;
    result.copies = 1;
    cr_assert_float_eq(result_server_us(&result), 3.0, 1e-9);
    options.scenario = SCENARIO_CONNECT;
    cr_assert_float_eq(result_server_us(&result), 0.0, 1e-9, "nothing to divide by");
    histogram_record(&result.opening_ns, 5);
    cr_assert_float_eq(result_server_us(&result), 12.0, 1e-9);
}

Test(bench_result, growth_may_be_negative)
{
    cr_assert_float_eq(result_growth(1000, 5000, 8), 500.0, 1e-9);
    cr_assert_float_eq(result_growth(5000, 1000, 8), -500.0, 1e-9);
    cr_assert_float_eq(result_growth(0, 1000, 0), 0.0, 1e-9);
}

/* The second column rises, the third one ends with all values, the first one with the greatest. */
Test(bench_result, the_distribution_rises_to_the_maximum)
{
    for (uint64_t us = 1; us <= 1000; us++)
        histogram_record(&result.latency_ns, us * 1000);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    report_histogram(&result.latency_ns, out);
    fclose(out);
    double value = 0;
    double share = -1;
    unsigned long count = 0;
    int lines = 0;
    for (char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
        double next_value;
        double next_share;
        if (line[1] == '\n' || sscanf(line, " %lf %lf %lu", &next_value, &next_share, &count) != 3)
            continue;
        cr_assert_geq(next_value, value);
        cr_assert_gt(next_share, share);
        value = next_value;
        share = next_share;
        lines++;
    }
    cr_assert_gt(lines, 20);
    cr_assert_float_eq(value, 1000.0, 1e-9);
    cr_assert_float_eq(share, 1.0, 1e-12);
    cr_assert_eq(count, 1000);
    free(text);
}
