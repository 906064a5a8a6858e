/* SPDX-License-Identifier: MIT */
/* A topic of the schedule, and the objects that the server itself makes of all topics (C-46 to C-48). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SCHEDULE_REPORT_H
#define RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SCHEDULE_REPORT_H

#include "protocol/dialects/crypto/crypto.h"
#include "protocol/dialects/crypto/source_pool.h"
#include "protocol/interval.h"

/* Data of a source counts as fresh for so many intervals of its topic (C-46). */
#define SCHEDULE_FRESH_INTERVALS 3

struct schedule_topic {
    struct interval interval;
    struct source_pool sources;
    uint8_t *object; /* the newest; NULL: none */
    size_t bytes;
    uint64_t source;    /* serial of the one that it came from */
    bool changed;       /* since the last tick */
    bool due;           /* for an event */
    uint32_t listeners; /* classes of them */
};

static inline struct slice schedule_object(const struct schedule_topic *topic)
{
    return slice_of(topic->object, topic->bytes);
}

static inline uint64_t schedule_fresh_ms(const struct schedule_topic *topic)
{
    return SCHEDULE_FRESH_INTERVALS * topic->interval.period_ms;
}

/* Each appends one object; `topics` are all CRYPTO_TOPICS, in their order. Together at most 256 KiB, beside what has
 * been ingested. */
void schedule_report_health(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms);
void schedule_report_pools(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms);
void schedule_report_jobs(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms);

#endif
