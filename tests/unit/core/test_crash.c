/* SPDX-License-Identifier: MIT */
/* Proves what a process says when a fault of its own ends it, and that it ends as it would have. Each death is a
 * child's, whose stderr is read. Run by unit_core. */
#include "core/check.h"
#include "core/crash.h"
#include "core/log.h"
#include "core/log_writer.h"
#include "core/thread.h"
#include "tests/unit/core/last_words.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct flight flights[2];

static void expect_signal(int status, int wanted)
{
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == wanted, "ended with status %x and said %s", (unsigned)status,
              said);
}

static const char *in_what_was_said(const char *text)
{
    const char *found = strstr(said, text);
    cr_assert_not_null(found, "\"%s\" is not in: %.2000s", text, said);
    return found;
}

static void note(struct flight *flight, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++)
        flight_note(flight, i, FLIGHT_FREE, i, 1, 0);
}

static uint32_t lines_of(const char *prefix)
{
    uint32_t count = 0;
    for (const char *at = said; (at = strstr(at, prefix)) != NULL; at++)
        count += at == said || at[-1] == '\n';
    return count;
}

static void fail_a_check(void)
{
    log_configure(LOG_ERROR, LOG_LOGFMT);
    crash_install(FLIGHT_EVENTS);
    crash_register(0, &flights[0]);
    note(&flights[0], 0, 3);
    check_op(flights[0].count, ==, 4);
}

Test(crash, a_failed_check_is_followed_by_the_events_newest_last)
{
    expect_signal(end_of(fail_a_check), SIGABRT);
    const char *line = in_what_was_said("check failed (left 3, right 4)");
    const char *head = in_what_was_said("flight 0: this thread: the last 3 of 3 events, the newest last\n");
    cr_assert_lt(line, head);
    cr_assert_str_eq(strchr(head, '\n') + 1, "flight 0: -2 ms free conn 0 generation 1\n"
                                             "flight 0: -1 ms free conn 1 generation 1\n"
                                             "flight 0: 0 ms free conn 2 generation 1\n");
}

static void fail_after_many_events(void)
{
    crash_install(FLIGHT_EVENTS);
    crash_register(0, &flights[0]);
    note(&flights[0], 0, FLIGHT_EVENTS + 904);
    abort();
}

Test(crash, prints_4096_of_more_events_in_order)
{
    expect_signal(end_of(fail_after_many_events), SIGABRT);
    const char *at = in_what_was_said("flight 0: this thread: the last 4096 of 5000 events");
    for (uint32_t i = 904; i < 5000; i++) {
        char line[80];
        snprintf(line, sizeof line, "flight 0: %d ms free conn %u generation 1\n", (int)i - 4999, i);
        at = strchr(at, '\n') + 1;
        cr_assert_eq(strncmp(at, line, strlen(line)), 0, "at event %u: %.80s", i, at);
    }
    cr_assert_eq(lines_of("flight "), 4097);
}

static _Atomic bool ready;

static void wait_as_shard_1(void *argument)
{
    (void)argument;
    crash_register(1, &flights[1]);
    note(&flights[1], 0, 300);
    atomic_store(&ready, true);
    for (;;)
        pause();
}

static void fail_beside_another_thread(void)
{
    struct thread thread;
    crash_install(10);
    crash_register(0, &flights[0]);
    note(&flights[0], 0, 20);
    thread_start(&thread, "other", -1, wait_as_shard_1, NULL);
    while (!atomic_load(&ready))
        usleep(1000);
    abort();
}

Test(crash, prints_the_failing_thread_last_and_of_others_at_most_256_events)
{
    expect_signal(end_of(fail_beside_another_thread), SIGABRT);
    const char *other = in_what_was_said("flight 1: another thread: the last 256 of 300 events, the newest last\n");
    const char *own = in_what_was_said("flight 0: this thread: the last 10 of 20 events, the newest last\n");
    cr_assert_lt(other, own);
    cr_assert_eq(lines_of("flight 1: "), 257);
    cr_assert_eq(lines_of("flight 0: "), 11);
}

static void forget_and_fail(void)
{
    crash_install(FLIGHT_EVENTS);
    crash_register(0, &flights[0]);
    note(&flights[0], 0, 3);
    crash_forget(0);
    abort();
}

Test(crash, says_nothing_of_a_shard_that_has_ended)
{
    expect_signal(end_of(forget_and_fail), SIGABRT);
    cr_assert_eq(lines_of("flight "), 0, "%s", said);
}

/* Under a sanitizer its own report and exit code come behind the events. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED                                                                                                      \
    (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

static void expect_fault(int status, int wanted)
{
    if (SANITIZED)
        cr_assert_neq(status, 0);
    else
        expect_signal(status, wanted);
}

static void fault(void *argument)
{
    (void)argument;
    crash_register(0, &flights[0]);
    note(&flights[0], 0, 1);
    raise(SIGBUS);
    for (;;)
        pause();
}

static void fault_in_a_thread(void)
{
    struct thread thread;
    crash_install(FLIGHT_EVENTS);
    thread_start(&thread, "shard", -1, fault, NULL);
    thread_join(&thread);
}

Test(crash, a_signal_that_was_sent_ends_a_thread_of_the_process_behind_the_events)
{
    expect_fault(end_of(fault_in_a_thread), SIGBUS);
    in_what_was_said("flight 0: this thread: the last 1 of 1 events");
}

static int recurse(volatile int depth)
{
    volatile char memory[4096];
    memory[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + memory[0];
}

static void overrun(void *argument)
{
    (void)argument;
    crash_register(0, &flights[0]);
    note(&flights[0], 0, 2);
    recurse(0);
}

static void overrun_the_stack_of_a_thread(void)
{
    struct thread thread;
    crash_install(FLIGHT_EVENTS);
    thread_start(&thread, "shard", -1, overrun, NULL);
    thread_join(&thread);
}

Test(crash, a_thread_without_stack_still_gets_its_events_out)
{
    expect_fault(end_of(overrun_the_stack_of_a_thread), SIGSEGV);
    in_what_was_said("flight 0: 0 ms free conn 1 generation 1\n");
}

/* --- whatever stderr is (a supervisor starts only what has ended) ------------------------------------------------- */

static void fill_stderr(void)
{
    int channel[2];
    cr_assert_eq(pipe(channel), 0);
    dup2(channel[1], STDERR_FILENO);
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, said, 4096) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, 0);
}

static void fail_with_a_full_stderr(void)
{
    fill_stderr();
    fail_after_many_events();
}

static void fail_a_check_with_a_full_stderr(void)
{
    fill_stderr();
    fail_a_check();
}

static void fail_while_a_writer_waits(void)
{
    fill_stderr();
    log_configure(LOG_ERROR, LOG_LOGFMT);
    check(log_writer_start() == 0);
    log_message(LOG_ERROR, "nobody reads this");
    fail_after_many_events();
}

static void fail_without_stderr(void)
{
    close(STDERR_FILENO);
    fail_a_check();
}

Test(crash, a_process_whose_stderr_is_full_or_closed_ends_all_the_same)
{
    expect_signal(end_of(fail_with_a_full_stderr), SIGABRT);
    expect_signal(end_of(fail_a_check_with_a_full_stderr), SIGABRT);
    expect_signal(end_of(fail_while_a_writer_waits), SIGABRT);
    expect_signal(end_of(fail_without_stderr), SIGABRT);
}
