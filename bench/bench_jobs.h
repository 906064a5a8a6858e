/* SPDX-License-Identifier: MIT */
/* ringcast-bench jobs: submitters, workers and listeners of a job hub (dialect emprops) on one thread, and what they
 * have found. */
#ifndef RINGCAST_BENCH_JOBS_H
#define RINGCAST_BENCH_JOBS_H

#include "bench/bench_ledger.h"
#include "bench/bench_memory.h"
#include "bench/bench_options.h"
#include "bench/bench_peer.h"
#include "bench/bench_result.h"

/* Claims of workers for whom there is no job. */
struct jobs_claims {
    uint64_t count;
    uint64_t server_cpu_ns;
    struct histogram ns; /* from the claim to the answer */
};

struct jobs_result {
    const struct options *options;
    double seconds;                     /* from the first submission to the last word about a job */
    uint64_t submitted;                 /* of the measured part, as all counts */
    uint64_t told;                      /* times that a listener was told of a job */
    uint64_t empty;                     /* claims for which there was no job */
    uint64_t finished;                  /* jobs whose worker was told that they are completed */
    struct ledger ledger;               /* of the whole life: faults; of the measured part: counts and latencies */
    struct histogram bare_ns;           /* --bare: of an append and sync before each submission */
    struct histogram claim_ns;          /* from a claim to the job */
    struct jobs_claims claims[2];       /* --claims: without and with --unfit waiting jobs */
    struct memory memory[MOMENT_COUNT]; /* OPEN: before the waiting jobs, LOADED: with them */
    bool server_measured;
    uint64_t server_cpu_ns;
    uint64_t client_cpu_ns;
    double client_share; /* of its core that the client has worked, spinning left out */
};

/* Runs the whole scenario against url, which is resolved. False with a sentence in `why`. */
bool jobs_run(const struct options *options, const struct url *url, const struct sockaddr_storage *sources,
              uint32_t source_count, struct jobs_result *result, struct buf *why);
void jobs_free(struct jobs_result *result);
enum verdict jobs_verdict(const struct jobs_result *result);

/* bench_jobs_report.c */
void jobs_report_table(const struct jobs_result *result, FILE *out);
void jobs_report_json(const struct jobs_result *result, FILE *out);

#endif
