/* SPDX-License-Identifier: MIT */
/* A request that travels from one shard to a home and comes back, with all the bytes that do not fit into a mail. The shard
 * that made it frees it; the home only reads it, fills in the answer and mails it back. */
#ifndef RINGCAST_SHARDS_PARCEL_H
#define RINGCAST_SHARDS_PARCEL_H

#include "core/frame.h"
#include "core/list.h"
#include "core/siphash.h"
#include "core/slab.h"
#include "protocol/event.h"

enum parcel_kind {
    PARCEL_SUBSCRIBE, /* channel, variant, history_max -> class_index, frames */
    PARCEL_PUBLISH,   /* event -> status, receivers */
    PARCEL_REQUEST,   /* a service request -> status, reply */
    PARCEL_CENSUS,    /* visits every shard in turn -> reply, counts */
    PARCEL_NEWEST,    /* channel -> status, reply: the newest retained message */
};

struct parcel {
    struct list_node node; /* of whoever holds it */
    enum parcel_kind kind;
    uint16_t origin; /* the shard that made it */
    uint16_t home;
    uint8_t dialect;    /* index into dialects[] */
    struct handle conn; /* who waits; generation 0: nobody */
    bool for_session;   /* who waits is a session: the answer goes to its dialect */
    uint64_t ticket;    /* of that connection's own counting */
    /* the request: slices point into data[] */
    struct event event; /* its channel, of all kinds but REQUEST */
    struct slice variant;
    uint8_t encoding; /* compression class of the listener */
    uint32_t history_max;
    uint32_t request_kind;
    struct slice body;
    /* the answer */
    int status; /* an HTTP status */
    uint32_t receivers;
    uint32_t class_index;
    struct hash128 channel_id;
    enum channel_policy policy;
    uint8_t *reply; /* allocated by the home, freed with the parcel */
    size_t reply_bytes;
    struct frame *frames; /* likewise; each is lent to (or referenced for) the origin */
    uint32_t frame_count;
    uint32_t *frame_messages; /* messages in each frame; inside the allocation of frames */
    uint64_t *counts;         /* of a census: CENSUS_COUNTS of them, in data[] */
    /* memory */
    size_t capacity;
    size_t used;
    uint8_t data[];
};

#define PARCEL_CLASSES 3

/* Free parcels of one shard by size class. */
struct parcel_pool {
    struct parcel *free[PARCEL_CLASSES];
    size_t bytes; /* of all parcels made and not freed, cached ones included */
    uint16_t shard;
};

void parcel_pool_init(struct parcel_pool *pool, uint16_t shard);
void parcel_pool_destroy(struct parcel_pool *pool);
/* A zeroed parcel with room for `bytes` bytes of data; NULL when memory is out. */
struct parcel *parcel_make(struct parcel_pool *pool, enum parcel_kind kind, size_t bytes);
/* Copies bytes into the parcel; room was asked for in parcel_make. */
struct slice parcel_put(struct parcel *parcel, struct slice bytes);
/* By the maker. Frames of the answer have been taken out. */
void parcel_free(struct parcel_pool *pool, struct parcel *parcel);

#endif
