/* SPDX-License-Identifier: MIT */
/* Owns the program: which seeds run, how many at a time, and the summary.
 * It knows nothing of what happens in a run.
 *
 *   sim                 seeds 1, 2, 3 ... for about 20 seconds, the first few twice, to see that they repeat; then seeds that aim
 *                       at the cells of the fault matrix that are still empty, and at allocations that have not failed
 *   sim SEED...         these, with their traces
 *   sim --long          2,000 seeds of 60 seconds of their own time each, from today's date on
 *   --from N            the first seed; a date (2026-11-20) stands for a million seeds of its own
 *   --seeds N, --time SECONDS   how many, or for how long
 *   --seconds N         how long each is, of its own time
 *   --jobs N            so many at a time; else as many as there are cores
 *   --without LIST, --clients N, --busy MS   leave something out, as the command that repeats a failure does
 *   --cells             all counts of the fault matrix and of the heap */
#include "core/check.h"
#include "tests/sim/sim_child.h"
#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 12
#define SEEDS_MIN 40 /* also on a slow machine, or under a sanitizer */
#define HEAP_SEEDS_MAX 60
#define REPEATED 5
#define FAILED_MAX 10 /* enough to look at */
#define SHRUNK_MAX 2
#define SHRINK_SECONDS 30
#define JOBS_MAX 64
#define NAMED_MAX 64
#define LONG_SEEDS 2000
#define LONG_SECONDS 60
#define SEEDS_PER_DAY 1000000

struct command {
    struct sim_options options;
    uint64_t named[NAMED_MAX];
    uint32_t named_count;
    uint64_t from, seeds; /* seeds 0: as many as there is time for */
    uint32_t seconds;     /* to run for, without a number of seeds */
    uint32_t jobs;
    bool cells;
};

/* Processes at work, and what has become of those before. */
struct farm {
    const struct command *command;
    struct sim_child children[JOBS_MAX];
    struct sim_result first[JOBS_MAX]; /* of a seed that runs for the second time */
    bool again[JOBS_MAX];
    uint64_t started;
    time_t begin;
    uint32_t passed, failed, running;
    uint64_t virtual_ms, allocations;
    uint32_t heap_seeds; /* that came because there are sites that had never failed */
};

static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* --- seeds ----------------------------------------------------------------------------------------------------------- */

/* The next seed to run; false: enough. Seed 0 is the start with a heap that fails. */
static bool next_seed(struct farm *farm, uint64_t *seed)
{
    const struct command *command = farm->command;
    if (command->named_count > 0) {
        *seed = command->named[farm->started % NAMED_MAX];
        return farm->started < command->named_count;
    }
    *seed = farm->started == 0 ? 0 : command->from + farm->started - 1;
    if (farm->failed >= FAILED_MAX)
        return false;
    bool more = farm->started <= SEEDS_MIN || seconds_now() - farm->begin < (time_t)command->seconds;
    if (command->seeds > 0)
        more = farm->started <= command->seeds;
    if (more || farm->failed > 0)
        return more;
    if (sim_matrix_next_seed(seed))
        return true;
    *seed = SIM_SEEDS_AT_HEAP + farm->heap_seeds++;
    return farm->heap_seeds <= HEAP_SEEDS_MAX && !sim_heap_is_whole();
}

static void report_failure(struct farm *farm, const struct sim_child *child, const char *words)
{
    const struct sim_options *options = &child->options;
    struct sim_options small = *options;
    fflush(stdout);
    sim_child_print(child);
    fprintf(stderr,
            "sim: seed %llu failed at commit " RINGCAST_COMMIT "; repeat it with: ", (unsigned long long)options->seed);
    sim_shrink_print_command(stderr, options);
    farm->failed++;
    if (options->seed == 0 || farm->failed > SHRUNK_MAX)
        return;
    uint32_t tried = sim_shrink(&small, words, SHRINK_SECONDS);
    fprintf(stderr, "sim: seed %llu: the smallest of %u runs that fail like this: ", (unsigned long long)options->seed,
            tried);
    sim_shrink_print_command(stderr, &small);
}

static void report_result(const struct sim_child *child)
{
    const struct sim_result *result = child->result;
    if (!child->options.verbose)
        return;
    printf("seed %llu: %llu ms, %llu steps, %llu messages published, %llu delivered, trace %016llx\n",
           (unsigned long long)child->options.seed, (unsigned long long)result->virtual_ms,
           (unsigned long long)result->steps, (unsigned long long)result->published,
           (unsigned long long)result->deliveries, (unsigned long long)result->hash);
}

