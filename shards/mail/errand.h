/* SPDX-License-Identifier: MIT */
/* An errand: a request that travels from one shard to a home and comes back with its answer, and all the bytes that do
 * not fit into a mail. The shard that made it frees it; the home only reads it, fills in the answer and mails it back.
 * A new kind is one row of errand.def and the two functions that it names. */
#ifndef RINGCAST_SHARDS_ERRAND_H
#define RINGCAST_SHARDS_ERRAND_H

#include "core/frame.h"
#include "core/list.h"
#include "core/siphash.h"
#include "core/slab.h"
#include "protocol/event.h"

struct shard;

enum errand_kind {
#define ERRAND(id, serve, answered, when, meaning) ERRAND_##id,
#include "shards/mail/errand.def"
#undef ERRAND
    ERRAND_KINDS,
};

struct errand {
    struct list_node node; /* of whoever holds it */
    uint8_t kind;          /* enum errand_kind */
    uint8_t dialect;       /* index into dialects[] */
    uint16_t origin;       /* the shard that made it */
    uint16_t home;         /* the shard that serves it (of a TOUR: next) */
    struct handle conn;    /* who waits; generation 0: nobody */
    uint64_t ticket;       /* of that connection's own counting */
    /* the answer */
    int status;     /* an HTTP status */
    uint8_t *reply; /* allocated by the home, freed with the errand */
    size_t reply_bytes;
    /* the request, and what only its kind answers; slices point into data[] */
    union {
        struct {
            struct slice channel, variant;
            struct slice confirm; /* SERVE: what the publisher is told when it listens */
            uint8_t encoding;     /* compression class of the listener */
            uint32_t history_max;
            /* the answer */
            uint32_t class_index;
            struct hash128 channel_id;
            enum channel_policy policy;
            struct frame *frames; /* allocated as `reply` is; each is lent to (or referenced for) the origin */
            uint32_t frame_count;
            uint32_t *frame_messages; /* messages in each frame; inside the allocation of frames */
        } subscribe;
        struct {
            struct event event;
            uint32_t receivers; /* answered */
        } publish;
        struct { /* REQUEST, SUBMIT */
            uint32_t kind;
            struct slice body;
        } request;
        struct { /* DEPOT */
            uint32_t kind;
            struct slice head, body;
            uint64_t connection; /* the sum of all that it is known by: conn_id */
        } depot;
        struct {
            struct slice channel;
        } newest;
        struct {
            uint64_t *counts; /* CENSUS_COUNTS of them, in data[] */
            /* at the shard where it is: the next slot, and whether that was the last; reply_capacity is of `reply` */
            uint32_t at;
            bool walked;
            size_t reply_capacity;
        } census;
    };
    /* memory */
    size_t capacity;
    size_t used;
    uint8_t data[];
};

#define ERRAND_CLASSES 3

/* Free errands of one shard by size class. */
struct errand_pool {
    struct errand *free[ERRAND_CLASSES];
    size_t bytes; /* of all errands made and not freed, cached ones included */
    uint16_t shard;
};

/* A shard's side of all errands. */
struct errands {
    struct errand_pool pool;
    uint32_t outstanding; /* made here, asked and not answered */
    uint64_t outstanding_bytes;
    uint64_t outstanding_max, outstanding_bytes_max; /* of the settings (errands_settings) */
    struct list behind;                              /* served here: their answers leave BEHIND */
    struct list tours;                               /* on a TOUR and not done with here; the first is served */
};

void errands_init(struct errands *errands, uint16_t shard);
void errands_destroy(struct errands *errands);
/* How many may be under way, and the memory that they may take: when it is made and after a reload. */
void errands_settings(struct errands *errands, uint64_t outstanding_max, uint64_t outstanding_bytes_max);
/* A zeroed errand with room for `bytes` bytes of data; NULL when memory is out. */
struct errand *errand_make(struct errand_pool *pool, enum errand_kind kind, size_t bytes);
/* Copies bytes into the errand; room was asked for in errand_make. */
struct slice errand_put(struct errand *errand, struct slice bytes);
/* By the maker. Frames of the answer have been taken out. */
void errand_free(struct errand_pool *pool, struct errand *errand);

/* Whether this shard may take in another publish now: the budget of what is under way is not used up, and it does not
 * stop. */
bool errand_has_room(const struct shard *shard);
/* Sends it to its home; the answer comes back to this shard. */
void errand_ask(struct shard *shard, struct errand *errand, uint16_t home);
/* On a tour: sends it on to the next shard. */
void errand_forward(struct shard *shard, struct errand *errand, uint16_t home);
/* Sends its answer home when everything that was published in this turn is in all mailboxes, */
void errand_answer_behind(struct shard *shard, struct errand *errand);
/* or at once, */
void errand_answer(struct shard *shard, struct errand *errand);
/* where it has come. */
void errand_returned(struct shard *shard, const struct errand *errand);

/* --- errands.c ---------------------------------------------------------------------------------------------------- */

/* Mails everything that was published, then the answers that leave BEHIND it. Whether anything was published. */
bool errands_flush(struct shard *shard);
/* Goes on with those on a TOUR. */
void errands_go_on(struct shard *shard);

#endif
