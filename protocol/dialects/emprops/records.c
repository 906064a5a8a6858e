/* SPDX-License-Identifier: MIT */
/* Owns what is kept of jobs, as JSON that an operator can read, under the key of the job
 * (job_key; older stores: its id without the prefix):
 *
 *   jobs      what was submitted: written once, when the job is accepted
 *               {"sequence","submitted_at","job_type","priority","customer_id","client_id","requirements","payload"}
 *   payloads  requirements and payload of a job whose payload is large; "payload" is then not in its record of jobs
 *   states    what has become of it, when that is more than waiting:
 *               {"status","attempts","retry_at","worker_id","started_at","ended_at"}
 *   results   how it ended: {"result","processing_time","error","error_details","reason"}
 *
 * jobs and states make the index at the start; the others are read when they are asked for. Assignments that are not
 * accepted and progress are not kept: after a restart they would be undone anyway (E-84). */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"

#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>

#define LARGE_BYTES 4096 /* a payload beyond it has a record of its own, so that the index is read without it */

static void put_payload(const struct hub_fields *fields, struct buf *out)
{
    message_json(out, "requirements", fields->at[FIELD_REQUIREMENTS]);
    message_json(out, "payload", fields->at[FIELD_PAYLOAD]);
}

void record_job(struct hub *hub, struct job *job, const struct hub_fields *fields)
{
    uint8_t key[JOB_KEY_BYTES];
    size_t requirements = fields->at[FIELD_REQUIREMENTS].bytes, payload = fields->at[FIELD_PAYLOAD].bytes;
    job->large = payload > LARGE_BYTES;
    struct buf *out = effects_open(hub, requirements + (job->large ? 0 : payload));
    buf_put_text(out, "{\"sequence\":");
    buf_put_u64(out, job->sequence);
    message_u64(out, "submitted_at", job->submitted_ms);
    message_text(out, "job_type", fields->at[FIELD_JOB_TYPE]);
    message_u64(out, "priority", job->priority);
    if (job->customer != NULL)
        message_text(out, "customer_id", text_slice(job->customer));
    if (job->client != NONE)
        message_text(out, "client_id", client_at(hub, job->client)->id);
    if (job->large)
        message_json(out, "requirements", fields->at[FIELD_REQUIREMENTS]);
    else
        put_payload(fields, out);
    buf_put_byte(out, '}');
    effects_put(hub, HUB_TABLE_JOBS, job_key(job, key));
    if (!job->large)
        return;
    out = effects_open(hub, requirements + payload);
    buf_put_text(out, "{\"large\":true");
    put_payload(fields, out);
    buf_put_byte(out, '}');
    effects_put(hub, HUB_TABLE_PAYLOADS, job_key(job, key));
}

void record_state(struct hub *hub, const struct job *job)
{
    uint8_t key[JOB_KEY_BYTES];
    struct buf *out = effects_open(hub, 0);
    buf_put_text(out, "{\"status\":\"");
    buf_put_text(out, status_name((enum job_status)job->status));
    buf_put_byte(out, '"');
    message_u64(out, "attempts", job->attempts);
    if (job->status == DELAYED)
        message_u64(out, "retry_at", job->ended_ms);
    if (job->worker != NONE)
        message_text(out, "worker_id", worker_at(hub, job->worker)->id);
    if (job->started_ms != 0)
        message_u64(out, "started_at", job->started_ms);
    if (status_ended((enum job_status)job->status))
        message_u64(out, "ended_at", job->ended_ms);
    buf_put_byte(out, '}');
    effects_put(hub, HUB_TABLE_STATES, job_key(job, key));
}

void record_result(struct hub *hub, const struct job *job, const struct record_end *end)
{
    uint8_t key[JOB_KEY_BYTES];
    struct buf *out = effects_open(hub, end->result.bytes + end->error.bytes + end->details.bytes + end->reason.bytes);
    buf_put_text(out, "{\"sequence\":");
    buf_put_u64(out, job->sequence);
    message_json(out, "result", end->result);
    message_json(out, "processing_time", end->processing);
    message_json(out, "error", end->error);
    message_json(out, "error_details", end->details);
    message_json(out, "reason", end->reason);
    buf_put_byte(out, '}');
    effects_put(hub, HUB_TABLE_RESULTS, job_key(job, key));
}

