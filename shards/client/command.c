/* SPDX-License-Identifier: MIT */
/* Owns what every command says to its user: help, mistakes in the arguments, failures. It never does what a command is
 * for. Called by main.c and client_command.c. */
#include "shards/client/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_fail(const char *what, const char *why)
{
    fprintf(stderr, "ringcast: %s%s%s\n", what, why[0] == '\0' ? "" : ": ", why);
    return EXIT_FAILURE;
}

int command_usage(const struct command *command, const char *what, const char *which)
{
    fprintf(stderr, "ringcast: %s%s%s\nusage: ringcast %s%s\n", what, which[0] == '\0' ? "" : ": ", which,
            command->name, command->arguments);
    return EXIT_USAGE;
}

int command_help(const struct command *command)
{
    printf("usage: ringcast %s%s\n\n%s", command->name, command->arguments, command->help);
    return EXIT_SUCCESS;
}

int command_argument(const struct command *command, int fault, const char *argument)
{
    switch (fault) {
    case ARGS_OPERAND:
        return command_usage(command, "unexpected argument", argument);
    case ARGS_NO_VALUE:
        return command_usage(command, "a value is missing behind", argument);
    case ARGS_SURPLUS:
        return command_usage(command, "this option takes no value", argument);
    default:
        return command_usage(command, "unknown option", argument);
    }
}

int command_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return command_fail("cannot write", strerror(errno));
}
