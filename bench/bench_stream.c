/* SPDX-License-Identifier: MIT */
/* Owns the rhythm of publishing. It never reads a clock of its own or looks into a message. Called by the worker's
 * loop and for each delivery.
 *
 * By schedule, message g of the run is due at start + g * interval and belongs to stream g modulo the number of
 * streams; a worker's own streams are thus due in the order of its list, round after round, and one cursor is
 * enough. A message carries the time at which it was due: what the bench itself is late counts as latency (no
 * coordinated omission). */
#include "bench/bench_stream.h"

#include "bench/bench_publish.h"
#include "core/clock.h"

#define BACKLOG_BYTES_MAX (16U << 20) /* the schedule waits when the server takes nothing from a publisher */
#define BACKLOG_RETRY_NS 1000000

void streams_hello(struct worker *worker, uint64_t now_ns)
{
    for (uint32_t i = 0; i < worker->stream_count; i++) {
        struct stream *stream = worker->streams[i];
        publish_message(worker, stream, STAMP_HELLO, now_ns);
        connection_flush(worker, stream->publisher);
    }
}

static void stop(struct worker *worker, struct stream *stream)
{
    stream->stopped = true;
    counts_add(&worker->counts.stopped, 1);
}

static void publish_next(struct worker *worker, struct stream *stream, uint64_t sent_ns)
{
    publish_message(worker, stream, stream->next, sent_ns);
    stream->next++;
    stream->run_messages++;
    counts_add(&worker->counts.published, 1);
}

void streams_begin(struct worker *worker)
{
    const struct bench *bench = worker->bench;
    bool bursts = bench->run.interval_ns <= 0;
    for (uint32_t i = 0; i < bench->stream_count; i++) {
        struct tally *tally = &worker->tallies[i];
        tally->count = 0;
        tally->target = bursts ? tally->receivers * (uint32_t)bench->options->window : 0;
    }
    worker->cursor = 0;
    worker->round = 0;
    worker->ready_count = 0;
    for (uint32_t i = 0; i < worker->stream_count; i++) {
        struct stream *stream = worker->streams[i];
        stream->run_messages = 0;
        stream->stopped = false;
        if (bursts)
            worker->ready[worker->ready_count++] = stream;
    }
}

static void burst(struct worker *worker, struct stream *stream, uint64_t now_ns)
{
    const struct bench *bench = worker->bench;
    const struct run *run = &bench->run;
    if (now_ns >= run->end_ns ||
        (run->messages != UINT64_MAX && stream->run_messages * bench->stream_count >= run->messages)) {
        stop(worker, stream);
        return;
    }
    atomic_store_explicit(&stream->shares_left, stream->shares, memory_order_release);
    for (uint64_t i = 0; i < bench->options->window; i++)
        publish_next(worker, stream, now_ns);
    connection_flush(worker, stream->publisher);
}

static uint64_t work_by_schedule(struct worker *worker)
{
    const struct bench *bench = worker->bench;
    const struct run *run = &bench->run;
    if (worker->stream_count == 0 || worker->streams[worker->stream_count - 1]->stopped)
        return UINT64_MAX;
    uint64_t now_ns = clock_monotonic_ns();
    for (;;) {
        struct stream *stream = worker->streams[worker->cursor];
        uint64_t number = worker->round * bench->stream_count + stream->index;
        if (number >= run->messages) {
            for (uint32_t i = 0; i < worker->stream_count; i++)
                stop(worker, worker->streams[i]);
            return UINT64_MAX;
        }
        uint64_t due_ns = run->start_ns + (uint64_t)((double)number * run->interval_ns);
        if (due_ns > now_ns)
            return due_ns;
        if (connection_waiting(stream->publisher) > BACKLOG_BYTES_MAX) {
            worker->backlogs++;
            return now_ns + BACKLOG_RETRY_NS;
        }
        histogram_record(&worker->lag_ns, now_ns - due_ns);
        publish_next(worker, stream, due_ns);
        connection_flush(worker, stream->publisher);
        if (++worker->cursor == worker->stream_count) {
            worker->cursor = 0;
            worker->round++;
        }
    }
}

uint64_t streams_work(struct worker *worker)
{
    if (worker->bench->run.interval_ns > 0)
        return work_by_schedule(worker);
    while (worker->ready_count > 0)
        burst(worker, worker->ready[--worker->ready_count], clock_monotonic_ns());
    return UINT64_MAX;
}

void streams_count(struct worker *worker, struct stream *stream)
{
    struct tally *tally = &worker->tallies[stream->index];
    if (++tally->count != tally->target)
        return;
    tally->count = 0;
    if (atomic_fetch_sub_explicit(&stream->shares_left, 1, memory_order_acq_rel) != 1)
        return;
    if (stream->owner == worker) {
        worker->ready[worker->ready_count++] = stream;
        return;
    }
    atomic_store_explicit(&stream->due, true, memory_order_release);
    bench_ring_wake(&stream->owner->ring);
}

void streams_collect(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->stream_count; i++) {
        struct stream *stream = worker->streams[i];
        if (atomic_load_explicit(&stream->due, memory_order_relaxed) &&
            atomic_exchange_explicit(&stream->due, false, memory_order_acq_rel))
            worker->ready[worker->ready_count++] = stream;
    }
}
