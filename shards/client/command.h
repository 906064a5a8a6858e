/* SPDX-License-Identifier: MIT */
/* A command of the program: its name, arguments and help, and what all commands say alike. */
#ifndef RINGCAST_SHARDS_COMMAND_H
#define RINGCAST_SHARDS_COMMAND_H

#include "shards/client/args.h"

/* Beside EXIT_SUCCESS and EXIT_FAILURE; the second as in sysexits.h. */
#define EXIT_USAGE 2
#define EXIT_CONFIG 78

struct command {
    const char *name;
    const char *summary;
    const char *arguments; /* behind the name in the usage line */
    const char *help;
    const struct args_flag *flags;
    int (*run)(const struct command *command, char **arguments);
};

/* "ringcast: what: why" to stderr. EXIT_FAILURE. */
int command_fail(const char *what, const char *why);
/* The same with the usage line behind it. EXIT_USAGE. */
int command_usage(const struct command *command, const char *what, const char *which);
/* To stdout. EXIT_SUCCESS. */
int command_help(const struct command *command);
/* What a negative number of args_next means to the user. EXIT_USAGE. */
int command_argument(const struct command *command, int fault, const char *argument);
/* `code` when what was written to stdout has arrived, else a failure. */
int command_finish(int code);

#endif
