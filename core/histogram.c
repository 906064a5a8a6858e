/* SPDX-License-Identifier: MIT */
/* Owns the mapping between values and buckets, and what is read off the counts. Never allocates, never drops a value:
 * every one of the 2^64 has its bucket. Called by the bench client and by whoever measures times or sizes.
 *
 * With S = 2^HISTOGRAM_SUB_BITS, values below S have a bucket each, and every doubling above is cut into S equal ones:
 *
 *     values                width of a bucket    buckets
 *     [0, S)                1                    [0, S)
 *     [S, 2S)               1                    [S, 2S)
 *     [2S, 4S)              2                    [2S, 3S)
 *     [S 2^k, S 2^(k+1))    2^k                  [(k+1) S, (k+2) S) */
#include "core/histogram.h"

#define SUB_COUNT (1U << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (unsigned)value;
    unsigned doubling = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (doubling + 1) * SUB_COUNT + (unsigned)(value >> doubling) - SUB_COUNT;
}

static uint64_t highest_of(unsigned bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    unsigned doubling = bucket / SUB_COUNT - 1;
    uint64_t lowest = (uint64_t)(bucket % SUB_COUNT + SUB_COUNT) << doubling;
    return lowest + (((uint64_t)1 << doubling) - 1);
}

void histogram_init(struct histogram *h)
{
    *h = (struct histogram){.total = 0};
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->counts[bucket_of(value)]++;
    if (h->total == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->total++;
    h->sum += (double)value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->total == 0)
        return;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    if (into->total == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->total += from->total;
    into->sum += from->sum;
}

/* How many values, counted from the lowest, make up the percentage: rounded up, at least one, at most all. */
static uint64_t rank_of(const struct histogram *h, double percent)
{
    double exact = percent * (double)h->total / 100.0;
    if (!(exact > 1.0))
        return 1;
    if (exact >= (double)h->total)
        return h->total;
    uint64_t whole = (uint64_t)exact;
    return (double)whole < exact ? whole + 1 : whole;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->total == 0)
        return 0;
    uint64_t rank = rank_of(h, percent);
    uint64_t seen = 0;
    unsigned bucket = 0;
    while ((seen += h->counts[bucket]) < rank)
        bucket++;
    uint64_t highest = highest_of(bucket);
    return highest < h->max ? highest : h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->total == 0 ? 0.0 : h->sum / (double)h->total;
}
