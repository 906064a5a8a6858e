/* SPDX-License-Identifier: MIT */
/* Owns the options of ringcast-floor. It never opens a socket or a file. Called by its main once. */
#include "bench/floor_options.h"

#include "core/option.h"

static const char *const modes[] = {"write", "ring", NULL};

#define AT(field) offsetof(struct floor_options, field)

static const struct option rows[] = {
    OPTION("mode", CHOICE, AT(mode), "write", .choices = modes,
           .doc = "write: a write() per socket; ring: io_uring sends in batches"),
    OPTION("conns", COUNT, AT(conns), "100", .min = 1, .max = 1000000, .doc = "sockets"),
    OPTION("size", COUNT, AT(size), "128", .max = UINT64_C(16) << 20,
           .doc = "payload bytes; the WebSocket header comes on top"),
    OPTION("window", COUNT, AT(window), "1", .min = 1, .max = 100000, .doc = "messages gathered in one send"),
    OPTION("messages", COUNT, AT(messages), "0", .max = 4000000000,
           .doc = "per socket: ends by count, not by --duration"),
    OPTION("duration", DURATION, AT(duration_ms), "2s", .max = 3600000, .doc = "measured part"),
    OPTION("warmup", DURATION, AT(warmup_ms), "500ms", .max = 3600000, .doc = "the same before the measured part"),
    OPTION("send-buffer", SIZE, AT(send_buffer_bytes), "0", .max = UINT64_C(1) << 30,
           .doc = "SO_SNDBUF; 0: the kernel's default"),
    OPTION("batch", COUNT, AT(batch), "256", .min = 1, .max = 4096, .doc = "sends per system call (ring)"),
    OPTION("spin-us", COUNT, AT(spin_us), "50", .max = 1000000,
           .doc = "how long the receiver looks for more before it sleeps"),
    OPTION("json", TEXT, AT(json), "", .doc = "file for the result as JSON; - is the standard output"),
    OPTION("quiet", BOOL, AT(quiet), "false", .doc = "no table"),
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
