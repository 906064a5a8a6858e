/* SPDX-License-Identifier: MIT */
/* What a shard holds for sending: connections that have something to send, the slices that wait for them, and the
 * vectors of the sends that have not been submitted. */
#ifndef RINGCAST_SHARDS_FLUSH_H
#define RINGCAST_SHARDS_FLUSH_H

#include "core/check.h"
#include "shards/conn/outbox.h"

#include <sys/uio.h>

#define FLUSH_VECTORS 8192

_Static_assert(FLUSH_VECTORS >= SEND_SLICES_MAX, "one send fits");

/* Connections to be flushed, in order, each once: a circle with a place for every connection that there may be. It
 * begins again at its first place whenever it is empty, so as much of it takes memory as is used. */
struct flush_queue {
    struct conn **places;
    uint32_t capacity;
    uint32_t head; /* place of the first */
    uint32_t count;
};

struct flush {
    struct flush_queue express, bulk; /* members of large audiences wait in `bulk` */
    struct outbox_pool outbox_pool;
    uint32_t vectors_used;
    struct iovec vectors[FLUSH_VECTORS];
};

/* Where the next connection on a queue is to be put; so many places lie in a row from there on. */
static inline struct conn **flush_queue_end(const struct flush_queue *queue, uint32_t *room)
{
    uint32_t place = queue->head + queue->count;
    check_op(queue->count, <, queue->capacity);
    *room = place < queue->capacity ? queue->capacity - place : queue->capacity - queue->count;
    return &queue->places[place < queue->capacity ? place : place - queue->capacity];
}

#endif
