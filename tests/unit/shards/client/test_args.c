/* SPDX-License-Identifier: MIT */
/* Tests of shards/client/args.c: each form of an argument, and each fault. */
#include "shards/client/args.h"

#include <criterion/criterion.h>

enum { HELP, FILE_NAME, LONG_ONLY };

static const struct args_flag flags[] = {
    [HELP] = {"help", 'h', false},
    [FILE_NAME] = {"file", 'f', true},
    [LONG_ONLY] = {"url", '\0', true},
    {0},
};

static void expect(struct args *args, int flag, const char *value)
{
    const char *found;
    cr_assert_eq(args_next(args, flags, &found), flag);
    if (value == NULL)
        cr_assert_null(found);
    else
        cr_assert_str_eq(found, value);
}

#define ARGS(...)                                                                                                      \
    {                                                                                                                  \
        .rest = (char *[])                                                                                             \
        {                                                                                                              \
            __VA_ARGS__, NULL                                                                                          \
        }                                                                                                              \
    }

Test(args, reads_flags_and_values_in_every_form)
{
    struct args args = ARGS("-h", "--help", "-f", "a", "-fb", "--file", "c", "--file=d", "--url=", "-f", "-h");
    expect(&args, HELP, NULL);
    expect(&args, HELP, NULL);
    expect(&args, FILE_NAME, "a");
    expect(&args, FILE_NAME, "b");
    expect(&args, FILE_NAME, "c");
    expect(&args, FILE_NAME, "d");
    expect(&args, LONG_ONLY, "");
    expect(&args, FILE_NAME, "-h");
    expect(&args, ARGS_END, NULL);
    expect(&args, ARGS_END, NULL);
}

Test(args, finds_operands_between_flags_and_takes_a_lone_dash_for_one)
{
    struct args args = ARGS("plain/x", "-h", "-", "");
    expect(&args, ARGS_OPERAND, "plain/x");
    expect(&args, HELP, NULL);
    expect(&args, ARGS_OPERAND, "-");
    expect(&args, ARGS_OPERAND, "");
    expect(&args, ARGS_END, NULL);
}

Test(args, takes_everything_behind_two_dashes_for_operands)
{
    struct args args = ARGS("--", "-h", "--", "--file");
    expect(&args, ARGS_OPERAND, "-h");
    expect(&args, ARGS_OPERAND, "--");
    expect(&args, ARGS_OPERAND, "--file");
    expect(&args, ARGS_END, NULL);
}

Test(args, reports_what_is_wrong_with_the_argument)
{
    struct args args = ARGS("-x", "--helper", "--hel", "-hf", "--help=1", "--=1", "-f");
    expect(&args, ARGS_UNKNOWN, "-x");
    expect(&args, ARGS_UNKNOWN, "--helper");
    expect(&args, ARGS_UNKNOWN, "--hel");
    expect(&args, ARGS_UNKNOWN, "-hf");
    expect(&args, ARGS_SURPLUS, "--help=1");
    expect(&args, ARGS_UNKNOWN, "--=1");
    expect(&args, ARGS_NO_VALUE, "-f");
    expect(&args, ARGS_END, NULL);
    args = (struct args)ARGS("--url");
    expect(&args, ARGS_NO_VALUE, "--url");
}
