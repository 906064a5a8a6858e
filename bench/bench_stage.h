/* SPDX-License-Identifier: MIT */
/* The main thread's view: moves all workers from phase to phase and measures from outside. Each stage returns false
 * when the bench has failed; bench.failure says why. */
#ifndef RINGCAST_BENCH_STAGE_H
#define RINGCAST_BENCH_STAGE_H

#include "bench/bench_result.h"

bool stage_start(struct bench *bench);
bool stage_open(struct bench *bench, struct result *result);
/* Until every receiver has got a probe of each of its publishers. */
bool stage_hello(struct bench *bench);
/* The load for that long, or that many messages if not 0; fills the result. */
bool stage_run(struct bench *bench, const char *name, uint64_t duration_ms, uint64_t messages, struct result *result);
/* Idle connections for that long. */
bool stage_hold(struct bench *bench, uint64_t duration_ms);
/* Slow subscribers read until nothing more comes, so that their ends are seen. */
bool stage_drain(struct bench *bench);
/* Closes all connections, joins the workers and adds up what they have found. Also after a failure. */
void stage_end(struct bench *bench, struct result *result);

#endif
