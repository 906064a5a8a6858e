/* SPDX-License-Identifier: MIT */
/* Threads under their filters: what is on a list is made, what is not fails with EPERM, is counted and said once, and a
 * crash still gets its words out. Each runs in a child, for a filter is for ever. Run by unit_core. */
#include "core/crash.h"
#include "core/log.h"
#include "core/log_writer.h"
#include "core/sandbox.h"
#include "core/thread.h"
#include "tests/unit/core/last_words.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define NOT_HERE 77 /* a child's exit: this build or this kernel has no filters */

static void begin(void)
{
    log_configure(LOG_ERROR, LOG_LOGFMT);
    if (sandbox_begin() == -ENOTSUP)
        _exit(NOT_HERE);
}

static void run_as(const char *name, thread_main_fn *main)
{
    struct thread thread;
    begin();
    if (thread_start(&thread, name, -1, main, NULL) != 0)
        _exit(1);
    thread_join(&thread);
}

/* The child's exit code is the number of the line that was wrong. */
#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            _exit(__LINE__ % 64 + 1);                                                                                  \
    } while (0)

static void expect_well(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
        cr_skip("no filters here");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with status %x and said %.2000s", (unsigned)status,
              said);
}

static void make_calls(void *argument)
{
    (void)argument;
    free(malloc(1 << 20));
    must(sandbox_refused() == 0);
    must(chdir("/") == -1 && errno == EPERM);
    must(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
    must(chdir("/") == -1 && errno == EPERM);
    must(sandbox_refused() == 3);
}

static void refused_as_a_shard(void)
{
    run_as("shard-0", make_calls);
    must(open("/dev/null", O_RDONLY) >= 0); /* the main thread has not entered */
    sandbox_say();
    sandbox_say();
}

Test(sandbox, a_call_that_is_not_on_the_list_fails_and_is_said_once)
{
    char words[80];
    expect_well(end_of(refused_as_a_shard));
    snprintf(words, sizeof words, "msg=\"system call refused\" number=%d", SYS_socket);
    const char *first = strstr(said, words);
    cr_assert_not_null(first, "said: %s", said);
    cr_assert_null(strstr(first + 1, words), "said: %s", said);
}

static void ask_for_code(void *argument)
{
    (void)argument;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED);
    must(mprotect(page, 4096, PROT_READ) == 0);
    must(mprotect(page, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EPERM);
    must(mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EPERM);
    must(syscall(SYS_tgkill, getppid(), getppid(), 0) == -1 && errno == EPERM);
    must(syscall(SYS_tgkill, getpid(), gettid(), 0) == 0);
}

static void code_as_each(void)
{
    static const char *const names[] = {"shard-12", "log", "storage", "offload", "depot", "reload"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        run_as(names[i], ask_for_code);
}

Test(sandbox, no_thread_gets_memory_that_can_be_run_or_signals_another_process)
{
    expect_well(end_of(code_as_each));
}

static void read_a_file(void *argument)
{
    (void)argument;
    int fd = open("/dev/null", O_RDONLY);
    must(fd >= 0 && close(fd) == 0);
    must(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
}

static void reload_from_a_main_thread_with_a_filter(void)
{
    begin();
    must(sandbox_enter("ringcast") == 0);
    must(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
    run_as("reload", read_a_file);
}

Test(sandbox, the_thread_of_a_reload_opens_files_under_the_filter_that_it_inherits)
{
    expect_well(end_of(reload_from_a_main_thread_with_a_filter));
}

static void fail_under_a_filter(void *argument)
{
    (void)argument;
    log_message(LOG_ERROR, "before the end");
    abort();
}

static void crash_as_a_shard(void)
{
    static struct flight flight;
    crash_install(FLIGHT_EVENTS);
    flight_note(&flight, 1, FLIGHT_FREE, 1, 1, 0);
    begin();
    must(log_writer_start() == 0);
    crash_register(0, &flight);
    run_as("shard-0", fail_under_a_filter);
}

Test(sandbox, a_crash_has_its_last_words_and_ends_the_process)
{
    int status = end_of(crash_as_a_shard);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
        cr_skip("no filters here");
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x: %s", (unsigned)status, said);
    cr_assert_not_null(strstr(said, "before the end"), "said: %s", said);
    cr_assert_not_null(strstr(said, "flight 0: another thread: the last 1 of 1 events"), "said: %s", said);
}

static void enter_by_a_foreign_name(void)
{
    begin();
    (void)sandbox_enter("stranger");
}

Test(sandbox, a_thread_without_a_list_is_a_mistake)
{
    int status = end_of(enter_by_a_foreign_name);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
        cr_skip("no filters here");
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
