/* SPDX-License-Identifier: MIT */
/* Owns the jobs that publishers report on and the judgement of who watches one.
 * It never connects and never ends a connection.
 * Called by sim_talk.c and sim_client.c for clients of that kind, and by publishers for the statuses. */
#include "tests/sim/sim_jobs.h"

#include "core/work.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>

#define PINGS_MAX 30
#define RECENT 4 /* jobs from which a client chooses */

static const char *const state_names[] = {"QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"};

static const struct sim_message *message_at(const struct sim_world *world, uint32_t message)
{
    return &world->model.messages[message];
}

static bool is_end(uint32_t state)
{
    return state >= SIM_COMPLETED;
}

/* --- statuses ----------------------------------------------------------------------------------------------------- */

/* The job of a series. */
static uint32_t job_of(const struct sim_world *world, uint32_t series)
{
    uint32_t job = 0;
    while (job < world->jobs.count && world->jobs.jobs[job].series != series)
        job++;
    return job;
}

size_t sim_jobs_object(const struct sim_world *world, uint32_t message, bool delivered, char *out, size_t room)
{
    const struct sim_message *status = message_at(world, message);
    char stamp[SIM_STAMP_BYTES], miner[24] = "null", ttl[32] = "";
    sim_text_stamp(stamp, message);
    if (status->detail != SIM_QUEUED)
        snprintf(miner, sizeof miner, "\"m%u\"", message);
    if (!delivered && status->due_ms != 0)
        snprintf(ttl, sizeof ttl, ",\"ttl_seconds\":%u", (uint32_t)((status->due_ms - status->begun_ms) / 1000));
    return (size_t)snprintf(out, room,
                            "{\"job_id\":\"job-%u\",\"state\":\"%s\",\"assigned_miner_id\":%s,\"timestamp\":\"%s\","
                            "\"progress\":0.%u%s%s}",
                            status->key, state_names[status->detail], miner, stamp, message,
                            status->detail == SIM_FAILED ? ",\"error\":\"lost\"" : "", ttl);
}

/* The publisher's job in that place, or a new one; SIM_NONE when there are too many. */
static uint32_t job_in(struct sim_world *world, struct sim_job_desk *desk, uint32_t place)
{
    struct sim_jobs *jobs = &world->jobs;
    if (desk->jobs[place] != 0)
        return desk->jobs[place] - 1;
    if (jobs->count == SIM_JOBS_MAX)
        return SIM_NONE;
    jobs->jobs[jobs->count] = (struct sim_job){.series = sim_model_series(&world->model)};
    desk->jobs[place] = ++jobs->count;
    return jobs->count - 1;
}

uint32_t sim_jobs_begin(struct sim_world *world, struct sim_job_desk *desk, uint32_t stream)
{
    struct random *random = &world->random;
    uint32_t place = (uint32_t)random_below(random, SIM_JOBS_AT_ONCE), number = job_in(world, desk, place);
    if (number == SIM_NONE)
        return SIM_NONE;
    struct sim_job *job = &world->jobs.jobs[number];
    struct sim_message status = {.channel = SIM_NONE, .stream = stream, .form = SIM_JOB, .key = job->series};
    status.detail = (uint32_t)random_below(random, 2);
    if (world->model.newest[job->series] != SIM_NONE && random_chance(random, 1, 40))
        status.detail = (uint32_t)(SIM_COMPLETED + random_below(random, 4));
    uint32_t ttl_s = random_chance(random, 1, 24) && !is_end(status.detail) ? 1 + (uint32_t)random_below(random, 5) : 0;
    if (ttl_s != 0) {
        status.due_ms = sim_world_ms() + ttl_s * 1000;
        job->expires = true;
    }
    if (is_end(status.detail))
        desk->jobs[place] = 0;
    return sim_model_begin(&world->model, &status);
}

void sim_jobs_refused(const struct sim_world *world, struct sim_job_desk *desk, uint32_t message)
{
    uint32_t job = job_of(world, message_at(world, message)->key);
    for (uint32_t i = 0; i < SIM_JOBS_AT_ONCE; i++)
        if (desk->jobs[i] == job + 1)
            desk->jobs[i] = 0;
}

