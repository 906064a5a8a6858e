/* SPDX-License-Identifier: MIT */
/* Owns what workers do with jobs: claim, accept, work, complete, fail, and what becomes of a job whose worker does not
 * (E-29 to E-44, E-47, E-88 to E-97). What may happen in which state is transitions.def's. hub.c hands requests,
 * timers and records on to it. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"

#include <stdlib.h>

void details_drop(struct job *job)
{
    if (job->details == NULL)
        return;
    text_drop(&job->details->progress);
    text_drop(&job->details->message);
    text_drop(&job->details->step);
    text_drop(&job->details->estimated);
    free(job->details);
    job->details = NULL;
}

/* Keeps a text that a message gave, instead of the one before. */
static void keep_text(struct hub *hub, struct text **text, struct slice given)
{
    if (given.data == NULL)
        return;
    text_drop(text);
    *text = text_make(given);
    hub->effects.lost = hub->effects.lost || *text == NULL;
}

static void keep_details(struct hub *hub, struct job *job, const struct hub_fields *fields)
{
    if (job->details == NULL)
        job->details = calloc(1, sizeof *job->details);
    if (job->details == NULL) {
        hub->effects.lost = true;
        return;
    }
    keep_text(hub, &job->details->progress, fields->at[FIELD_PROGRESS]);
    keep_text(hub, &job->details->message, fields->at[FIELD_MESSAGE]);
    keep_text(hub, &job->details->estimated, fields->at[FIELD_ESTIMATED]);
}

/* --- claiming ----------------------------------------------------------------------------------------------------- */

static void put_assigned(struct hub *hub, const struct job *job, const struct waiting *waiting,
                         struct slice requirements, struct slice payload)
{
    struct worker *worker = worker_at(hub, waiting->worker);
    struct session *session = session_at(hub, worker->session);
    struct buf *out = effects_open(hub, requirements.bytes + payload.bytes);
    bool whole = session->chunked || requirements.bytes + payload.bytes + 4096 <= EMPROPS_MESSAGE_BYTES_MAX;
    message_begin(out, "job_assigned");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_text(out, "worker_id", worker->id);
    message_text(out, "job_type", group_at(hub, job->group)->kind->name);
    message_u64(out, "priority", job->priority);
    put_result(out, "payload", payload, whole);
    message_json(out, "requirements", requirements);
    message_u64(out, "claim_timeout", job->claim_ms);
    message_end(out, text_slice(waiting->id), hub->wall_ms);
    long_publish(hub, session, 0, "job_assigned", effects_message(hub));
}

static void assign(struct hub *hub, struct job *job, struct waiting *waiting, struct slice requirements,
                   struct slice payload)
{
    put_assigned(hub, job, waiting, requirements, payload);
    wheel_set(&hub->job_wheel, &job->timer, hub->now_ms + job->claim_ms);
    statistics_waited(hub, hub->wall_ms > job->submitted_ms ? hub->wall_ms - job->submitted_ms : 0);
    waiting->assigned++;
}

/* Back to its place, as if the claim had not been. */
static void unclaim(struct hub *hub, struct job *job)
{
    worker_lose_job(hub, worker_at(hub, job->worker), job);
    job_set_status(hub, job, QUEUED);
}

/* Assigns the jobs of a claim in order, as far as their payloads are here; true: all are done. */
static bool assign_next(struct hub *hub, struct waiting *waiting)
{
    for (; waiting->next < waiting->count; waiting->next++) {
        struct slice requirements, payload;
        struct job *job = job_of_wait(hub, waiting, waiting->next);
        if (job == NULL || job->status != ASSIGNED || job->worker != waiting->worker || job->accepted)
            continue; /* cancelled, or given away */
        if (session_at(hub, worker_at(hub, waiting->worker)->session) == NULL) {
            unclaim(hub, job);
            hearing_offer(hub, job);
            continue;
        }
        if (!job_cached(job, &requirements, &payload)) {
            uint8_t key[JOB_KEY_BYTES];
            hub_count(hub, COUNT_fetched_payloads);
            hub_fetch(hub, waiting, job->large ? HUB_TABLE_PAYLOADS : HUB_TABLE_JOBS, job_key(job, key));
            return false;
        }
        assign(hub, job, waiting, requirements, payload);
    }
    return true;
}

