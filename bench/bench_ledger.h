/* SPDX-License-Identifier: MIT */
/* What a job is known to have gone through, job by job: which were acknowledged, assigned, completed and told of, each
 * exactly once and with the payload that was submitted; and how long each step took. Pure: times are arguments. */
#ifndef RINGCAST_BENCH_LEDGER_H
#define RINGCAST_BENCH_LEDGER_H

#include "core/buf.h"
#include "core/histogram.h"
#include "core/map.h"

#define LEDGER_ID_BYTES_MAX 40
#define LEDGER_NONE UINT32_MAX

/* A job by the id that the server gave it; may be told of before its submitter has the answer. */
struct ledger_id {
    char text[LEDGER_ID_BYTES_MAX];
    uint8_t bytes;
    uint32_t job;          /* LEDGER_NONE: not known yet */
    uint64_t available_ns; /* when somebody was first told that it waits; 0: nobody */
};

struct ledger_job {
    uint64_t submitted_ns;
    uint64_t completed_ns; /* when its worker said so */
    struct ledger_id *id;  /* NULL: not acknowledged */
    bool assigned;
    bool notified;
    bool finished; /* its worker has the acknowledgement */
};

/* What must not happen. */
struct ledger_faults {
    uint64_t lost;    /* acknowledged, and its submitter was never told of the end */
    uint64_t doubled; /* assigned or told of more than once, or one id for two jobs */
    uint64_t altered; /* its payload or result is not what was sent */
    uint64_t unasked; /* jobs that nobody here has submitted */
};

struct ledger {
    struct map ids;
    struct ledger_job *jobs;
    uint32_t count;
    uint32_t capacity;
    char *text; /* payloads are pieces of it */
    uint32_t payload_bytes;
    uint64_t acknowledged, assigned, finished, notified; /* jobs, each once */
    struct ledger_faults faults;
    struct histogram ack_ns;       /* from the submission to its acknowledgement */
    struct histogram available_ns; /* to the first who is told of it */
    struct histogram notified_ns;  /* from the word of the worker to its submitter's notification */
    struct histogram whole_ns;     /* from the submission to that notification */
};

/* Payloads have `payload_bytes`, from LEDGER_PAYLOAD_MIN on. 0 or -ENOMEM. */
#define LEDGER_PAYLOAD_MIN 32
int ledger_init(struct ledger *ledger, uint32_t payload_bytes, uint64_t seed);
void ledger_free(struct ledger *ledger);
/* Times and counts begin anew; jobs stay known. */
void ledger_reset(struct ledger *ledger);

/* The number of a new job, or LEDGER_NONE: no memory. */
uint32_t ledger_submit(struct ledger *ledger, uint64_t now_ns);
/* The payload of that job: a JSON object of exactly payload_bytes. */
void ledger_put_payload(const struct ledger *ledger, uint32_t job, struct buf *out);

/* False: no memory, or an id that no job may have. */
bool ledger_acknowledge(struct ledger *ledger, uint32_t job, struct slice id, uint64_t now_ns);
bool ledger_available(struct ledger *ledger, struct slice id, uint64_t now_ns);
/* The job whose payload this is, or LEDGER_NONE: it is counted as altered or unasked. */
uint32_t ledger_assign(struct ledger *ledger, struct slice payload);
void ledger_complete(struct ledger *ledger, uint32_t job, uint64_t now_ns);
void ledger_finish(struct ledger *ledger, uint32_t job);
/* `job` as the result says. Whether it is the first notification of this job. */
bool ledger_notify(struct ledger *ledger, uint64_t job, struct slice id, uint64_t now_ns);
/* Counts what was acknowledged and has not come to its end. */
void ledger_close(struct ledger *ledger);

#endif
