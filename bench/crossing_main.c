/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-crossing: its options, the order of the runs and the table. It never turns a shard itself.
 * Called by the shell. */
#include "bench/crossing_pair.h"
#include "core/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define REPEAT_MAX 101
#define ADDS_NS_MAX 2000.0 /* bound of the project: what a publish costs more when its home is another, awake shard */

struct options {
    char *json;
    uint64_t repeat;
    uint64_t messages;
    uint64_t bytes;
    uint64_t subscribers;
};

#define AT(field) offsetof(struct options, field)

static const struct option rows[] = {
    OPTION("repeat", COUNT, AT(repeat), "11", .min = 1, .max = REPEAT_MAX,
           .doc = "repetitions, each of all cases in turn"),
    OPTION("messages", COUNT, AT(messages), "48000", .min = 64, .max = 100000000,
           .doc = "messages of one case in one repetition"),
    OPTION("size", COUNT, AT(bytes), "512", .min = 1, .max = CROSSING_BYTES_MAX, .doc = "payload bytes of a message"),
    OPTION("subscribers", COUNT, AT(subscribers), "1", .min = 1, .max = 10000, .doc = "on each of the two shards"),
    OPTION("json", TEXT, AT(json), "",
           .doc = "file for the results as JSON, an object a line; - is the standard output"),
    {.name = NULL},
};

/* A row of the table. Of each place of the publisher (0: at the home, 1: elsewhere) one value per repetition. */
struct row {
    bool threads;
    uint32_t window;
    double ns[2][REPEAT_MAX]; /* per message */
    double adds_ns[REPEAT_MAX];
    double turns[2]; /* per message, of the last repetition */
};

static struct row table[] = {{.threads = false, .window = 1},
                             {.threads = false, .window = 16},
                             {.threads = true, .window = 1},
                             {.threads = true, .window = 16}};
#define TABLE_ROWS (sizeof table / sizeof table[0])

static int run_row(struct crossing_pair *pair, const struct options *options, struct row *row, uint64_t repetition)
{
    for (unsigned place = 0; place < 2; place++) {
        const struct crossing_load load = {.threads = row->threads,
                                           .elsewhere = place == 1,
                                           .window = row->window,
                                           .windows = options->messages / row->window,
                                           .bytes = (uint32_t)options->bytes};
        double messages = (double)(load.windows * load.window);
        struct crossing_cost cost;
        int error = crossing_run(pair, &load, &cost);
        if (error < 0)
            return error;
        row->ns[place][repetition] = (double)cost.cpu_ns / messages;
        row->turns[place] = (double)cost.turns / messages;
    }
    row->adds_ns[repetition] = row->ns[1][repetition] - row->ns[0][repetition];
    return 0;
}

/* The first round warms up and is written over. */
static int run_all(struct crossing_pair *pair, const struct options *options)
{
    int error = 0;
    for (uint64_t n = 0; n <= options->repeat; n++)
        for (size_t i = 0; i < TABLE_ROWS && error == 0; i++)
            error = run_row(pair, options, &table[i], n == 0 ? 0 : n - 1);
    return error;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* Whether the row is within the bound. */
static bool report(struct row *row, uint64_t repeat, FILE *out, FILE *json)
{
    double here = median(row->ns[0], repeat), there = median(row->ns[1], repeat), adds = median(row->adds_ns, repeat);
    fprintf(out, "%-7s %6" PRIu32 " %10.0f %10.0f %8.0f (%.0f-%.0f) %8.2f %6.2f\n", row->threads ? "two" : "one",
            row->window, here, there, adds, row->adds_ns[0], row->adds_ns[repeat - 1], row->turns[0], row->turns[1]);
    if (json != NULL)
        fprintf(json,
                "{\"threads\": %d, \"window\": %" PRIu32
                ", \"here_ns\": %.1f, \"elsewhere_ns\": %.1f, \"adds_ns\": %.1f, "
                "\"adds_min\": %.1f, \"adds_max\": %.1f, \"turns_here\": %.3f, \"turns_elsewhere\": %.3f}\n",
                row->threads ? 2 : 1, row->window, here, there, adds, row->adds_ns[0], row->adds_ns[repeat - 1],
                row->turns[0], row->turns[1]);
    return adds <= ADDS_NS_MAX;
}

static int report_all(const struct options *options, FILE *out, FILE *json)
{
    bool good = true;
    fprintf(out, "%-7s %6s %10s %10s %8s %-11s %8s %6s\n", "threads", "window", "home: ns", "other: ns", "adds", "",
            "turns", "");
    for (size_t i = 0; i < TABLE_ROWS; i++)
        good &= report(&table[i], options->repeat, out, json);
    if (!good)
        fprintf(stderr, "ringcast-crossing: a home elsewhere adds more than %.0f ns\n", ADDS_NS_MAX);
    return good ? 0 : 1;
}

static int run(const struct options *options)
{
    bool to_stdout = strcmp(options->json, "-") == 0;
    FILE *json = options->json[0] == '\0' ? NULL : to_stdout ? stdout : fopen(options->json, "we");
    if (options->json[0] != '\0' && json == NULL) {
        perror(options->json);
        return 1;
    }
    struct crossing_pair *pair = NULL;
    int error = crossing_open(&pair, (uint32_t)options->subscribers);
    if (error == 0)
        error = run_all(pair, options);
    if (pair != NULL)
        crossing_close(pair);
    if (error < 0)
        fprintf(stderr, "ringcast-crossing: %s\n", strerror(-error));
    int code = error < 0 ? 1 : report_all(options, to_stdout ? stderr : stdout, json);
    if (json != NULL && (to_stdout ? fflush(json) : fclose(json)) != 0)
        code = 1;
    return code;
}

static void usage(FILE *out)
{
    fputs("Usage: ringcast-crossing [--OPTION VALUE]...\n\nCPU of two shards per publish, at the channel's home and "
          "elsewhere.\n\n",
          out);
    for (const struct option *row = rows; row->name != NULL; row++)
        fprintf(out, "  --%-12s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
}

/* 1: run, 0: help was asked for, -1: wrong, and said so. */
static int parse(struct options *options, int count, char **arguments)
{
    uint8_t memory[256];
    if (option_defaults(options, rows) != 0)
        return -1;
    for (int at = 1; at < count; at += 2) {
        const char *argument = arguments[at], *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            return 0;
        const struct option *row =
            strncmp(argument, "--", 2) == 0 ? option_find(rows, slice_text(argument + 2), NULL) : NULL;
        struct buf why = buf_of(memory, sizeof memory);
        if (row == NULL || value == NULL || option_set(options, row, slice_text(value), &why) != 0) {
            fprintf(stderr, "ringcast-crossing: %s: %s%.*s\n\n", argument,
                    row == NULL     ? "is not an option"
                    : value == NULL ? "needs a value"
                                    : "",
                    (int)why.used, (const char *)why.data);
            return -1;
        }
    }
    return 1;
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
