/* SPDX-License-Identifier: MIT */
/* Owns the command line of the small measuring programs and the arithmetic of repetitions. It never measures. Called
 * by storage_main.c, crossing_main.c and queues_main.c. */
#include "bench/tool.h"

#include <stdlib.h>

static void usage(const struct tool *tool, FILE *out)
{
    fprintf(out, "Usage: %s [--OPTION VALUE]...\n\n%s\n\n", tool->name, tool->purpose);
    for (const struct option *row = tool->rows; row->name != NULL; row++)
        fprintf(out, "  --%-12s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
}

enum parsed { PARSED, HELP, WRONG };

static enum parsed parse(const struct tool *tool, void *options, int count, char **arguments)
{
    uint8_t memory[256];
    if (option_defaults(options, tool->rows) != 0)
        return WRONG;
    for (int at = 1; at < count; at += 2) {
        const char *argument = arguments[at], *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            usage(tool, stdout);
            return HELP;
        }
        const struct option *row =
            strncmp(argument, "--", 2) == 0 ? option_find(tool->rows, slice_text(argument + 2), NULL) : NULL;
        struct buf why = buf_of(memory, sizeof memory);
        if (row == NULL || value == NULL || option_set(options, row, slice_text(value), &why) != 0) {
            fprintf(stderr, "%s: %s: %s%.*s\n\n", tool->name, argument,
                    row == NULL     ? "is not an option"
                    : value == NULL ? "needs a value"
                                    : "",
                    (int)why.used, (const char *)why.data);
            usage(tool, stderr);
            return WRONG;
        }
    }
    return PARSED;
}

int tool_main(const struct tool *tool, void *options, int count, char **arguments, int (*run)(const void *options))
{
    enum parsed result = parse(tool, options, count, arguments);
    int code = result == PARSED ? run(options) : result == HELP ? 0 : 2;
    option_release(options, tool->rows);
    return code;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double tool_median(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

bool tool_json_open(struct tool_json *json, const char *path)
{
    bool to_stdout = strcmp(path, "-") == 0;
    json->table = to_stdout ? stderr : stdout;
    json->file = path[0] == '\0' ? NULL : to_stdout ? stdout : fopen(path, "we");
    if (path[0] == '\0' || json->file != NULL)
        return true;
    perror(path);
    return false;
}

bool tool_json_close(struct tool_json *json)
{
    if (json->file == NULL)
        return true;
    return (json->file == stdout ? fflush(json->file) : fclose(json->file)) == 0;
}
