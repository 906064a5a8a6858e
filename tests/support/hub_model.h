/* SPDX-License-Identifier: MIT */
/* The reference model of the states of jobs (requirements 4.8), written the long way, and a play of clients, workers and a monitor
 * against the dialect emprops in which every message that anybody gets must be the one that the model foretells. Jobs are an array that
 * is searched, time is one list of what is due. Who decides what happens next is the caller: a seed or a fuzzer's input.
 *
 * The players: clients 0 and 1 are registered, 2 is not; workers are 3 to 6; 7 is a monitor that hears of everything. */
#ifndef RINGCAST_TESTS_HUB_MODEL_H
#define RINGCAST_TESTS_HUB_MODEL_H

#include "protocol/json.h"
#include "tests/unit/protocol/pure_client.h"

#include <stdarg.h>

#define PLAY_CLIENTS 3
#define PLAY_WORKERS 4
#define PLAY_MONITOR (PLAY_CLIENTS + PLAY_WORKERS)
#define PLAY_CONNS (PLAY_MONITOR + 1)
#define PLAY_JOBS_MAX 512
#define PLAY_EXPECTED_MAX 4096
#define PLAY_ATTEMPTS_MAX 3
#define PLAY_RETRY_MS 2000
#define PLAY_GRACE_MS 3000
#define PLAY_LINE_BYTES 200

enum play_status { P_QUEUED, P_DELAYED, P_ASSIGNED, P_WORKING, P_COMPLETED, P_FAILED, P_CANCELLED };

struct play_job {
    char id[20];
    int priority, kind, need; /* need: 0 none, 1 "a", 2 "b" */
    int owner;                /* client; -1: a connection that is gone */
    enum play_status status;
    bool accepted;
    int attempts, worker, expired, missing;
    uint64_t due_ms; /* claim time-out or retry; 0: none */
    uint64_t claim_ms, set;
};

struct play_worker {
    bool alive, connected, listens;
    int free;
    uint64_t due_ms, set; /* the end of its grace; 0: none */
};

struct play {
    struct pure_host host;
    uint32_t (*choose)(void *context, uint32_t bound);
    void *context;
    struct play_job jobs[PLAY_JOBS_MAX];
    int job_count;
    struct play_worker workers[PLAY_WORKERS];
    bool there[PLAY_CONNS];
    char expected[PLAY_CONNS][PLAY_EXPECTED_MAX / 32][PLAY_LINE_BYTES];
    int expected_count[PLAY_CONNS];
    uint64_t sets;
    bool ambiguous; /* two timers for the same moment, set at different times: their order is nobody's promise */
    char error[2048];
    char last[640]; /* what was done last */
};

/* --- what is foretold ---------------------------------------------------------------------------------------------- */

static const char *const play_names[] = {"queued",    "queued", "assigned", "in_progress",
                                         "completed", "failed", "cancelled"};

static inline void play_fail(struct play *play, const char *what, const char *expected, const char *found)
{
    if (play->error[0] == '\0')
        snprintf(play->error, sizeof(play->error), "after %s: %s\n  expected %s\n  found    %s", play->last, what,
                 expected, found);
}

__attribute__((format(printf, 3, 4))) static inline void play_expect(struct play *play, int conn, const char *format,
                                                                     ...)
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

static inline int play_worker_conn(int worker)
{
    return PLAY_CLIENTS + worker;
}

/* A change that those who follow the job see. */
static inline void play_tell(struct play *play, int job, const char *status, const char *previous, bool first)
{
    const struct play_job *one = &play->jobs[job];
    if (!first && one->owner >= 0)
        play_expect(play, one->owner, "job_update %d %s<%s", job, status, previous);
    play_expect(play, PLAY_MONITOR, "job_update %d %s<%s", job, status, previous);
}

static inline bool play_can(int worker, int need)
{
    /* worker 0: a; 1: a and b; 2: b; 3: nothing */
    return need == 0 || (need == 1 && worker <= 1) || (need == 2 && (worker == 1 || worker == 2));
}

