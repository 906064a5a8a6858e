/* SPDX-License-Identifier: MIT */
/* What the parts of the dialect aitbc share: its settings, and the ingest half of its table. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_AITBC_AITBC_H
#define RINGCAST_PROTOCOL_DIALECTS_AITBC_AITBC_H

#include "protocol/dialect.h"
#include "protocol/dialects/aitbc/job_status.h"

enum aitbc_unknown_job {
    AITBC_UNKNOWN_JOB_REJECT, /* 404 */
    AITBC_UNKNOWN_JOB_WAIT,   /* the connection waits for its first status */
};

struct aitbc_settings {
    struct dialect_settings common;
    struct option_texts jobs_listen, blockchain_listen, marketplace_listen;
    bool jobs_public;
    bool events_public;
    uint32_t unknown_job; /* enum aitbc_unknown_job */
    uint64_t unknown_job_wait_ms;
    struct job_settings jobs;
    bool detect_forks;
    bool sync_snapshot;
    uint64_t offers_memory_bytes;
};

int aitbc_ingest(struct ingest_call *call, struct slice topic, struct slice body);
int aitbc_read(struct ingest_call *call, struct slice topic);

#endif
