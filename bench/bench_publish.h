/* SPDX-License-Identifier: MIT */
/* One message on the wire, in the form that its publisher's connection speaks. */
#ifndef RINGCAST_BENCH_PUBLISH_H
#define RINGCAST_BENCH_PUBLISH_H

#include "bench/bench_worker.h"

/* Puts the message of that sequence behind what its connection has to send; connection_flush sends it. */
void publish_message(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns);

#endif
