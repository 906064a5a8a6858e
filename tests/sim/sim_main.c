/* SPDX-License-Identifier: MIT */
/* Owns the program: its command line and the summary. It knows nothing of what happens in a run.
 *
 *   sim                 120 seeds from 1 on, the first few twice, to see that they repeat; then seeds that aim at the
 *                       cells of the fault matrix that are still empty, and at allocations that have not failed, up to
 *                       a number of tries
 *   sim SEED...         these, with their traces
 *   sim --long          2,000 seeds of 60 seconds of their own time each, from today's date on
 *   --from N            the first seed; a date (2026-11-20) stands for a million seeds of its own
 *   --seeds N           how many
 *   --seconds N         how long each is, of its own time
 *   --jobs N            so many at a time; else as many as there are cores
 *   --brake SECONDS     the emergency brake: the run fails, and says so, when it takes longer; 0: never. Without it
 *                       1,500 for the plain command, and never when a number of seeds was asked for
 *   --without LIST, --clients N, --busy MS   leave something out, as the command that repeats a failure does
 *   --cells             all counts of the fault matrix and of the heap */
#include "tests/sim/sim_farm.h"
#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEDS 120
#define BRAKE_SECONDS 1500 /* far more than a sanitizer takes on a busy machine */
#define NAMED_MAX 64
#define LONG_SEEDS 2000
#define LONG_SECONDS 60
#define SEEDS_PER_DAY 1000000

struct command {
    struct sim_options options;
    uint64_t named[NAMED_MAX];
    uint32_t named_count;
    uint64_t from, seeds; /* seeds 0: not asked for */
    uint32_t jobs;
    uint32_t brake_seconds; /* UINT32_MAX: not asked for */
    bool cells;
};

/* --- the command line --------------------------------------------------------------------------------------------- */

_Noreturn static void usage(void)
{
    fprintf(stderr, "usage: sim [SEED...] [--long] [--from SEED|DATE] [--seeds N] [--seconds N] "
                    "[--jobs N] [--brake SECONDS] [--without SWITCH,...] [--clients N] [--busy MS] [--cells]\n");
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    if (text == NULL)
        usage();
    uint64_t value = strtoull(text, &end, 10);
    if (*end != '\0' || end == text)
        usage();
    return value;
}

static uint64_t seed_of_day(unsigned year, unsigned month, unsigned day)
{
    return (uint64_t)(year * 10000 + month * 100 + day) * SEEDS_PER_DAY;
}

static uint64_t first_seed(const char *text)
{
    unsigned year, month, day;
    if (text != NULL && sscanf(text, "%4u-%2u-%2u", &year, &month, &day) == 3)
        return seed_of_day(year, month, day);
    return number(text);
}

static uint64_t first_seed_of_today(void)
{
    struct timespec now;
    struct tm date;
    clock_gettime(CLOCK_REALTIME, &now); /* not time(), which is the simulation's: sim_library.c */
    gmtime_r(&now.tv_sec, &date);
    return seed_of_day((unsigned)date.tm_year + 1900, (unsigned)date.tm_mon + 1, (unsigned)date.tm_mday);
}

static void parse_without(struct sim_options *options, const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t bytes = strcspn(list, ",");
        if (!sim_shrink_parse_switch(list, bytes, &options->without)) {
            fprintf(stderr, "sim: no switch has the name %.*s\n", (int)bytes, list);
            usage();
        }
        list += bytes + (list[bytes] == ',');
    }
}

