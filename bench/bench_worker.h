/* SPDX-License-Identifier: MIT */
/* A client thread: its ring, its connections, the streams that it publishes, and what it has measured. */
#ifndef RINGCAST_BENCH_WORKER_H
#define RINGCAST_BENCH_WORKER_H

#include "bench/bench.h"
#include "bench/bench_connection.h"
#include "core/histogram.h"
#include "core/random.h"
#include "core/thread.h"

/* A stream's deliveries of the present burst among this worker's receivers. */
struct tally {
    uint32_t count;
    uint32_t target; /* 0: never complete (by schedule) */
    uint32_t receivers;
};

struct worker {
    struct bench *bench;
    uint32_t index;
    struct thread thread;
    struct bench_ring ring;
    struct random random;
    uint32_t step;    /* the last phase change that it has seen, */
    enum phase phase; /* and the phase */

    struct connection *connections;
    uint32_t connection_count;
    struct track *tracks;
    uint32_t begun;   /* connections that were begun */
    uint32_t opening; /* of these, not open yet */
    uint32_t open;    /* WebSockets that are open */
    bool usable;      /* the ring could be opened */

    struct stream **streams; /* that it publishes, in the order of their indices */
    uint32_t stream_count;
    uint32_t cursor;       /* the stream whose message is due next, */
    uint64_t round;        /* and how often the cursor has gone round */
    struct tally *tallies; /* of every stream of the bench */
    struct stream **ready; /* whose burst is complete: the next one may begin */
    uint32_t ready_count;

    uint64_t hello_ns; /* when the next probes are due */
    uint64_t end_ns;   /* when PHASE_END is over */
    struct counts counts;
    struct faults faults;
    struct histogram latency_ns;
    struct histogram opening_ns;
};

/* 0 or -errno. */
int worker_start(struct worker *worker);
void worker_join(struct worker *worker);
/* Frees what the plan has given it. */
void worker_free(struct worker *worker);

/* Of connections: a whole message has come. */
void worker_on_message(struct worker *worker, struct connection *connection, const struct frames_event *event);
/* Of connections: the handshake is done; the connection is lost. */
void worker_on_open(struct worker *worker, struct connection *connection);
void worker_on_lost(struct worker *worker, struct connection *connection, const char *why);

#endif
