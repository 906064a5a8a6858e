/* SPDX-License-Identifier: MIT */
/* A process that is meant to die: how it ends and what it says, for tests that prove a mistake is caught. */
#ifndef RINGCAST_TESTS_UNIT_CORE_LAST_WORDS_H
#define RINGCAST_TESTS_UNIT_CORE_LAST_WORDS_H

#include "core/poison.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[1 << 20]; /* by the last child, on stderr */

/* Runs `die` in a child; returns its wait status. A child that survives exits with 0. */
static inline int end_of(void (*die)(void))
{
    int channel[2], status;
    cr_assert_eq(pipe(channel), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        dup2(channel[1], STDERR_FILENO);
        die();
        _exit(0);
    }
    close(channel[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(channel[0], said + used, sizeof said - 1 - used)) > 0;)
        used += (size_t)got;
    said[used] = '\0';
    close(channel[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

/* Only where POISON_ASAN: the child touches poisoned memory, and the address sanitizer says so. */
static inline void expect_poisoned(void (*touch)(void))
{
    int status = end_of(touch);
    cr_assert(status != 0 && strstr(said, "use-after-poison") != NULL, "ended with status %x and said %.2000s",
              (unsigned)status, said);
}

#endif
