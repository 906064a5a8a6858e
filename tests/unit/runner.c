/* SPDX-License-Identifier: MIT */
/* Owns the running of Criterion's tests where Criterion cannot: its sandbox does not start under the thread sanitizer
 * (Criterion issue 274). It never changes what a test means: one process per test, the same fixtures, expected signals
 * and exit codes, the same last line. Linked in front of libcriterion by builds with the thread or memory sanitizer. */
#include <criterion/criterion.h>

#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_FAILED 101
#define EXIT_SKIPPED 102

enum outcome { PASSED, FAILED, CRASHED, SKIPPED };

/* What Test() and TestSuite() have put into the sections of that name. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

static const struct criterion_test *current; /* in the test's process */
static bool expectation_failed;

/* --- what the test macros call, in the test's process ------------------------------------------------------------- */

static const struct criterion_test_extra_data *suite_of(const struct criterion_test *test)
{
    static const struct criterion_test_extra_data none;
    for (struct criterion_suite **suite = __start_cr_sts; suite != __stop_cr_sts; suite++)
        if (strcmp((*suite)->name, test->category) == 0)
            return (*suite)->data;
    return &none;
}

static void call(void (*fixture)(void))
{
    if (fixture != NULL)
        fixture();
}

void criterion_internal_test_setup(void)
{
    call(suite_of(current)->init);
    call(current->data->init);
}

void criterion_internal_test_main(void (*test)(void))
{
    test();
}

void criterion_internal_test_teardown(void)
{
    call(current->data->fini);
    call(suite_of(current)->fini);
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (!stats->passed)
        fprintf(stderr, "[----] %s:%u: %s\n", stats->file, stats->line, stats->message);
}

void cri_asserts_passed_incr(void)
{
}

/* May be called on any thread of the test: the whole process is the test. */
void criterion_abort_test(void)
{
    exit(EXIT_FAILED);
}

void criterion_continue_test(void)
{
    expectation_failed = true;
}

void criterion_skip_test(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_SKIPPED);
}

static _Noreturn void run(const struct criterion_test *test, unsigned timeout)
{
    current = test;
    alarm(test->data->timeout > 0 ? (unsigned)test->data->timeout + 1 : timeout);
    test->test();
    exit(expectation_failed ? EXIT_FAILED : 0); /* not _exit: the sanitizer has its say in a handler */
}

/* --- the parent --------------------------------------------------------------------------------------------------- */

static enum outcome judge(const struct criterion_test *test, int status)
{
    int wanted = test->data->signal;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == wanted ? PASSED : CRASHED;
    if (WEXITSTATUS(status) == EXIT_SKIPPED)
        return SKIPPED;
    return wanted == 0 && WEXITSTATUS(status) == test->data->exit_code ? PASSED : FAILED;
}

static enum outcome run_apart(const struct criterion_test *test, unsigned timeout)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run(test, timeout);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork or waitpid");
        exit(1);
    }
    enum outcome outcome = judge(test, status);
    if (outcome == FAILED || outcome == CRASHED)
        fprintf(stderr, "[FAIL] %s::%s (%s %d)\n", test->category, test->name,
                WIFSIGNALED(status) ? "signal" : "exit code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return outcome;
}

/* Whether a test is wanted: Criterion's patterns of "SUITE/NAME", as far as fnmatch knows them. */
static bool is_chosen(const struct criterion_test *test, const char *pattern)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", test->category, test->name);
    return !test->data->disabled && fnmatch(pattern, name, 0) == 0;
}

/* usage: PROGRAM [--timeout SECONDS] [--filter PATTERN] */
int main(int argc, char **argv)
{
    const char *timeout = "60", *pattern = "*";
    unsigned counts[SKIPPED + 1] = {0};
    for (int i = 1; i + 1 < argc; i += 2) {
        timeout = strcmp(argv[i], "--timeout") == 0 ? argv[i + 1] : timeout;
        pattern = strcmp(argv[i], "--filter") == 0 ? argv[i + 1] : pattern;
    }
    for (struct criterion_test **test = __start_cr_tst; test != __stop_cr_tst; test++)
        counts[is_chosen(*test, pattern) ? run_apart(*test, (unsigned)strtoul(timeout, NULL, 10)) : SKIPPED]++;
    unsigned failing = counts[FAILED] + counts[CRASHED];
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n", counts[PASSED] + failing,
           counts[PASSED], failing, counts[CRASHED]);
    return failing == 0 ? 0 : 1;
}
