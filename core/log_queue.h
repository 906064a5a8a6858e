/* SPDX-License-Identifier: MIT */
/* Lines on their way from any thread to the one that writes them: a bounded ring of bytes that never makes a producer
 * wait. */
#ifndef RINGCAST_CORE_LOG_QUEUE_H
#define RINGCAST_CORE_LOG_QUEUE_H

#include "core/bytes.h"

#include <stdatomic.h>

#define LOG_QUEUE_BYTES (UINT64_C(256) << 10) /* some 1,000 lines */
#define LOG_QUEUE_LINE_BYTES_MAX 4096
#define LOG_QUEUE_CELLS (LOG_QUEUE_BYTES / sizeof(uint64_t))

/* Zeroed memory is an empty queue. */
struct log_queue {
    _Atomic uint64_t tail; /* cells taken so far */
    _Atomic uint64_t head; /* cells given back so far */
    _Atomic uint64_t cells[LOG_QUEUE_CELLS];
};

/* Any thread, also several at once: puts a line of 1 to LOG_QUEUE_LINE_BYTES_MAX bytes behind all others. False:
 * full; nothing was put. Two atomic operations and a copy; it never waits. */
bool log_queue_put(struct log_queue *queue, struct slice line);
/* One thread: copies the oldest line to `out` (LOG_QUEUE_LINE_BYTES_MAX bytes) without taking it. Its length; 0:
 * there is none, or its producer is not done. */
size_t log_queue_peek(struct log_queue *queue, uint8_t *out);
/* The same thread: gives the room of the line back that log_queue_peek has just copied. */
void log_queue_drop(struct log_queue *queue);
/* Whether everything that was put so far has been dropped. Any thread. */
bool log_queue_is_empty(struct log_queue *queue);

#endif
