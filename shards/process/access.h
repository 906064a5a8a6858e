/* SPDX-License-Identifier: MIT */
/* The commands `hash-password`, `gentoken` and `checktoken`: what an operator needs of users and tokens. */
#ifndef RINGCAST_SHARDS_ACCESS_H
#define RINGCAST_SHARDS_ACCESS_H

#include "shards/client/args.h"

struct command;

extern const struct args_flag access_password_flags[], access_generate_flags[], access_check_flags[];

/* Exit codes. Secrets come from stdin or a variable, never from an argument, which others can see. */
int access_hash_password(const struct command *command, char **arguments);
int access_generate_token(const struct command *command, char **arguments);
int access_check_token(const struct command *command, char **arguments);

#endif
