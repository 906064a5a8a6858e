/* SPDX-License-Identifier: MIT */
/* Owns the layout of each scenario: which worker has which connections, and who publishes to whom. It never opens
 * anything. Called by main before the workers start and after they have ended. */
#include "bench/bench_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *bench_channel_name(const struct bench *bench, uint32_t channel, char memory[CHANNEL_NAME_BYTES])
{
    if (bench->options->scenario != SCENARIO_CHANNELS)
        channel = 0;
    snprintf(memory, CHANNEL_NAME_BYTES, "bench-%u", channel);
    return memory;
}

/* How many of `count` things dealt out in turn go to that worker. */
static uint32_t share(uint64_t workers, uint32_t worker, uint64_t count)
{
    return (uint32_t)(count / workers + (worker < count % workers ? 1 : 0));
}

static uint32_t connections_of(const struct options *options, uint32_t workers, uint32_t worker)
{
    switch (options->scenario) {
    case SCENARIO_FANOUT:
        return share(workers, worker, options->conns) + share(workers, worker, options->publishers);
    case SCENARIO_CHANNELS:
        return share(workers, worker, options->channels) * (uint32_t)(options->conns + 1);
    case SCENARIO_ECHO:
    case SCENARIO_CONNECT:
        return share(workers, worker, options->conns);
    case SCENARIO_JOBS: /* bench_jobs.c has connections of its own */
        break;
    }
    return 0;
}

static uint32_t streams_of(const struct options *options)
{
    switch (options->scenario) {
    case SCENARIO_FANOUT:
        return (uint32_t)options->publishers;
    case SCENARIO_CHANNELS:
        return (uint32_t)options->channels;
    case SCENARIO_ECHO:
        return (uint32_t)options->conns;
    case SCENARIO_CONNECT:
    case SCENARIO_JOBS:
        return 0;
    }
    return 0;
}

static void *zeroed(size_t count, size_t bytes)
{
    return calloc(count > 0 ? count : 1, bytes);
}

/* Whether somebody waits for the last one of several receivers. */
static bool has_last_receiver(const struct options *options)
{
    return options->scenario == SCENARIO_FANOUT || options->scenario == SCENARIO_CHANNELS;
}

static int make_worker(struct bench *bench, uint32_t index)
{
    struct worker *worker = &bench->workers[index];
    uint32_t connections = connections_of(bench->options, bench->worker_count, index);
    worker->bench = bench;
    worker->index = index;
    worker->connections = zeroed(connections, sizeof(struct connection));
    worker->tracks = zeroed((size_t)connections * bench->publishers_per_channel, sizeof(struct track));
    worker->streams = zeroed(bench->stream_count, sizeof(struct stream *));
    worker->ready = zeroed(bench->stream_count, sizeof(struct stream *));
    worker->tallies = zeroed(bench->stream_count, sizeof(struct tally));
    worker->arrivals = zeroed((size_t)bench->stream_count * bench->arrival_slots, sizeof(struct arrival));
    worker->slow = zeroed(connections, sizeof(struct connection *));
    worker->roamers = zeroed(connections, sizeof(struct connection *));
    bool made = worker->arrivals && worker->slow && worker->roamers && worker->connections && worker->tracks &&
                worker->streams && worker->ready && worker->tallies;
    return made ? 0 : -ENOMEM;
}

static struct connection *add(struct bench *bench, uint32_t worker_index, enum connection_role role, uint32_t channel)
{
    struct worker *worker = &bench->workers[worker_index];
    uint32_t slot = worker->connection_count++;
    struct connection *connection = &worker->connections[slot];
    connection->slot = slot;
    connection->role = role;
    connection->channel = channel;
    if (role == ROLE_SLOW)
        worker->slow[worker->slow_count++] = connection;
    if (role == ROLE_ROAMER)
        worker->roamers[worker->roamer_count++] = connection;
    if (role == ROLE_SUBSCRIBER || role == ROLE_ECHO || role == ROLE_ROAMER)
        connection->tracks = &worker->tracks[(size_t)slot * bench->publishers_per_channel];
    if (role == ROLE_SUBSCRIBER || role == ROLE_ECHO) {
        for (uint32_t i = 0; i < bench->publishers_per_channel; i++)
            worker->tallies[channel * bench->publishers_per_channel + i].receivers++;
    }
    bench->connection_count++;
    return connection;
}

/* Streams are added in the order of their indices: channel by channel, and of each channel publisher by publisher. */
static void add_stream(struct bench *bench, uint32_t worker_index, uint32_t index, struct connection *publisher)
{
    struct worker *worker = &bench->workers[worker_index];
    struct stream *stream = &bench->streams[index];
    stream->index = index;
    stream->channel = publisher->channel;
    stream->source = (uint16_t)(index % bench->publishers_per_channel);
    stream->publisher = publisher;
    stream->owner = worker;
    worker->streams[worker->stream_count++] = stream;
}