static inline bool play_hears(const struct play *play, int worker)
{
    const struct play_worker *one = &play->workers[worker];
    return one->alive && one->connected && one->listens && one->free > 0;
}

static inline bool play_before(const struct play_job *a, const struct play_job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a < b;
}

/* The claimable job that comes first for the worker, behind `after` when not NULL; -1: none. A preferred kind: -1 none. */
static inline int play_best(const struct play *play, int worker, const struct play_job *after, int preferred)
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

static inline int play_position(const struct play *play, int job)
{
    int position = 1;
    for (int i = 0; i < play->job_count; i++)
        if (i != job && play->jobs[i].status == P_QUEUED && play_before(&play->jobs[i], &play->jobs[job]))
            position++;
    return position;
}

/* E-60; how many hear of it. */
static inline int play_offer(struct play *play, int job)
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

/* E-50 */
static inline void play_offer_waiting(struct play *play, int worker)
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

static inline void play_set_timer(struct play *play, uint64_t *due, uint64_t *set, uint64_t after_ms)
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

static inline void play_release(struct play *play, int job)
{
    struct play_job *one = &play->jobs[job];
    if (one->worker >= 0)
        play->workers[one->worker].free++;
    one->worker = -1;
    one->due_ms = 0;
    one->missing = 0;
}

/* --- what happens in the model ------------------------------------------------------------------------------------- */

static inline void play_accept(struct play *play, int job)
{
    struct play_job *one = &play->jobs[job];
    if (one->status != P_ASSIGNED || one->accepted)
        return;
    one->accepted = true;
    one->attempts++;
    one->due_ms = 0;
    play_tell(play, job, "assigned", "queued", false);
}

static inline const char *play_seen(const struct play_job *job)
{
    return job->status == P_ASSIGNED && !job->accepted ? "queued" : play_names[job->status];
}

/* The worker does not do it any more (E-96). */
static inline void play_lose(struct play *play, int job)
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

/* The latest that it took first, as the hub holds them. */
static inline void play_die(struct play *play, int worker)
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

static inline void play_timer(struct play *play, int job, int worker)
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

/* Everything that is due up to `until`, earliest first. */
static inline void play_time(struct play *play, uint64_t until)
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

/* --- what really comes ----------------------------------------------------------------------------------------------- */

static inline int play_job_named(const struct play *play, struct slice id)
{
    for (int i = 0; i < play->job_count; i++)
        if (slice_is(id, play->jobs[i].id))
            return i;
    return -1;
}

/* A message in the words of the model. */
static inline void play_describe(const struct play *play, const struct pure_message *message, char *out, size_t size)
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

