/* SPDX-License-Identifier: MIT */
/* Owns the errands of one shard: their memory, recycled by size class, how many are under way, and their mails. It
 * never reads what they carry. Called by whoever asks a home for something (session, ingest, publisher) and by the
 * table of errands. */
#include "shards/mail/errand.h"

#include "core/check.h"
#include "core/list.h"
#include "shards/mail/mail.h"
#include "shards/shard.h"

#include <stdlib.h>

static const size_t class_bytes[ERRAND_CLASSES] = {512, 4096, 32768};

void errands_init(struct errands *errands, uint16_t shard)
{
    *errands = (struct errands){.pool = {.shard = shard}};
    list_init(&errands->behind);
    list_init(&errands->tours);
}

void errands_settings(struct errands *errands, uint64_t outstanding_max, uint64_t outstanding_bytes_max)
{
    errands->outstanding_max = outstanding_max;
    errands->outstanding_bytes_max = outstanding_bytes_max;
}

void errands_destroy(struct errands *errands)
{
    struct errand_pool *pool = &errands->pool;
    for (unsigned class = 0; class < ERRAND_CLASSES; class ++) {
        while (pool->free[class] != NULL) {
            struct errand *errand = pool->free[class];
            pool->free[class] = (struct errand *)errand->node.next;
            free(errand);
        }
    }
}

static unsigned class_of(size_t bytes)
{
    unsigned class = 0;
    while (class < ERRAND_CLASSES && bytes > class_bytes[class])
        class ++;
    return class;
}

struct errand *errand_make(struct errand_pool *pool, enum errand_kind kind, size_t bytes)
{
    unsigned class = class_of(bytes);
    size_t capacity = class < ERRAND_CLASSES ? class_bytes[class] : bytes;
    struct errand *errand;
    if (class < ERRAND_CLASSES && pool->free[class] != NULL) {
        errand = pool->free[class];
        pool->free[class] = (struct errand *)errand->node.next;
    } else {
        errand = malloc(sizeof *errand + capacity);
        if (errand == NULL)
            return NULL;
        pool->bytes += sizeof *errand + capacity;
    }
    *errand = (struct errand){.kind = (uint8_t)kind, .origin = pool->shard, .capacity = capacity};
    return errand;
}

struct slice errand_put(struct errand *errand, struct slice bytes)
{
    check_op(bytes.bytes, <=, errand->capacity - errand->used);
    uint8_t *at = errand->data + errand->used;
    if (bytes.bytes > 0)
        memcpy(at, bytes.data, bytes.bytes);
    errand->used += bytes.bytes;
    return slice_of(at, bytes.bytes);
}

void errand_free(struct errand_pool *pool, struct errand *errand)
{
    check_op(errand->origin, ==, pool->shard);
    free(errand->reply);
    if (errand->kind == ERRAND_SUBSCRIBE)
        free(errand->subscribe.frames);
    unsigned class = class_of(errand->capacity);
    if (class < ERRAND_CLASSES) {
        errand->node.next = (struct list_node *)pool->free[class];
        pool->free[class] = errand;
        return;
    }
    pool->bytes -= sizeof *errand + errand->capacity;
    free(errand);
}

/* One more is let in as long as the budget is not used up, so a single one larger than all of it goes too. */
bool errand_has_room(const struct shard *shard)
{
    const struct errands *errands = shard->errands;
    return shard->stage_seen == STAGE_RUN && shard->mail->backlogged == 0 &&
           errands->outstanding < errands->outstanding_max &&
           errands->outstanding_bytes < errands->outstanding_bytes_max;
}

void errand_ask(struct shard *shard, struct errand *errand, uint16_t home)
{
    shard->errands->outstanding++;
    if (errand->kind != ERRAND_DEPOT) /* they have a budget of their own, for they wait for a disk */
        shard->errands->outstanding_bytes += errand->capacity;
    errand_forward(shard, errand, home);
}

void errand_forward(struct shard *shard, struct errand *errand, uint16_t home)
{
    errand->home = home;
    mail_post(shard, home, (struct mail){.kind = MAIL_ASK, .errand = errand});
}

void errand_answer_behind(struct shard *shard, struct errand *errand)
{
    check(!list_linked(&errand->node)); /* each is answered once */
    list_push_back(&shard->errands->behind, &errand->node);
}

void errand_answer(struct shard *shard, struct errand *errand)
{
    mail_post(shard, errand->origin, (struct mail){.kind = MAIL_ANSWER, .errand = errand});
}

void errand_returned(struct shard *shard, const struct errand *errand)
{
    check_op(errand->origin, ==, shard->number);
    check_op(shard->errands->outstanding, >, 0);
    shard->errands->outstanding--;
    if (errand->kind != ERRAND_DEPOT)
        shard->errands->outstanding_bytes -= errand->capacity;
}
