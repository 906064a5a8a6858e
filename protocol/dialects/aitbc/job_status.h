/* SPDX-License-Identifier: MIT */
/* The states of jobs and their one way through them:
 *
 *                 +---------+   running    +---------+
 *   first update  | QUEUED  | -----------> | RUNNING |   first update
 *   ------------> |         | <----------- |         | <------------
 *                 +---------+  miner lost  +---------+
 *                      |                        |            COMPLETED, FAILED, CANCELLED: by an update
 *                      +-----------+------------+            EXPIRED: by an update, or when the TTL has passed
 *                                  v
 *                    ended: no update is taken any more
 *                                  |  close_after_end: its listeners are closed
 *                                  v
 *                                kept
 *                                  |  job_retention after the end, or for want of memory
 *                                  v
 *                              forgotten
 *
 * A job holds the message of its last change as clients get it. Updates that change nothing give no event. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_AITBC_JOB_STATUS_H
#define RINGCAST_PROTOCOL_DIALECTS_AITBC_JOB_STATUS_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"
#include "core/wheel.h"
#include "protocol/event.h"

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED, JOB_EXPIRED, JOB_STATES };

#define JOB_ID_BYTES_MAX 128
#define JOB_TTL_SECONDS_MAX 315360000 /* ten years */

struct job_settings {
    uint64_t memory_bytes;
    uint64_t close_after_end_ms; /* 0: listeners stay */
    uint64_t retention_ms;       /* of the last status, from the end on */
};

struct job_status {
    struct map jobs;
    struct list changed; /* all, the one that changed last at the end */
    struct list kept;    /* those that may be forgotten, in the order of their ends */
    uint32_t count;
    size_t bytes;
    struct wheel wheel;
    struct job *announced; /* whose message is still to be given out */
};

void job_status_init(struct job_status *all, struct siphash_key key);
void job_status_close(struct job_status *all);

/* JOB_STATES when the name is none. */
enum job_state job_state_named(struct slice name);
bool job_state_ended(enum job_state state);
/* 1-128 of A-Z a-z 0-9 . _ : - (A-1) */
bool job_id_valid(struct slice id);

/* Takes an object that the dialect has checked: job_id and state; assigned_miner_id (a string or null), timestamp (in
 * its format), progress (0 to 1), error and ttl_seconds may be missing. 202; 409 after the end; 503 when memory is out
 * or used up by jobs that have not ended. On an error one sentence in `reply`. */
int job_status_update(struct job_status *all, const struct job_settings *settings, struct slice body, uint64_t now_ms,
                      uint64_t wall_ms, struct buf *reply);
/* 200 and the last message of the job, or 404. */
int job_status_read(const struct job_status *all, struct slice id, struct buf *reply);
/* 200 {"count":n,"jobs":[{...},...]}, latest change first, as many as fit; or 404. */
int job_status_read_all(const struct job_status *all, struct buf *reply);

/* When job_status_advance is due; UINT64_MAX: never. It may be too early, never too late. */
uint64_t job_status_due(const struct job_status *all);
void job_status_advance(struct job_status *all, uint64_t now_ms);
/* The next event that follows from the last update or advance; false: no more. Its channel is the job's id. */
bool job_status_next(struct job_status *all, const struct job_settings *settings, uint64_t now_ms, uint64_t wall_ms,
                     struct event *event);

#endif
