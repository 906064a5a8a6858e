/* SPDX-License-Identifier: MIT */
/* Single figures of a result, as all scenarios write them: members of a JSON object, each on a line of its own with a
 * comma behind it, and a line of percentiles for people. */
#ifndef RINGCAST_BENCH_FIGURES_H
#define RINGCAST_BENCH_FIGURES_H

#include "core/histogram.h"

#include <stdio.h>

void figures_text(FILE *out, const char *name, const char *text);
void figures_count(FILE *out, const char *name, uint64_t value);
void figures_real(FILE *out, const char *name, double value);
/* Of nanoseconds, in microseconds. */
void figures_histogram(FILE *out, const char *name, const struct histogram *histogram);
void figures_line(const char *name, const struct histogram *histogram, FILE *out);

#endif
