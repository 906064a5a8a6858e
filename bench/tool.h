/* SPDX-License-Identifier: MIT */
/* What the small measuring programs share: a command line that is one table of options, medians, and a file for JSON. */
#ifndef RINGCAST_BENCH_TOOL_H
#define RINGCAST_BENCH_TOOL_H

#include "core/option.h"

#include <stdio.h>

struct tool {
    const char *name;    /* of the program */
    const char *purpose; /* one sentence */
    const struct option *rows;
};

/* Fills `options`, the object of the rows, from the arguments and runs; the exit code: run's, 0 when help was asked for, 2
 * when the arguments are wrong, which is said. */
int tool_main(const struct tool *tool, void *options, int count, char **arguments, int (*run)(const void *options));

/* Sorts them. */
double tool_median(double *values, uint64_t count);

/* Where JSON goes: "" is nowhere (`file` NULL), - the standard output. False, and said so: it cannot be written. */
struct tool_json {
    FILE *file;
    FILE *table; /* where people read: not where the JSON goes */
};
bool tool_json_open(struct tool_json *json, const char *path);
bool tool_json_close(struct tool_json *json);

#endif