void record_forget(struct hub *hub, const struct job *job)
{
    uint8_t key[JOB_KEY_BYTES];
    effects_delete(hub, HUB_TABLE_JOBS, job_key(job, key));
    effects_delete(hub, HUB_TABLE_STATES, job_key(job, key));
    effects_delete(hub, HUB_TABLE_RESULTS, job_key(job, key));
    if (job->large)
        effects_delete(hub, HUB_TABLE_PAYLOADS, job_key(job, key));
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static struct slice text_of(const struct json_member *member)
{
    return member->token == JSON_ERROR ? slice_of(NULL, 0) : member->text;
}

bool record_payload(struct slice value, struct slice *requirements, struct slice *payload)
{
    struct json_member members[] = {{.name = "requirements"}, {.name = "payload"}};
    if (json_find_members(value, JSON_DEPTH_MAX, false, members, 2) != JSON_MEMBERS_OK)
        return false;
    *requirements = text_of(&members[0]);
    *payload = text_of(&members[1]);
    return payload->data != NULL;
}

bool record_end_read(struct slice value, struct record_end *end)
{
    struct json_member members[] = {{.name = "result"},
                                    {.name = "processing_time"},
                                    {.name = "error"},
                                    {.name = "error_details"},
                                    {.name = "reason"}};
    if (json_find_members(value, JSON_DEPTH_MAX, false, members, 5) != JSON_MEMBERS_OK)
        return false;
    *end = (struct record_end){.result = text_of(&members[0]),
                               .processing = text_of(&members[1]),
                               .error = text_of(&members[2]),
                               .details = text_of(&members[3]),
                               .reason = text_of(&members[4])};
    return true;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

/* A member that is a string of at most `most` bytes, resolved into `space`; data NULL: it is not there. */
static bool read_text(const struct json_member *member, size_t most, struct buf *space, struct slice *text)
{
    *text = slice_of(NULL, 0);
    if (member->token == JSON_ERROR)
        return true;
    if (member->token != JSON_STRING)
        return false;
    *text = json_resolve(member->raw, member->escaped, space);
    return !space->overflow && text->bytes <= most;
}

/* A number that may be missing: then 0. */
static bool read_number(const struct json_member *member, uint64_t *value)
{
    *value = 0;
    return member->token == JSON_ERROR || (member->token == JSON_NUMBER && json_u64(member->raw, value));
}

/* The job of the record's members; NULL: *error says why not. */
static struct job *load_members(struct hub *hub, struct slice key, const struct json_member *members,
                                struct slice needs, struct buf *space)
{
    enum { SEQUENCE, SUBMITTED, TYPE, PRIORITY, CUSTOMER, CLIENT, PAYLOAD };
    uint64_t sequence, submitted, priority;
    struct slice kind, customer, client;
    if (!read_number(&members[SEQUENCE], &sequence) || !read_number(&members[SUBMITTED], &submitted) ||
        !read_number(&members[PRIORITY], &priority) || priority > 100 || sequence == 0 ||
        !read_text(&members[TYPE], EMPROPS_TYPE_BYTES_MAX, space, &kind) || kind.bytes == 0 ||
        !read_text(&members[CUSTOMER], EMPROPS_NAME_BYTES_MAX, space, &customer) ||
        !read_text(&members[CLIENT], EMPROPS_NAME_BYTES_MAX, space, &client) || members[CLIENT].token == JSON_NULL)
        return NULL;
    struct job *job = job_make(hub, (const char *)job_letters_of_key(key).data);
    if (job == NULL)
        return NULL;
    uint8_t memory[JOB_KEY_BYTES];
    job->id_key = key.bytes == JOB_ID_LETTERS;
    job->sequence = sequence;
    if (!slice_equal(job_key(job, memory), key))
        return NULL;
    job->submitted_ms = submitted;
    job->priority = (uint8_t)priority;
    job->large = members[PAYLOAD].token == JSON_ERROR;
    job->customer = text_make(customer);
    job->group = group_take(hub, kind, needs);
    job->loaded_status = QUEUED;
    if (client.bytes > 0 && (job->client = client_take(hub, client)) != NONE)
        client_at(hub, job->client)->submits = true;
    if (job->group != NONE)
        group_at(hub, job->group)->kind->live++;
    if (sequence > hub->last_sequence)
        hub->last_sequence = sequence;
    bool whole = job->group != NONE && (customer.data == NULL || job->customer != NULL) &&
                 (client.bytes == 0 || job->client != NONE);
    return whole ? job : NULL;
}

static int load_job(struct hub *hub, struct slice key, struct slice value, const char **why)
{
    struct json_member members[] = {{.name = "sequence"}, {.name = "submitted_at"}, {.name = "job_type"},
                                    {.name = "priority"}, {.name = "customer_id"},  {.name = "client_id"},
                                    {.name = "payload"},  {.name = "requirements"}};
    uint8_t memory[CAPABILITIES_BYTES_MAX], texts[4096];
    struct buf needs = buf_of(memory, sizeof memory), space = buf_of(texts, sizeof texts);
    const char *field;
    struct slice wrong_value;
    *why = "a record of a job is not what it should be";
    if (job_letters_of_key(key).data == NULL ||
        json_find_members(value, JSON_DEPTH_MAX, false, members, 8) != JSON_MEMBERS_OK ||
        requirements_put_needs(text_of(&members[7]), &needs, &field, &wrong_value) != NULL)
        return -EINVAL;
    if (load_members(hub, key, members, buf_slice(&needs), &space) != NULL)
        return 0;
    *why = "a record of a job is not what it should be, or memory is out";
    return -EINVAL;
}

static int load_state(struct hub *hub, struct slice key, struct slice value, const char **why)
{
    struct json_member members[] = {{.name = "status"},    {.name = "attempts"},   {.name = "retry_at"},
                                    {.name = "worker_id"}, {.name = "started_at"}, {.name = "ended_at"}};
    uint8_t memory[EMPROPS_NAME_BYTES_MAX * 6];
    char name[16] = {0};
    struct buf space = buf_of(memory, sizeof memory);
    struct slice worker, status;
    uint64_t attempts, retry, started, ended;
    *why = "a record of a job's state is not what it should be";
    struct slice letters = job_letters_of_key(key);
    struct job *job = letters.data != NULL ? job_of_letters(hub, letters) : NULL;
    if (job == NULL || json_find_members(value, JSON_DEPTH_MAX, false, members, 6) != JSON_MEMBERS_OK ||
        !read_text(&members[0], sizeof name - 1, &space, &status) || !read_number(&members[1], &attempts) ||
        !read_number(&members[2], &retry) || !read_text(&members[3], EMPROPS_NAME_BYTES_MAX, &space, &worker) ||
        !read_number(&members[4], &started) || !read_number(&members[5], &ended) || status.data == NULL)
        return -EINVAL;
    memcpy(name, status.data, status.bytes);
    enum job_status found = status_named(name);
    if (found == JOB_STATUSES)
        return -EINVAL;
    job->attempts = attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)attempts;
    job->loaded_status = (uint8_t)(status_ended(found) ? found : retry != 0 ? DELAYED : QUEUED); /* E-84 */
    job->ended_ms = status_ended(found) ? ended : retry;
    if (!status_ended(found))
        return 0;
    job->started_ms = started;
    struct worker *by = worker.bytes == 0 ? NULL : worker_take(hub, worker);
    if (by != NULL)
        job->worker = by->index;
    return worker.bytes == 0 || by != NULL ? 0 : -ENOMEM;
}

int record_load(struct hub *hub, uint8_t table, struct slice key, struct slice value, const char **why)
{
    return table == HUB_TABLE_JOBS ? load_job(hub, key, value, why) : load_state(hub, key, value, why);
}

struct ended {
    uint64_t ended_ms;
    uint32_t index;
};

static int by_end(const void *first, const void *second)
{
    const struct ended *a = first, *b = second;
    return a->ended_ms != b->ended_ms ? (a->ended_ms > b->ended_ms) - (a->ended_ms < b->ended_ms)
                                      : (a->index > b->index) - (a->index < b->index);
}

/* Those that have ended, in the order in which they did. False: no memory. */
static bool settle_ended(struct hub *hub)
{
    uint32_t at = 0, count = 0;
    struct job *job;
    struct ended *all = malloc((hub->jobs.count_live + 1) * sizeof *all);
    if (all == NULL)
        return false;
    while ((job = slab_next(&hub->jobs, &at, NULL)) != NULL)
        if (status_ended((enum job_status)job->loaded_status))
            all[count++] = (struct ended){job->ended_ms, job->index};
    qsort(all, count, sizeof *all, by_end);
    for (uint32_t i = 0; i < count; i++) {
        job = job_at(hub, all[i].index);
        enum job_status status = (enum job_status)job->loaded_status;
        job_end(hub, job, status, job->ended_ms);
        statistics_ended(hub, status, job->ended_ms);
    }
    free(all);
    return true;
}

void record_settle(struct hub *hub)
{
    uint32_t at = 0;
    struct job *job;
    if (!settle_ended(hub)) {
        hub->effects.lost = true;
        return;
    }
    while ((job = slab_next(&hub->jobs, &at, NULL)) != NULL) {
        if (job->status != JOB_STATUSES)
            continue;
        job_set_status(hub, job, (enum job_status)job->loaded_status);
        if (job->status == DELAYED)
            wheel_set(&hub->job_wheel, &job->timer,
                      hub->now_ms + (job->ended_ms > hub->wall_ms ? job->ended_ms - hub->wall_ms : 0));
    }
}
