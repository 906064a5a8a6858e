/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-queues: the load of bench/compare-jobs on the queues that are not ringcast, job by job
 * verified like ringcast-bench jobs, and the bare append and sync that limits all of them. Each submitter and each
 * worker is a thread with a connection of its own, as users' programs are. Called by the script.
 *
 *     ringcast-queues --queue beanstalkd --address 11300 --messages 1000
 *     ringcast-queues --queue bare --address /var/tmp/bare --messages 100     one thread, which only puts */
#include "bench/bare.h"
#include "bench/bench_ledger.h"
#include "bench/queues.h"
#include "bench/tool.h"

#include "core/check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define SIZE_MAX_BYTES (1U << 20)
#define EMPTY_NS 1000000 /* a worker that found no job asks again so long after */
#define STACK_BYTES (256U << 10)

struct options {
    char *address;
    char *json;
    uint32_t queue; /* of `names` */
    uint64_t submitters;
    uint64_t workers;
    uint64_t messages;
    uint64_t bytes;
};

#define AT(field) offsetof(struct options, field)

static const char *const names[] = {"bare", "beanstalkd", "postgresql", NULL};

static const struct option rows[] = {
    OPTION("queue", CHOICE, AT(queue), "bare", .choices = names, .doc = "bare, beanstalkd or postgresql"),
    OPTION("address", TEXT, AT(address), "",
           .doc = "of beanstalkd a port of 127.0.0.1, of postgresql what libpq takes, of bare a file that is made"),
    OPTION("submitters", COUNT, AT(submitters), "64", .min = 1, .max = 1024, .doc = "threads that put"),
    OPTION("workers", COUNT, AT(workers), "64", .max = 1024, .doc = "threads that take and finish"),
    OPTION("messages", COUNT, AT(messages), "1000", .min = 1, .max = 100000000, .doc = "jobs of all"),
    OPTION("size", COUNT, AT(bytes), "1024", .min = LEDGER_PAYLOAD_MIN, .max = SIZE_MAX_BYTES, .doc = "bytes of a job"),
    OPTION("json", TEXT, AT(json), "", .doc = "file for the result as JSON; - is the standard output"),
    {.name = NULL},
};

struct load {
    const struct options *options;
    const struct queue_kind *kind;
    pthread_mutex_t lock; /* of the ledger and what stands below it */
    struct ledger ledger;
    uint64_t submitted;
    uint64_t ended_ns;
    bool failed;
    char failure[512];
    pthread_barrier_t ready; /* everybody is connected */
    _Atomic uint64_t finished;
};

static void fail(struct load *load, const struct buf *why)
{
    pthread_mutex_lock(&load->lock);
    if (!load->failed)
        snprintf(load->failure, sizeof load->failure, "%.*s", (int)why->used, (const char *)why->data);
    load->failed = true;
    pthread_mutex_unlock(&load->lock);
}

/* The number of the next job, with its payload; LEDGER_NONE: none is left, or something has failed. */
static uint32_t next_job(struct load *load, struct buf *payload)
{
    uint32_t job = LEDGER_NONE;
    pthread_mutex_lock(&load->lock);
    if (!load->failed && load->submitted < load->options->messages) {
        load->submitted++;
        job = ledger_submit(&load->ledger, clock_monotonic_ns());
        check(job != LEDGER_NONE);
        buf_reset(payload);
        ledger_put_payload(&load->ledger, job, payload);
    }
    pthread_mutex_unlock(&load->lock);
    return job;
}

/* These queues tell nobody's id to a worker: the number is its own. */
static void acknowledge(struct load *load, uint32_t job)
{
    char text[16];
    struct buf id = buf_of(text, sizeof text);
    uint64_t now_ns = clock_monotonic_ns();
    buf_put_u64(&id, job);
    pthread_mutex_lock(&load->lock);
    check(ledger_acknowledge(&load->ledger, job, buf_slice(&id), now_ns));
    load->ended_ns = now_ns;
    pthread_mutex_unlock(&load->lock);
}

static void finish(struct load *load, struct slice payload)
{
    uint64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&load->lock);
    uint32_t job = ledger_assign(&load->ledger, payload);
    if (job != LEDGER_NONE)
        ledger_finish(&load->ledger, job);
    load->ended_ns = now_ns;
    pthread_mutex_unlock(&load->lock);
    atomic_fetch_add(&load->finished, 1);
}

static bool failed(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    bool result = load->failed;
    pthread_mutex_unlock(&load->lock);
    return result;
}

static void submit_all(struct load *load, void *queue, struct buf *payload, struct buf *why)
{
    uint32_t job;
    while ((job = next_job(load, payload)) != LEDGER_NONE) {
        if (load->kind->put(queue, buf_slice(payload), why) != 0) {
            fail(load, why);
            return;
        }
        acknowledge(load, job);
    }
}

static void work_all(struct load *load, void *queue, struct buf *payload, struct buf *why)
{
    while (atomic_load(&load->finished) < load->options->messages && !failed(load)) {
        int taken = load->kind->take(queue, payload, why);
        if (taken < 0) {
            fail(load, why);
            return;
        }
        if (taken > 0)
            finish(load, buf_slice(payload));
        else
            nanosleep(&(struct timespec){.tv_nsec = EMPTY_NS}, NULL);
    }
}

