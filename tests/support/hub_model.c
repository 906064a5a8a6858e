/* SPDX-License-Identifier: MIT */
/* Owns what the hub of emprops has to do and to say, by a model that shares no code with it (hub_model.h). It never
 * asks the hub for anything but the messages that have come. Called by hub_play.c with each thing that happens. */
#include "tests/support/hub_model.h"

#include "protocol/json.h"

#include <stdarg.h>
#include <stdio.h>

/* --- what is foretold --------------------------------------------------------------------------------------------- */

const char *const play_names[] = {"queued", "queued", "assigned", "in_progress", "completed", "failed", "cancelled"};

void play_fail(struct play *play, const char *what, const char *expected, const char *found)
{
    if (play->error[0] == '\0')
        snprintf(play->error, sizeof play->error, "after %s: %s\n  expected %s\n  found    %s", play->last, what,
                 expected, found);
}

void play_expect(struct play *play, int conn, const char *format, ...)
{
    va_list arguments;
    if (!play->there[conn])
        return;
    if (play->expected_count[conn] == PLAY_EXPECTED_MAX / 32) {
        play->ambiguous = true; /* too long a row for this play */
        return;
    }
    va_start(arguments, format);
    vsnprintf(play->expected[conn][play->expected_count[conn]++], PLAY_LINE_BYTES, format, arguments);
    va_end(arguments);
}

int play_worker_conn(int worker)
{
    return PLAY_CLIENTS + worker;
}

void play_tell(struct play *play, int job, const char *status, const char *previous, bool first)
{
    const struct play_job *one = &play->jobs[job];
    if (!first && one->owner >= 0)
        play_expect(play, one->owner, "job_update %d %s<%s", job, status, previous);
    play_expect(play, PLAY_MONITOR, "job_update %d %s<%s", job, status, previous);
}

static bool play_can(int worker, int need)
{
    /* worker 0: a; 1: a and b; 2: b; 3: nothing */
    return need == 0 || (need == 1 && worker <= 1) || (need == 2 && (worker == 1 || worker == 2));
}

bool play_hears(const struct play *play, int worker)
{
    const struct play_worker *one = &play->workers[worker];
    return one->alive && one->connected && one->listens && one->free > 0;
}

static bool play_before(const struct play_job *a, const struct play_job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a < b;
}

int play_best(const struct play *play, int worker, const struct play_job *after, int preferred)
{
    int best = -1;
    for (int i = 0; i < play->job_count; i++) {
        const struct play_job *one = &play->jobs[i], *other = best < 0 ? NULL : &play->jobs[best];
        if (one->status != P_QUEUED || !play_can(worker, one->need) || (after != NULL && !play_before(after, one)))
            continue;
        bool better = other == NULL || play_before(one, other);
        if (other != NULL && preferred >= 0 && one->priority == other->priority &&
            (one->kind == preferred) != (other->kind == preferred))
            better = one->kind == preferred;
        if (better)
            best = i;
    }
    return best;
}

int play_position(const struct play *play, int job)
{
    int position = 1;
    for (int i = 0; i < play->job_count; i++)
        if (i != job && play->jobs[i].status == P_QUEUED && play_before(&play->jobs[i], &play->jobs[job]))
            position++;
    return position;
}

int play_offer(struct play *play, int job)
{
    int told = 0;
    for (int w = 0; w < PLAY_WORKERS; w++) {
        if (!play_hears(play, w) || !play_can(w, play->jobs[job].need))
            continue;
        play_expect(play, play_worker_conn(w), "job_available %d", job);
        told++;
    }
    return told;
}

void play_offer_waiting(struct play *play, int worker)
{
    const struct play_job *after = NULL;
    for (int i = 0; play_hears(play, worker) && i < play->workers[worker].free; i++) {
        int job = play_best(play, worker, after, -1);
        if (job < 0)
            break;
        play_expect(play, play_worker_conn(worker), "job_available %d", job);
        after = &play->jobs[job];
    }
}

void play_set_timer(struct play *play, uint64_t *due, uint64_t *set, uint64_t after_ms)
{
    uint64_t at = play->host.now_ms + after_ms;
    for (int i = 0; i < play->job_count; i++)
        if (play->jobs[i].due_ms == at && play->jobs[i].claim_ms != play->host.now_ms)
            play->ambiguous = true;
    for (int w = 0; w < PLAY_WORKERS; w++)
        if (play->workers[w].due_ms == at)
            play->ambiguous = true;
    *due = at;
    *set = ++play->sets;
}

void play_release(struct play *play, int job)
{
    struct play_job *one = &play->jobs[job];
    if (one->worker >= 0)
        play->workers[one->worker].free++;
    one->worker = -1;
    one->due_ms = 0;
    one->missing = 0;
}

/* --- what happens in the model ------------------------------------------------------------------------------------ */

void play_accept(struct play *play, int job)
{
    struct play_job *one = &play->jobs[job];
    if (one->status != P_ASSIGNED || one->accepted)
        return;
    one->accepted = true;
    one->attempts++;
    one->due_ms = 0;
    play_tell(play, job, "assigned", "queued", false);
}

const char *play_seen(const struct play_job *job)
{
    return job->status == P_ASSIGNED && !job->accepted ? "queued" : play_names[job->status];
}

/* The worker does not do it any more (E-96). */
static void play_lose(struct play *play, int job)
{
    struct play_job *one = &play->jobs[job];
    const char *seen = play_seen(one);
    if (one->status == P_WORKING && one->attempts >= PLAY_ATTEMPTS_MAX) {
        play_tell(play, job, "failed", seen, false);
        int worker = one->worker;
        play_release(play, job);
        one->worker = worker;
        one->status = P_FAILED;
        return;
    }
    if (strcmp(seen, "queued") != 0)
        play_tell(play, job, "queued", seen, false);
    play_release(play, job);
    one->status = P_QUEUED;
    play_offer(play, job);
}

