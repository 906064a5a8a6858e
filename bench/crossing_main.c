/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-crossing: its options, the order of the runs and the table. It never turns a shard itself.
 * Called by the shell. */
#include "bench/crossing_pair.h"
#include "bench/tool.h"

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

/* Whether the row is within the bound. */
static bool report(struct row *row, uint64_t repeat, FILE *out, FILE *json)
{
    double here = tool_median(row->ns[0], repeat), there = tool_median(row->ns[1], repeat),
           adds = tool_median(row->adds_ns, repeat);
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

static int run(const void *object)
{
    const struct options *options = object;
    struct tool_json json;
    if (!tool_json_open(&json, options->json))
        return 1;
    struct crossing_pair *pair = NULL;
    int error = crossing_open(&pair, (uint32_t)options->subscribers);
    if (error == 0)
        error = run_all(pair, options);
    if (pair != NULL)
        crossing_close(pair);
    if (error < 0)
        fprintf(stderr, "ringcast-crossing: %s\n", strerror(-error));
    int code = error < 0 ? 1 : report_all(options, json.table, json.file);
    if (!tool_json_close(&json))
        code = 1;
    return code;
}

int main(int count, char **arguments)
{
    static const struct tool tool = {.name = "ringcast-crossing",
                                     .purpose = "CPU of two shards per publish, at the channel's home and elsewhere.",
                                     .rows = rows};
    struct options options = {0};
    return tool_main(&tool, &options, count, arguments, run);
}
