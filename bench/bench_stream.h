/* SPDX-License-Identifier: MIT */
/* When streams send: probes, bursts that wait for their receivers, or a schedule that waits for nobody. */
#ifndef RINGCAST_BENCH_STREAM_H
#define RINGCAST_BENCH_STREAM_H

#include "bench/bench_worker.h"

/* A probe on each of the worker's streams. */
void streams_hello(struct worker *worker, uint64_t now_ns);
/* Before a run: tallies and cursor; in window mode every stream is ready for a burst. */
void streams_begin(struct worker *worker);
/* Sends what is due. When it has to be called again at the latest; UINT64_MAX: when something has arrived. */
uint64_t streams_work(struct worker *worker);
/* One new delivery of that stream to one of the worker's receivers. */
void streams_count(struct worker *worker, struct stream *stream);
/* Another worker has completed bursts of streams of this one. */
void streams_collect(struct worker *worker);

#endif
