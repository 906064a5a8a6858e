/* SPDX-License-Identifier: MIT */
/* Subscribers that leave and come back (--churn). They take no part in the verdict; what they see is counted apart. */
#ifndef RINGCAST_BENCH_ROAMER_H
#define RINGCAST_BENCH_ROAMER_H

#include "bench/bench_worker.h"

/* Before a run: the first one leaves soon after its start. */
void roamers_begin(struct worker *worker);
/* Lets those leave whose turn it is. When it has to be called again at the latest; UINT64_MAX: never. */
uint64_t roamers_work(struct worker *worker);
/* A roamer's receive or send has ended: comes back when it has left and nothing of its socket is in flight. */
void roamer_on_ended(struct worker *worker, struct connection *connection);
/* A message of this visit. */
void roamer_on_delivery(struct worker *worker, struct connection *connection, const struct frames_event *event);

#endif
