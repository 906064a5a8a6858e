/* SPDX-License-Identifier: MIT */
/* Owns the options of the dialect emprops. It checks nothing beyond their bounds. The configuration reads the table. */
#include "protocol/dialects/emprops/emprops.h"

#define AT(field) offsetof(struct emprops_settings, field)
#define DAY_MS UINT64_C(86400000)

/* A count, a duration, a size that apply at once on a reload. */
#define COUNT_ROW(key, field, value, low, high, text)                                                                  \
    {                                                                                                                  \
        .name = key, .kind = OPTION_COUNT, .offset = AT(field), .fallback = value, .min = low, .max = high,            \
        .reloadable = true, .doc = text                                                                                \
    }
#define TIME_ROW(key, field, value, low, high, text)                                                                   \
    {                                                                                                                  \
        .name = key, .kind = OPTION_DURATION, .offset = AT(field), .fallback = value, .min = low, .max = high,         \
        .reloadable = true, .doc = text                                                                                \
    }
#define SIZE_ROW(key, field, value, low, high, text)                                                                   \
    {                                                                                                                  \
        .name = key, .kind = OPTION_SIZE, .offset = AT(field), .fallback = value, .min = low, .max = high,             \
        .reloadable = true, .doc = text                                                                                \
    }

const struct option emprops_options[] = {
    COUNT_ROW("queue_max", queue_max, "100000", 1, 10000000, "Jobs that may wait; further ones are refused."),
    COUNT_ROW("finished_max", finished_max, "100000", 0, 10000000, "Ended jobs that stay known, the newest."),
    TIME_ROW("finished_for", finished_ms, "24h", 1000, 365 * DAY_MS, "How long an ended job stays known."),
    COUNT_ROW("max_attempts", attempts_max, "3", 1, 1000, "Accepted assignments of a job before it fails for good."),
    TIME_ROW("retry_delay", retry_delay_ms, "15s", 1000, DAY_MS, "Wait before a failed job is offered again."),
    TIME_ROW("claim_timeout", claim_timeout_ms, "30s", 1000, 600000, "Time to accept an assignment."),
    TIME_ROW("heartbeat_interval", heartbeat_ms, "60s", 1000, DAY_MS,
             "Expected of workers; one that is silent for twice as long is dead."),
    TIME_ROW("worker_grace", grace_ms, "30s", 1, DAY_MS, "Time for a worker to come back with another connection."),
    TIME_ROW("keep_subscriptions", kept_ms, "300s", 1, DAY_MS,
             "How long subscriptions are kept for a client that says so when it leaves."),
    COUNT_ROW("queue_threshold", queue_threshold, "15", 1, 10000000, "Waiting jobs beyond which an alert is raised."),
    TIME_ROW("alert_interval", alert_interval_ms, "300s", 1000, DAY_MS,
             "Time between alerts about one thing that lasts."),
    TIME_ROW("unmatched_after", unmatched_ms, "60s", 1000, DAY_MS,
             "Jobs waiting so long without any worker that could do them raise an alert."),
    TIME_ROW("estimated_downtime", downtime_ms, "60s", 1000, DAY_MS, "What clients are told at a stop."),
    COUNT_ROW("job_subscriptions_max", subscriptions_max, "1000", 1, 1000000,
              "Jobs that a connection may subscribe to."),
    SIZE_ROW("cache", cache_bytes, "16MiB", 0, UINT64_C(1) << 40, "Payloads of waiting jobs that are kept in memory."),
    SIZE_ROW("chunk_total", chunk_total_bytes, "64MiB", 1024, UINT64_C(64) << 20,
             "Largest message that comes in chunks."),
    SIZE_ROW("chunk_memory", chunk_memory_bytes, "256MiB", 1024, UINT64_C(1) << 40,
             "Memory for messages of all connections that come in chunks."),
    TIME_ROW("chunk_timeout", chunk_timeout_ms, "60s", 1000, DAY_MS, "Longest wait for the next chunk."),
    {.name = NULL},
};
