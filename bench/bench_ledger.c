/* SPDX-License-Identifier: MIT */
/* Owns what is known of each job of ringcast-bench jobs, and the judgement of it. It never sends, receives or reads a
 * clock. Called by bench_jobs_submit.c and bench_jobs_work.c.
 *
 * A payload is {"job":N,"text":"..."}: the text is a piece of one random text, which piece follows from N. */
#include "bench/bench_ledger.h"

#include "core/check.h"
#include "core/random.h"

#include <errno.h>
#include <stdlib.h>

#define TEXT_SPARE 65521 /* a prime: so many different pieces */
#define STRIDE 7919
#define HEAD "{\"job\":"
#define MIDDLE ",\"text\":\""
#define TAIL "\"}"

int ledger_init(struct ledger *ledger, uint32_t payload_bytes, uint64_t seed)
{
    struct random random;
    check_op(payload_bytes, >=, LEDGER_PAYLOAD_MIN);
    memset(ledger, 0, sizeof *ledger);
    random_init(&random, seed);
    map_init(&ledger->ids, (struct siphash_key){.k0 = random_u64(&random), .k1 = random_u64(&random)});
    ledger->payload_bytes = payload_bytes;
    ledger->text = malloc((size_t)payload_bytes + TEXT_SPARE);
    if (ledger->text == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < (size_t)payload_bytes + TEXT_SPARE; i++)
        ledger->text[i] = (char)('a' + random_below(&random, 26));
    ledger_reset(ledger);
    return 0;
}

void ledger_free(struct ledger *ledger)
{
    size_t cursor = 0;
    void *id;
    while ((id = map_next(&ledger->ids, &cursor)) != NULL)
        free(id);
    map_free(&ledger->ids);
    free(ledger->jobs);
    free(ledger->text);
}

void ledger_reset(struct ledger *ledger)
{
    ledger->acknowledged = ledger->assigned = ledger->finished = ledger->notified = 0;
    histogram_init(&ledger->ack_ns);
    histogram_init(&ledger->available_ns);
    histogram_init(&ledger->notified_ns);
    histogram_init(&ledger->whole_ns);
}

uint32_t ledger_submit(struct ledger *ledger, uint64_t now_ns)
{
    if (ledger->count == ledger->capacity) {
        uint32_t capacity = ledger->capacity == 0 ? 4096 : ledger->capacity * 2;
        struct ledger_job *jobs = capacity > ledger->capacity ? realloc(ledger->jobs, capacity * sizeof *jobs) : NULL;
        if (jobs == NULL)
            return LEDGER_NONE;
        ledger->jobs = jobs;
        ledger->capacity = capacity;
    }
    ledger->jobs[ledger->count] = (struct ledger_job){.submitted_ns = now_ns};
    return ledger->count++;
}

void ledger_put_payload(const struct ledger *ledger, uint32_t job, struct buf *out)
{
    size_t begin = out->used;
    buf_put_text(out, HEAD);
    buf_put_u64(out, job);
    buf_put_text(out, MIDDLE);
    size_t left = ledger->payload_bytes - (out->used - begin) - strlen(TAIL);
    buf_put(out, slice_of(ledger->text + (size_t)job * STRIDE % TEXT_SPARE, left));
    buf_put_text(out, TAIL);
}

/* Whether it is the payload of that job; compared where it lies. */
static bool is_payload(const struct ledger *ledger, uint32_t job, struct slice payload)
{
    uint8_t memory[64];
    struct buf head = buf_of(memory, sizeof memory);
    buf_put_text(&head, HEAD);
    buf_put_u64(&head, job);
    buf_put_text(&head, MIDDLE);
    size_t text = ledger->payload_bytes - head.used - strlen(TAIL);
    return payload.bytes == ledger->payload_bytes && memcmp(payload.data, memory, head.used) == 0 &&
           memcmp(payload.data + head.used, ledger->text + (size_t)job * STRIDE % TEXT_SPARE, text) == 0 &&
           memcmp(payload.data + head.used + text, TAIL, strlen(TAIL)) == 0;
}