static void parse_option(struct command *command, const char *name, const char *value, int *used)
{
    *used = 2;
    if (strcmp(name, "--long") == 0) {
        command->from = first_seed_of_today();
        command->seeds = LONG_SEEDS;
        command->options.whole_ms = LONG_SECONDS * 1000;
        *used = 1;
    } else if (strcmp(name, "--cells") == 0) {
        command->cells = true;
        *used = 1;
    } else if (strcmp(name, "--from") == 0) {
        command->from = first_seed(value);
    } else if (strcmp(name, "--seeds") == 0) {
        command->seeds = number(value);
    } else if (strcmp(name, "--brake") == 0) {
        command->brake_seconds = (uint32_t)number(value);
    } else if (strcmp(name, "--seconds") == 0) {
        command->options.whole_ms = number(value) * 1000;
    } else if (strcmp(name, "--busy") == 0) {
        command->options.run_ms = number(value);
    } else if (strcmp(name, "--jobs") == 0) {
        command->jobs = (uint32_t)number(value);
    } else if (strcmp(name, "--without") == 0) {
        parse_without(&command->options, value);
    } else if (strcmp(name, "--clients") == 0) {
        command->options.clients_max = (uint32_t)number(value);
    } else {
        usage();
    }
}

static void parse(struct command *command, int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *command = (struct command){.options = {.clients_max = UINT32_MAX},
                                .from = 1,
                                .jobs = cores > 0 ? (uint32_t)cores : 1,
                                .brake_seconds = UINT32_MAX};
    for (int i = 1, used = 1; i < argc; i += used, used = 1) {
        if (argv[i][0] == '-')
            parse_option(command, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
        else if (command->named_count < NAMED_MAX)
            command->named[command->named_count++] = number(argv[i]);
        else
            usage();
    }
    if (command->jobs == 0 || command->jobs > SIM_JOBS_MAX || command->named_count > 0)
        command->jobs = command->named_count > 0 ? 1 : SIM_JOBS_MAX;
    if (command->brake_seconds == UINT32_MAX)
        command->brake_seconds = command->seeds > 0 || command->named_count > 0 ? 0 : BRAKE_SECONDS;
    command->options.verbose = command->named_count > 0;
}

/* --- the summary -------------------------------------------------------------------------------------------------- */

/* What is missing counts only in a run that could look for it to the end. */
static void report_sums(struct sim_farm *farm, bool cells)
{
    bool complete = farm->failed == 0 && !farm->braked;
    bool whole = sim_matrix_print(cells);
    whole = sim_heap_print(cells) && whole;
    printf("sim: %llu seeds, then %u tries at cells that they had left empty and %u at allocations\n",
           (unsigned long long)farm->seeds.count, farm->seeds.tries, farm->seeds.heap_seeds);
    printf("sim: a start has %llu allocations; each has failed, once and for good\n",
           (unsigned long long)farm->allocations);
    printf("sim: %llu s of simulated time in %lld s\n", (unsigned long long)(farm->virtual_ms / 1000),
           (long long)farm->seconds);
    if (farm->braked)
        printf("sim: EMERGENCY BRAKE: ended after %lld s of wall time, before all seeds had run; the machine is too "
               "slow or "
               "too busy, or a seed takes for ever. This is no verdict about seeds, cells or allocations.\n",
               (long long)farm->seconds);
    else if (!complete)
        printf("sim: seeds have failed, so nobody aimed at empty cells: they are not held against the run\n");
    farm->failed += farm->braked || (complete && !whole);
}

int main(int argc, char **argv)
{
    static struct command command;
    static struct sim_farm farm;
    parse(&command, argc, argv);
    sim_matrix_init();
    sim_heap_init();
    farm = (struct sim_farm){.options = command.options,
                             .named = command.named_count > 0 ? command.named : NULL,
                             .named_count = command.named_count,
                             .seeds = {.first = command.from, .count = command.seeds > 0 ? command.seeds : SEEDS},
                             .jobs = command.jobs,
                             .brake_seconds = command.brake_seconds};
    sim_farm_run(&farm);
    if (command.named_count == 0) {
        report_sums(&farm, command.cells);
    } else if (command.cells) {
        sim_matrix_print(true);
        sim_heap_print(true);
    }
    printf("sim: %u passed, %u failed\n", farm.passed, farm.failed);
    return farm.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
