/* SPDX-License-Identifier: MIT */
/* Owns the options of the dialect emprops. It checks nothing beyond their bounds. The configuration reads the table. */
#include "protocol/dialects/emprops/emprops.h"

#define AT(field) offsetof(struct emprops_settings, field)
#define DAY_MS UINT64_C(86400000)

const struct option emprops_options[] = {
    OPTION("queue_max", COUNT, AT(queue_max), "100000", .min = 1, .max = 10000000, .reloadable = true,
           .doc = "Jobs that may wait; further ones are refused."),
    OPTION("finished_max", COUNT, AT(finished_max), "100000", .min = 0, .max = 10000000, .reloadable = true,
           .doc = "Ended jobs that stay known, the newest."),
    OPTION("finished_for", DURATION, AT(finished_ms), "24h", .min = 1000, .max = 365 * DAY_MS, .reloadable = true,
           .doc = "How long an ended job stays known."),
    OPTION("max_attempts", COUNT, AT(attempts_max), "3", .min = 1, .max = 1000, .reloadable = true,
           .doc = "Accepted assignments of a job before it fails for good."),
    OPTION("retry_delay", DURATION, AT(retry_delay_ms), "15s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "Wait before a failed job is offered again."),
    OPTION("claim_timeout", DURATION, AT(claim_timeout_ms), "30s", .min = 1000, .max = 600000, .reloadable = true,
           .doc = "Time to accept an assignment."),
    OPTION("heartbeat_interval", DURATION, AT(heartbeat_ms), "60s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "Expected of workers; one that is silent for twice as long is dead."),
    OPTION("worker_grace", DURATION, AT(grace_ms), "30s", .min = 1, .max = DAY_MS, .reloadable = true,
           .doc = "Time for a worker to come back with another connection."),
    OPTION("keep_subscriptions", DURATION, AT(kept_ms), "300s", .min = 1, .max = DAY_MS, .reloadable = true,
           .doc = "How long subscriptions are kept for a client that says so when it leaves."),
    OPTION("queue_threshold", COUNT, AT(queue_threshold), "15", .min = 1, .max = 10000000, .reloadable = true,
           .doc = "Waiting jobs beyond which an alert is raised."),
    OPTION("alert_interval", DURATION, AT(alert_interval_ms), "300s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "Time between alerts about one thing that lasts."),
    OPTION("unmatched_after", DURATION, AT(unmatched_ms), "60s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "Jobs waiting so long without any worker that could do them raise an alert."),
    OPTION("estimated_downtime", DURATION, AT(downtime_ms), "60s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "What clients are told at a stop."),
    OPTION("job_subscriptions_max", COUNT, AT(subscriptions_max), "1000", .min = 1, .max = 1000000, .reloadable = true,
           .doc = "Jobs that a connection may subscribe to."),
    OPTION("cache", SIZE, AT(cache_bytes), "16MiB", .min = 0, .max = UINT64_C(1) << 40, .reloadable = true,
           .doc = "Payloads of waiting jobs that are kept in memory."),
    OPTION("chunk_total", SIZE, AT(chunk_total_bytes), "64MiB", .min = 1024, .max = UINT64_C(64) << 20,
           .reloadable = true, .doc = "Largest message that comes in chunks."),
    OPTION("chunk_memory", SIZE, AT(chunk_memory_bytes), "256MiB", .min = 1024, .max = UINT64_C(1) << 40,
           .reloadable = true, .doc = "Memory for messages of all connections that come in chunks."),
    OPTION("chunk_timeout", DURATION, AT(chunk_timeout_ms), "60s", .min = 1000, .max = DAY_MS, .reloadable = true,
           .doc = "Longest wait for the next chunk."),
    {.name = NULL},
};
