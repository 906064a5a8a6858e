/* SPDX-License-Identifier: MIT */
/* Counters and gauges, one array per shard: one writer, any reader, relaxed. The list is stats.def; the metrics page
 * and its documentation are generated from it. */
#ifndef RINGCAST_CORE_STATS_H
#define RINGCAST_CORE_STATS_H

#include "core/bytes.h"

#include <stdatomic.h>

struct buf;

enum stat_id {
#define STAT(id, name, labels, kind, help) STAT_##id,
#include "core/stats.def"
#undef STAT
    STATS,
};

struct stats {
    _Alignas(64) _Atomic uint64_t values[STATS];
};

/* Owner only. */
static inline void stats_add(struct stats *stats, enum stat_id stat, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&stats->values[stat], memory_order_relaxed);
    atomic_store_explicit(&stats->values[stat], now + n, memory_order_relaxed);
}

static inline void stats_sub(struct stats *stats, enum stat_id stat, uint64_t n)
{
    stats_add(stats, stat, 0 - n);
}

static inline void stats_set(struct stats *stats, enum stat_id stat, uint64_t value)
{
    atomic_store_explicit(&stats->values[stat], value, memory_order_relaxed);
}

/* Anybody. */
static inline uint64_t stats_get(const struct stats *stats, enum stat_id stat)
{
    return atomic_load_explicit(&stats->values[stat], memory_order_relaxed);
}

/* Appends all counters, summed over `count` arrays, in Prometheus' text format with HELP and TYPE. */
void stats_print(const struct stats *const *all, uint32_t count, struct buf *out);

#endif
