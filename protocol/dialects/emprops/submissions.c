/* SPDX-License-Identifier: MIT */
/* Owns what clients ask of their jobs: submission, status, cancellation (E-14 to E-28). It never assigns one. hub.c
 * hands requests on to it, and the records that a question waited for. */
#include "protocol/dialects/emprops/hub_parts.h"

/* --- submission --------------------------------------------------------------------------------------------------- */

/* E-20 */
static void put_estimate(const struct hub *hub, const struct job *job, uint32_t position, struct buf *out)
{
    const struct group *group = group_at(hub, job->group);
    uint64_t slots = 0, free = 0;
    for (uint32_t word = 0; word < BIT_WORDS; word++) {
        for (uint64_t bits = group->classes[word]; bits != 0; bits &= bits - 1) {
            const struct class *class = class_at(hub, word * 64 + (uint32_t)__builtin_ctzll(bits));
            slots += class->slots;
            free += class->free;
        }
    }
    if (slots == 0) {
        message_json(out, "estimated_start", slice_text("null"));
        return;
    }
    uint64_t rounds = position <= free ? 0 : (position - free + slots - 1) / slots;
    double wait_ms = (double)rounds * group->kind->average_seconds * 1000;
    uint64_t most = UINT64_C(253370764800000) - hub->wall_ms; /* the year 9999 */
    message_iso(out, "estimated_start", hub->wall_ms + (wait_ms < (double)most ? (uint64_t)wait_ms : most));
}

static void put_accepted(struct hub *hub, const struct job *job, uint32_t told, const struct hub_fields *fields)
{
    struct buf *out = effects_open(hub, 0);
    uint32_t position = queue_position(hub, job);
    message_begin(out, "job_accepted");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", "queued");
    message_u64(out, "position", position);
    put_estimate(hub, job, position, out);
    message_u64(out, "notified_workers", told);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
}

static void refuse_full(struct hub *hub, const char *what, uint64_t limit, const struct hub_fields *fields)
{
    uint8_t memory[128];
    struct buf details = buf_of(memory, sizeof memory);
    buf_put_text(&details, "{\"limit\":\"");
    buf_put_text(&details, what);
    buf_put_text(&details, "\",\"maximum\":");
    buf_put_u64(&details, limit);
    buf_put_byte(&details, '}');
    hub_fault(hub, FAULT_QUEUE_FULL, buf_slice(&details), fields);
}

/* The job of a submission that there is room for; NULL: no memory. */
static struct job *make(struct hub *hub, struct session *session, const struct hub_fields *fields, uint32_t group)
{
    struct job *job = job_make(hub, NULL);
    if (job == NULL)
        return NULL;
    hub->last_sequence = job->sequence;
    job->group = group;
    group_at(hub, group)->kind->live++;
    job->priority = (uint8_t)hub_number(fields, FIELD_PRIORITY, 50);
    job->submitted_ms = hub->wall_ms;
    job->customer = text_make(fields->at[FIELD_CUSTOMER]);
    if (hub_has(fields, FIELD_CUSTOMER) && job->customer == NULL)
        hub->effects.lost = true;
    job->client = session->client;
    if (job->client != NONE) {
        client_at(hub, job->client)->users++;
        client_at(hub, job->client)->submits = true;
    } else {
        job->session = session_handle(hub, session);
    }
    session->submitted = true;
    job_cache(hub, job, fields->at[FIELD_REQUIREMENTS], fields->at[FIELD_PAYLOAD]);
    return job;
}