static enum connection_role publisher_role(const struct options *options)
{
    switch (options->publish_by) {
    case PUBLISH_BY_INGEST:
        return ROLE_PUBLISHER_INGEST;
    case PUBLISH_BY_HTTP:
        return ROLE_PUBLISHER_HTTP;
    case PUBLISH_BY_WS:
        break;
    }
    return ROLE_PUBLISHER_WS;
}

/* The slow and the roaming are spread over the others: of each hundred exactly as many as asked for, the first one of
 * all being neither. 37 and 100 have no common factor. */
static enum connection_role subscriber_role(const struct options *options, uint32_t number)
{
    uint32_t lot = 99 - number % 100 * 37 % 100;
    if (lot < options->slow_pct)
        return ROLE_SLOW;
    return lot < options->slow_pct + options->churn ? ROLE_ROAMER : ROLE_SUBSCRIBER;
}

static void plan_fanout(struct bench *bench)
{
    const struct options *options = bench->options;
    for (uint32_t i = 0; i < options->conns; i++) {
        enum connection_role role = subscriber_role(options, i);
        bench->slow_count += role == ROLE_SLOW;
        bench->roamer_count += role == ROLE_ROAMER;
        add(bench, i % bench->worker_count, role, 0);
    }
    for (uint32_t i = 0; i < options->publishers; i++) {
        uint32_t worker = i % bench->worker_count;
        add_stream(bench, worker, i, add(bench, worker, publisher_role(options), 0));
    }
}

/* A channel and its publisher stay on one worker: bursts are completed without a word to another thread. */
static void plan_channels(struct bench *bench)
{
    const struct options *options = bench->options;
    for (uint32_t channel = 0; channel < options->channels; channel++) {
        uint32_t worker = channel % bench->worker_count;
        for (uint32_t i = 0; i < options->conns; i++)
            add(bench, worker, ROLE_SUBSCRIBER, channel);
        add_stream(bench, worker, channel, add(bench, worker, publisher_role(options), channel));
    }
}

static void plan_single(struct bench *bench, enum connection_role role)
{
    for (uint32_t i = 0; i < bench->options->conns; i++) {
        uint32_t worker = i % bench->worker_count;
        struct connection *connection = add(bench, worker, role, i);
        if (role == ROLE_ECHO)
            add_stream(bench, worker, i, connection);
    }
}

static void count_receivers(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->stream_count; i++) {
        struct stream *stream = &bench->streams[i];
        for (uint32_t w = 0; w < bench->worker_count; w++) {
            stream->receivers += bench->workers[w].tallies[i].receivers;
            stream->shares += bench->workers[w].tallies[i].receivers > 0;
        }
        bench->hellos_expected += stream->receivers;
        bench->receivers_per_stream = stream->receivers;
    }
}

uint32_t bench_threads(const struct options *options, uint64_t sockets_max)
{
    uint32_t threads = 1;
    while (threads < THREADS_MAX && connections_of(options, threads, 0) > sockets_max)
        threads++;
    return threads;
}

int bench_plan(struct bench *bench, uint64_t sockets_max)
{
    const struct options *options = bench->options;
    bench->worker_count = options->threads > 0 ? (uint32_t)options->threads : bench_threads(options, sockets_max);
    if (connections_of(options, bench->worker_count, 0) > sockets_max)
        return -EMFILE;
    bench->publishers_per_channel = options->scenario == SCENARIO_FANOUT ? (uint32_t)options->publishers : 1;
    bench->stream_count = streams_of(options);
    if (has_last_receiver(options))
        bench->arrival_slots = arrivals_slots(bench->stream_count, options->window);
    bench->shared = zeroed((size_t)bench->stream_count * bench->arrival_slots, sizeof *bench->shared);
    bench->streams = zeroed(bench->stream_count, sizeof(struct stream));
    bench->workers = zeroed(bench->worker_count, sizeof(struct worker));
    if (!bench->streams || !bench->workers || !bench->shared)
        return -ENOMEM;
    for (uint32_t i = 0; i < bench->worker_count; i++)
        if (make_worker(bench, i) != 0)
            return -ENOMEM;
    switch (options->scenario) {
    case SCENARIO_FANOUT:
        plan_fanout(bench);
        break;
    case SCENARIO_CHANNELS:
        plan_channels(bench);
        break;
    case SCENARIO_ECHO:
        plan_single(bench, ROLE_ECHO);
        break;
    case SCENARIO_CONNECT:
        plan_single(bench, ROLE_IDLE);
        break;
    case SCENARIO_JOBS:
        break;
    }
    count_receivers(bench);
    return 0;
}

void bench_plan_free(struct bench *bench)
{
    for (uint32_t i = 0; bench->workers && i < bench->worker_count; i++)
        worker_free(&bench->workers[i]);
    free(bench->workers);
    free(bench->streams);
    free(bench->shared);
}
