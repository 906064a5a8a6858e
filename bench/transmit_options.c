/* SPDX-License-Identifier: MIT */
/* Owns the options of ringcast-transmit. It never opens a socket or a file. Called by its main once. */
#include "bench/transmit_options.h"
#include "bench/transmit.h"

#define AT(field) offsetof(struct transmit_options, field)

static const struct option rows[] = {
    OPTION("sizes", TEXTS, AT(sizes), "512,4096,8192,16384,65536", .doc = "payload bytes, one table row each"),
    OPTION("paths", TEXTS, AT(paths), "ring,write,zero-copy,registered,shard,shard-zero-copy",
           .doc = "what is compared; ratios are to the first"),
    OPTION("conns", COUNT, AT(conns), "1000", .min = 1, .max = 8000, .doc = "sockets of each path"),
    OPTION("window", COUNT, AT(window), "1", .min = 1, .max = 1000, .doc = "messages gathered in one send"),
    OPTION("repeat", COUNT, AT(repeat), "7", .min = 1, .max = 1000, .doc = "repetitions; the paths take turns in each"),
    OPTION("slice", DURATION, AT(slice_ms), "100ms", .min = 1, .max = 60000,
           .doc = "CPU time of one path in one repetition"),
    OPTION("json", TEXT, AT(json), "", .doc = "file for the result as JSON; - is the standard output"),
    OPTION("quiet", BOOL, AT(quiet), "false", .doc = "no table"),
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
