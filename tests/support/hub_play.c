/* SPDX-License-Identifier: MIT */
/* Owns the steps of a play (hub_play.h): each tells the model what happens, and then makes it happen. It never judges
 * what comes of it: that is the model's. Used by the unit tests of the hub and by fuzz/hub.c. */
#include "tests/support/hub_play.h"

#include "protocol/json.h"

#include <stdarg.h>
#include <stdio.h>

/* --- steps -------------------------------------------------------------------------------------------------------- */

static uint32_t play_choose(struct play *play, uint32_t bound)
{
    return play->choose(play->context, bound);
}

__attribute__((format(printf, 3, 4))) static void play_say(struct play *play, int conn, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(play->last, sizeof play->last, "%llu ms: %d> %s", (unsigned long long)play->host.now_ms, conn, text);
    pure_send_text(&play->host, (uint32_t)conn, text);
}

static void play_connect(struct play *play, int conn)
{
    pure_connect(&play->host, (uint32_t)conn, "/", "");
    play->there[conn] = true;
    play_expect(play, conn, "connection_established");
}

static void play_come_worker(struct play *play, int worker)
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

static void play_come_client(struct play *play, int client)
{
    play_connect(play, client);
    if (client == 2)
        return;
    play_expect(play, client, "client_registered");
    play_say(play, client, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"c%d\"}",
             client);
}

static void play_come_all(struct play *play)
{
    for (int c = 0; c < PLAY_CLIENTS; c++)
        play_come_client(play, c);
    play_connect(play, PLAY_MONITOR);
    play_expect(play, PLAY_MONITOR, "job_notifications_subscribed");
    play_say(play, PLAY_MONITOR, "{\"type\":\"subscribe_job_notifications\"}");
    for (int w = 0; w < PLAY_WORKERS; w++)
        play_come_worker(play, w);
}

static void play_submit(struct play *play)
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
        id.raw.bytes < sizeof one->id)
        memcpy(one->id, id.raw.data, id.raw.bytes);
    play->job_count++;
    int told = play_offer(play, job);
    play_expect(play, client, "job_accepted %d at %d told %d", job, play_position(play, job), told);
    play_tell(play, job, "queued", "null", true);
}

static void play_claim(struct play *play)
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
        snprintf(types, sizeof types, ",\"preferred_types\":[\"k%d\"]", preferred);
    play_say(play, conn, "{\"type\":\"claim_job\",\"worker_id\":\"w%d\",\"max_jobs\":%d,\"claim_timeout\":%u%s}",
             worker, most, timeout, types);
}

/* A job that the worker holds, mostly, else any; -1: there is none. */
static int play_pick(struct play *play, int worker)
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
static const char *play_refusal(const struct play_job *job, int worker, bool acceptance)
{
    if (job->status == P_CANCELLED)
        return "error JOB_CANCELLED";
    if (job->worker == worker && (job->status == P_ASSIGNED || job->status == P_WORKING))
        return NULL;
    if (acceptance && job->status < P_COMPLETED && job->expired == worker)
        return "error CLAIM_EXPIRED";
    return "error JOB_NOT_ASSIGNED";
}

static void play_work(struct play *play)
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

static void play_cancel(struct play *play)
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

static void play_ask(struct play *play)
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
static void play_come_or_go(struct play *play)
{
    int conn = (int)play_choose(play, PLAY_MONITOR), worker = conn - PLAY_CLIENTS;
    if (play->there[conn] && play_choose(play, 4) == 0 && worker >= 0) {
        play->there[conn] = false; /* what is said to it now is not heard */
        play_die(play, worker);    /* */
        play->there[conn] = true;
        play_say(play, conn, "{\"type\":\"disconnect\"}");
        play->there[conn] = false;
    } else if (play->there[conn]) {
        snprintf(play->last, sizeof play->last, "%d closes", conn);
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

static void play_wait(struct play *play, uint32_t ms)
{
    play_time(play, play->host.now_ms + ms);
    snprintf(play->last, sizeof play->last, "%u ms from %llu", ms, (unsigned long long)play->host.now_ms);
    pure_advance(&play->host, ms);
}

/* The process is killed and begins again from what is on the disk (E-84). */
static void play_restart(struct play *play)
{
    snprintf(play->last, sizeof play->last, "a restart");
    pure_crash(&play->host);
    memset(play->there, 0, sizeof play->there);
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
static void play_change(struct play *play, uint32_t what)
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

/* The process is killed before what somebody has asked for is on the disk: nothing of it was said, and nothing of it
 * has been. */
static void play_torn(struct play *play)
{
    static struct play_job jobs[PLAY_JOBS_MAX];
    int count = play->job_count;
    memcpy(jobs, play->jobs, sizeof jobs);
    pure_hold(&play->host, true);
    play_change(play, play_choose(play, 27));
    for (int c = 0; c < PLAY_CONNS; c++) {
        if (pure_take(&play->host, (uint32_t)c) != NULL)
            play_fail(play, "something was said before it was kept", "(nothing)", play->last);
        play->expected_count[c] = 0;
    }
    memcpy(play->jobs, jobs, sizeof jobs);
    play->job_count = count;
    play_restart(play);
}

/* --- the play ----------------------------------------------------------------------------------------------------- */

void play_begin(struct play *play)
{
    pure_init_for(&play->host, pure_dialect("emprops"), PLAY_CONNS);
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

bool play_step(struct play *play)
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

void play_end(struct play *play)
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