/* E-33, E-71 */
static void end_claim(struct hub *hub, struct waiting *waiting)
{
    struct slice id = text_slice(waiting->id);
    struct worker *worker = worker_at(hub, waiting->worker);
    if (waiting->assigned == 0 || id.data != NULL) {
        struct buf *out = effects_open(hub, 0);
        message_ack(out, id.data == NULL ? slice_text("null") : id, slice_text("claim_job"),
                    waiting->assigned == 0 ? "no_job_available" : "processed", hub->wall_ms);
        effects_send(hub);
    }
    if (worker->alive)
        hearing_put(hub, worker);
    effects_reply(hub, waiting->ticket, 200);
    hub_wait_end(hub, waiting);
}

static void read_preference(const struct hub *hub, const struct hub_fields *fields, struct preference *preference)
{
    struct slice list = fields->at[FIELD_TYPES], name;
    preference->count = 0;
    while (hub_next_text(&list, &name)) {
        const struct kind *kind = kind_find(hub, name);
        if (kind != NULL && kind->users > 0 && preference->count < EMPROPS_LIST_MAX)
            preference->kinds[preference->count++] = kind;
    }
}

void claim_jobs(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    uint32_t most = (uint32_t)hub_number(fields, FIELD_MAX, 1);
    const struct class *class = class_at(hub, worker->class);
    double gpu_gb = double_of(hub_number(fields, FIELD_GPU, 0));
    struct preference preference;
    struct waiting *waiting = hub_wait(hub, WAIT_CLAIM, most, fields);
    if (waiting == NULL)
        return;
    waiting->worker = worker->index;
    worker->users++;
    read_preference(hub, fields, &preference);
    while (waiting->count < most) {
        struct job *job = queue_best(hub, class, hub_has(fields, FIELD_GPU) ? &gpu_gb : NULL, &preference);
        if (job == NULL)
            break;
        check_op(transition((enum job_status)job->status, EVENT_CLAIM), ==, GO_ASSIGNED);
        job_set_status(hub, job, ASSIGNED);
        worker_take_job(hub, worker, job);
        job->claim_ms = (uint32_t)hub_number(fields, FIELD_TIMEOUT, hub->settings->claim_timeout_ms);
        job->accepted = job->missing = false;
        waiting->jobs[waiting->count++] = slab_handle(&hub->jobs, job->index);
    }
    if (assign_next(hub, waiting))
        end_claim(hub, waiting);
}

void claim_fetched(struct hub *hub, struct waiting *waiting, int status, struct slice value)
{
    struct slice requirements, payload;
    struct job *job = job_of_wait(hub, waiting, waiting->next);
    bool held = job != NULL && job->status == ASSIGNED && job->worker == waiting->worker && !job->accepted;
    bool here = session_at(hub, worker_at(hub, waiting->worker)->session) != NULL;
    if (held && (!here || status != 200 || !record_payload(value, &requirements, &payload))) {
        unclaim(hub, job);
        if (here) {
            struct buf *out = effects_open(hub, 0);
            message_error(out, FAULT_INTERNAL_ERROR, slice_of(NULL, 0), text_slice(waiting->id), hub->wall_ms);
            effects_send(hub);
            waiting->count = waiting->next + 1; /* the store does not answer: nothing more for this claim */
        }
    } else if (held) {
        assign(hub, job, waiting, requirements, payload);
    }
    waiting->next++;
    if (assign_next(hub, waiting))
        end_claim(hub, waiting);
}

/* --- the claimed job ---------------------------------------------------------------------------------------------- */

/* The job that the message is about, when the event may happen to it; else NULL, and the worker has been told. *again:
 * it has happened before (E-39). */
static struct job *claimed(struct hub *hub, const struct worker *worker, const struct hub_fields *fields,
                           enum job_event event, bool *again)
{
    struct job *job = job_find(hub, fields->at[FIELD_JOB_ID]);
    if (job == NULL) {
        hub_fault_job(hub, FAULT_JOB_NOT_FOUND, NULL, fields);
        return NULL;
    }
    enum outcome outcome = transition((enum job_status)job->status, event);
    bool own = job->worker == worker->index;
    if ((outcome_goes(outcome) || outcome == STAYS) && own)
        return job;
    if (outcome == SAYS_ACK_AGAIN && own) {
        *again = true;
        return job;
    }
    bool expired =
        event == EVENT_ACCEPT && job->expired == worker->index && !status_ended((enum job_status)job->status);
    hub_fault_job(hub,
                  outcome == SAYS_CANCELLED ? FAULT_JOB_CANCELLED
                  : expired                 ? FAULT_CLAIM_EXPIRED
                                            : FAULT_JOB_NOT_ASSIGNED,
                  job, fields);
    return NULL;
}

