/* SPDX-License-Identifier: MIT */
/* Jobs of aitbc: what their publishers report, and what who watches one is owed: the status first, then each change of
 * state, of equal states at least the newest, never an older status behind a newer one, and the end in time. */
#ifndef RINGCAST_TESTS_SIM_SIM_JOBS_H
#define RINGCAST_TESTS_SIM_SIM_JOBS_H

#include "core/random.h"
#include "tests/sim/sim_model.h"

#define SIM_JOBS_MAX 1024
#define SIM_JOBS_AT_ONCE 2 /* of one publisher */

struct sim_world;
struct sim_client;
struct sim_frame;

enum sim_job_state { SIM_QUEUED, SIM_RUNNING, SIM_COMPLETED, SIM_FAILED, SIM_CANCELLED, SIM_EXPIRED };

struct sim_job {
    uint32_t series; /* of its messages */
    bool expires;    /* a time to live has been given: it may end by itself */
};

struct sim_jobs {
    struct sim_job jobs[SIM_JOBS_MAX];
    uint32_t count;
};

/* The jobs that one publisher reports on. */
struct sim_job_desk {
    uint32_t jobs[SIM_JOBS_AT_ONCE]; /* + 1; 0: none yet */
};

struct sim_job_view {
    uint32_t job; /* SIM_NONE: one that there is not */
    uint64_t asked, confirmed;
    bool known;           /* for certain, when it was asked for */
    uint32_t first, last; /* messages; SIM_NONE: none yet */
    uint32_t repeats;     /* statuses that came again */
    uint32_t pings;
    struct sim_seen seen;
    bool ended; /* an end has been seen, not before: */
    uint64_t ended_ms;
};

/* The next status of one of the publisher's jobs; SIM_NONE: it has none to report. */
uint32_t sim_jobs_begin(struct sim_world *world, struct sim_job_desk *desk, uint32_t stream);
/* The job of this message ends with it, or is not there any more: the publisher reports on another one. */
void sim_jobs_refused(const struct sim_world *world, struct sim_job_desk *desk, uint32_t message);
/* Its object for the publisher, and as it is delivered; bytes. */
size_t sim_jobs_object(const struct sim_world *world, uint32_t message, bool delivered, char *out, size_t room);
/* Whether a job may refuse this status: it may have ended. */
bool sim_jobs_may_refuse(const struct sim_world *world, uint32_t message);

void sim_jobs_make(struct sim_client *client);
/* Chooses the job and writes the path. */
void sim_jobs_path(struct sim_world *world, struct sim_client *client, char *out, size_t room);
bool sim_jobs_status_allowed(const struct sim_world *world, const struct sim_client *client);
bool sim_jobs_close_allowed(const struct sim_client *client);
void sim_jobs_on_open(struct sim_world *world, struct sim_client *client);
void sim_jobs_say(struct sim_world *world, struct sim_client *client);
void sim_jobs_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame);
const char *sim_jobs_complete(struct sim_world *world, const struct sim_client *client);

#endif
