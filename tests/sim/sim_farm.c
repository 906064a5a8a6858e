/* SPDX-License-Identifier: MIT */
/* Owns the processes of a run: each free place gets the next seed, and of each seed that has ended it takes the result.
 * It never decides by a clock which seeds run, but for the emergency brake, which it says in words.
 * Called by the program. */
#include "tests/sim/sim_farm.h"

#include "core/check.h"
#include "tests/sim/sim_shrink.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#define REPEATED 5
#define FAILED_MAX 10 /* enough to look at */
#define SHRUNK_MAX 2
#define SHRINK_TRIES 200

static int64_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool is_braked(struct sim_farm *farm)
{
    farm->seconds = seconds_now() - farm->begin_seconds;
    farm->braked |= farm->brake_seconds > 0 && farm->seconds >= farm->brake_seconds;
    return farm->braked;
}

static bool next_named(struct sim_farm *farm, uint64_t *seed)
{
    if (farm->named_begun == farm->named_count)
        return false;
    *seed = farm->named[farm->named_begun++];
    return true;
}

/* The next seed to run; false: enough, or not yet. When one has failed there is no need to complete the matrix. */
static bool next_seed(struct sim_farm *farm, uint64_t *seed)
{
    if (farm->named != NULL)
        return next_named(farm, seed);
    if (farm->failed >= FAILED_MAX || !sim_seeds_next(&farm->seeds, farm->running == 0 && farm->failed == 0, seed))
        return false;
    return !is_braked(farm);
}

static void report_failure(struct sim_farm *farm, const struct sim_child *child, const char *words)
{
    const struct sim_options *options = &child->options;
    struct sim_options small = *options;
    fflush(stdout);
    sim_child_print(child);
    fprintf(stderr,
            "sim: seed %llu failed at commit " RINGCAST_COMMIT "; repeat it with: ", (unsigned long long)options->seed);
    sim_shrink_print_command(stderr, options);
    farm->failed++;
    if (options->seed == 0 || farm->failed > SHRUNK_MAX || sim_child_hung(words))
        return;
    uint32_t tried = sim_shrink(&small, words, SHRINK_TRIES);
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

static bool is_to_repeat(const struct sim_farm *farm, const struct sim_child *child)
{
    uint64_t seed = child->options.seed, first = farm->seeds.first;
    return child->result->repeats && farm->named == NULL && seed >= first && seed < first + REPEATED;
}

/* A seed has passed: for the second time it must have had the same run. Whether the process is at work again. */
static bool passed(struct sim_farm *farm, uint32_t index)
{
    struct sim_child *child = &farm->children[index];
    char words[SIM_DIFFERENCE_BYTES];
    report_result(child);
    farm->virtual_ms += child->result->virtual_ms;
    if (child->options.seed == 0)
        farm->allocations = child->result->steps;
    if (farm->again[index]) {
        farm->again[index] = false;
        if (!sim_result_equal(&farm->first[index], child->result, words)) {
            fprintf(stderr, "sim: seed %llu does not repeat: %s\n", (unsigned long long)child->options.seed, words);
            farm->failed++;
            return false;
        }
    } else if (is_to_repeat(farm, child)) {
        farm->again[index] = true;
        farm->first[index] = *child->result;
        sim_child_start(child, &child->options);
        return true;
    }
    farm->passed++;
    return false;
}

static void start_more(struct sim_farm *farm)
{
    uint64_t seed;
    for (uint32_t i = 0; i < farm->jobs; i++) {
        if (farm->children[i].pid != 0)
            continue;
        if (!next_seed(farm, &seed))
            return;
        struct sim_options options = farm->options;
        options.seed = seed;
        sim_child_start(&farm->children[i], &options);
        farm->running++;
    }
}

static void wait_for_one(struct sim_farm *farm)
{
    int status = 0;
    char words[SIM_WORDS_BYTES];
    pid_t pid = wait(&status);
    uint32_t index = 0;
    check(pid > 0);
    while (farm->children[index].pid != pid)
        check_op(++index, <, farm->jobs);
    if (!sim_child_ended(&farm->children[index], status, words)) {
        farm->again[index] = false;
        report_failure(farm, &farm->children[index], words);
    } else if (passed(farm, index)) {
        return;
    }
    farm->running--;
}

void sim_farm_run(struct sim_farm *farm)
{
    check_op(farm->jobs, <=, SIM_JOBS_MAX);
    farm->begin_seconds = seconds_now();
    for (uint32_t i = 0; i < farm->jobs; i++)
        sim_child_init(&farm->children[i]);
    for (start_more(farm); farm->running > 0; start_more(farm))
        wait_for_one(farm);
    farm->seconds = seconds_now() - farm->begin_seconds;
}
