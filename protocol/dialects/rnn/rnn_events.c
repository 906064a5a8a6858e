/* SPDX-License-Identifier: MIT */
/* Owns the table of event messages. It only says what they look like: payloads are passed on as they came. Called by
 * the ingest half. */
#include "protocol/dialects/rnn/rnn_events.h"

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FIELDS(...) ((const struct shape_field[]){__VA_ARGS__, {.name = NULL}})
#define NEEDS(name_, kind_)                                                                                            \
    {                                                                                                                  \
        .name = (name_), .kind = SHAPE_##kind_                                                                         \
    }
#define MAY(name_, kind_)                                                                                              \
    {                                                                                                                  \
        .name = (name_), .kind = SHAPE_##kind_, .fallback = ""                                                         \
    }
#define ONE_OF(name_, ...)                                                                                             \
    {                                                                                                                  \
        .name = (name_), .kind = SHAPE_TEXT, .values = VALUES(__VA_ARGS__)                                             \
    }

static const struct rnn_event events[] = {
    /* N-39 */
    {"execution.updated", FIELDS(NEEDS("execution_id", INT), NEEDS("workflow_id", INT),
                                 ONE_OF("status", "pending", "running", "completed", "failed", "cancelled"),
                                 MAY("error", TEXT), MAY("started_at", TEXT), MAY("completed_at", TEXT))},
    /* N-40 */
    {"job.status.updated",
     FIELDS(NEEDS("job_execution_id", INT), NEEDS("workflow_job_id", INT), NEEDS("execution_id", INT),
            NEEDS("job_name", TEXT), ONE_OF("status", "pending", "running", "completed", "failed", "skipped"),
            MAY("error", TEXT))},
    /* N-41 */
    {"docker.pull.progress", FIELDS(NEEDS("service_name", TEXT), NEEDS("image_name", TEXT), NEEDS("status", TEXT),
                                    MAY("progress", TEXT), MAY("progress_detail", OBJECT))},
    /* N-42 */
    {"docker.build.output", FIELDS(NEEDS("service_name", TEXT), NEEDS("image_name", TEXT), NEEDS("stream", TEXT),
                                   MAY("error", TEXT), MAY("error_detail", ANY))},
    /* N-43 */
    {"docker.operation.start", FIELDS(NEEDS("operation_id", TEXT), ONE_OF("operation_type", "build", "pull", "create"),
                                      NEEDS("service_name", TEXT), MAY("image_name", TEXT), NEEDS("message", TEXT))},
    /* N-44 */
    {"docker.operation.progress",
     FIELDS(NEEDS("operation_id", TEXT), NEEDS("message", TEXT), NEEDS("percentage", NUMBER), MAY("stream", TEXT))},
    /* N-45 */
    {"docker.operation.complete",
     FIELDS(NEEDS("operation_id", TEXT), NEEDS("service_id", INT), NEEDS("service_name", TEXT),
            NEEDS("image_name", TEXT), MAY("suggested_interfaces", ARRAY), MAY("service", OBJECT))},
    /* N-46 */
    {"docker.operation.error", FIELDS(NEEDS("operation_id", TEXT), NEEDS("error", TEXT), NEEDS("code", CODE))},
    /* N-47 */
    {"standalone.operation.start",
     FIELDS(NEEDS("operation_id", TEXT), ONE_OF("operation_type", "git-clone", "git-build", "upload"),
            NEEDS("service_name", TEXT), MAY("repo_url", TEXT), NEEDS("message", TEXT))},
    /* N-48 */
    {"standalone.operation.progress",
     FIELDS(NEEDS("operation_id", TEXT), NEEDS("message", TEXT), NEEDS("percentage", NUMBER),
            ONE_OF("step", "cloning", "building", "validating"))},
    /* N-49 */
    {"standalone.operation.complete",
     FIELDS(NEEDS("operation_id", TEXT), NEEDS("service_id", INT), NEEDS("service_name", TEXT),
            MAY("executable_path", TEXT), MAY("commit_hash", TEXT), MAY("suggested_interfaces", ARRAY),
            MAY("service", OBJECT))},
    /* N-50 */
    {"standalone.operation.error", FIELDS(NEEDS("operation_id", TEXT), NEEDS("error", TEXT), NEEDS("code", CODE))},
};

const struct rnn_event *rnn_event_find(struct slice type)
{
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (slice_is(type, events[i].type))
            return &events[i];
    return NULL;
}
