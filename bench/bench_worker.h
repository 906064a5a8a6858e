/* SPDX-License-Identifier: MIT */
/* A client thread: its ring, its connections, the streams that it publishes, and what it has measured. */
#ifndef RINGCAST_BENCH_WORKER_H
#define RINGCAST_BENCH_WORKER_H

#include "bench/bench.h"
#include "bench/bench_arrivals.h"
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
    struct secure_side secure;
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

    struct arrival *arrivals; /* of every stream: what this worker's receivers have */

    struct connection **slow;
    struct connection **roamers;
    uint32_t slow_count;
    uint32_t roamer_count;
    uint64_t slow_ns;     /* when the slow ones read next */
    uint64_t roam_cursor; /* leavings of this run, whose turn it was */

    uint64_t hello_ns; /* when the next probes are due */
    uint64_t end_ns;   /* when PHASE_END is over */
    struct counts counts;
    struct faults faults;
    struct apart apart;
    uint64_t backlogs;           /* the schedule waited for a server that took nothing */
    struct histogram latency_ns; /* of deliveries */
    struct histogram last_ns;    /* of messages: until the last receiver had it */
    struct histogram lag_ns;     /* how late the schedule's messages were sent */
    struct histogram opening_ns;
};

/* 0 or -errno. */
int worker_start(struct worker *worker);
void worker_join(struct worker *worker);
/* Frees what the plan has given it. */
void worker_free(struct worker *worker);

/* Of connections: a whole message has come. */
void worker_on_message(struct worker *worker, struct connection *connection, const struct frames_event *event);
/* Of connections: the handshake is done; the connection is lost, with that close code. */
void worker_on_open(struct worker *worker, struct connection *connection);
void worker_on_lost(struct worker *worker, struct connection *connection, uint16_t code, const char *why);

#endif