bool sim_jobs_may_refuse(const struct sim_world *world, uint32_t message)
{
    const struct sim_model *model = &world->model;
    const struct sim_message *status = message_at(world, message);
    if (world->jobs.jobs[job_of(world, status->key)].expires)
        return true;
    for (uint32_t i = model->newest[status->key]; i != SIM_NONE; i = model->messages[i].before)
        if (i != message && is_end(model->messages[i].detail) && model->messages[i].fate != SIM_REFUSED)
            return true;
    return false;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

void sim_jobs_make(struct sim_client *client)
{
    client->job = (struct sim_job_view){.job = SIM_NONE, .first = SIM_NONE, .last = SIM_NONE};
}

static bool is_known(const struct sim_world *world, uint32_t job)
{
    const struct sim_model *model = &world->model;
    for (uint32_t i = model->newest[world->jobs.jobs[job].series]; i != SIM_NONE; i = model->messages[i].before)
        if (model->messages[i].fate == SIM_ACCEPTED)
            return true;
    return false;
}

void sim_jobs_path(struct sim_world *world, struct sim_client *client, char *out, size_t room)
{
    struct sim_job_view *view = &client->job;
    uint32_t count = world->jobs.count, recent = count < RECENT ? count : RECENT;
    bool api = random_chance(&world->random, 1, 2);
    view->asked = sim_model_now(&world->model);
    if (count > 0 && !random_chance(&world->random, 1, 10))
        view->job = count - 1 - (uint32_t)random_below(&world->random, recent);
    view->known = view->job != SIM_NONE && is_known(world, view->job);
    snprintf(out, room, "%s/v1/jobs/job-%u/ws?api_key=" SIM_AITBC_KEY, api ? "/api" : "",
             view->job == SIM_NONE ? 99999 : world->jobs.jobs[view->job].series);
}

bool sim_jobs_status_allowed(const struct sim_world *world, const struct sim_client *client)
{
    return client->status == 404 && !client->job.known && !world->plan.work.wait_for_jobs;
}

void sim_jobs_on_open(struct sim_world *world, struct sim_client *client)
{
    client->job.confirmed = sim_model_now(&world->model);
    if (client->job.job == SIM_NONE && !world->plan.work.wait_for_jobs)
        sim_fail(world, "client %u: the status of a job that there is not", client->number);
}

void sim_jobs_say(struct sim_world *world, struct sim_client *client)
{
    bool pause = sim_world_ms() >= client->pause_ms && sim_world_ms() < client->resume_ms;
    if (client->job.pings >= client->job.repeats + PINGS_MAX)
        return;
    if (pause) /* so that answers stand between statuses that wait */
        client->wake_ms = sim_world_ms() + 10 + random_below(&world->random, 100);
    client->job.pings++;
    sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_text("{\"type\":\"ping\"}"));
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

/* The status comes again: as the first one, which may change right then, or in answer to a ping. */
static const char *repeat(struct sim_job_view *view)
{
    return ++view->repeats > view->pings + 1 ? "a status again that was not asked for" : NULL;
}

/* The server lets a job expire, which had a time to live. */
static const char *judge_expiry(struct sim_world *world, struct sim_job_view *view, struct slice text)
{
    const struct sim_model *model = &world->model;
    uint64_t due_ms = UINT64_MAX;
    if (!slice_is(sim_text_between(text, "\"state\":\"", '"'), "EXPIRED") || view->job == SIM_NONE)
        return "a status that nobody reported";
    for (uint32_t i = model->newest[world->jobs.jobs[view->job].series]; i != SIM_NONE; i = model->messages[i].before)
        if (model->messages[i].due_ms != 0 && model->messages[i].due_ms < due_ms)
            due_ms = model->messages[i].due_ms;
    if (due_ms > sim_world_ms())
        return "expired before its time";
    if (view->ended)
        return repeat(view);
    view->ended = true;
    view->ended_ms = due_ms;
    return NULL;
}

static const char *judge(struct sim_world *world, struct sim_job_view *view, struct slice text, uint32_t message)
{
    struct sim_model *model = &world->model;
    char expected[256];
    if (message >= model->count || model->messages[message].form != SIM_JOB || view->job == SIM_NONE ||
        model->messages[message].key != world->jobs.jobs[view->job].series)
        return "a status of another job";
    struct sim_message *status = &model->messages[message];
    if (!slice_equal(text, slice_of(expected, sim_jobs_object(world, message, true, expected, sizeof expected))))
        return "a status that was not reported so";
    if (status->fate == SIM_REFUSED)
        return "a status that was refused";
    if (message == view->last)
        return repeat(view);
    if (view->ended)
        return "a status behind the end";
    if (view->last != SIM_NONE && sim_model_is_behind(model, view->last, message))
        return "an older status behind a newer one";
    status->seen = true;
    sim_seen_add(&view->seen, message);
    view->first = view->first == SIM_NONE ? message : view->first;
    view->last = message;
    if (is_end(status->detail)) {
        view->ended = true;
        view->ended_ms = status->begun_ms;
    }
    return NULL;
}

void sim_jobs_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    struct sim_job_view *view = &client->job;
    uint32_t message = SIM_NONE;
    bool stamped = sim_text_stamped(sim_text_between(frame->payload, "\"timestamp\":\"", '"'), &message);
    const char *wrong =
        stamped ? judge(world, view, frame->payload, message) : judge_expiry(world, view, frame->payload);
    if (wrong != NULL)
        sim_fail(world, "client %u: %s: %.*s", client->number, wrong, (int)frame->payload.bytes, frame->payload.data);
    world->model.deliveries++;
    sim_trace(world, "client %u: status %d", client->number, (int)message);
}

bool sim_jobs_close_allowed(const struct sim_client *client)
{
    return client->close_code == 1000 && client->job.ended && sim_world_ms() >= client->job.ended_ms + SIM_JOB_CLOSE_MS;
}

/* Of the statuses that were taken for certain behind the first one seen: each state has been seen, and the newest. */
static const char *complete(const struct sim_world *world, const struct sim_job_view *view)
{
    const struct sim_model *model = &world->model;
    uint32_t newer = SIM_NONE; /* taken right behind */
    for (uint32_t i = model->newest[world->jobs.jobs[view->job].series]; i != SIM_NONE; i = model->messages[i].before) {
        const struct sim_message *status = &model->messages[i];
        if (status->fate == SIM_REFUSED)
            continue;
        if (status->begun < view->confirmed || status->fate != SIM_ACCEPTED)
            return NULL;
        bool replaced = newer != SIM_NONE &&
                        (model->messages[newer].detail == status->detail || !sim_model_is_behind(model, newer, i));
        if (!replaced && !sim_seen_has(&view->seen, i))
            return "a state has not arrived";
        newer = i;
    }
    return NULL;
}

const char *sim_jobs_complete(struct sim_world *world, const struct sim_client *client)
{
    const struct sim_job_view *view = &client->job;
    if (view->job == SIM_NONE)
        return NULL;
    if (is_known(world, view->job) && view->last == SIM_NONE && !view->ended)
        return "the status has not come";
    if (world->calm && view->ended)
        return "the job has ended and the connection has not";
    return complete(world, view);
}