static void run_client(struct load *load, bool submits)
{
    char text[512];
    struct buf why = buf_of(text, sizeof text);
    size_t capacity = load->options->bytes + 2;
    uint8_t *memory = malloc(capacity);
    check(memory != NULL);
    struct buf payload = buf_of(memory, capacity);
    void *queue = load->kind->open(load->options->address, &why);
    if (queue == NULL)
        fail(load, &why);
    pthread_barrier_wait(&load->ready);
    if (queue != NULL) {
        (submits ? submit_all : work_all)(load, queue, &payload, &why);
        load->kind->close(queue);
    }
    free(memory);
}

static void *submitter_main(void *load)
{
    run_client(load, true);
    return NULL;
}

static void *worker_main(void *load)
{
    run_client(load, false);
    return NULL;
}

/* --- the bare file ------------------------------------------------------------------------------------------------ */

struct bare {
    int file;
};

static void *bare_open(const char *address, struct buf *why)
{
    struct bare *bare = malloc(sizeof *bare);
    check(bare != NULL);
    bare->file = open(address, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (bare->file >= 0)
        return bare;
    buf_put_text(why, address);
    buf_put_text(why, ": cannot be made; --address is a file");
    free(bare);
    return NULL;
}

static int bare_put(void *queue, struct slice payload, struct buf *why)
{
    const struct bare *bare = queue;
    int64_t ns = bare_append(bare->file, payload.data, payload.bytes);
    if (ns < 0)
        buf_put_text(why, strerror((int)-ns));
    return ns < 0 ? -1 : 0;
}

static void bare_close(void *queue)
{
    struct bare *bare = queue;
    (void)close(bare->file);
    free(bare);
}

static const struct queue_kind queue_bare = {.name = "bare", .open = bare_open, .put = bare_put, .close = bare_close};

/* --- program ------------------------------------------------------------------------------------------------------ */

static void run_threads(struct load *load)
{
    uint64_t submitters = load->options->submitters, count = submitters + load->options->workers;
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_attr_t attributes;
    check(threads != NULL && pthread_attr_init(&attributes) == 0 &&
          pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
    check(pthread_barrier_init(&load->ready, NULL, (unsigned)count + 1) == 0);
    for (uint64_t i = 0; i < count; i++)
        check(pthread_create(&threads[i], &attributes, i < submitters ? submitter_main : worker_main, load) == 0);
    pthread_barrier_wait(&load->ready);
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

/* Acknowledged and not taken: lost, like what was taken and never finished. */
static uint64_t count_lost(const struct load *load)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < load->ledger.count && load->options->workers > 0; i++)
        lost += load->ledger.jobs[i].id != NULL && !load->ledger.jobs[i].finished;
    return lost;
}

static int report(struct load *load, double seconds, struct tool_json *json)
{
    const struct ledger *ledger = &load->ledger;
    uint64_t done = load->options->workers > 0 ? ledger->finished : ledger->acknowledged, lost = count_lost(load);
    bool good = lost + ledger->faults.doubled + ledger->faults.altered + ledger->faults.unasked == 0;
    double p50 = (double)histogram_percentile(&ledger->ack_ns, 50) / 1e3;
    fprintf(json->table,
            "%s: %" PRIu64 " jobs, %.0f jobs/s, put p50 %.1f us; %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64
            " altered, %" PRIu64 " unasked\n",
            load->kind->name, done, (double)done / seconds, p50, lost, ledger->faults.doubled, ledger->faults.altered,
            ledger->faults.unasked);
    if (json->file != NULL)
        fprintf(json->file,
                "{\"queue\": \"%s\", \"jobs\": %" PRIu64 ", \"seconds\": %.6f, \"jobs_per_s\": %.2f, "
                "\"submit_to_ack_us\": {\"mean\": %.2f, \"p50\": %.2f, \"p99\": %.2f}, \"good\": %s}\n",
                load->kind->name, done, seconds, (double)done / seconds, histogram_mean(&ledger->ack_ns) / 1e3, p50,
                (double)histogram_percentile(&ledger->ack_ns, 99) / 1e3, good ? "true" : "false");
    return good ? 0 : 1;
}

static int run(const void *object)
{
    static const struct queue_kind *const kinds[] = {&queue_bare, &queue_beanstalkd, &queue_postgresql};
    static struct load load;
    struct options options = *(const struct options *)object;
    struct tool_json json;
    load.options = &options;
    load.kind = kinds[options.queue];
    if (load.kind == &queue_bare) {
        options.submitters = 1;
        options.workers = 0;
    }
    if (ledger_init(&load.ledger, (uint32_t)options.bytes, clock_monotonic_ns()) != 0 ||
        pthread_mutex_init(&load.lock, NULL) != 0 || !tool_json_open(&json, options.json))
        return 1;
    run_threads(&load);
    int code = 1;
    if (load.failed)
        fprintf(stderr, "ringcast-queues: %s\n", load.failure);
    else
        code = report(&load, (double)(load.ended_ns - load.ledger.jobs[0].submitted_ns) / 1e9, &json);
    ledger_free(&load.ledger);
    return tool_json_close(&json) ? code : 1;
}

int main(int count, char **arguments)
{
    static const struct tool tool = {
        .name = "ringcast-queues", .purpose = "Jobs through another queue, each verified.", .rows = rows};
    struct options options = {0};
    return tool_main(&tool, &options, count, arguments, run);
}
