/* SPDX-License-Identifier: MIT */
/* The command `version`. */
#ifndef RINGCAST_SHARDS_VERSION_H
#define RINGCAST_SHARDS_VERSION_H

#include "shards/client/args.h"

struct command;

extern const struct args_flag version_flags[];

/* Prints a line for each fact, with --json one object. An exit code. */
int version_run(const struct command *command, char **arguments);

#endif
