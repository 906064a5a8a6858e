/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-micro: its options, the clock, and the table. It never does what it times. Called by the
 * shell. */
#include "bench/micro.h"
#include "core/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEAT_MAX 101
#define COUNT_MIN 1000

struct options {
    char *filter;
    char *json;
    char *certs;
    uint64_t repeat;
    uint64_t slice_ms;
    bool list;
};

#define AT(field) offsetof(struct options, field)

static const struct option rows[] = {
    OPTION("filter", TEXT, AT(filter), "", .doc = "only cases whose name holds this"),
    OPTION("json", TEXT, AT(json), "",
           .doc = "file for the results as JSON, an object a line; - is the standard output"),
    OPTION("certs", TEXT, AT(certs), "build/certs",
           .doc = "folder of tools/certs; without it the cases of TLS are left out"),
    OPTION("repeat", COUNT, AT(repeat), "11", .min = 1, .max = REPEAT_MAX, .doc = "repetitions"),
    OPTION("slice", DURATION, AT(slice_ms), "20ms", .min = 1, .max = 60000,
           .doc = "at least so long for one case in one repetition"),
    OPTION("list", BOOL, AT(list), "false", .doc = "name the cases and run none"),
    {.name = NULL},
};

static const struct micro_case *const tables[] = {micro_protocol, micro_core, micro_delivery, micro_tls};

const char *micro_certificates;

static volatile uint64_t consumed; /* every result ends here */

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t time_run(const struct micro_case *this, void *state, uint64_t count)
{
    uint64_t begun_ns = read_ns(CLOCK_MONOTONIC);
    consumed += this->run(state, this, count);
    return read_ns(CLOCK_MONOTONIC) - begun_ns;
}

/* How many operations take at least a slice; this is the warm-up too. */
static uint64_t calibrate(const struct micro_case *this, void *state, uint64_t slice_ns)
{
    uint64_t count = COUNT_MIN;
    for (uint64_t ns; (ns = time_run(this, state, count)) < slice_ns;)
        count = ns < slice_ns / 16 ? count * 8 : count * slice_ns / ns + count / 8;
    return count;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* cpu_ns: of this thread, the mean of all repetitions; it does not grow when somebody else has the core. */
static void report(const struct micro_case *this, double *ns, double cpu_ns, uint64_t repeat, FILE *table, FILE *json)
{
    qsort(ns, repeat, sizeof *ns, compare);
    double median = (ns[repeat / 2] + ns[(repeat - 1) / 2]) / 2;
    fprintf(table, "%-18s %10.2f %10.2f %10.2f  %s\n", this->name, median, ns[0], ns[repeat - 1], this->doc);
    if (json != NULL)
        fprintf(json,
                "{\"case\": \"%s\", \"ns\": %.4f, \"min\": %.4f, \"max\": %.4f, \"cpu_ns\": %.4f, \"bytes\": %" PRIu32
                "}\n",
                this->name, median, ns[0], ns[repeat - 1], cpu_ns, this->bytes);
}

static int run_case(const struct micro_case *this, const struct options *options, FILE *table, FILE *json)
{
    double ns[REPEAT_MAX];
    void *state = NULL;
    int error = this->open == NULL ? 0 : this->open(&state, this);
    if (error == -ENOENT) {
        fprintf(stderr, "ringcast-micro: %s is left out: no certificates in %s (tools/certs makes them)\n", this->name,
                micro_certificates);
        return 0;
    }
    if (error < 0) {
        fprintf(stderr, "ringcast-micro: %s: %s\n", this->name, strerror(-error));
        return 1;
    }
    uint64_t count = calibrate(this, state, options->slice_ms * 1000000);
    uint64_t cpu_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < options->repeat; i++)
        ns[i] = (double)time_run(this, state, count) / (double)count;
    cpu_ns = read_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    if (this->close != NULL)
        this->close(state);
    report(this, ns, (double)cpu_ns / (double)(count * options->repeat), options->repeat, table, json);
    return 0;
}

static int run_all(const struct options *options, FILE *table, FILE *json)
{
    int failed = 0;
    unsigned found = 0;
    if (!options->list)
        fprintf(table, "%-18s %10s %10s %10s\n", "case", "ns median", "min", "max");
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct micro_case *this = tables[t]; this->name != NULL; this ++) {
            if (strstr(this->name, options->filter) == NULL)
                continue;
            found++;
            if (options->list)
                fprintf(table, "%-18s %s\n", this->name, this->doc);
            else
                failed |= run_case(this, options, table, json);
        }
    }
    if (found == 0)
        fprintf(stderr, "ringcast-micro: no case holds '%s'; --list names them\n", options->filter);
    return found == 0 ? 2 : failed;
}

static void usage(FILE *out)
{
    fputs("Usage: ringcast-micro [--OPTION VALUE]...\n\nTimes single parts of the server.\n\n", out);
    for (const struct option *row = rows; row->name != NULL; row++)
        fprintf(out, "  --%-8s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
}

/* 1: run, 0: help was asked for, -1: wrong, and said so. */
static int parse(struct options *options, int count, char **arguments)
{
    uint8_t memory[256];
    if (option_defaults(options, rows) != 0)
        return -1;
    for (int at = 1; at < count; at++) {
        const char *argument = arguments[at];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            return 0;
        const struct option *row =
            strncmp(argument, "--", 2) == 0 ? option_find(rows, slice_text(argument + 2), NULL) : NULL;
        const char *value = row == NULL                ? NULL
                            : row->kind == OPTION_BOOL ? "true"
                            : ++at < count             ? arguments[at]
                                                       : NULL;
        struct buf why = buf_of(memory, sizeof memory);
        if (value == NULL || option_set(options, row, slice_text(value), &why) != 0) {
            fprintf(stderr, "ringcast-micro: %s: %s%.*s\n\n", argument,
                    row == NULL     ? "is not an option"
                    : value == NULL ? "needs a value"
                                    : "",
                    (int)why.used, (const char *)why.data);
            return -1;
        }
    }
    return 1;
}

static int run(const struct options *options)
{
    bool to_stdout = strcmp(options->json, "-") == 0;
    FILE *json = options->json[0] == '\0' ? NULL : to_stdout ? stdout : fopen(options->json, "we");
    if (options->json[0] != '\0' && json == NULL) {
        perror(options->json);
        return 1;
    }
    int code = run_all(options, to_stdout ? stderr : stdout, json);
    if (json != NULL && (to_stdout ? fflush(json) : fclose(json)) != 0)
        code = 1;
    return code;
}

int main(int count, char **arguments)
{
    struct options options = {0};
    int code = 0;
    switch (parse(&options, count, arguments)) {
    case 0:
        usage(stdout);
        break;
    case 1:
        micro_certificates = options.certs;
        code = run(&options);
        break;
    default:
        usage(stderr);
        code = 2;
        break;
    }
    option_release(&options, rows);
    return code;
}