/* What is known of the id, which is new to us at first. NULL: no memory, or no id. */
static struct ledger_id *find_id(struct ledger *ledger, struct slice text)
{
    struct ledger_id *id = map_get(&ledger->ids, text);
    if (id != NULL)
        return id;
    if (text.bytes == 0 || text.bytes > LEDGER_ID_BYTES_MAX)
        return NULL;
    id = calloc(1, sizeof *id);
    if (id == NULL)
        return NULL;
    memcpy(id->text, text.data, text.bytes);
    id->bytes = (uint8_t)text.bytes;
    id->job = LEDGER_NONE;
    if (map_put(&ledger->ids, slice_of(id->text, id->bytes), id) == 0)
        return id;
    free(id);
    return NULL;
}

static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

bool ledger_acknowledge(struct ledger *ledger, uint32_t number, struct slice text, uint64_t now_ns)
{
    struct ledger_job *job = &ledger->jobs[number];
    struct ledger_id *id = find_id(ledger, text);
    if (id == NULL)
        return false;
    ledger->faults.doubled += id->job != LEDGER_NONE;
    id->job = number;
    job->id = id;
    ledger->acknowledged++;
    histogram_record(&ledger->ack_ns, between(job->submitted_ns, now_ns));
    if (id->available_ns != 0)
        histogram_record(&ledger->available_ns, between(job->submitted_ns, id->available_ns));
    return true;
}

bool ledger_available(struct ledger *ledger, struct slice text, uint64_t now_ns)
{
    struct ledger_id *id = find_id(ledger, text);
    if (id == NULL)
        return false;
    if (id->available_ns == 0 && id->job != LEDGER_NONE)
        histogram_record(&ledger->available_ns, between(ledger->jobs[id->job].submitted_ns, now_ns));
    id->available_ns = id->available_ns == 0 ? now_ns : id->available_ns;
    return true;
}

/* The number that a payload begins with, or LEDGER_NONE. */
static uint32_t number_of(const struct ledger *ledger, struct slice payload)
{
    size_t at = strlen(HEAD);
    uint64_t number = 0;
    if (payload.bytes <= at || memcmp(payload.data, HEAD, at) != 0)
        return LEDGER_NONE;
    for (; at < payload.bytes && payload.data[at] >= '0' && payload.data[at] <= '9' && number < UINT32_MAX; at++)
        number = number * 10 + (uint64_t)(payload.data[at] - '0');
    return number < ledger->count ? (uint32_t)number : LEDGER_NONE;
}

uint32_t ledger_assign(struct ledger *ledger, struct slice payload)
{
    uint32_t number = number_of(ledger, payload);
    if (number == LEDGER_NONE) {
        ledger->faults.unasked++;
        return LEDGER_NONE;
    }
    if (!is_payload(ledger, number, payload)) {
        ledger->faults.altered++;
        return LEDGER_NONE;
    }
    struct ledger_job *job = &ledger->jobs[number];
    ledger->faults.doubled += job->assigned;
    ledger->assigned += !job->assigned;
    job->assigned = true;
    return number;
}

void ledger_complete(struct ledger *ledger, uint32_t job, uint64_t now_ns)
{
    ledger->jobs[job].completed_ns = now_ns;
}

void ledger_finish(struct ledger *ledger, uint32_t job)
{
    ledger->finished += !ledger->jobs[job].finished;
    ledger->jobs[job].finished = true;
}

bool ledger_notify(struct ledger *ledger, uint64_t number, struct slice text, uint64_t now_ns)
{
    if (number >= ledger->count) {
        ledger->faults.unasked++;
        return false;
    }
    struct ledger_job *job = &ledger->jobs[number];
    if (job->id == NULL || job->completed_ns == 0 || !slice_equal(slice_of(job->id->text, job->id->bytes), text)) {
        ledger->faults.altered++;
        return false;
    }
    if (job->notified) {
        ledger->faults.doubled++;
        return false;
    }
    job->notified = true;
    ledger->notified++;
    histogram_record(&ledger->notified_ns, between(job->completed_ns, now_ns));
    histogram_record(&ledger->whole_ns, between(job->submitted_ns, now_ns));
    return true;
}

void ledger_close(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct ledger_job *job = &ledger->jobs[i];
        ledger->faults.lost += job->id != NULL && !(job->finished && job->notified);
    }
}
