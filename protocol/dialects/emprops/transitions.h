/* SPDX-License-Identifier: MIT */
/* The states of a job and what leads from one to another, as transitions.def has it. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_TRANSITIONS_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_TRANSITIONS_H

#include <stdbool.h>

enum job_status { QUEUED, DELAYED, ASSIGNED, IN_PROGRESS, COMPLETED, FAILED, CANCELLED, JOB_STATUSES };

enum job_event {
#define TRANSITIONS(row, event, ...) EVENT_##event,
#include "protocol/dialects/emprops/transitions.def"
#undef TRANSITIONS
    JOB_EVENTS,
};

enum outcome {
    GO_QUEUED, /* in the order of enum job_status */
    GO_DELAYED,
    GO_ASSIGNED,
    GO_IN_PROGRESS,
    GO_COMPLETED,
    GO_FAILED,
    GO_CANCELLED,
    STAYS,
    NOTHING,
    SAYS_NOT_ASSIGNED,
    SAYS_EXPIRED, /* CLAIM_EXPIRED when the worker's claim of this job has expired, else as NOT_ASSIGNED */
    SAYS_CANCELLED,
    SAYS_ACK_AGAIN, /* to the worker that completed it; to others as NOT_ASSIGNED */
    SAYS_CANCELLED_AGAIN,
    SAYS_NOT_CANCELLABLE,
    NEVER,
};

/* What comes of the event in that state. */
enum outcome transition(enum job_status status, enum job_event event);
/* Of an outcome GO_: whether it is one, and the state. */
static inline bool outcome_goes(enum outcome outcome)
{
    return outcome <= GO_CANCELLED;
}

static inline enum job_status outcome_status(enum outcome outcome)
{
    return (enum job_status)outcome;
}

static inline bool status_ended(enum job_status status)
{
    return status >= COMPLETED;
}

/* As clients see it: a retry wait is "queued". */
const char *status_name(enum job_status status);
/* JOB_STATUSES when the name is none. */
enum job_status status_named(const char *name);

#endif
