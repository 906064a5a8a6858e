/* SPDX-License-Identifier: MIT */
/* Owns the process of a seed: what it leaves behind is its result, what it said, and how it ended.
 * It never decides which seeds run.
 * Called by the program for every seed and by the minimiser for every attempt. */
#include "tests/sim/sim_child.h"

#include "core/check.h"
#include "core/crash.h"
#include "core/log.h"
#include "tests/sim/sim_start.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED_SECONDS 120 /* of processor time: a run that hangs is a failed one, on a busy machine too */
#define HUNG "emergency brake: it has taken 120 s of processor time"
#define EVENTS_OF_MANY 40 /* of each flight recorder; all of them when the seed was asked for */

static uint64_t seed_now;

static void report_check(const char *line)
{
    fflush(stdout);
    fprintf(stderr, "sim: seed %llu: %s\n", (unsigned long long)seed_now, line);
}

_Noreturn static void run_here(const struct sim_child *child)
{
    const struct sim_options *options = &child->options;
    seed_now = options->seed;
    check_report = report_check;
    log_redirect(-1);
    dup2(child->words, STDERR_FILENO);
    crash_install(options->verbose ? FLIGHT_EVENTS : EVENTS_OF_MANY);
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {.tv_sec = SEED_SECONDS}}, NULL);
    *child->result = options->seed == 0 ? sim_start(options) : sim_run(options);
    exit(EXIT_SUCCESS);
}

void sim_child_init(struct sim_child *child)
{
    void *memory = mmap(NULL, sizeof *child->result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    *child = (struct sim_child){.result = memory, .words = memfd_create("words", MFD_CLOEXEC)};
    check(child->words >= 0);
}

void sim_child_start(struct sim_child *child, const struct sim_options *options)
{
    child->options = *options;
    check(ftruncate(child->words, 0) == 0 && lseek(child->words, 0, SEEK_SET) == 0);
    fflush(stdout);
    child->pid = fork();
    if (child->pid < 0) {
        perror("sim");
        exit(EXIT_FAILURE);
    }
    if (child->pid == 0)
        run_here(child);
}

static const char *signal_words(int number)
{
    return number == SIGPROF ? HUNG : strsignal(number);
}

bool sim_child_hung(const char *words)
{
    return strstr(words, HUNG) != NULL;
}

bool sim_child_ended(struct sim_child *child, int status, char words[SIM_WORDS_BYTES])
{
    ssize_t bytes = pread(child->words, words, SIM_WORDS_BYTES - 1, 0);
    size_t used = bytes > 0 ? (size_t)bytes : 0;
    words[used] = '\0';
    child->pid = 0;
    if (WIFSIGNALED(status)) {
        char line[128];
        int length =
            snprintf(line, sizeof line, "sim: seed %llu: ended by signal %d (%s)\n",
                     (unsigned long long)child->options.seed, WTERMSIG(status), signal_words(WTERMSIG(status)));
        (void)!pwrite(child->words, line, (size_t)length, lseek(child->words, 0, SEEK_END));
        snprintf(words + used, SIM_WORDS_BYTES - used, "%s", line);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

void sim_child_print(const struct sim_child *child)
{
    char part[SIM_WORDS_BYTES];
    off_t at = 0;
    for (ssize_t bytes; (bytes = pread(child->words, part, sizeof part, at)) > 0; at += bytes)
        fwrite(part, 1, (size_t)bytes, stderr);
}

void sim_child_kind(const char *words, char *kind, size_t bytes)
{
    const char *line = strstr(words, "sim: seed ");
    size_t used = 0;
    for (const char *c = line == NULL ? words : line; *c != '\0' && *c != '\n' && used + 1 < bytes; c++)
        if (!isdigit((unsigned char)*c))
            kind[used++] = *c;
    kind[used] = '\0';
}

bool sim_child_run(struct sim_child *child, const struct sim_options *options, char words[SIM_WORDS_BYTES])
{
    int status = 0;
    sim_child_start(child, options);
    check(waitpid(child->pid, &status, 0) == child->pid);
    return sim_child_ended(child, status, words);
}
