/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-storage: its options, the order of the runs and the table. It never writes a file but for
 * --json. Called by the shell.
 *
 *     ringcast-storage --dir /var/lib/ringcast        what a synced put costs there, beside a bare append and sync
 *     ringcast-storage --dir /dev/shm                 the same without a disk: what is left is CPU */
#include "bench/storage_load.h"
#include "bench/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define REPEAT_MAX 1001
#define ALONE_MAX 1.3 /* bound of the project: put to answer, one producer, beside a bare append and sync */

struct options {
    char *dir;
    char *json;
    uint64_t repeat;
    uint64_t single;
    uint64_t producers;
    uint64_t each;
    uint64_t bytes;
    bool judge;
};

#define AT(field) offsetof(struct options, field)

static const struct option rows[] = {
    OPTION("dir", TEXT, AT(dir), ".", .doc = "folder for the store and the bare file, which are removed afterwards"),
    OPTION("repeat", COUNT, AT(repeat), "31", .min = 1, .max = REPEAT_MAX,
           .doc = "repetitions, each of all cases in turn"),
    OPTION("single", COUNT, AT(single), "10", .min = 1, .max = 10000,
           .doc = "puts of one producer in a repetition, each beside an append"),
    OPTION("producers", COUNT, AT(producers), "64", .min = 1, .max = STORAGE_OUTSTANDING_MAX,
           .doc = "producers at once, in the second half"),
    OPTION("each", COUNT, AT(each), "16", .min = 1, .max = 10000, .doc = "puts of each of them in a repetition"),
    OPTION("size", COUNT, AT(bytes), "1024", .min = 1, .max = 1U << 20, .doc = "bytes of a record's value"),
    OPTION("judge", BOOL, AT(judge), "false", .doc = "exit code 1 when one producer alone waits too long"),
    OPTION("json", TEXT, AT(json), "", .doc = "file for the results as JSON; - is the standard output"),
    {.name = NULL},
};

enum { BARE_ONE, PUT_ONE, BARE_GROUP, PUT_MANY, CASES };

/* Microseconds of a record, one value per repetition, and quotients inside a repetition. */
struct results {
    double us[CASES][REPEAT_MAX];
    double alone[REPEAT_MAX];   /* PUT_ONE / BARE_ONE */
    double grouped[REPEAT_MAX]; /* PUT_MANY / BARE_GROUP */
    double speedup[REPEAT_MAX]; /* BARE_ONE / PUT_MANY */
    uint64_t commits, units;    /* of PUT_MANY */
};

/* One put and one append in turn, so that what else the disk has to do hits both. */
static int64_t run_single(struct load *load, const struct options *options, double us[CASES])
{
    static double append[10000], put[10000];
    for (uint64_t i = 0; i < options->single; i++) {
        int64_t bare_ns = load_append(load, 1), put_ns = load_put(load);
        if (bare_ns < 0 || put_ns < 0)
            return bare_ns < 0 ? bare_ns : put_ns;
        append[i] = (double)bare_ns / 1000;
        put[i] = (double)put_ns / 1000;
    }
    us[BARE_ONE] = tool_median(append, options->single);
    us[PUT_ONE] = tool_median(put, options->single);
    return 0;
}

static int64_t run_group(struct load *load, const struct options *options, double us[CASES])
{
    uint32_t group = (uint32_t)options->producers, total = (uint32_t)(options->producers * options->each);
    int64_t bare_ns = 0;
    for (uint64_t i = 0; i < options->each; i++) {
        int64_t ns = load_append(load, group);
        if (ns < 0)
            return ns;
        bare_ns += ns;
    }
    int64_t put_ns = load_put_many(load, group, total);
    us[BARE_GROUP] = (double)bare_ns / 1000 / total;
    us[PUT_MANY] = (double)put_ns / 1000 / total;
    return put_ns < 0 ? put_ns : 0;
}

