/* SPDX-License-Identifier: MIT */
/* Subscribers that read slowly or not at all. They take no part in the verdict; how they end is counted. */
#ifndef RINGCAST_BENCH_SLOW_H
#define RINGCAST_BENCH_SLOW_H

#include "bench/bench_worker.h"

/* A connected socket of a slow subscriber: it reads what it needs for its handshake. */
void slow_begin(struct worker *worker, struct connection *connection);
/* Reads what is due. When it has to be called again at the latest; UINT64_MAX: never. */
uint64_t slow_work(struct worker *worker);
/* A read has ended with bytes, which have been looked at. */
void slow_on_read(struct worker *worker, struct connection *connection);
/* From now on everything is read, so that what the server has said last is seen. */
void slow_drain(struct worker *worker);

#endif
