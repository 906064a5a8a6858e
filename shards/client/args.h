/* SPDX-License-Identifier: MIT */
/* Command-line arguments, pulled one by one: -c FILE, -cFILE, --config FILE, --config=FILE, and operands between
 * them; behind "--" everything is an operand, and so is a lone "-". (getopt.h has a struct option of its own, and
 * cannot be used beside core/option.h.) */
#ifndef RINGCAST_SHARDS_ARGS_H
#define RINGCAST_SHARDS_ARGS_H

#include <stdbool.h>

struct args_flag {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* '\0': none */
    bool value;       /* a value follows */
};

enum {
    ARGS_END = -1,
    ARGS_OPERAND = -2,  /* *value is it */
    ARGS_UNKNOWN = -3,  /* *value is the argument */
    ARGS_NO_VALUE = -4, /* a value is missing; *value is the argument */
    ARGS_SURPLUS = -5,  /* "--flag=value" of a flag that takes none; *value is the argument */
};

struct args {
    char **rest; /* NULL-terminated: what has not been read */
    bool operands_only;
};

/* Index of the flag in the table (*value is its value, or NULL), or one of the negative numbers above. */
int args_next(struct args *args, const struct args_flag *flags, const char **value);

#endif
