/* SPDX-License-Identifier: MIT */
/* Owns the rings between shards, the backlogs and the doorbells. It never interprets a mail beyond its kind and never
 * blocks. Called by every part that asks or answers another shard, and by shard_tick. */
#include "shards/mail/mail.h"

#include "core/check.h"
#include "core/frame.h"
#include "core/limits.h"
#include "core/ring.h"
#include "core/spsc.h"
#include "core/stats.h"
#include "core/work.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(offsetof(struct mailbox, backlog) - offsetof(struct mailbox, in) >= 64 &&
                   offsetof(struct mailbox, backlog) % 64 == 0,
               "what others read shares no cache line with what the owner writes");

_Static_assert(sizeof(struct mail) <= sizeof(struct spsc_item), "a mail is one item");

int mailbox_init(struct mailbox *box, uint16_t shards)
{
    *box = (struct mailbox){0};
    box->in = aligned_alloc(64, shards * sizeof *box->in);
    box->backlog = calloc(shards, sizeof *box->backlog);
    box->ring_doorbell = calloc(shards, sizeof *box->ring_doorbell);
    if (box->in != NULL)
        memset(box->in, 0, shards * sizeof *box->in);
    if (box->in == NULL || box->backlog == NULL || box->ring_doorbell == NULL)
        return -ENOMEM;
    for (uint16_t from = 0; from < shards; from++) {
        int error = spsc_init(&box->in[from], MAIL_RING_ITEMS);
        if (error != 0)
            return error;
    }
    return 0;
}

void mailbox_destroy(struct mailbox *box, uint16_t shards)
{
    for (uint16_t i = 0; i < shards; i++) {
        if (box->in != NULL)
            spsc_destroy(&box->in[i]);
        if (box->backlog != NULL)
            free(box->backlog[i].items);
    }
    free(box->in);
    free(box->backlog);
    free(box->ring_doorbell);
}

static bool push(struct shard *shard, uint16_t to, const struct mail *mail)
{
    struct spsc_item item = {{0}};
    memcpy(&item, mail, sizeof *mail);
    if (!spsc_push(&shard->all[to]->mail->in[shard->number], &item))
        return false;
    shard->mail->ring_doorbell[to] = true;
    return true;
}

static void backlog_add(struct mail_backlog *backlog, const struct mail *mail)
{
    if (backlog->count == backlog->capacity) {
        uint32_t capacity = backlog->capacity == 0 ? 256 : backlog->capacity * 2;
        struct mail *items = malloc(capacity * sizeof *items);
        check(items != NULL);
        for (uint32_t i = 0; i < backlog->count; i++)
            items[i] = backlog->items[(backlog->head + i) & (backlog->capacity - 1)];
        free(backlog->items);
        backlog->items = items;
        backlog->head = 0;
        backlog->capacity = capacity;
    }
    backlog->items[(backlog->head + backlog->count) & (backlog->capacity - 1)] = *mail;
    backlog->count++;
}

void mail_post(struct shard *shard, uint16_t to, struct mail mail)
{
    struct mail_backlog *backlog = &shard->mail->backlog[to];
    mail.from = shard->number;
    stats_add(&shard->stats, STAT_MAIL_POSTED, 1);
    shard_note(shard, FLIGHT_POST, to, mail.kind, backlog->count);
    if (backlog->count == 0 && push(shard, to, &mail))
        return;
    stats_add(&shard->stats, STAT_MAIL_FULL, 1);
    backlog_add(backlog, &mail);
    shard->mail->backlogged++;
    stats_set(&shard->stats, STAT_MAIL_BACKLOG, shard->mail->backlogged);
}

void mail_push_backlog(struct shard *shard)
{
    if (shard->mail->backlogged == 0)
        return;
    for (uint16_t to = 0; to < shard->count; to++) {
        struct mail_backlog *backlog = &shard->mail->backlog[to];
        while (backlog->count > 0 && push(shard, to, &backlog->items[backlog->head])) {
            backlog->head = (backlog->head + 1) & (backlog->capacity - 1);
            backlog->count--;
            shard->mail->backlogged--;
        }
    }
    stats_set(&shard->stats, STAT_MAIL_BACKLOG, shard->mail->backlogged);
}

uint32_t mail_drain(struct shard *shard, uint32_t budget)
{
    uint32_t taken = 0;
    uint16_t first = shard->mail->first;
    shard->mail->first = (uint16_t)(first + 1 == shard->count ? 0 : first + 1);
    for (uint16_t round = 0; round < shard->count; round++) {
        uint16_t i = (uint16_t)(first + round < shard->count ? first + round : first + round - shard->count);
        struct spsc *ring = &shard->mail->in[i];
        struct spsc_item item;
        for (uint32_t n = 0; n < budget && work_left(shard->work) && spsc_pop(ring, &item); n++, taken++) {
            work_spend(shard->work, WORK_MAIL, 1);
            struct mail mail;
            memcpy(&mail, &item, sizeof mail);
            check_op(mail.kind, <, MAIL_KINDS);
            check_op(mail.from, ==, i);
            shard_note(shard, FLIGHT_MAIL, i, mail.kind, 0);
            mail_handlers[mail.kind](shard, &mail);
        }
    }
    return taken;
}

bool mail_waits(const struct shard *shard)
{
    for (uint16_t from = 0; from < shard->count; from++)
        if (spsc_count(&shard->mail->in[from]) > 0)
            return true;
    return false;
}

void mail_ring_doorbells(struct shard *shard)
{
    for (uint16_t to = 0; to < shard->count; to++) {
        if (!shard->mail->ring_doorbell[to])
            continue;
        shard->mail->ring_doorbell[to] = false;
        if (to == shard->number)
            continue;
        /* Pairs with the store in mail_try_sleep: either it sees our mail, or we see it asleep. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&shard->all[to]->mail->asleep, memory_order_relaxed)) {
            ring_wake(shard->all[to]->ring);
            stats_add(&shard->stats, STAT_DOORBELLS, 1);
        }
    }
}

bool mail_try_sleep(struct shard *shard)
{
    atomic_store_explicit(&shard->mail->asleep, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!mail_waits(shard))
        return true;
    mail_awake(shard);
    return false;
}

void mail_awake(struct shard *shard)
{
    atomic_store_explicit(&shard->mail->asleep, false, memory_order_relaxed);
}
