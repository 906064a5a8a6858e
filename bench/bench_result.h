/* SPDX-License-Identifier: MIT */
/* What a bench has found, as plain values, and its two forms for people and for programs. */
#ifndef RINGCAST_BENCH_RESULT_H
#define RINGCAST_BENCH_RESULT_H

#include "bench/bench.h"
#include "core/histogram.h"

#include <stdio.h>

struct result {
    const struct options *options;
    uint64_t connections;
    uint64_t lost_connections;
    const char *parting; /* why the first was lost; "" */
    double opening_s;    /* until all connections were open */
    uint64_t expected;   /* deliveries */
    uint64_t published;
    uint64_t deliveries;
    uint64_t delivered_bytes;
    uint64_t copies;
    double seconds; /* of the measured part: from its start to the last delivery */
    struct faults faults;
    struct histogram latency_ns; /* of deliveries */
    struct histogram opening_ns; /* of handshakes */
    bool server_measured;
    uint64_t server_cpu_ns;
    int64_t server_bytes; /* resident memory that the connections have added (connect) */
    uint64_t client_cpu_ns;
    uint64_t receive_stops; /* the client ran out of receive buffers */
    bool stalled;           /* ended by --timeout */
};

/* Whether everything arrived, once and in order, and nobody was lost. */
bool result_good(const struct result *result);
/* Server CPU microseconds per message that it delivered, copies to publishers included (connect: per handshake). */
double result_server_us(const struct result *result);
void result_print(const struct result *result, FILE *out);
void result_print_json(const struct result *result, FILE *out);

#endif