/* By the fields: what stands behind the last one is nobody's. */
static bool same_run(const struct sim_result *a, const struct sim_result *b)
{
    return a->hash == b->hash && a->virtual_ms == b->virtual_ms && a->steps == b->steps &&
           a->published == b->published && a->deliveries == b->deliveries && a->repeats == b->repeats;
}

/* A seed has passed: for the second time it must have had the same run. Whether the process is at work again. */
static bool passed(struct farm *farm, uint32_t index)
{
    struct sim_child *child = &farm->children[index];
    const struct command *command = farm->command;
    uint64_t seed = child->options.seed;
    report_result(child);
    farm->virtual_ms += child->result->virtual_ms;
    if (seed == 0)
        farm->allocations = child->result->steps;
    if (farm->again[index]) {
        farm->again[index] = false;
        if (!same_run(&farm->first[index], child->result)) {
            fprintf(stderr, "sim: seed %llu does not repeat: traces %016llx and %016llx\n", (unsigned long long)seed,
                    (unsigned long long)farm->first[index].hash, (unsigned long long)child->result->hash);
            farm->failed++;
            return false;
        }
    } else if (child->result->repeats && command->named_count == 0 && seed >= command->from &&
               seed < command->from + REPEATED) {
        farm->again[index] = true;
        farm->first[index] = *child->result;
        sim_child_start(child, &child->options);
        return true;
    }
    farm->passed++;
    return false;
}

static void start_more(struct farm *farm)
{
    uint64_t seed;
    for (uint32_t i = 0; i < farm->command->jobs && next_seed(farm, &seed); i++) {
        if (farm->children[i].pid != 0)
            continue;
        struct sim_options options = farm->command->options;
        options.seed = seed;
        sim_child_start(&farm->children[i], &options);
        farm->started++;
        farm->running++;
    }
}

static void wait_for_one(struct farm *farm)
{
    int status = 0;
    char words[SIM_WORDS_BYTES];
    pid_t pid = wait(&status);
    uint32_t index = 0;
    check(pid > 0);
    while (farm->children[index].pid != pid)
        check_op(++index, <, farm->command->jobs);
    if (!sim_child_ended(&farm->children[index], status, words))
        report_failure(farm, &farm->children[index], words);
    else if (passed(farm, index))
        return;
    farm->running--;
}

/* --- the command line ------------------------------------------------------------------------------------------------ */

_Noreturn static void usage(void)
{
    fprintf(stderr, "usage: sim [SEED...] [--long] [--from SEED|DATE] [--seeds N] [--time SECONDS] [--seconds N] "
                    "[--jobs N] [--without SWITCH,...] [--clients N] [--busy MS] [--cells]\n");
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
    time_t now = time(NULL);
    struct tm date;
    gmtime_r(&now, &date);
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
    } else if (strcmp(name, "--time") == 0) {
        command->seconds = (uint32_t)number(value);
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
    *command = (struct command){
        .options = {.clients_max = UINT32_MAX}, .from = 1, .seconds = SECONDS, .jobs = cores > 0 ? (uint32_t)cores : 1};
    for (int i = 1, used = 1; i < argc; i += used, used = 1) {
        if (argv[i][0] == '-')
            parse_option(command, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
        else if (command->named_count < NAMED_MAX)
            command->named[command->named_count++] = number(argv[i]);
        else
            usage();
    }
    if (command->jobs == 0 || command->jobs > JOBS_MAX || command->named_count > 0)
        command->jobs = command->named_count > 0 ? 1 : JOBS_MAX;
    command->options.verbose = command->named_count > 0;
}

int main(int argc, char **argv)
{
    static struct command command;
    static struct farm farm;
    parse(&command, argc, argv);
    sim_matrix_init();
    sim_heap_init();
    farm = (struct farm){.command = &command, .begin = seconds_now()};
    for (uint32_t i = 0; i < command.jobs; i++)
        sim_child_init(&farm.children[i]);
    for (start_more(&farm); farm.running > 0; start_more(&farm))
        wait_for_one(&farm);
    bool whole = true;
    if (command.named_count == 0 || command.cells) {
        whole = sim_matrix_print(command.cells);
        whole = sim_heap_print(command.cells) && whole;
    }
    if (command.named_count == 0) {
        time_t took = seconds_now() - farm.begin;
        printf("sim: a start has %llu allocations; each has failed, once and for good\n",
               (unsigned long long)farm.allocations);
        printf("sim: %llu s of simulated time in %lld s\n", (unsigned long long)(farm.virtual_ms / 1000),
               (long long)took);
        farm.failed += !whole;
    }
    printf("sim: %u passed, %u failed\n", farm.passed, farm.failed);
    return farm.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
