/* SPDX-License-Identifier: MIT */
/* Owns what a submitter says, and what it makes of the answers. It never opens or closes a connection.
 * Called by bench_jobs.c. */
#include "bench/bare.h"
#include "bench/bench_jobs_client.h"

#include "protocol/json.h"

#include <stdlib.h>

#define MESSAGE_SPARE 512 /* of a submission beside its payload */

void submit_begin(struct jobs *jobs, struct client *client)
{
    char memory[256];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"bench-");
    buf_put_text(&text, jobs->run);
    buf_put_byte(&text, '-');
    buf_put_u64(&text, client_number(jobs, client));
    buf_put_text(&text, "\"}");
    client_put(jobs, client, &text);
}

/* Whether the run allows one more. */
static bool may_submit(const struct jobs *jobs, uint64_t now_ns)
{
    const struct options *options = jobs->options;
    const struct ledger *ledger = jobs->ledger;
    if (jobs->left == 0 || now_ns >= jobs->end_ns)
        return false;
    if (jobs->mode == JOBS_FILL)
        return true;
    if (options->lockstep &&
        (ledger->acknowledged < jobs->submitted || jobs->told < ledger->acknowledged * jobs->listeners))
        return false;
    return jobs->workers == 0 || jobs->submitted - ledger->notified < options->ahead;
}

/* What the disk takes for the same bytes at that moment. */
static bool append_bare(struct jobs *jobs)
{
    static uint8_t memory[UINT64_C(16) << 20];
    struct buf payload = buf_of(memory, sizeof memory);
    if (jobs->bare < 0)
        return true;
    ledger_put_payload(jobs->ledger, jobs->ledger->count, &payload);
    int64_t ns = bare_append(jobs->bare, payload.data, payload.used);
    if (ns < 0)
        jobs_fail(jobs, "%s: %s", jobs->options->bare, strerror((int)-ns));
    else
        histogram_record(&jobs->result->bare_ns, (uint64_t)ns);
    return ns >= 0;
}

static void submit(struct jobs *jobs, struct client *client, uint64_t now_ns)
{
    static uint8_t memory[(UINT64_C(16) << 20) + MESSAGE_SPARE];
    struct buf text = buf_of(memory, sizeof memory);
    bool fits = jobs->mode == JOBS_LOAD;
    if (fits && !append_bare(jobs))
        return;
    now_ns = jobs->bare < 0 ? now_ns : clock_monotonic_ns();
    uint32_t job = fits ? ledger_submit(jobs->ledger, now_ns) : LEDGER_NONE - 1;
    if (job == LEDGER_NONE) {
        jobs_fail(jobs, "out of memory for jobs");
        return;
    }
    buf_put_text(&text, "{\"type\":\"submit_job\",\"job_type\":\"bench\",\"requirements\":{\"service_type\":\"");
    buf_put_text(&text, fits ? "bench-" : "nobody-");
    buf_put_text(&text, jobs->run);
    buf_put_text(&text, "\"},\"payload\":");
    ledger_put_payload(jobs->ledger, fits ? job : 0, &text);
    buf_put_byte(&text, '}');
    client_put(jobs, client, &text);
    uint32_t window = (uint32_t)jobs->options->window;
    client->waiting[(client->waiting_first + client->waiting_count++) % window] = job;
    jobs->submitted += fits;
    jobs->left--;
}

void submit_more(struct jobs *jobs, struct client *client, uint64_t now_ns)
{
    if (jobs->mode != JOBS_LOAD && jobs->mode != JOBS_FILL)
        return;
    while (!jobs->failed && client->waiting_count < jobs->options->window && may_submit(jobs, now_ns))
        submit(jobs, client, now_ns);
    peer_flush(&jobs->side, &client->peer);
}

static void on_accepted(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    if (client->waiting_count == 0) {
        jobs_fail(jobs, "a submission was acknowledged that nobody has made: %.*s", (int)message->text.bytes,
                  (const char *)message->text.data);
        return;
    }
    uint32_t job = client->waiting[client->waiting_first];
    client->waiting_first = (client->waiting_first + 1) % (uint32_t)jobs->options->window;
    client->waiting_count--;
    jobs->last_ns = message->now_ns;
    if (job == LEDGER_NONE - 1)
        jobs->filled++;
    else if (!ledger_acknowledge(jobs->ledger, job, message->job_id, message->now_ns))
        jobs_fail(jobs, "a job has no id that can be kept: %.*s", (int)message->text.bytes,
                  (const char *)message->text.data);
}

/* What the worker has written: {"job":N}. */
static uint64_t number_in(struct slice result)
{
    static const char head[] = "{\"job\":";
    uint64_t number;
    if (result.bytes < sizeof head || memcmp(result.data, head, sizeof head - 1) != 0)
        return UINT64_MAX;
    struct slice digits = slice_of(result.data + sizeof head - 1, result.bytes - sizeof head);
    return json_u64(digits, &number) ? number : UINT64_MAX;
}

void submit_on_message(struct jobs *jobs, struct client *client, const struct jobs_message *message)
{
    if (slice_is(message->type, "job_accepted")) {
        on_accepted(jobs, client, message);
    } else if (slice_is(message->type, "job_completed")) {
        jobs->last_ns = message->now_ns;
        ledger_notify(jobs->ledger, number_in(message->result), message->job_id, message->now_ns);
    }
}