/* The assignment is accepted, explicitly or not: an attempt begins (E-41), and those who follow the job see it
 * (Q-24). */
static void accept(struct hub *hub, struct job *job, const struct hub_fields *given)
{
    if (job->status != ASSIGNED || job->accepted)
        return;
    job->accepted = true;
    job->attempts++;
    job_uncache(hub, job); /* should it be assigned again, it is read */
    wheel_cancel(&hub->job_wheel, &job->timer);
    struct change change = {.status = ASSIGNED, .previous = QUEUED, .worker = true};
    if (given != NULL) {
        change.estimated = given->at[FIELD_ESTIMATED];
        change.step = given->at[FIELD_STEP];
        change.connector = given->at[FIELD_CONNECTOR];
        change.message = given->at[FIELD_MESSAGE];
    }
    notify_update(hub, job, &change);
}

void claim_accept(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    bool again = false;
    struct job *job = claimed(hub, worker, fields, EVENT_ACCEPT, &again);
    if (job == NULL)
        return;
    hub_ack(hub, fields, "job_accepted_by_worker");
    hub_answer(hub);
    if (job->status != ASSIGNED || job->accepted)
        return;
    accept(hub, job, fields);
    keep_details(hub, job, fields);
    record_state(hub, job);
}

void claim_progress(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    bool again = false;
    struct job *job = claimed(hub, worker, fields, EVENT_PROGRESS, &again);
    if (job == NULL)
        return;
    hub_ack(hub, fields, "update_job_progress");
    hub_answer(hub);
    bool begins = job->status == ASSIGNED;
    accept(hub, job, NULL);
    struct change change = {.status = IN_PROGRESS,
                            .previous = (enum job_status)job->status,
                            .worker = true,
                            .progress = !begins,
                            .number = fields->at[FIELD_PROGRESS],
                            .message = fields->at[FIELD_MESSAGE],
                            .step = fields->at[FIELD_STEP],
                            .estimated = fields->at[FIELD_ESTIMATED],
                            .connector = fields->at[FIELD_CONNECTOR]};
    notify_update(hub, job, &change);
    keep_details(hub, job, fields);
    if (!begins)
        return; /* how far it is does not outlive the hub */
    job->started_ms = hub->wall_ms;
    job_set_status(hub, job, IN_PROGRESS);
    record_state(hub, job);
}

/* job_completed_ack, job_failed_ack */
static void put_ack(struct hub *hub, const char *type, const struct job *job, const struct worker *worker,
                    struct buf *out)
{
    (void)hub;
    message_begin(out, type);
    message_member(out, "job_id");
    job_put_id(job, out);
    message_text(out, "worker_id", worker->id);
}

/* The job has ended in this worker's hands, and goes on naming it. */
static void end_held(struct hub *hub, struct worker *worker, struct job *job, enum job_status status)
{
    wheel_cancel(&hub->job_wheel, &job->timer);
    worker->users++;
    worker_lose_job(hub, worker, job);
    job->worker = worker->index;
    job_end(hub, job, status, hub->wall_ms);
    record_state(hub, job);
    statistics_ended(hub, status, hub->wall_ms);
}

/* The seconds that the worker says, or those since it began, as JSON in `space`. */
static struct slice processing_time(const struct hub *hub, const struct job *job, const struct hub_fields *fields,
                                    struct buf *space, double *seconds)
{
    struct slice given = fields->at[FIELD_PROCESSING];
    if (given.data != NULL && requirements_number(given, seconds))
        return given;
    uint64_t since_ms = job->started_ms != 0 && hub->wall_ms > job->started_ms ? hub->wall_ms - job->started_ms : 0;
    *seconds = (double)since_ms / 1000;
    put_double(space, *seconds);
    return buf_slice(space);
}

void claim_complete(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    bool again = false;
    uint8_t memory[48];
    struct buf space = buf_of(memory, sizeof memory);
    struct job *job = claimed(hub, worker, fields, EVENT_COMPLETE, &again);
    if (job == NULL)
        return;
    struct buf *out = effects_open(hub, 0);
    put_ack(hub, "job_completed_ack", job, worker, out);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "complete_job");
    if (again)
        return;
    double seconds = 0;
    struct slice processing = processing_time(hub, job, fields, &space, &seconds);
    accept(hub, job, NULL);
    notify_completed(hub, job, fields->at[FIELD_RESULT], processing);
    record_result(hub, job, &(struct record_end){.result = fields->at[FIELD_RESULT], .processing = processing});
    kind_processed(group_at(hub, job->group)->kind, seconds);
    end_held(hub, worker, job, COMPLETED); /* job_completed_ack stands for it: E-84 */
}