/* All that has come against all that was foretold, connection by connection. */
static inline void play_compare(struct play *play)
{
    for (int c = 0; c < PLAY_CONNS; c++) {
        const struct pure_message *message;
        int at = 0;
        while ((message = pure_take(&play->host, (uint32_t)c)) != NULL) {
            char found[PLAY_LINE_BYTES], who[32];
            play_describe(play, message, found, sizeof(found));
            if (strcmp(found, "ping") == 0)
                continue;
            snprintf(who, sizeof(who), "connection %d", c);
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

/* --- steps ------------------------------------------------------------------------------------------------------------- */

static inline uint32_t play_choose(struct play *play, uint32_t bound)
{
    return play->choose(play->context, bound);
}

__attribute__((format(printf, 3, 4))) static inline void play_say(struct play *play, int conn, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(play->last, sizeof(play->last), "%llu ms: %d> %s", (unsigned long long)play->host.now_ms, conn, text);
    pure_send_text(&play->host, (uint32_t)conn, text);
}

static inline void play_connect(struct play *play, int conn)
{
    pure_connect(&play->host, (uint32_t)conn, "/", "");
    play->there[conn] = true;
    play_expect(play, conn, "connection_established");
}

static inline void play_come_worker(struct play *play, int worker)
{
    static const char *const services[] = {"\"a\"", "\"a\",\"b\"", "\"b\"", ""};
    struct play_worker *one = &play->workers[worker];
    int conn = play_worker_conn(worker), slots = 1 + (int)play_choose(play, 3);
    bool listens = worker != 3;
    play_connect(play, conn);
    one->alive = one->connected = true;
    one->listens = listens;
    one->free = slots;
    one->due_ms = 0;
    play_expect(play, conn, "worker_registered");
    play_offer_waiting(play, worker);
    play_say(play, conn,
             "{\"type\":\"register_worker\",\"worker_id\":\"w%d\",\"capabilities\":{\"services\":[%s]},"
             "\"subscribe_to_jobs\":%s,\"available_slots\":%d}",
             worker, services[worker], listens ? "true" : "false", slots);
}

static inline void play_come_client(struct play *play, int client)
{
    play_connect(play, client);
    if (client == 2)
        return;
    play_expect(play, client, "client_registered");
    play_say(play, client, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"c%d\"}",
             client);
}

static inline void play_come_all(struct play *play)
{
    for (int c = 0; c < PLAY_CLIENTS; c++)
        play_come_client(play, c);
    play_connect(play, PLAY_MONITOR);
    play_expect(play, PLAY_MONITOR, "job_notifications_subscribed");
    play_say(play, PLAY_MONITOR, "{\"type\":\"subscribe_job_notifications\"}");
    for (int w = 0; w < PLAY_WORKERS; w++)
        play_come_worker(play, w);
}

static inline void play_submit(struct play *play)
{
    static const int priorities[] = {10, 50, 90};
    static const char *const needs[] = {"", ",\"requirements\":{\"service_type\":\"a\"}",
                                        ",\"requirements\":{\"service_type\":\"b\"}"};
    int client = (int)play_choose(play, PLAY_CLIENTS), job = play->job_count;
    if (!play->there[client] || job == PLAY_JOBS_MAX)
        return;
    struct play_job *one = &play->jobs[job];
    *one = (struct play_job){.priority = priorities[play_choose(play, 3)],
                             .kind = (int)play_choose(play, 2),
                             .need = (int)play_choose(play, 3),
                             .owner = client,
                             .worker = -1,
                             .expired = -1};
    size_t before = play->host.conns[client].inbox_count;
    play_say(play, client, "{\"type\":\"submit_job\",\"job_type\":\"k%d\",\"priority\":%d,\"payload\":{\"n\":%d}%s}",
             one->kind, one->priority, job, needs[one->need]);
    const struct pure_conn *conn = &play->host.conns[client];
    struct json_member id = {.name = "job_id"};
    if (conn->inbox_count == before)
        return;
    const struct pure_message *reply = &conn->inbox[before];
    if (json_find_members(slice_of(reply->data, reply->bytes), JSON_DEPTH_MAX, false, &id, 1) == JSON_MEMBERS_OK &&
        id.raw.bytes < sizeof(one->id))
        memcpy(one->id, id.raw.data, id.raw.bytes);
    play->job_count++;
    int told = play_offer(play, job);
    play_expect(play, client, "job_accepted %d at %d told %d", job, play_position(play, job), told);
    play_tell(play, job, "queued", "null", true);
}

static inline void play_claim(struct play *play)
{
    int worker = (int)play_choose(play, PLAY_WORKERS), most = 1 + (int)play_choose(play, 3);
    int preferred = (int)play_choose(play, 3) - 1, conn = play_worker_conn(worker), taken = 0;
    uint32_t timeout = 1000 + play_choose(play, 3000);
    struct play_worker *one = &play->workers[worker];
    if (!one->connected)
        return;
    bool heard = play_hears(play, worker);
    for (; taken < most; taken++) {
        int job = play_best(play, worker, NULL, preferred);
        if (job < 0)
            break;
        struct play_job *claimed = &play->jobs[job];
        claimed->status = P_ASSIGNED;
        claimed->accepted = false;
        claimed->worker = worker;
        claimed->claim_ms = play->host.now_ms;
        claimed->missing = 0;
        play_set_timer(play, &claimed->due_ms, &claimed->set, timeout);
        one->free--;
        play_expect(play, conn, "job_assigned %d", job);
    }
    (void)heard;
    if (taken == 0)
        play_expect(play, conn, "ack no_job_available");
    char types[40] = "";
    if (preferred >= 0)
        snprintf(types, sizeof(types), ",\"preferred_types\":[\"k%d\"]", preferred);
    play_say(play, conn, "{\"type\":\"claim_job\",\"worker_id\":\"w%d\",\"max_jobs\":%d,\"claim_timeout\":%u%s}",
             worker, most, timeout, types);
}

/* A job that the worker holds, mostly, else any; -1: there is none. */
static inline int play_pick(struct play *play, int worker)
{
    int held[PLAY_JOBS_MAX], count = 0;
    for (int i = 0; i < play->job_count; i++)
        if (play->jobs[i].worker == worker && play->jobs[i].status < P_COMPLETED)
            held[count++] = i;
    if (count > 0 && play_choose(play, 5) > 0)
        return held[play_choose(play, (uint32_t)count)];
    return play->job_count == 0 ? -1 : (int)play_choose(play, (uint32_t)play->job_count);
}

/* NULL when the worker holds the job, else the error that it gets (E-89, E-91 to E-94). */
static inline const char *play_refusal(const struct play_job *job, int worker, bool acceptance)
{
    if (job->status == P_CANCELLED)
        return "error JOB_CANCELLED";
    if (job->worker == worker && (job->status == P_ASSIGNED || job->status == P_WORKING))
        return NULL;
    if (acceptance && job->status < P_COMPLETED && job->expired == worker)
        return "error CLAIM_EXPIRED";
    return "error JOB_NOT_ASSIGNED";
}

static inline void play_work(struct play *play)
{
    static const char *const types[] = {"job_accepted_by_worker", "update_job_progress", "complete_job", "fail_job"};
    static const char *const extra[] = {"", ",\"progress\":50", ",\"result\":{\"success\":true}", ",\"error\":\"e\""};
    int worker = (int)play_choose(play, PLAY_WORKERS), what = (int)play_choose(play, 4),
        conn = play_worker_conn(worker);
    int job = play_pick(play, worker);
    if (job < 0 || !play->workers[worker].connected)
        return;
    struct play_job *one = &play->jobs[job];
    const char *refusal = play_refusal(one, worker, what == 0);
    bool heard = play_hears(play, worker), retry = play_choose(play, 4) > 0, frees = false;
    if (refusal != NULL && what == 2 && one->status == P_COMPLETED && one->worker == worker) {
        play_expect(play, conn, "job_completed_ack %d", job); /* E-39 */
    } else if (refusal != NULL) {
        play_expect(play, conn, "%s", refusal);
    } else if (what == 0) {
        play_accept(play, job);
    } else if (what == 1) {
        play_accept(play, job);
        play_tell(play, job, "in_progress", play_names[one->status], false);
        one->status = P_WORKING;
    } else if (what == 2) {
        play_accept(play, job);
        play_expect(play, conn, "job_completed_ack %d", job);
        if (one->owner >= 0)
            play_expect(play, one->owner, "job_completed %d", job);
        play_expect(play, PLAY_MONITOR, "job_completed %d", job);
        play_release(play, job);
        one->worker = worker;
        one->status = P_COMPLETED;
        frees = true;
    } else {
        play_accept(play, job);
        bool again = retry && one->attempts < PLAY_ATTEMPTS_MAX;
        play_expect(play, conn, "job_failed_ack %d %s", job, again ? "again" : "for good");
        play_tell(play, job, again ? "queued" : "failed", play_seen(one), false);
        play_release(play, job);
        one->status = again ? P_DELAYED : P_FAILED;
        one->worker = again ? -1 : worker;
        if (again)
            play_set_timer(play, &one->due_ms, &one->set, PLAY_RETRY_MS);
        frees = true;
    }
    if (frees && !heard)
        play_offer_waiting(play, worker);
    play_say(play, conn, "{\"type\":\"%s\",\"job_id\":\"%s\",\"worker_id\":\"w%d\"%s%s}", types[what], one->id, worker,
             extra[what], what == 3 && !retry ? ",\"retry\":false" : "");
}

static inline void play_cancel(struct play *play)
{
    int client = (int)play_choose(play, PLAY_CLIENTS);
    if (!play->there[client] || play->job_count == 0)
        return;
    int job = (int)play_choose(play, (uint32_t)play->job_count);
    struct play_job *one = &play->jobs[job];
    if (one->status == P_COMPLETED || one->status == P_FAILED) {
        play_expect(play, client, "error JOB_NOT_CANCELLABLE");
    } else {
        play_expect(play, client, "job_cancelled %d", job);
        int worker = one->worker;
        bool heard = worker >= 0 && play_hears(play, worker);
        if (one->status != P_CANCELLED) {
            if (worker >= 0 && play->workers[worker].connected)
                play_expect(play, play_worker_conn(worker), "job_cancelled %d", job);
            if (one->owner >= 0 && one->owner != client)
                play_expect(play, one->owner, "job_update %d cancelled<%s", job, play_seen(one));
            play_expect(play, PLAY_MONITOR, "job_update %d cancelled<%s", job, play_seen(one));
            play_release(play, job);
            one->status = P_CANCELLED;
            if (worker >= 0 && !heard)
                play_offer_waiting(play, worker);
        }
    }
    play_say(play, client, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", one->id);
}

static inline void play_ask(struct play *play)
{
    int client = (int)play_choose(play, PLAY_CLIENTS);
    if (!play->there[client] || play->job_count == 0)
        return;
    int job = (int)play_choose(play, (uint32_t)play->job_count);
    const struct play_job *one = &play->jobs[job];
    if (one->status == P_QUEUED)
        play_expect(play, client, "response_job_status %d queued at %d", job, play_position(play, job));
    else
        play_expect(play, client, "response_job_status %d %s", job, play_names[one->status]);
    play_say(play, client, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", one->id);
}

/* A client or a worker comes or goes. */
static inline void play_come_or_go(struct play *play)
{
    int conn = (int)play_choose(play, PLAY_MONITOR), worker = conn - PLAY_CLIENTS;
    if (play->there[conn] && play_choose(play, 4) == 0 && worker >= 0) {
        play->there[conn] = false; /* what is said to it now is not heard */
        play_die(play, worker);    /* */
        play->there[conn] = true;
        play_say(play, conn, "{\"type\":\"disconnect\"}");
        play->there[conn] = false;
    } else if (play->there[conn]) {
        snprintf(play->last, sizeof(play->last), "%d closes", conn);
        play->there[conn] = false;
        if (worker >= 0) {
            play->workers[worker].connected = false;
            play_set_timer(play, &play->workers[worker].due_ms, &play->workers[worker].set, PLAY_GRACE_MS);
        }
        for (int i = 0; i < play->job_count; i++)
            if (conn == 2 && play->jobs[i].owner == 2)
                play->jobs[i].owner = -1; /* E-28: bound to the connection */
        pure_disconnect(&play->host, (uint32_t)conn);
    } else if (worker >= 0) {
        play_come_worker(play, worker);
    } else {
        play_come_client(play, conn);
    }
}

static inline void play_wait(struct play *play, uint32_t ms)
{
    play_time(play, play->host.now_ms + ms);
    snprintf(play->last, sizeof(play->last), "%u ms from %llu", ms, (unsigned long long)play->host.now_ms);
    pure_advance(&play->host, ms);
}

/* The process is killed and begins again from what is on the disk (E-84). */
static inline void play_restart(struct play *play)
{
    snprintf(play->last, sizeof(play->last), "a restart");
    pure_crash(&play->host);
    memset(play->there, 0, sizeof(play->there));
    for (int w = 0; w < PLAY_WORKERS; w++)
        play->workers[w] = (struct play_worker){.free = 0};
    for (int i = 0; i < play->job_count; i++) {
        struct play_job *one = &play->jobs[i];
        if (one->owner == 2)
            one->owner = -1;
        one->expired = -1;
        if (one->status == P_ASSIGNED || one->status == P_WORKING) {
            one->status = P_QUEUED;
            one->worker = -1;
            one->due_ms = 0;
        }
        if (one->status == P_DELAYED)
            one->set = ++play->sets;
    }
    play_come_all(play);
}

/* One of the things that change jobs. */
static inline void play_change(struct play *play, uint32_t what)
{
    if (what < 8)
        play_submit(play);
    else if (what < 14)
        play_claim(play);
    else if (what < 25)
        play_work(play);
    else
        play_cancel(play);
}

/* The process is killed before what somebody has asked for is on the disk: nothing of it was said, and nothing of it has been. */
static inline void play_torn(struct play *play)
{
    static struct play_job jobs[PLAY_JOBS_MAX];
    int count = play->job_count;
    memcpy(jobs, play->jobs, sizeof(jobs));
    pure_hold(&play->host, true);
    play_change(play, play_choose(play, 27));
    for (int c = 0; c < PLAY_CONNS; c++) {
        if (pure_take(&play->host, (uint32_t)c) != NULL)
            play_fail(play, "something was said before it was kept", "(nothing)", play->last);
        play->expected_count[c] = 0;
    }
    memcpy(play->jobs, jobs, sizeof(jobs));
    play->job_count = count;
    play_restart(play);
}

/* --- the play -------------------------------------------------------------------------------------------------------- */

static inline void play_begin(struct play *play)
{
    pure_init(&play->host, "emprops");
    pure_set(&play->host, "retry_delay", "2s");
    pure_set(&play->host, "worker_grace", "3s");
    pure_set(&play->host, "heartbeat_interval", "24h");
    pure_set(&play->host, "queue_threshold", "100000");
    pure_set(&play->host, "messages_max", "0");
    pure_set(&play->host, "unmatched_after", "24h");
    if (play_choose(play, 2) == 1)
        pure_set(&play->host, "cache", "0"); /* then every payload is read for its claim */
    pure_start(&play->host);
    play_come_all(play);
    play_compare(play);
}

/* One step, and whether all is as foretold. False: play->error says what was not, or the play is ambiguous. */
static inline bool play_step(struct play *play)
{
    uint32_t what = play_choose(play, 32);
    if (play_choose(play, 4) == 0)
        play_wait(play, 1 + play_choose(play, 1500));
    else
        play_wait(play, 1);
    play_compare(play);
    if (play->ambiguous || play->error[0] != '\0')
        return false;
    uint32_t end = what < 31 ? 0 : play_choose(play, 8);
    if (what < 27)
        play_change(play, what);
    else if (what < 29)
        play_ask(play);
    else if (what < 31)
        play_come_or_go(play);
    else if (end == 0)
        play_restart(play);
    else if (end == 1)
        play_torn(play);
    play_compare(play);
    return !play->ambiguous && play->error[0] == '\0';
}

/* At the end every job is what the model says. */
static inline void play_end(struct play *play)
{
    for (int i = 0; i < play->job_count && play->error[0] == '\0' && !play->ambiguous; i++) {
        const struct play_job *one = &play->jobs[i];
        if (!play->there[0])
            play_come_client(play, 0);
        if (one->status == P_QUEUED)
            play_expect(play, 0, "response_job_status %d queued at %d", i, play_position(play, i));
        else
            play_expect(play, 0, "response_job_status %d %s", i, play_names[one->status]);
        play_say(play, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", one->id);
        play_compare(play);
    }
    pure_close(&play->host);
}

#endif
