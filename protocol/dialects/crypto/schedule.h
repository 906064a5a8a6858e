/* SPDX-License-Identifier: MIT */
/* The schedule service, the stateful half of the dialect crypto: it keeps the newest object of each topic, chooses
 * among its sources, and publishes it at the topic's interval as one event, whatever the number of listeners (C-36,
 * C-38, C-46 to C-48, Q-15, Q-16).
 *
 * Three topics have objects of the server's own: which sources are healthy, which one each topic uses, and what runs
 * when. An ingested object takes the place of the first two; of the third its jobs are appended to the server's.
 *
 * What it keeps is within `memory`: objects that would be beyond it are refused, nothing is forgotten for them. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SCHEDULE_H
#define RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SCHEDULE_H

#include "protocol/service.h"

/* Of all objects together, so that all snapshots fit one reply, with a mebibyte for the server's own objects. */
#define SCHEDULE_MEMORY_BYTES_MAX (15U << 20)

/* Topics are bytes with an enum crypto_service below CRYPTO_TOPICS. */
enum schedule_request {
    SCHEDULE_PUT = 1,  /* schedule_put_head and the object, valid, beginning with '{' and ending with '}'. 202; 422 too
                          large or too many sources; 503 */
    SCHEDULE_READ,     /* a topic: 200 with its object, or 404 */
    SCHEDULE_SNAPSHOT, /* topics: 200 with messages for schedule_next_message, none for those without an object */
    SCHEDULE_NUMBER,   /* nothing: 200 with a decimal number, one higher than the last */
};

struct schedule_head {
    uint8_t topic;
    bool merge;          /* into the object of the same source: maps by name */
    struct slice source; /* valid for a source pool */
    uint64_t delay_ms;   /* how old the data was when it came */
};

void schedule_put_head(struct buf *out, const struct schedule_head *head);
/* Takes it from the front of *body, which then is the object. */
struct schedule_head schedule_take_head(struct slice *body);
/* Takes the next message from the answer to SCHEDULE_SNAPSHOT; false: no more. */
bool schedule_next_message(struct slice *reply, struct slice *message);

/* Its settings are struct crypto_settings. */
extern const struct service schedule_service;

#endif
