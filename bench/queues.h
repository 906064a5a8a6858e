/* SPDX-License-Identifier: MIT */
/* What ringcast-queues does with each queue: a client of one thread puts jobs, or takes and finishes them, one after
 * the other, and waits for each answer. */
#ifndef RINGCAST_BENCH_QUEUES_H
#define RINGCAST_BENCH_QUEUES_H

#include "core/buf.h"

/* A connection to a queue. Each function gives 0, or -1 with a line in `why`. */
struct queue_kind {
    const char *name;
    /* `address`: what the options say, of this kind. NULL: see `why`. */
    void *(*open)(const char *address, struct buf *why);
    /* Puts one job; back when the queue says that it is kept. */
    int (*put)(void *queue, struct slice payload, struct buf *why);
    /* Takes a job and finishes it: its payload is in `payload` before the end is acknowledged. 1: done, 0: there was
     * none (for a moment), -1. */
    int (*take)(void *queue, struct buf *payload, struct buf *why);
    void (*close)(void *queue);
};

extern const struct queue_kind queue_beanstalkd;
extern const struct queue_kind queue_postgresql;

#endif
