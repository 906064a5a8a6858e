/* SPDX-License-Identifier: MIT */
/* Owns the search for a small run (delta debugging): switches in halves, then smaller parts, then one by one; then
 * clients and time by halves. It never looks at a run: it asks whether it still fails. Called by the program when a
 * seed has failed. */
#include "tests/sim/sim_shrink.h"

#include "tests/sim/sim_child.h"

#include <string.h>

#define KIND_BYTES 160
#define SWITCHES_MAX 64
#define CLIENTS_FIRST 64
#define RUN_MS_FIRST 16000

struct search {
    struct sim_child child;
    struct sim_options best;
    char kind[KIND_BYTES];
    uint32_t tried, tries_max;
};

static bool still_fails(struct search *search, const struct sim_options *options)
{
    char words[SIM_WORDS_BYTES], kind[KIND_BYTES];
    if (search->tried == search->tries_max)
        return false;
    search->tried++;
    if (sim_child_run(&search->child, options, words))
        return false;
    sim_child_kind(words, kind, sizeof kind);
    if (strcmp(kind, search->kind) != 0)
        return false;
    search->best = *options;
    return true;
}

/* Throws off parts of `size` of the switches that are left, each for good if the run still fails. Whether any went. */
static bool throw_off_parts(struct search *search, uint32_t count, uint32_t size)
{
    bool any = false;
    for (uint32_t at = 0; at < count; at += size) {
        struct sim_options attempt = search->best;
        for (uint32_t i = at; i < at + size && i < count; i++)
            attempt.without |= UINT64_C(1) << i;
        if (attempt.without != search->best.without)
            any |= still_fails(search, &attempt);
    }
    return any;
}

static void shrink_switches(struct search *search)
{
    uint32_t count = 0;
    while (sim_switch_name(count) != NULL)
        count++;
    for (uint32_t size = count; size > 0; size /= 2)
        while (throw_off_parts(search, count, size) && size == 1)
            ; /* what was needed by something that has gone may go as well */
}

static void shrink_clients(struct search *search)
{
    uint32_t most = search->best.clients_max < CLIENTS_FIRST ? search->best.clients_max : CLIENTS_FIRST;
    for (uint32_t step = most / 2; step > 0; step /= 2) {
        struct sim_options attempt = search->best;
        attempt.clients_max = (attempt.clients_max < most ? attempt.clients_max : most) - step;
        still_fails(search, &attempt);
    }
}

static void shrink_time(struct search *search)
{
    uint64_t most = search->best.run_ms != 0 ? search->best.run_ms : RUN_MS_FIRST;
    for (uint64_t ms = most / 2; ms >= 100; ms /= 2) {
        struct sim_options attempt = search->best;
        attempt.run_ms = ms;
        if (!still_fails(search, &attempt))
            break;
    }
}

uint32_t sim_shrink(struct sim_options *options, const char *words, uint32_t tries_max)
{
    struct search search = {.best = *options, .tries_max = tries_max};
    sim_child_init(&search.child);
    search.best.verbose = false;
    sim_child_kind(words, search.kind, sizeof search.kind);
    shrink_switches(&search);
    shrink_time(&search);
    shrink_clients(&search);
    shrink_switches(&search);
    *options = search.best;
    return search.tried;
}

void sim_shrink_print_command(FILE *out, const struct sim_options *options)
{
    fprintf(out, "tools/dev sim %llu", (unsigned long long)options->seed);
    const char *before = " --without ";
    for (uint32_t i = 0; sim_switch_name(i) != NULL; i++) {
        if ((options->without >> i & 1) == 0)
            continue;
        fprintf(out, "%s%s", before, sim_switch_name(i));
        before = ",";
    }
    if (options->clients_max != UINT32_MAX)
        fprintf(out, " --clients %u", options->clients_max);
    if (options->run_ms != 0)
        fprintf(out, " --busy %llu", (unsigned long long)options->run_ms);
    else if (options->whole_ms != 0)
        fprintf(out, " --seconds %llu", (unsigned long long)options->whole_ms / 1000);
    fputc('\n', out);
}

bool sim_shrink_parse_switch(const char *name, size_t bytes, uint64_t *without)
{
    for (uint32_t i = 0; i < SWITCHES_MAX && sim_switch_name(i) != NULL; i++) {
        if (strlen(sim_switch_name(i)) != bytes || memcmp(sim_switch_name(i), name, bytes) != 0)
            continue;
        *without |= UINT64_C(1) << i;
        return true;
    }
    return false;
}
