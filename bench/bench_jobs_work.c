/* SPDX-License-Identifier: MIT */
/* Owns what workers and listeners say, and what they make of the answers: a worker claims a job, may accept it,
 * completes it and claims the next one. It never opens or closes a connection. Called by bench_jobs.c.
 *
 *   NONE --claim--> CLAIMING --job--> ACCEPTING (--accept) --> ENDING --acknowledged--> NONE, at once CLAIMING again
 *                   with --eager the claim goes out with the completion: ENDING --acknowledged--> CLAIMING
 *                   CLAIMING --no job--> NONE until told of one, or with --poll until so long after */
#include "bench/bench_jobs_client.h"

#include "core/clock.h"

#define MESSAGE_BYTES 512

static void put_worker(struct jobs *jobs, const struct client *client, struct buf *text)
{
    buf_put_text(text, "\"worker_id\":\"bench-");
    buf_put_text(text, jobs->run);
    buf_put_byte(text, '-');
    buf_put_u64(text, client_number(jobs, client));
    buf_put_byte(text, '"');
}

static void put_job(const struct client *client, struct buf *text)
{
    buf_put_text(text, ",\"job_id\":\"");
    buf_put(text, slice_of(client->id, client->id_bytes));
    buf_put_byte(text, '"');
}

static bool listens(const struct jobs *jobs, const struct client *client)
{
    return client->role == CLIENT_LISTENER || jobs->options->poll_ms == 0;
}

void work_begin(struct jobs *jobs, struct client *client)
{
    char memory[MESSAGE_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"register_worker\",");
    put_worker(jobs, client, &text);
    buf_put_text(&text, ",\"capabilities\":{\"services\":[\"bench-");
    buf_put_text(&text, jobs->run);
    buf_put_text(&text, "\"]},\"status\":\"idle\",\"subscribe_to_jobs\":");
    buf_put_text(&text, listens(jobs, client) ? "true}" : "false}");
    client_put(jobs, client, &text);
}

void work_heartbeat(struct jobs *jobs, struct client *client)
{
    char memory[MESSAGE_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"worker_heartbeat\",");
    put_worker(jobs, client, &text);
    buf_put_text(&text, ",\"current_jobs\":[");
    if (client->work == WORK_ACCEPTING || client->work == WORK_ENDING) {
        buf_put_byte(&text, '"');
        buf_put(&text, slice_of(client->id, client->id_bytes));
        buf_put_byte(&text, '"');
    }
    buf_put_text(&text, "]}");
    client_put(jobs, client, &text);
    peer_flush(&jobs->side, &client->peer);
}

static void claim(struct jobs *jobs, struct client *client, uint64_t now_ns)
{
    char memory[MESSAGE_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"claim_job\",");
    put_worker(jobs, client, &text);
    buf_put_text(&text, ",\"max_jobs\":1}");
    client_put(jobs, client, &text);
    client->work = WORK_CLAIMING;
    client->told = false;
    client->claimed_ns = now_ns;
}

static void complete(struct jobs *jobs, struct client *client)
{
    char memory[MESSAGE_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"complete_job\",");
    put_worker(jobs, client, &text);
    put_job(client, &text);
    buf_put_text(&text, ",\"result\":{\"job\":");
    buf_put_u64(&text, client->job);
    buf_put_text(&text, "}}");
    client_put(jobs, client, &text);
    uint64_t now_ns = clock_monotonic_ns();
    ledger_complete(jobs->ledger, client->job, now_ns);
    client->eager = jobs->options->eager && jobs->mode == JOBS_LOAD;
    if (client->eager)
        claim(jobs, client, now_ns);
    client->work = WORK_ENDING;
}

static void accept_job(struct jobs *jobs, struct client *client)
{
    char memory[MESSAGE_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"job_accepted_by_worker\",\"id\":1,");
    put_worker(jobs, client, &text);
    put_job(client, &text);
    buf_put_byte(&text, '}');
    client_put(jobs, client, &text);
    client->work = WORK_ACCEPTING;
}

void work_more(struct jobs *jobs, struct client *client, uint64_t now_ns)
{
    if (client->role == CLIENT_WORKER && client->work == WORK_NONE) {
        if (jobs->mode == JOBS_CLAIMS && jobs->left > 0) {
            jobs->left--;
            claim(jobs, client, now_ns);
        } else if (jobs->mode == JOBS_LOAD && (client->told || now_ns >= client->due_ns)) {
            claim(jobs, client, now_ns);
        }
    }
    peer_flush(&jobs->side, &client->peer);
}

static void on_empty(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    const uint64_t poll_ns = jobs->options->poll_ms * 1000000;
    client->work = WORK_NONE;
    client->due_ns = poll_ns > 0 ? message->now_ns + poll_ns : UINT64_MAX;
    if (jobs->mode != JOBS_CLAIMS) {
        jobs->result->empty++;
        return;
    }
    jobs->claims->count++;
    histogram_record(&jobs->claims->ns, message->now_ns - client->claimed_ns);
}

static void on_assigned(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    uint32_t job = ledger_assign(jobs->ledger, message->payload);
    if (job == LEDGER_NONE || client->work != WORK_CLAIMING || message->job_id.bytes > sizeof client->id) {
        jobs_fail(jobs, "a worker got a job that it cannot do: %.*s", (int)message->text.bytes,
                  (const char *)message->text.data);
        return;
    }
    histogram_record(&jobs->result->claim_ns, message->now_ns - client->claimed_ns);
    client->job = job;
    client->id_bytes = (uint8_t)message->job_id.bytes;
    memcpy(client->id, message->job_id.data, message->job_id.bytes);
    if (jobs->options->accept)
        accept_job(jobs, client);
    else
        complete(jobs, client);
}

/* A listener that joins its channel may be told of one job twice. */
static void on_available(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    client->told = true;
    if (jobs->mode != JOBS_LOAD)
        return;
    if (!ledger_available(jobs->ledger, message->job_id, message->now_ns))
        jobs_fail(jobs, "a job has no id that can be kept: %.*s", (int)message->text.bytes,
                  (const char *)message->text.data);
    if (client->role != CLIENT_LISTENER || slice_equal(slice_of(client->id, client->id_bytes), message->job_id) ||
        message->job_id.bytes > sizeof client->id)
        return;
    client->id_bytes = (uint8_t)message->job_id.bytes;
    memcpy(client->id, message->job_id.data, message->job_id.bytes);
    jobs->told++;
}

static void on_ended(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    ledger_finish(jobs->ledger, client->job);
    jobs->last_ns = message->now_ns;
    client->work = client->eager ? WORK_CLAIMING : WORK_NONE;
    client->due_ns = 0;
}

void work_on_message(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    if (slice_is(message->type, "job_available"))
        on_available(jobs, client, message);
    else if (slice_is(message->type, "job_assigned"))
        on_assigned(jobs, client, message);
    else if (slice_is(message->type, "job_completed_ack") && client->work == WORK_ENDING)
        on_ended(jobs, client, message);
    else if (slice_is(message->type, "ack") && slice_is(message->original, "claim_job"))
        on_empty(jobs, client, message);
    else if (slice_is(message->type, "ack") && client->work == WORK_ACCEPTING)
        complete(jobs, client);
}
