/* SPDX-License-Identifier: MIT */
/* The reference model of the states of jobs (requirements 4.8), written the long way: jobs are an array that is
 * searched, time is one list of what is due, and every message that anybody gets must be the one that was foretold.
 * What happens is decided by hub_play.h.
 *
 * The players: clients 0 and 1 are registered, 2 is not; workers are 3 to 6; 7 is a monitor that hears of
 * everything. */
#ifndef RINGCAST_TESTS_SUPPORT_HUB_MODEL_H
#define RINGCAST_TESTS_SUPPORT_HUB_MODEL_H

#include "tests/support/pure_client.h"

#define PLAY_CLIENTS 3
#define PLAY_WORKERS 4
#define PLAY_MONITOR (PLAY_CLIENTS + PLAY_WORKERS)
#define PLAY_CONNS (PLAY_MONITOR + 1)
#define PLAY_JOBS_MAX 512
#define PLAY_EXPECTED_MAX 4096
#define PLAY_ATTEMPTS_MAX 3
#define PLAY_RETRY_MS 2000
#define PLAY_GRACE_MS 3000
#define PLAY_LINE_BYTES 200

enum play_status { P_QUEUED, P_DELAYED, P_ASSIGNED, P_WORKING, P_COMPLETED, P_FAILED, P_CANCELLED };

struct play_job {
    char id[20];
    int priority, kind, need; /* need: 0 none, 1 "a", 2 "b" */
    int owner;                /* client; -1: a connection that is gone */
    enum play_status status;
    bool accepted;
    int attempts, worker, expired, missing;
    uint64_t due_ms; /* claim time-out or retry; 0: none */
    uint64_t claim_ms, set;
};

struct play_worker {
    bool alive, connected, listens;
    int free;
    uint64_t due_ms, set; /* the end of its grace; 0: none */
};

struct play {
    struct pure_host host;
    uint32_t (*choose)(void *context, uint32_t bound);
    void *context;
    struct play_job jobs[PLAY_JOBS_MAX];
    int job_count;
    struct play_worker workers[PLAY_WORKERS];
    bool there[PLAY_CONNS];
    char expected[PLAY_CONNS][PLAY_EXPECTED_MAX / 32][PLAY_LINE_BYTES];
    int expected_count[PLAY_CONNS];
    uint64_t sets;
    bool ambiguous; /* two timers for the same moment, set at different times: their order is nobody's promise */
    char error[2048];
    char last[640]; /* what was done last */
};

extern const char *const play_names[]; /* what clients see of an enum play_status */

/* Notes what was wrong first; all later calls change nothing. */
void play_fail(struct play *play, const char *what, const char *expected, const char *found);
/* The connection must get this message, in the words of play_describe, before the next play_compare. */
__attribute__((format(printf, 3, 4))) void play_expect(struct play *play, int conn, const char *format, ...);
/* The connection of a worker. */
int play_worker_conn(int worker);
/* A change that those who follow the job see. */
void play_tell(struct play *play, int job, const char *status, const char *previous, bool first);
/* Whether the worker is told of jobs: it is there, listens and has a slot. */
bool play_hears(const struct play *play, int worker);
/* The claimable job that comes first for the worker, behind `after` when not NULL; -1: none. A preferred kind: -1
 * none. */
int play_best(const struct play *play, int worker, const struct play_job *after, int preferred);
/* Its place among the waiting jobs, from 1. */
int play_position(const struct play *play, int job);
/* E-60: the job is offered to all that can do it; how many hear of it. */
int play_offer(struct play *play, int job);
/* E-50: what waits is offered to a worker that has become able to hear of it. */
void play_offer_waiting(struct play *play, int worker);
/* A time-out from now, for which a play in which the order of two is open is ambiguous. */
void play_set_timer(struct play *play, uint64_t *due, uint64_t *set, uint64_t after_ms);
/* The slot of the job's worker is free again. */
void play_release(struct play *play, int job);
/* An acceptance, said or shown by doing (E-42). */
void play_accept(struct play *play, int job);
/* The status that a client has heard of. */
const char *play_seen(const struct play_job *job);
/* The worker is dead: it loses its jobs, the latest that it took first, as the hub holds them. */
void play_die(struct play *play, int worker);
/* Everything that is due up to `until`, earliest first. */
void play_time(struct play *play, uint64_t until);
/* All that has come against all that was foretold, connection by connection. */
void play_compare(struct play *play);

#endif