void play_die(struct play *play, int worker)
{
    struct play_worker *dead = &play->workers[worker];
    dead->connected = false;
    for (;;) {
        int latest = -1;
        for (int i = 0; i < play->job_count; i++)
            if (play->jobs[i].worker == worker &&
                (play->jobs[i].status == P_ASSIGNED || play->jobs[i].status == P_WORKING) &&
                (latest < 0 || play->jobs[i].set > play->jobs[latest].set))
                latest = i;
        if (latest < 0)
            break;
        play_lose(play, latest);
    }
    dead->alive = false;
    dead->due_ms = 0;
}

static void play_timer(struct play *play, int job, int worker)
{
    if (worker >= 0) {
        play_die(play, worker);
        return;
    }
    struct play_job *one = &play->jobs[job];
    if (one->status == P_ASSIGNED) {
        one->expired = one->worker;
        play_release(play, job);
    }
    one->due_ms = 0;
    one->status = P_QUEUED;
    play_offer(play, job);
}

void play_time(struct play *play, uint64_t until)
{
    for (;;) {
        int job = -1, worker = -1;
        uint64_t due = UINT64_MAX, set = 0;
        for (int i = 0; i < play->job_count; i++) {
            const struct play_job *one = &play->jobs[i];
            if (one->due_ms != 0 && (one->due_ms < due || (one->due_ms == due && one->set < set))) {
                due = one->due_ms;
                set = one->set;
                job = i;
            }
        }
        for (int w = 0; w < PLAY_WORKERS; w++) {
            if (play->workers[w].due_ms != 0 && play->workers[w].due_ms < due) {
                due = play->workers[w].due_ms;
                worker = w;
            }
        }
        if (due > until)
            return;
        play_timer(play, job, worker);
    }
}

/* --- what really comes -------------------------------------------------------------------------------------------- */

static int play_job_named(const struct play *play, struct slice id)
{
    for (int i = 0; i < play->job_count; i++)
        if (slice_is(id, play->jobs[i].id))
            return i;
    return -1;
}

/* A message in the words of the model. */
static void play_describe(const struct play *play, const struct pure_message *message, char *out, size_t size)
{
    enum { TYPE, JOB, STATUS, PREVIOUS, CODE, POSITION, TOLD, RETRY, M };
    struct json_member m[M] = {
        {.name = "type"},       {.name = "job_id"},   {.name = "status"},           {.name = "previous_status"},
        {.name = "error_code"}, {.name = "position"}, {.name = "notified_workers"}, {.name = "retry_scheduled"}};
    struct slice text = slice_of(message->data, message->bytes);
    if (json_find_members(text, JSON_DEPTH_MAX, false, m, M) != JSON_MEMBERS_OK || m[TYPE].token != JSON_STRING) {
        snprintf(out, size, "no JSON: %s", (const char *)message->data);
        return;
    }
    int used = snprintf(out, size, "%.*s", (int)m[TYPE].raw.bytes, (const char *)m[TYPE].raw.data);
    bool error = slice_is(m[TYPE].raw, "error"), update = slice_is(m[TYPE].raw, "job_update");
    bool status = slice_is(m[TYPE].raw, "response_job_status") || slice_is(m[TYPE].raw, "ack") || update;
    if (error)
        used +=
            snprintf(out + used, size - (size_t)used, " %.*s", (int)m[CODE].raw.bytes, (const char *)m[CODE].raw.data);
    else if (m[JOB].token == JSON_STRING)
        used += snprintf(out + used, size - (size_t)used, " %d", play_job_named(play, m[JOB].raw));
    if (status)
        used += snprintf(out + used, size - (size_t)used, " %.*s", (int)m[STATUS].raw.bytes,
                         (const char *)m[STATUS].raw.data);
    if (update)
        used += snprintf(out + used, size - (size_t)used, "<%.*s", (int)m[PREVIOUS].raw.bytes,
                         (const char *)m[PREVIOUS].raw.data);
    if (m[POSITION].token == JSON_NUMBER)
        used += snprintf(out + used, size - (size_t)used, " at %.*s", (int)m[POSITION].raw.bytes,
                         (const char *)m[POSITION].raw.data);
    if (m[TOLD].token == JSON_NUMBER)
        used += snprintf(out + used, size - (size_t)used, " told %.*s", (int)m[TOLD].raw.bytes,
                         (const char *)m[TOLD].raw.data);
    if (m[RETRY].token != JSON_ERROR)
        snprintf(out + used, size - (size_t)used, " %s", m[RETRY].token == JSON_TRUE ? "again" : "for good");
}

void play_compare(struct play *play)
{
    for (int c = 0; c < PLAY_CONNS; c++) {
        const struct pure_message *message;
        int at = 0;
        while ((message = pure_take(&play->host, (uint32_t)c)) != NULL) {
            char found[PLAY_LINE_BYTES], who[32];
            play_describe(play, message, found, sizeof found);
            if (strcmp(found, "ping") == 0)
                continue;
            snprintf(who, sizeof who, "connection %d", c);
            const char *wanted = at < play->expected_count[c] ? play->expected[c][at] : "(nothing)";
            if (strcmp(found, wanted) != 0)
                play_fail(play, who, wanted, found);
            at++;
        }
        if (at < play->expected_count[c])
            play_fail(play, "something did not come", play->expected[c][at], "(nothing)");
        play->expected_count[c] = 0;
    }
}
