/* SPDX-License-Identifier: MIT */
/* What one call of a service that keeps records has yielded: what is to be kept, and what is to be said when it is.
 * Copies, bounded by what a service yields in one call; the sum over all units of a life is `held_bytes`, which its
 * owner bounds. */
#ifndef RINGCAST_SHARDS_SERVICE_UNIT_H
#define RINGCAST_SHARDS_SERVICE_UNIT_H

#include "core/list.h"
#include "protocol/service.h"

struct storage_request;

/* An effect that waits: to be said, or a record to be asked for. One block with its bytes. */
struct held {
    struct held *next;
    struct effect effect;
    size_t bytes;
    uint8_t data[];
};

struct service_unit {
    struct list_node node;           /* of its life, oldest first */
    struct storage_request *request; /* to be kept, and not kept yet; NULL: nothing, or it is */
    bool posted;                     /* storage has the request, and gives it back */
    struct held *first, *last;       /* to be said, in order */
};

/* Whose units these are: what their requests to storage say of them. */
struct service_stream {
    uint8_t number;      /* storage's stream */
    uint8_t table_first; /* of the service's tables in the store */
    uint32_t life;
    size_t held_bytes;
};

/* A zeroed request of the stream for one of the service's tables, or NULL. */
struct storage_request *service_request_make(const struct service_stream *stream, int kind, uint8_t table);
void service_request_free(struct storage_request *request);

/* Takes an effect into the unit, with copies of its bytes. 0; -ENOMEM, also when the service has asked for a
 * restart. */
int service_unit_take(struct service_stream *stream, struct service_unit *unit, const struct effect *effect);
/* The first effect has been said. */
void service_unit_said(struct service_stream *stream, struct service_unit *unit);
/* With all that it holds; a request that storage has comes home by itself. */
void service_unit_free(struct service_stream *stream, struct service_unit *unit);

#endif