void submit_job(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    uint64_t most = hub->settings->queue_max, waiting = (uint64_t)hub->counts[QUEUED] + hub->counts[DELAYED];
    if (waiting >= most || waiting + hub->counts[ASSIGNED] + hub->counts[IN_PROGRESS] >= 2 * most) {
        hub_count(hub, waiting >= most ? COUNT_refused_queue_max : COUNT_refused_jobs_max);
        refuse_full(hub, waiting >= most ? "waiting_jobs" : "jobs", waiting >= most ? most : 2 * most, fields);
        return;
    }
    uint32_t group = group_take(hub, fields->at[FIELD_JOB_TYPE], fields->at[FIELD_NEEDS]);
    if (group == NONE && hub->groups.count_live == GROUPS_MAX) {
        hub_count(hub, COUNT_refused_requirements);
        refuse_full(hub, "different_requirements", GROUPS_MAX, fields);
        return;
    }
    struct job *job = group == NONE ? NULL : make(hub, session, fields, group);
    if (job == NULL) {
        hub->effects.lost = true;
        return;
    }
    record_job(hub, job, fields); /* job_accepted stands for it: E-84 */
    job_set_status(hub, job, QUEUED);
    uint32_t told = hearing_offer(hub, job);
    put_accepted(hub, job, told, fields);
    hub_ack(hub, fields, "submit_job");
    hub_answer(hub);
    notify_update(hub, job, &(struct change){.status = QUEUED, .first = true});
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

struct job *submit_find(struct hub *hub, const struct session *session, const struct hub_fields *fields)
{
    struct job *job = job_find(hub, fields->at[FIELD_JOB_ID]);
    if (job == NULL) {
        hub_fault_job(hub, FAULT_JOB_NOT_FOUND, NULL, fields);
        return NULL;
    }
    if (hub_number(fields, FIELD_RIGHTS, 0) & EMPROPS_ALL_JOBS || session_owns(hub, session, job))
        return job;
    hub_fault_job(hub, FAULT_PERMISSION_DENIED, NULL, fields);
    return NULL;
}

void submit_fetch(struct hub *hub, const struct job *job, enum wait_kind kind, const struct hub_fields *fields)
{
    struct waiting *waiting = hub_wait(hub, kind, 1, fields);
    if (waiting == NULL)
        return;
    waiting->jobs[0] = slab_handle(&hub->jobs, job->index);
    waiting->count = 1;
    uint8_t key[JOB_KEY_BYTES];
    hub_count(hub, COUNT_fetched_results);
    hub_fetch(hub, waiting, HUB_TABLE_RESULTS, job_key(job, key));
}

static void put_status(const struct hub *hub, const struct job *job, struct buf *out)
{
    message_begin(out, "response_job_status");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", status_name((enum job_status)job->status));
    if (job->status == QUEUED)
        message_u64(out, "position", queue_position(hub, job));
    if (job->details != NULL)
        message_json(out, "progress", text_slice(job->details->progress));
    if (job->worker != NONE)
        message_text(out, "worker_id", worker_at(hub, job->worker)->id);
    if (job->started_ms != 0)
        message_u64(out, "started_at", job->started_ms);
    if (job->details == NULL)
        return;
    message_json(out, "estimated_completion", text_slice(job->details->estimated));
    message_json(out, "message", text_slice(job->details->message));
}

void submit_status(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    const struct job *job = submit_find(hub, session, fields);
    if (job == NULL)
        return;
    if (status_ended((enum job_status)job->status)) {
        submit_fetch(hub, job, WAIT_STATUS, fields);
        return;
    }
    struct buf *out = effects_open(hub, 4 * EMPROPS_NOTE_BYTES_MAX);
    put_status(hub, job, out);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "request_job_status");
}

static void put_ended(const struct hub *hub, const struct job *job, const struct record_end *end, bool whole,
                      struct buf *out)
{
    put_status(hub, job, out);
    switch ((enum job_status)job->status) {
    case COMPLETED:
        put_result(out, "result", end->result, whole);
        message_json(out, "processing_time", end->processing);
        message_u64(out, "completed_at", job->ended_ms);
        break;
    case FAILED:
        message_json(out, "error", end->error);
        message_json(out, "error_details", end->details);
        break;
    default:
        message_u64(out, "cancelled_at", job->ended_ms);
        message_json(out, "reason", end->reason);
    }
}

