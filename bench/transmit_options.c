/* SPDX-License-Identifier: MIT */
/* Owns the options of ringcast-transmit. It never opens a socket or a file. Called by its main once. */
#include "bench/transmit_options.h"
#include "bench/transmit.h"

#define ROW(name_, kind_, field_, fallback_, min_, max_, doc_)                                                         \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .offset = offsetof(struct transmit_options, field_), .fallback = fallback_,      \
        .min = min_, .max = max_, .doc = doc_                                                                          \
    }

static const struct option rows[] = {
    ROW("sizes", OPTION_TEXTS, sizes, "512,4096,8192,16384,65536", 0, 0, "payload bytes, one table row each"),
    ROW("paths", OPTION_TEXTS, paths, "ring,write,zero-copy,registered,shard,shard-zero-copy", 0, 0,
        "what is compared; ratios are to the first"),
    ROW("conns", OPTION_COUNT, conns, "1000", 1, 8000, "sockets of each path"),
    ROW("window", OPTION_COUNT, window, "1", 1, 1000, "messages gathered in one send"),
    ROW("repeat", OPTION_COUNT, repeat, "7", 1, 1000, "repetitions; the paths take turns in each"),
    ROW("slice", OPTION_DURATION, slice_ms, "100ms", 1, 60000, "CPU time of one path in one repetition"),
    ROW("json", OPTION_TEXT, json, "", 0, 0, "file for the result as JSON; - is the standard output"),
    ROW("quiet", OPTION_BOOL, quiet, "false", 0, 0, "no table"),
    {.name = NULL},
};

void transmit_options_usage(FILE *out)
{
    fputs("Usage: bench/transmit [--OPTION VALUE]...\n"
          "\n"
          "What a send costs its thread when nobody receives: sockets to forged peers, a device that drops.\n"
          "\n",
          out);
    for (const struct option *row = rows; row->name != NULL; row++)
        fprintf(out, "  --%-9s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
    fputs("\nPaths:\n", out);
    for (const struct transmit_path *const *path = transmit_paths; *path != NULL; path++)
        fprintf(out, "  %-16s %s\n", (*path)->name, (*path)->doc);
}

static int wrong(struct buf *why, const char *option, const char *what)
{
    buf_put_text(why, option);
    buf_put_text(why, what);
    return -1;
}

int transmit_options_parse(struct transmit_options *options, int count, char **arguments, struct buf *why)
{
    memset(options, 0, sizeof *options);
    if (option_defaults(options, rows) != 0)
        return wrong(why, "", "out of memory");
    for (int at = 1; at < count; at++) {
        const char *argument = arguments[at];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            return 0;
        const struct option *row =
            strncmp(argument, "--", 2) == 0 ? option_find(rows, slice_text(argument + 2), NULL) : NULL;
        if (row == NULL)
            return wrong(why, argument, " is not an option");
        const char *value = row->kind == OPTION_BOOL ? "true" : ++at < count ? arguments[at] : NULL;
        if (value == NULL)
            return wrong(why, argument, " needs a value");
        uint8_t memory[256];
        struct buf reason = buf_of(memory, sizeof memory);
        if (option_set(options, row, slice_text(value), &reason) != 0) {
            wrong(why, argument, ": ");
            buf_put(why, buf_slice(&reason));
            return -1;
        }
    }
    return 1;
}

void transmit_options_release(struct transmit_options *options)
{
    option_release(options, rows);
}
