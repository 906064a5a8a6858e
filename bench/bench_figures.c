/* SPDX-License-Identifier: MIT */
/* Owns how single figures are written. It never decides which. Called by the reports. */
#include "bench/bench_figures.h"

#include "protocol/json.h"

#include <inttypes.h>

static const double percents[] = {50, 90, 99, 99.9};
#define PERCENTS (sizeof(percents) / sizeof(percents[0]))

void figures_line(const char *name, const struct histogram *histogram, FILE *out)
{
    fprintf(out, "  %-14s", name);
    for (size_t i = 0; i < PERCENTS; i++)
        fprintf(out, " p%g %.1f ", percents[i], (double)histogram_percentile(histogram, percents[i]) / 1e3);
    fprintf(out, " max %.1f us\n", (double)histogram->max / 1e3);
}

void figures_text(FILE *out, const char *name, const char *text)
{
    uint8_t memory[8192];
    struct buf value = buf_of(memory, sizeof memory);
    json_put_string(&value, slice_text(text));
    fprintf(out, "  \"%s\": %.*s,\n", name, (int)value.used, (const char *)value.data);
}

void figures_count(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "  \"%s\": %" PRIu64 ",\n", name, value);
}

void figures_real(FILE *out, const char *name, double value)
{
    fprintf(out, "  \"%s\": %.6g,\n", name, value);
}

void figures_histogram(FILE *out, const char *name, const struct histogram *histogram)
{
    fprintf(out, "  \"%s\": {\"count\": %" PRIu64 ", \"min\": %.3f, \"mean\": %.3f", name, histogram->total,
            histogram->total > 0 ? (double)histogram->min / 1e3 : 0, histogram_mean(histogram) / 1e3);
    for (size_t i = 0; i < PERCENTS; i++)
        fprintf(out, ", \"p%g\": %.3f", percents[i], (double)histogram_percentile(histogram, percents[i]) / 1e3);
    fprintf(out, ", \"max\": %.3f},\n", (double)histogram->max / 1e3);
}
