/* SPDX-License-Identifier: MIT */
/* Owns the command `version`: what this program was built from, and what of the kernel it uses here. Called by main. */
#include "shards/process/version.h"

#include "core/ring.h"
#include "protocol/json.h"
#include "protocol/tls/tls.h"
#include "shards/client/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { VERSION_HELP, VERSION_JSON };

const struct args_flag version_flags[] = {
    [VERSION_HELP] = {"help", 'h', false},
    [VERSION_JSON] = {"json", '\0', false},
    {0},
};

struct fact {
    const char *name;
    const char *value;
};

static void print_facts(const struct fact *facts, bool json)
{
    uint8_t memory[4096];
    struct buf out = buf_of(memory, sizeof memory);
    for (const struct fact *fact = facts; fact->name != NULL; fact++) {
        if (!json) {
            printf("%-9s %s\n", fact->name, fact->value);
            continue;
        }
        buf_put_byte(&out, fact == facts ? '{' : ',');
        json_put_string(&out, slice_text(fact->name));
        buf_put_byte(&out, ':');
        json_put_string(&out, slice_text(fact->value));
    }
    if (json)
        printf("%.*s}\n", (int)out.used, (const char *)out.data);
}

int version_run(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    struct utsname kernel;
    struct ring_features features;
    char why[256] = "", release[sizeof kernel.sysname + sizeof kernel.release + 1] = "unknown";
    const char *value;
    bool json = false;
    int flag;
    while ((flag = args_next(&args, version_flags, &value)) != ARGS_END) {
        if (flag < 0)
            return command_argument(command, flag, value);
        if (flag == VERSION_HELP)
            return command_help(command);
        json = true;
    }
    if (uname(&kernel) == 0)
        snprintf(release, sizeof release, "%s %s", kernel.sysname, kernel.release);
    const struct fact facts[] = {
        {"version", RINGCAST_VERSION},
        {"commit", RINGCAST_COMMIT},
        {"compiler", COMPILER},
        {"liburing", RINGCAST_LIBURING},
        {"tls", tls_library()},
        {"kernel", release},
        {"ring", ring_probe(&features, why, sizeof why) == 0 ? features.summary : why},
        {0},
    };
    print_facts(facts, json);
    return command_finish(EXIT_SUCCESS);
}
