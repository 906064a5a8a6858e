/* SPDX-License-Identifier: MIT */
/* Owns what is said about the time of turns. It never decides how long one may be: that is priced (core/work.h), and here it is held against
 * the clock. Called by shard_tick, at the beginning of the next turn. */
#include "shards/turn/turn_time.h"

#include "core/log.h"
#include "core/work.h"
#include "shards/note.h"
#include "shards/shard.h"

static const struct {
    uint64_t up_to_ns;
    enum stat_id stat;
} buckets[TURN_BUCKETS] = {
    {100000, STAT_TURN_100US},    {300000, STAT_TURN_300US},  {1000000, STAT_TURN_1MS},
    {3000000, STAT_TURN_3MS},     {10000000, STAT_TURN_10MS}, {30000000, STAT_TURN_30MS},
    {100000000, STAT_TURN_100MS}, {1000000000, STAT_TURN_1S}, {UINT64_MAX, STAT_TURN_INF},
};

/* What it did most of, by price: where that is little the time went elsewhere, to another process or a pause of this one. */
static void say_long(struct shard *shard, struct turn_time *times, uint64_t ns)
{
    const struct work *work = shard->work;
    enum work_phase phase = work_heaviest_phase(work);
    enum work_kind kind = work_heaviest_kind(work);
    struct log_line line;
    shard_note(shard, FLIGHT_LONG_TURN, phase, (int64_t)(ns / 1000), (int64_t)(work->spent_ps / WORK_PS_PER_US));
    if (bucket_count(&times->long_lines, shard->now_ms, 1000) > 1)
        return;
    log_begin(&line, LOG_WARN, "long turn");
    log_u64(&line, "shard", shard->number);
    log_u64(&line, "us", ns / 1000);
    log_u64(&line, "priced_us", work->spent_ps / WORK_PS_PER_US);
    log_text(&line, "phase", work_phase_texts[phase]);
    log_u64(&line, "phase_priced_us", work->phase_ps[phase] / WORK_PS_PER_US);
    log_text(&line, "most", work_texts[kind]);
    log_u64(&line, "units", work->units[kind]);
    log_end(&line);
}

void turn_time_note(struct shard *shard, struct turn_time *times, uint64_t ns)
{
    unsigned i = 0;
    while (ns > buckets[i].up_to_ns)
        i++;
    times->by_time[i]++;
    times->sum_ns += ns;
    if (ns > TURN_LONG_NS)
        say_long(shard, times, ns);
}

/* The page's buckets are cumulative. */
void turn_time_gauges(struct shard *shard, const struct turn_time *times)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < TURN_BUCKETS; i++) {
        sum += times->by_time[i];
        stats_set(&shard->stats, buckets[i].stat, sum);
    }
    stats_set(&shard->stats, STAT_TURN_SUM_US, times->sum_ns / 1000);
}
