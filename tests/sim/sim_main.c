/* SPDX-License-Identifier: MIT */
/* Owns the program: which seeds run, each in a process of its own so that a failed check() is a failed seed, and the summary.
 * It knows nothing of what happens in a run.
 *
 *   sim            runs seeds 1, 2, 3 ... for about 20 seconds; the first few twice, to see that they repeat
 *   sim SEED...    runs these and prints their traces */
#include "core/check.h"
#include "core/crash.h"
#include "core/log.h"
#include "tests/sim/sim_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 20
#define SEEDS_MIN 20    /* also on a slow machine, or under a sanitizer */
#define SEED_SECONDS 60 /* a run that hangs is a failed one */
#define REPEATED 5
#define FAILED_MAX 10     /* enough to look at */
#define EVENTS_OF_MANY 40 /* of each flight recorder; all of them when the seed was asked for */

static uint64_t seed_now;

static void report_check(const char *line)
{
    fflush(stdout);
    fprintf(stderr, "sim: seed %llu: %s\n", (unsigned long long)seed_now, line);
}

/* In the child. */
_Noreturn static void run_here(uint64_t seed, bool verbose, int out)
{
    seed_now = seed;
    check_report = report_check;
    log_redirect(-1);
    crash_install(verbose ? FLIGHT_EVENTS : EVENTS_OF_MANY);
    alarm(SEED_SECONDS);
    struct sim_result result = sim_run(seed, verbose);
    if (verbose)
        printf("seed %llu: %llu ms, %llu steps, %llu messages published, %llu delivered, trace %016llx\n",
               (unsigned long long)seed, (unsigned long long)result.virtual_ms, (unsigned long long)result.steps,
               (unsigned long long)result.published, (unsigned long long)result.deliveries,
               (unsigned long long)result.hash);
    bool told = write(out, &result, sizeof result) == sizeof result;
    exit(told ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Whether the seed passed. */
static bool run_seed(uint64_t seed, bool verbose, struct sim_result *result)
{
    int channel[2], status = 0;
    fflush(stdout);
    pid_t child = pipe(channel) == 0 ? fork() : -1;
    if (child < 0) {
        perror("sim");
        exit(EXIT_FAILURE);
    }
    if (child == 0) {
        close(channel[0]);
        run_here(seed, verbose, channel[1]);
    }
    close(channel[1]);
    bool told = read(channel[0], result, sizeof *result) == sizeof *result;
    close(channel[0]);
    waitpid(child, &status, 0);
    if (told && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        fprintf(stderr, "sim: seed %llu: ended by signal %d (%s)\n", (unsigned long long)seed, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    fprintf(stderr, "sim: seed %llu failed; repeat it with: tools/dev sim %llu\n", (unsigned long long)seed,
            (unsigned long long)seed);
    return false;
}

static bool repeats(uint64_t seed, const struct sim_result *first)
{
    struct sim_result second;
    if (!run_seed(seed, false, &second))
        return false;
    if (memcmp(first, &second, sizeof second) == 0)
        return true;
    fprintf(stderr, "sim: seed %llu does not repeat: traces %016llx and %016llx\n", (unsigned long long)seed,
            (unsigned long long)first->hash, (unsigned long long)second.hash);
    return false;
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int main(int argc, char **argv)
{
    uint32_t passed = 0, failed = 0;
    struct sim_result result;
    for (int i = 1; i < argc; i++) {
        char *end;
        uint64_t seed = strtoull(argv[i], &end, 10);
        if (*end != '\0' || end == argv[i]) {
            fprintf(stderr, "usage: sim [SEED...]\n");
            return 2;
        }
        if (run_seed(seed, true, &result))
            passed++;
        else
            failed++;
    }
    time_t end = seconds() + SECONDS;
    for (uint64_t seed = 1; argc == 1 && failed < FAILED_MAX && (seed <= SEEDS_MIN || seconds() < end); seed++) {
        if (run_seed(seed, false, &result) && (seed > REPEATED || repeats(seed, &result)))
            passed++;
        else
            failed++;
    }
    printf("sim: %u passed, %u failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
