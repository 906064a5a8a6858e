/* SPDX-License-Identifier: MIT */
/* What the parts of the dialect emprops share: its settings and limits. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_EMPROPS_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_EMPROPS_H

#include "protocol/dialect.h"

#define EMPROPS_MESSAGE_BYTES_MAX (10U << 20) /* E-73 */
#define EMPROPS_DEPTH_MAX 64                  /* K-27 */
#define EMPROPS_NAME_BYTES_MAX 128            /* client_id, worker_id, customer_id, services, components */
#define EMPROPS_TYPE_BYTES_MAX 64             /* job_type (E-14) */
#define EMPROPS_NOTE_BYTES_MAX 16384          /* message, current_step, reason and the like, as written */
#define EMPROPS_KEPT_BYTES_MAX 15728640U      /* a payload or result: its record is a little longer */
#define EMPROPS_LIST_MAX 256                  /* preferred_types, job_types, services, components */
#define EMPROPS_JOBS_LISTED_MAX 1024          /* current_jobs of a heartbeat */
#define EMPROPS_CLAIM_MAX 100                 /* jobs of one claim (E-29) */
#define EMPROPS_CHUNK_BYTES (256U << 10)      /* of data, of what the server sends (E-80) */
#define EMPROPS_CHUNK_ABOVE (1U << 20)        /* longer messages go in chunks to those who take them (E-80) */

struct emprops_settings {
    struct dialect_settings common;
    uint64_t queue_max;    /* waiting jobs (E-22) */
    uint64_t finished_max; /* jobs that are known after their end, and how long (E-25) */
    uint64_t finished_ms;
    uint64_t attempts_max; /* E-41 */
    uint64_t retry_delay_ms;
    uint64_t claim_timeout_ms; /* of claims that do not say (E-34) */
    uint64_t heartbeat_ms;     /* of workers (E-46) */
    uint64_t grace_ms;         /* of a worker without connection (E-47) */
    uint64_t kept_ms;          /* subscriptions after a disconnect that wants them kept (E-82) */
    uint64_t queue_threshold;  /* alerts (E-65) */
    uint64_t alert_interval_ms;
    uint64_t unmatched_ms;
    uint64_t downtime_ms;       /* told at a stop (E-83) */
    uint64_t subscriptions_max; /* of jobs, per connection (K-22) */
    uint64_t cache_bytes;       /* payloads that need not be fetched */
    uint64_t chunk_total_bytes; /* one assembled message, and all of the process (E-77) */
    uint64_t chunk_memory_bytes;
    uint64_t chunk_timeout_ms; /* E-76 */
};

/* What a key may do; the words behind it (E-13). A key alone may do everything. */
enum emprops_right {
    EMPROPS_CLIENT = 1,
    EMPROPS_WORKER = 2,
    EMPROPS_MONITOR = 4,
    EMPROPS_ALL_JOBS = 8,
    EMPROPS_STATS = 16,
    EMPROPS_RIGHTS = 31,
};

extern const struct option emprops_options[];

#endif
