/* SPDX-License-Identifier: MIT */
/* Owns the reading of command-line arguments. It never prints and knows no command. Called by main.c. */
#include "shards/client/args.h"

#include <stddef.h>
#include <string.h>

static int long_flag(struct args *args, const struct args_flag *flags, const char *argument, const char **value)
{
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t bytes = equals == NULL ? strlen(name) : (size_t)(equals - name);
    for (int i = 0; flags[i].name != NULL; i++) {
        if (strlen(flags[i].name) != bytes || memcmp(flags[i].name, name, bytes) != 0)
            continue;
        if (!flags[i].value)
            return equals == NULL ? i : ARGS_SURPLUS;
        *value = equals != NULL ? equals + 1 : *args->rest;
        if (*value == NULL) {
            *value = argument;
            return ARGS_NO_VALUE;
        }
        args->rest += equals == NULL ? 1 : 0;
        return i;
    }
    return ARGS_UNKNOWN;
}

static int short_flag(struct args *args, const struct args_flag *flags, const char *argument, const char **value)
{
    for (int i = 0; flags[i].name != NULL; i++) {
        if (flags[i].letter != argument[1])
            continue;
        if (!flags[i].value)
            return argument[2] == '\0' ? i : ARGS_UNKNOWN;
        *value = argument[2] != '\0' ? argument + 2 : *args->rest;
        if (*value == NULL) {
            *value = argument;
            return ARGS_NO_VALUE;
        }
        args->rest += argument[2] == '\0' ? 1 : 0;
        return i;
    }
    return ARGS_UNKNOWN;
}

int args_next(struct args *args, const struct args_flag *flags, const char **value)
{
    const char *argument = *args->rest;
    *value = argument;
    if (argument == NULL)
        return ARGS_END;
    args->rest++;
    if (args->operands_only || argument[0] != '-' || argument[1] == '\0')
        return ARGS_OPERAND;
    if (strcmp(argument, "--") == 0) {
        args->operands_only = true;
        return args_next(args, flags, value);
    }
    int flag = argument[1] == '-' ? long_flag(args, flags, argument, value) : short_flag(args, flags, argument, value);
    if (flag >= 0 && !flags[flag].value)
        *value = NULL;
    return flag;
}
