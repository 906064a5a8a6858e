/* SPDX-License-Identifier: MIT */
/* One seed in a process of its own, so that a failed check(), a crash and a hang are failed seeds as well. */
#ifndef RINGCAST_TESTS_SIM_SIM_CHILD_H
#define RINGCAST_TESTS_SIM_SIM_CHILD_H

#include "tests/sim/sim_run.h"

#include <sys/types.h>

#define SIM_WORDS_BYTES 4096

struct sim_child {
    pid_t pid; /* 0: none */
    struct sim_options options;
    struct sim_result *result; /* in memory shared with the process */
    int words;                 /* a file with what it says on stderr */
};

/* Prints all that it has said. */
void sim_child_print(const struct sim_child *child);
void sim_child_init(struct sim_child *child);
void sim_child_start(struct sim_child *child, const struct sim_options *options);
/* It has ended with this status of waitpid. Whether the seed passed; else `words` says what broke, as a line without
 * the numbers that differ from run to run. */
bool sim_child_ended(struct sim_child *child, int status, char words[SIM_WORDS_BYTES]);
/* Whether it was ended because it took far too long: each try to make it smaller would take as long. */
bool sim_child_hung(const char *words);
/* The first line of what it said about its failure without digits: two failures with the same one are taken for the
 * same. */
void sim_child_kind(const char *words, char *kind, size_t bytes);
/* Runs it to its end. */
bool sim_child_run(struct sim_child *child, const struct sim_options *options, char words[SIM_WORDS_BYTES]);

#endif
