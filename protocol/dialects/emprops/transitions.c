/* SPDX-License-Identifier: MIT */
/* Owns the table of what may happen to a job. It never changes a job.
 * The hub asks it before every change, and its tests hold it against emprops.md. */
#include "protocol/dialects/emprops/transitions.h"

#include "core/check.h"

#include <string.h>

static const unsigned char table[JOB_EVENTS][JOB_STATUSES] = {
#define TRANSITIONS(row, event, ...) [EVENT_##event] = {__VA_ARGS__},
#include "protocol/dialects/emprops/transitions.def"
#undef TRANSITIONS
};

_Static_assert((int)GO_CANCELLED == (int)CANCELLED, "outcomes GO_ are in the order of the states");

enum outcome transition(enum job_status status, enum job_event event)
{
    check_op(status, <, JOB_STATUSES);
    check_op(event, <, JOB_EVENTS);
    return (enum outcome)table[event][status];
}

static const char *const names[JOB_STATUSES] = {
    [QUEUED] = "queued",       [DELAYED] = "queued", [ASSIGNED] = "assigned",   [IN_PROGRESS] = "in_progress",
    [COMPLETED] = "completed", [FAILED] = "failed",  [CANCELLED] = "cancelled",
};

const char *status_name(enum job_status status)
{
    return names[status];
}

enum job_status status_named(const char *name)
{
    int status = QUEUED;
    while (status < JOB_STATUSES && strcmp(name, names[status]) != 0)
        status++;
    return (enum job_status)status;
}
