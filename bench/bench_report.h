/* SPDX-License-Identifier: MIT */
/* The forms of a result: a table for people, JSON for programs, and a latency distribution for plotting. */
#ifndef RINGCAST_BENCH_REPORT_H
#define RINGCAST_BENCH_REPORT_H

#include "bench/bench_result.h"

#include <stdio.h>

void report_table(const struct result *result, FILE *out);
void report_json(const struct result *result, FILE *out);
/* The percentile distribution of HdrHistogram's tools, in microseconds: value, share, count up to it, 1 / (1 - share);
 * at each halving of what is left five steps. */
void report_histogram(const struct histogram *histogram, FILE *out);

#endif
