/* SPDX-License-Identifier: MIT */
/* What a bench has found, as plain values, and the judgement of it. */
#ifndef RINGCAST_BENCH_RESULT_H
#define RINGCAST_BENCH_RESULT_H

#include "bench/bench.h"
#include "bench/bench_memory.h"
#include "core/histogram.h"

#define CLIENT_SHARE_MAX 0.95      /* of its cores: above it the client is the limit */
#define CLIENT_LAG_NS_MAX 10000000 /* p99 of how late a schedule may run */

enum moment { /* at which the server's memory is read */
              MOMENT_START,
              MOMENT_OPEN,   /* all connections are, nothing has been sent */
              MOMENT_LOADED, /* behind the load, or behind the time of idling */
              MOMENT_COUNT,
};

struct result {
    const struct options *options;
    uint64_t connections;
    uint64_t slow;
    uint64_t roamers;
    uint64_t lost_connections;
    const char *parting; /* why the first was lost; "" */
    uint32_t threads;
    double opening_s;  /* until all connections were open */
    uint64_t expected; /* deliveries */
    uint64_t published;
    uint64_t deliveries;
    uint64_t delivered_bytes;
    uint64_t copies;
    double seconds; /* of the measured part: from its start to the last delivery */
    struct faults faults;
    struct apart apart;
    struct histogram latency_ns; /* of deliveries */
    struct histogram last_ns;    /* of messages: until the last receiver had it */
    struct histogram lag_ns;     /* of messages sent by schedule: how late */
    struct histogram opening_ns; /* of handshakes */
    bool server_measured;
    uint64_t server_cpu_ns;
    struct memory memory[MOMENT_COUNT];
    uint64_t client_cpu_ns;
    double client_share;    /* of its cores that the client has worked, spinning left out */
    uint64_t backlogs;      /* a server that took nothing from its publisher held the schedule up */
    uint64_t receive_stops; /* the client ran out of receive buffers */
    bool stalled;           /* ended by --timeout */
};

enum verdict {
    VERDICT_CLEAN,          /* everything arrived, once and in order, nobody was lost */
    VERDICT_FAULTY,         /* something did not */
    VERDICT_CLIENT_LIMITED, /* everything arrived, but rates and latencies are the client's */
};

enum verdict result_verdict(const struct result *result);
const char *verdict_name(enum verdict verdict);
/* Of the program: 0, 1 or 3. */
int verdict_exit_code(enum verdict verdict);
/* Server CPU microseconds per message that it delivered, copies to publishers included (connect: per handshake). */
double result_server_us(const struct result *result);
/* What memory has grown by per `count` things, from one value to a later one. */
double result_growth(uint64_t from_bytes, uint64_t to_bytes, uint64_t count);

#endif
