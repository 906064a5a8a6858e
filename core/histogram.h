/* SPDX-License-Identifier: MIT */
/* A histogram of unsigned values in logarithmic buckets with linear sub-buckets (the layout of HdrHistogram): a
 * relative error of at most 1/64 over the whole range of 64 bits, fixed memory, values mergeable by addition. */
#ifndef RINGCAST_CORE_HISTOGRAM_H
#define RINGCAST_CORE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
    uint64_t min;
    double sum;
};

void histogram_init(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value at or below which `percent` (0-100) of the recorded values lie: the upper end of its bucket, never above
 * the maximum. 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

#endif