static int64_t run_all(struct load *load, const struct options *options, struct results *results)
{
    double us[CASES] = {0};
    int64_t error = 0;
    for (uint64_t n = 0; n <= options->repeat && error == 0; n++) { /* the first warms up and is written over */
        uint64_t at = n == 0 ? 0 : n - 1;
        error = run_single(load, options, us);
        uint64_t commits = storage_count(&load->storage, STORAGE_COMMITS);
        uint64_t units = storage_count(&load->storage, STORAGE_UNITS);
        if (error == 0)
            error = run_group(load, options, us);
        results->commits += storage_count(&load->storage, STORAGE_COMMITS) - commits;
        results->units += storage_count(&load->storage, STORAGE_UNITS) - units;
        for (int i = 0; i < CASES; i++)
            results->us[i][at] = us[i];
        results->alone[at] = us[PUT_ONE] / us[BARE_ONE];
        results->grouped[at] = us[PUT_MANY] / us[BARE_GROUP];
        results->speedup[at] = us[BARE_ONE] / us[PUT_MANY];
    }
    return error;
}

static void print_ratio(FILE *out, const char *name, double *values, uint64_t count)
{
    double middle = tool_median(values, count);
    fprintf(out, "%-52s %8.2f  (%.2f-%.2f)\n", name, middle, values[0], values[count - 1]);
}

static void report(const struct options *options, struct results *results, FILE *out, FILE *json)
{
    static const char *const names[CASES] = {"append and sync, one at a time", "put, one producer",
                                             "append and sync, a group at a time", "put, all producers"};
    fprintf(out, "%" PRIu64 " bytes, %" PRIu64 " producers, %" PRIu64 " repetitions\n", options->bytes,
            options->producers, options->repeat);
    fprintf(out, "%-36s %12s %14s\n", "", "us / record", "records / s");
    double us[CASES];
    for (int i = 0; i < CASES; i++) {
        us[i] = tool_median(results->us[i], options->repeat);
        fprintf(out, "%-36s %12.1f %14.0f\n", names[i], us[i], 1e6 / us[i]);
    }
    print_ratio(out, "one producer: put / append and sync", results->alone, options->repeat);
    print_ratio(out, "all producers: put / grouped append and sync", results->grouped, options->repeat);
    print_ratio(out, "all producers: records for one append and sync", results->speedup, options->repeat);
    fprintf(out, "units of a commit: %.1f\n", (double)results->units / (double)results->commits);
    if (json != NULL)
        fprintf(
            json,
            "{\"bytes\": %" PRIu64 ", \"producers\": %" PRIu64 ", \"append_us\": %.2f, \"put_us\": %.2f, "
            "\"append_group_us\": %.3f, \"put_all_us\": %.3f, \"alone\": %.3f, \"grouped\": %.3f, \"speedup\": %.2f, "
            "\"units_per_commit\": %.2f}\n",
            options->bytes, options->producers, us[BARE_ONE], us[PUT_ONE], us[BARE_GROUP], us[PUT_MANY],
            results->alone[options->repeat / 2], results->grouped[options->repeat / 2],
            results->speedup[options->repeat / 2], (double)results->units / (double)results->commits);
}

static int measure(const struct options *options, struct results *results)
{
    static struct load load;
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    int64_t error = load_open(&load, options->dir, (uint32_t)options->bytes, (uint32_t)options->producers, &why);
    if (error != 0) {
        fprintf(stderr, "ringcast-storage: %s\n", text);
        return 1;
    }
    error = run_all(&load, options, results);
    if (error != 0)
        fprintf(stderr, "ringcast-storage: %s: %s\n", options->dir, strerror((int)-error));
    load_close(&load, options->dir);
    return error != 0;
}

static int run(const void *object)
{
    const struct options *options = object;
    static struct results results;
    struct tool_json json;
    if (!tool_json_open(&json, options->json))
        return 1;
    int code = measure(options, &results);
    if (code == 0)
        report(options, &results, json.table, json.file);
    if (!tool_json_close(&json))
        code = 1;
    if (code == 0 && options->judge && results.alone[options->repeat / 2] > ALONE_MAX) {
        fprintf(stderr,
                "ringcast-storage: one producer waits more than %.1f times as long as for a bare append and sync\n",
                ALONE_MAX);
        code = 1;
    }
    return code;
}

int main(int count, char **arguments)
{
    static const struct tool tool = {
        .name = "ringcast-storage",
        .purpose = "Synced puts through storage, beside a bare append and sync of the same bytes.",
        .rows = rows};
    struct options options = {0};
    return tool_main(&tool, &options, count, arguments, run);
}
