/* SPDX-License-Identifier: MIT */
/* Owns the options of ringcast-floor. It never opens a socket or a file. Called by its main once. */
#include "bench/floor_options.h"

#include "core/option.h"

static const char *const modes[] = {"write", "ring", NULL};

#define ROW(name_, kind_, field_, fallback_, min_, max_, doc_)                                                         \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .offset = offsetof(struct floor_options, field_), .fallback = fallback_,         \
        .min = min_, .max = max_, .choices = modes, .doc = doc_                                                        \
    }

static const struct option rows[] = {
    ROW("mode", OPTION_CHOICE, mode, "write", 0, 0, "write: a write() per socket; ring: io_uring sends in batches"),
    ROW("conns", OPTION_COUNT, conns, "100", 1, 1000000, "sockets"),
    ROW("size", OPTION_COUNT, size, "128", 0, UINT64_C(16) << 20, "payload bytes; the WebSocket header comes on top"),
    ROW("window", OPTION_COUNT, window, "1", 1, 100000, "messages gathered in one send"),
    ROW("messages", OPTION_COUNT, messages, "0", 0, 4000000000, "per socket: ends by count, not by --duration"),
    ROW("duration", OPTION_DURATION, duration_ms, "2s", 0, 3600000, "measured part"),
    ROW("warmup", OPTION_DURATION, warmup_ms, "500ms", 0, 3600000, "the same before the measured part"),
    ROW("send-buffer", OPTION_SIZE, send_buffer_bytes, "0", 0, UINT64_C(1) << 30, "SO_SNDBUF; 0: the kernel's default"),
    ROW("batch", OPTION_COUNT, batch, "256", 1, 4096, "sends per system call (ring)"),
    ROW("spin-us", OPTION_COUNT, spin_us, "50", 0, 1000000, "how long the receiver looks for more before it sleeps"),
    ROW("json", OPTION_TEXT, json, "", 0, 0, "file for the result as JSON; - is the standard output"),
    ROW("quiet", OPTION_BOOL, quiet, "false", 0, 0, "no table"),
    {.name = NULL},
};

const char *floor_mode_name(uint32_t mode)
{
    return modes[mode];
}

void floor_usage(FILE *out)
{
    fputs("Usage: ringcast-floor [--OPTION VALUE]...\n"
          "\n"
          "What the kernel charges for sending the same bytes to many loopback sockets, without any server.\n"
          "\n",
          out);
    for (const struct option *row = rows; row->name; row++)
        fprintf(out, "  --%-12s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
}

static int wrong(struct buf *why, const char *option, const char *what)
{
    buf_put_text(why, option);
    buf_put_text(why, what);
    return -1;
}

int floor_options_parse(struct floor_options *options, int count, char **arguments, struct buf *why)
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
        if (!row)
            return wrong(why, argument, " is not an option");
        const char *value = row->kind == OPTION_BOOL ? "true" : ++at < count ? arguments[at] : NULL;
        if (!value)
            return wrong(why, argument, " needs a value");
        uint8_t memory[256];
        struct buf reason = buf_of(memory, sizeof memory);
        if (option_set(options, row, slice_text(value), &reason) != 0) {
            wrong(why, argument, ": ");
            buf_put(why, buf_slice(&reason));
            return -1;
        }
    }
    if (options->duration_ms == 0 && options->messages == 0)
        return wrong(why, "--duration 0", " needs --messages: nothing would be measured");
    return 1;
}

void floor_options_release(struct floor_options *options)
{
    option_release(options, rows);
}
