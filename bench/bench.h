/* SPDX-License-Identifier: MIT */
/* What the parts of ringcast-bench share: the whole bench, its phases, its streams and what each thread counts.
 *
 * A stream is what one publisher sends to one channel; an echo connection is a stream whose only receiver is itself.
 * The main thread moves all workers through the phases and only watches; workers own their connections and streams. */
#ifndef RINGCAST_BENCH_H
#define RINGCAST_BENCH_H

#include "bench/bench_ends.h"
#include "bench/bench_options.h"
#include "bench/bench_secure.h"
#include "bench/bench_url.h"

#include <stdatomic.h>

struct worker;
struct connection;

enum phase {
    PHASE_REST,  /* nothing is sent; the main thread may set `run` */
    PHASE_OPEN,  /* handshakes */
    PHASE_HELLO, /* publishers send probes until every receiver has got one */
    PHASE_RESET, /* nothing is sent; counts go back to zero */
    PHASE_RUN,   /* streams send, by schedule or in bursts */
    PHASE_DRAIN, /* slow subscribers read everything */
    PHASE_END,   /* connections are closed */
};

/* Parameters of one PHASE_RUN. */
struct run {
    uint64_t start_ns;
    uint64_t end_ns;    /* bursts begin before it; UINT64_MAX: no bound */
    uint64_t messages;  /* of all streams together; UINT64_MAX: no bound */
    double interval_ns; /* between messages of all streams; 0: bursts */
};

struct stream {
    uint32_t index;
    uint32_t channel;
    uint16_t source; /* which publisher of the channel */
    uint32_t receivers;
    uint32_t shares; /* workers that have receivers of it */
    struct worker *owner;
    struct connection *publisher;
    /* owner only */
    uint32_t next; /* sequence of the next message */
    uint64_t run_messages;
    bool stopped;
    /* any worker */
    _Atomic uint32_t shares_left; /* workers whose receivers do not have all of the burst yet */
    _Atomic bool due;             /* another worker completed the burst */
};

/* Written by one worker, read by the main thread. */
struct counts {
    _Atomic uint32_t step; /* the last phase change it has seen */
    _Atomic uint64_t opened;
    _Atomic uint64_t lost_connections;
    _Atomic uint64_t hellos;
    _Atomic uint64_t spun_ns;    /* CPU time of looking in vain */
    _Atomic uint64_t slow_bytes; /* that slow subscribers have read */
    /* back to zero at PHASE_RESET */
    _Atomic uint64_t published;
    _Atomic uint64_t stopped; /* streams that have sent all they had to */
    _Atomic uint64_t deliveries;
    _Atomic uint64_t delivered_bytes; /* payload */
    _Atomic uint64_t copies;          /* that came back to publishers */
    _Atomic uint64_t last_ns;         /* when the last delivery came */
};

/* Counters of the whole life, read when the workers have ended. */
struct faults {
    uint64_t lost;
    uint64_t repeated;
    uint64_t late;
    uint64_t foreign; /* messages without a stamp: not ours */
};

/* Of slow and roaming subscribers: no part of the verdict. */
struct apart {
    struct ends slow_ends;
    struct ends roaming_ends; /* those that the server ended */
    uint64_t left;
    uint64_t returned;
    uint64_t stayed_out; /* not back in time for their next turn */
    uint64_t roaming_messages;
    struct faults roaming; /* within a visit */
};

struct bench {
    const struct options *options;
    struct url url;
    struct url publish_url;
    struct trust trust;               /* over TLS */
    struct sockaddr_storage *sources; /* addresses to bind to */
    uint32_t source_count;
    uint32_t connection_count;
    uint32_t slow_count;
    uint32_t roamer_count;
    uint32_t publishers_per_channel;
    uint64_t hellos_expected;
    uint64_t receivers_per_stream;
    struct stream *streams;
    uint32_t stream_count;
    struct worker *workers;
    uint32_t worker_count;

    enum phase phase; /* written before `step` */
    struct run run;
    _Atomic uint32_t step;
    uint32_t arrival_slots;   /* per stream; 0: nobody asks who is the last receiver */
    _Atomic uint64_t *shared; /* of all streams: which workers' receivers have a message */

    _Atomic bool failed;
    char failure[1024];
    _Atomic bool parting; /* a connection was lost: text in `parting_text` */
    char parting_text[256];
};

static inline void counts_add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t counts_get(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline bool bench_speaks_tls(const struct bench *bench)
{
    return bench->url.tls || bench->publish_url.tls;
}

/* Any thread: the first failure is kept, the main thread ends the run. */
void bench_fail(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The name of the n-th channel. */
#define CHANNEL_NAME_BYTES 24
const char *bench_channel_name(const struct bench *bench, uint32_t channel, char memory[CHANNEL_NAME_BYTES]);

/* bench_scenario.c: lays out workers, connections and streams. 0, -ENOMEM, or -EMFILE: a thread has too
 * many sockets for `sockets_max`. */
int bench_plan(struct bench *bench, uint64_t sockets_max);
/* The fewest threads of which none has more than so many sockets. */
uint32_t bench_threads(const struct options *options, uint64_t sockets_max);
void bench_plan_free(struct bench *bench);

#endif
