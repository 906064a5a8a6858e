/* SPDX-License-Identifier: MIT */
/* One participant of ringcast-bench jobs, and what all of them share. Listeners are workers that never claim. */
#ifndef RINGCAST_BENCH_JOBS_CLIENT_H
#define RINGCAST_BENCH_JOBS_CLIENT_H

#include "bench/bench_jobs.h"
#include "core/check.h"

enum client_role {
    CLIENT_SUBMITTER,
    CLIENT_WORKER,
    CLIENT_LISTENER,
};

enum client_work { /* of a worker */
                   WORK_NONE,
                   WORK_CLAIMING,  /* the answer to a claim is to come */
                   WORK_ACCEPTING, /* --accept: the acknowledgement */
                   WORK_ENDING,    /* the acknowledgement of the completion */
};

struct client {
    struct peer peer;
    enum client_role role;
    bool registered;
    /* submitters: jobs without an answer, the oldest first */
    uint32_t *waiting;
    uint32_t waiting_first;
    uint32_t waiting_count;
    /* workers */
    enum client_work work;
    bool eager; /* while ENDING: the next claim is made */
    bool told;  /* of a job, since the last claim */
    uint32_t job;
    uint64_t claimed_ns;
    uint64_t due_ns; /* --poll: when to ask again */
    /* the job at hand; of listeners: the one that they were told of last */
    char id[LEDGER_ID_BYTES_MAX];
    uint8_t id_bytes;
};

enum jobs_mode {
    JOBS_REST,
    JOBS_FILL,   /* submitters send jobs that nobody can do */
    JOBS_CLAIMS, /* workers claim what there is not */
    JOBS_LOAD,
};

struct jobs {
    const struct options *options;
    struct jobs_result *result;
    struct ledger *ledger;
    struct peer_side side;
    struct client *clients; /* submitters, then workers, then listeners */
    uint32_t client_count;
    uint32_t submitters, workers, listeners;
    char run[17]; /* in names, so that the jobs of another run are not ours */

    enum jobs_mode mode;
    uint64_t end_ns; /* no job is submitted from then on */
    uint64_t left;   /* jobs to submit, or claims to make */
    uint64_t submitted;
    int bare;        /* descriptor, -1: none */
    uint64_t filled; /* JOBS_FILL: acknowledged */
    uint64_t told;
    uint64_t last_ns; /* the last word about a job */
    struct jobs_claims *claims;

    uint32_t begun, opening, registered;
    uint64_t progress; /* messages that have come */
    uint64_t heartbeat_ns;
    bool failed;
    char failure[1024];
};

/* The first failure is kept and ends the run. */
void jobs_fail(struct jobs *jobs, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A message of the server. */
struct jobs_message {
    struct slice text, type, job_id, payload, result, status, original;
    uint64_t now_ns;
};

static inline void client_put(struct jobs *jobs, struct client *client, const struct buf *text)
{
    check(!text->overflow);
    peer_put(&jobs->side, &client->peer, buf_slice(text));
}

/* bench_jobs_submit.c: what a submitter has to say now; what it is told. */
void submit_begin(struct jobs *jobs, struct client *client);
void submit_more(struct jobs *jobs, struct client *client, uint64_t now_ns);
void submit_on_message(struct jobs *jobs, struct client *client, const struct jobs_message *message);
/* bench_jobs_work.c: the same of workers and listeners. */
void work_begin(struct jobs *jobs, struct client *client);
void work_more(struct jobs *jobs, struct client *client, uint64_t now_ns);
void work_heartbeat(struct jobs *jobs, struct client *client);
void work_on_message(struct jobs *jobs, struct client *client, const struct jobs_message *message);
uint32_t client_number(const struct jobs *jobs, const struct client *client);

#endif
