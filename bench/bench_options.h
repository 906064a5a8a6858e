/* SPDX-License-Identifier: MIT */
/* The command line: one table of options from which it is read and its help is printed. */
#ifndef RINGCAST_BENCH_OPTIONS_H
#define RINGCAST_BENCH_OPTIONS_H

#include "core/option.h"

#include <stdio.h>

enum scenario {
    SCENARIO_FANOUT,
    SCENARIO_CHANNELS,
    SCENARIO_ECHO,
    SCENARIO_CONNECT,
    SCENARIO_JOBS,
};

enum publish_by {
    PUBLISH_BY_WS,     /* plain messages on a WebSocket that the server relays */
    PUBLISH_BY_INGEST, /* ringcast's publisher WebSocket */
    PUBLISH_BY_HTTP,   /* one POST per message */
};

enum speak {
    SPEAK_PLAIN, /* a message on the wire is a message */
    SPEAK_NATS,  /* NATS' protocol inside binary messages */
};

struct options {
    enum scenario scenario;
    const char *url;
    enum publish_by publish_by;
    const char *publish_url; /* of the publishers; the subscribers' own when none was given */
    /* rows of the table; each has its meaning there */
    char *publish_ws;
    char *publish_ingest;
    char *publish_http;
    char *key;
    char *json;
    char *histogram;
    char *ca;
    char *bare;
    struct option_texts bind_addresses;
    uint64_t conns;
    uint64_t publishers;
    uint64_t channels;
    uint64_t threads;
    uint64_t window;
    uint64_t rate;
    uint64_t size;
    uint64_t messages;
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t timeout_ms;
    uint64_t opening;
    uint64_t connect_rate;
    uint64_t churn;
    uint64_t slow_pct;
    uint64_t slow_bytes;
    uint64_t submitters;
    uint64_t workers;
    uint64_t listeners;
    uint64_t ahead;
    uint64_t unfit;
    uint64_t claims;
    uint64_t poll_ms;
    uint64_t spin_us;
    uint64_t server_pid;
    uint32_t speak; /* enum speak */
    bool binary;
    bool tls;
    bool insecure;
    bool warmup_signal;
    bool accept;
    bool eager;
    bool lockstep;
    bool quiet;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,  /* asked for: the caller prints it and ends with 0 */
    OPTIONS_WRONG, /* `why` says what; the caller ends with 2 */
};

#define THREADS_MAX 64
#define PAYLOAD_BYTES_MIN 32 /* the stamp, and quotation marks around it */

/* One "--name value" or "--name=value" of the table's; a bool may stand alone. Moves *at behind it. False with a sentence in
 * `why`. */
bool options_take(void *options, const struct option *table, int count, char **arguments, int *at, struct buf *why);
/* `options` is filled, whatever the result; release it with options_release. */
enum options_result options_parse(struct options *options, int count, char **arguments, struct buf *why);
void options_release(struct options *options);
const char *scenario_name(enum scenario scenario);
void options_usage(FILE *out);

#endif