/* --- failures ----------------------------------------------------------------------------------------------------- */

static void put_failed_ack(struct hub *hub, const struct job *job, const struct worker *worker, bool retry,
                           const struct hub_fields *fields)
{
    struct buf *out = effects_open(hub, 0);
    put_ack(hub, "job_failed_ack", job, worker, out);
    message_json(out, "retry_scheduled", slice_text(retry ? "true" : "false"));
    message_u64(out, "retry_delay", retry ? hub->settings->retry_delay_ms / 1000 : 0);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "fail_job");
}

/* E-42 */
static void delay(struct hub *hub, struct worker *worker, struct job *job)
{
    uint8_t memory[64];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "\"Retry scheduled in ");
    buf_put_u64(&text, hub->settings->retry_delay_ms / 1000);
    buf_put_text(&text, " s\"");
    notify_update(hub, job, &(struct change){.status = QUEUED, .previous = job_seen(job), .message = buf_slice(&text)});
    worker_lose_job(hub, worker, job);
    details_drop(job);
    job->started_ms = 0;
    job->ended_ms = hub->wall_ms + hub->settings->retry_delay_ms;
    job_set_status(hub, job, DELAYED);
    wheel_set(&hub->job_wheel, &job->timer, hub->now_ms + hub->settings->retry_delay_ms);
    record_state(hub, job); /* job_failed_ack stands for it: E-84 */
}

void claim_fail(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    bool again = false, retry = hub_number(fields, FIELD_RETRY, 1) != 0;
    struct job *job = claimed(hub, worker, fields, retry ? EVENT_FAIL_RETRY : EVENT_FAIL_FINAL, &again);
    if (job == NULL)
        return;
    accept(hub, job, NULL);
    retry = retry && job->attempts < hub->settings->attempts_max;
    put_failed_ack(hub, job, worker, retry, fields);
    enum outcome outcome = transition((enum job_status)job->status, retry ? EVENT_FAIL_RETRY : EVENT_FAIL_FINAL);
    if (outcome_status(outcome) == DELAYED) {
        delay(hub, worker, job);
        return;
    }
    struct slice error = fields->at[FIELD_ERROR], details = fields->at[FIELD_DETAILS];
    notify_update(hub, job,
                  &(struct change){
                      .status = FAILED, .previous = job_seen(job), .worker = true, .error = error, .details = details});
    record_result(hub, job, &(struct record_end){.error = error, .details = details});
    end_held(hub, worker, job, FAILED);
}

void claim_lost(struct hub *hub, struct job *job)
{
    struct worker *worker = worker_at(hub, job->worker);
    enum job_status seen = job_seen(job);
    bool last = job->attempts >= hub->settings->attempts_max;
    hub_count(hub, COUNT_lost_jobs);
    enum outcome outcome = transition((enum job_status)job->status, last ? EVENT_LOST_LAST : EVENT_LOST);
    wheel_cancel(&hub->job_wheel, &job->timer);
    if (outcome_status(outcome) == FAILED) {
        struct slice error = slice_text("\"Worker lost\"");
        notify_update(hub, job, &(struct change){.status = FAILED, .previous = seen, .worker = true, .error = error});
        record_result(hub, job, &(struct record_end){.error = error});
        end_held(hub, worker, job, FAILED);
        return;
    }
    if (seen != QUEUED)
        notify_update(hub, job, &(struct change){.status = QUEUED, .previous = seen});
    worker_lose_job(hub, worker, job);
    details_drop(job);
    job->started_ms = 0;
    job_set_status(hub, job, QUEUED);
    if (seen != QUEUED)
        record_state(hub, job);
    hearing_offer(hub, job);
}

void claim_expire(struct hub *hub, struct job *job)
{
    struct worker *worker = worker_at(hub, job->worker);
    check_op(transition((enum job_status)job->status, EVENT_EXPIRE), ==, GO_QUEUED);
    hub_count(hub, COUNT_expired_claims);
    if (job->expired != NONE)
        worker_drop(hub, worker_at(hub, job->expired));
    job->expired = worker->index;
    worker->users++;
    unclaim(hub, job);
    hearing_offer(hub, job);
}

void claim_delay_over(struct hub *hub, struct job *job)
{
    check_op(transition((enum job_status)job->status, EVENT_DELAY_OVER), ==, GO_QUEUED);
    job_set_status(hub, job, QUEUED);
    hearing_offer(hub, job);
}