/* The answer to who asked for the status, or subscribed to a job that has ended (E-51). */
void submit_fetched(struct hub *hub, const struct waiting *waiting, int status, struct slice value)
{
    struct slice id = text_slice(waiting->id);
    struct job *job = job_of_wait(hub, waiting, 0);
    struct session *session = session_of(hub, waiting->connection);
    struct record_end end;
    if (job == NULL || session == NULL || status != 200 || !record_end_read(value, &end)) {
        struct buf *out = effects_open(hub, 0);
        message_error(out, job == NULL ? FAULT_JOB_NOT_FOUND : FAULT_INTERNAL_ERROR, slice_of(NULL, 0), id,
                      hub->wall_ms);
        effects_send(hub);
        return;
    }
    struct buf *out = effects_open(hub, value.bytes + EMPROPS_NOTE_BYTES_MAX);
    bool whole = session->chunked || value.bytes + EMPROPS_NOTE_BYTES_MAX <= EMPROPS_MESSAGE_BYTES_MAX;
    if (waiting->kind == WAIT_STATUS) {
        put_ended(hub, job, &end, whole, out);
        message_end(out, id, hub->wall_ms);
    } else if (job->status == COMPLETED) {
        put_completed(hub, job, end.result, end.processing, whole, out);
        message_end(out, slice_of(NULL, 0), hub->wall_ms);
    } else {
        put_update(hub, job,
                   &(struct change){.status = (enum job_status)job->status,
                                    .first = true,
                                    .worker = job->worker != NONE,
                                    .error = end.error,
                                    .details = end.details,
                                    .message = end.reason},
                   out);
    }
    const char *type = waiting->kind == WAIT_STATUS ? "response_job_status"
                       : job->status == COMPLETED   ? "job_completed"
                                                    : "job_update";
    long_send(hub, session, type, effects_message(hub));
    struct buf *ack = effects_open(hub, 0);
    message_ack(ack, id, slice_text(waiting->kind == WAIT_STATUS ? "request_job_status" : "subscribe_job"), "processed",
                hub->wall_ms);
    if (ack->used > 0)
        effects_send(hub);
}

/* --- cancellation ------------------------------------------------------------------------------------------------- */

/* E-26, and E-27 when it is for the worker. */
static void put_cancelled(struct hub *hub, const struct job *job, uint64_t at_ms, const struct worker *worker,
                          struct slice reason, struct slice id)
{
    struct buf *out = effects_open(hub, EMPROPS_NOTE_BYTES_MAX);
    message_begin(out, "job_cancelled");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", "cancelled");
    message_u64(out, "cancelled_at", at_ms);
    if (worker != NULL) {
        message_text(out, "worker_id", worker->id);
        message_json(out, "reason", reason);
    }
    message_end(out, id, hub->wall_ms);
}

static void cancel(struct hub *hub, const struct session *session, struct job *job, const struct hub_fields *fields)
{
    struct slice reason = fields->at[FIELD_REASON];
    struct worker *worker = job->worker == NONE ? NULL : worker_at(hub, job->worker);
    const struct session *holder = worker == NULL ? NULL : session_at(hub, worker->session);
    put_cancelled(hub, job, hub->wall_ms, NULL, reason, fields->at[FIELD_ID]);
    effects_send(hub);
    hub_ack(hub, fields, "cancel_job");
    hub_answer(hub);
    if (holder != NULL) {
        put_cancelled(hub, job, hub->wall_ms, worker, reason, slice_of(NULL, 0));
        effects_publish_to(hub, holder->connection, 0, effects_message(hub));
    }
    notify_update(hub, job,
                  &(struct change){.status = CANCELLED,
                                   .previous = job_seen(job),
                                   .worker = worker != NULL && job_seen(job) != QUEUED,
                                   .message = reason,
                                   .except = session->connection});
    record_result(hub, job, &(struct record_end){.reason = reason});
    wheel_cancel(&hub->job_wheel, &job->timer);
    if (worker != NULL) {
        bool heard = worker->hearing != HEARING_NOTHING;
        worker_lose_job(hub, worker, job);
        if (!heard)
            hearing_offer_waiting(hub, worker);
    }
    job_end(hub, job, CANCELLED, hub->wall_ms);
    record_state(hub, job); /* job_cancelled stands for it: E-84 */
    statistics_ended(hub, CANCELLED, hub->wall_ms);
}

void submit_cancel(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    struct job *job = submit_find(hub, session, fields);
    if (job == NULL)
        return;
    switch (transition((enum job_status)job->status, EVENT_CANCEL)) {
    case GO_CANCELLED:
        cancel(hub, session, job, fields);
        break;
    case SAYS_CANCELLED_AGAIN:
        put_cancelled(hub, job, job->ended_ms, NULL, slice_of(NULL, 0), fields->at[FIELD_ID]);
        effects_send(hub);
        hub_ack(hub, fields, "cancel_job");
        break;
    default:
        hub_fault_job(hub, FAULT_JOB_NOT_CANCELLABLE, job, fields);
    }
}
