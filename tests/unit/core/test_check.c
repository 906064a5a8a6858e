/* SPDX-License-Identifier: MIT */
/* Proves what a failed check says and that the process ends. Leaves a failed check by longjmp where it has to look at
 * the line, and lets it abort where that is the point. Run by unit_core. */
#include "core/check.h"

#include <criterion/criterion.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static jmp_buf left;
static char said[1024];
static size_t said_bytes;

static void remember(const char *line)
{
    said_bytes = strlen(line);
    strncpy(said, line, sizeof said - 1);
    longjmp(left, 1);
}

static void hear(void)
{
    check_report = remember;
    said[0] = '\0';
}

Test(check, says_nothing_and_goes_on_when_the_condition_holds)
{
    int evaluated = 0;
    hear();
    if (setjmp(left) == 0) {
        check(++evaluated == 1);
        check_op(2, <, 3);
    }
    cr_assert_eq(evaluated, 1);
    cr_assert_str_empty(said);
}

Test(check, names_file_line_and_condition)
{
    hear();
    if (setjmp(left) == 0)
        check_failed("core/slab.c", 42, "index < count");
    cr_assert_str_eq(said, "core/slab.c:42: check failed: index < count");
}

Test(check, macro_reports_its_own_place_and_text)
{
    hear();
    if (setjmp(left) == 0)
        check(1 == 2);
    const char *file = strstr(said, "test_check.c:");
    cr_assert_not_null(file, "%s", said);
    cr_assert_not_null(strstr(file, ": check failed: 1 == 2"), "%s", said);
}

Test(check, comparison_prints_both_sides)
{
    uint64_t used = UINT64_MAX;
    hear();
    if (setjmp(left) == 0)
        check_op(used, <=, 16u);
    cr_assert_not_null(strstr(said, ": check failed (left 18446744073709551615, right 16): used <= 16u"), "%s", said);
}

Test(check, comparison_evaluates_each_side_once)
{
    int a = 0, b = 0;
    check_op(++a, ==, ++b);
    cr_assert_eq(a, 1);
    cr_assert_eq(b, 1);
}

Test(check, cuts_a_long_condition_and_keeps_what_comes_before)
{
    char what[2000];
    memset(what, 'x', sizeof what - 1);
    what[sizeof what - 1] = '\0';
    hear();
    if (setjmp(left) == 0)
        check_failed_pair("a.c", 7, what, 1, 2);
    const char *front = "a.c:7: check failed (left 1, right 2): xxx";
    cr_assert_eq(strncmp(said, front, strlen(front)), 0, "%s", said);
    cr_assert_eq(said_bytes, 511);
    cr_assert_eq(said[said_bytes - 1], 'x');
}

Test(check, a_file_name_that_fills_the_line_is_cut_too)
{
    char file[2000];
    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    hear();
    if (setjmp(left) == 0)
        check_failed(file, 7, "what");
    cr_assert_eq(said_bytes, 511);
    cr_assert_eq(strspn(said, "f"), 511);
}

Test(check, aborts_without_a_report, .signal = SIGABRT)
{
    check_report = NULL;
    check_failed("a.c", 1, "never");
}

static void return_quietly(const char *line)
{
    (void)line;
}

Test(check, aborts_behind_the_report, .signal = SIGABRT)
{
    check_report = return_quietly;
    check_op(1, >, 2);
}

/* A second call would end the test without the signal that it has to end with. */
static void fail_inside(const char *line)
{
    static bool called;
    (void)line;
    if (called)
        _exit(0);
    called = true;
    check_failed("report.c", 1, "a check inside the report");
}

Test(check, reports_once_even_when_the_report_fails_a_check, .signal = SIGABRT)
{
    check_report = fail_inside;
    check_failed("a.c", 1, "the first");
}
