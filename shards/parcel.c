/* SPDX-License-Identifier: MIT */
/* Owns the parcels of one shard and recycles them by size class. It never mails them and never reads what they carry. Called
 * by whoever asks a home for something: session, ingest, publisher. */
#include "shards/parcel.h"

#include "core/check.h"

#include <stdlib.h>

static const size_t class_bytes[PARCEL_CLASSES] = {512, 4096, 32768};

void parcel_pool_init(struct parcel_pool *pool, uint16_t shard)
{
    *pool = (struct parcel_pool){.shard = shard};
}

void parcel_pool_destroy(struct parcel_pool *pool)
{
    for (unsigned class = 0; class < PARCEL_CLASSES; class ++) {
        while (pool->free[class] != NULL) {
            struct parcel *parcel = pool->free[class];
            pool->free[class] = (struct parcel *)parcel->node.next;
            free(parcel);
        }
    }
}

static unsigned class_of(size_t bytes)
{
    unsigned class = 0;
    while (class < PARCEL_CLASSES && bytes > class_bytes[class])
        class ++;
    return class;
}

struct parcel *parcel_make(struct parcel_pool *pool, enum parcel_kind kind, size_t bytes)
{
    unsigned class = class_of(bytes);
    size_t capacity = class < PARCEL_CLASSES ? class_bytes[class] : bytes;
    struct parcel *parcel;
    if (class < PARCEL_CLASSES && pool->free[class] != NULL) {
        parcel = pool->free[class];
        pool->free[class] = (struct parcel *)parcel->node.next;
    } else {
        parcel = malloc(sizeof *parcel + capacity);
        if (parcel == NULL)
            return NULL;
        pool->bytes += sizeof *parcel + capacity;
    }
    *parcel = (struct parcel){.kind = kind, .origin = pool->shard, .capacity = capacity};
    return parcel;
}

struct slice parcel_put(struct parcel *parcel, struct slice bytes)
{
    check_op(bytes.bytes, <=, parcel->capacity - parcel->used);
    uint8_t *at = parcel->data + parcel->used;
    if (bytes.bytes > 0)
        memcpy(at, bytes.data, bytes.bytes);
    parcel->used += bytes.bytes;
    return slice_of(at, bytes.bytes);
}

void parcel_free(struct parcel_pool *pool, struct parcel *parcel)
{
    check_op(parcel->origin, ==, pool->shard);
    free(parcel->reply);
    free(parcel->frames);
    unsigned class = class_of(parcel->capacity);
    if (class < PARCEL_CLASSES) {
        parcel->node.next = (struct list_node *)pool->free[class];
        pool->free[class] = parcel;
        return;
    }
    pool->bytes -= sizeof *parcel + parcel->capacity;
    free(parcel);
}
