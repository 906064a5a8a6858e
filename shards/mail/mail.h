/* SPDX-License-Identifier: MIT */
/* Mail between shards: one SPSC ring per ordered pair, its own included, so that what a shard says to itself keeps its
 * place among what it says to others. Order is kept per pair. When a ring is full, mail waits in a backlog at the
 * sender.
 *
 * What bounds the backlog: every mail is caused by input, and a shard stops taking input (it parks connections) while
 * it has a backlog or more than ingest.outstanding_max errands under way; answers and releases are bounded by the
 * questions. */
#ifndef RINGCAST_SHARDS_MAIL_H
#define RINGCAST_SHARDS_MAIL_H

#include "core/frame.h"
#include "core/siphash.h"
#include "core/slab.h"

struct errand;
struct shard;
struct spsc;

enum mail_kind {
#define MAIL(id, handler, meaning) MAIL_##id,
#include "shards/mail/mail.def"
#undef MAIL
    MAIL_KINDS,
};

struct mail {
    uint8_t kind;  /* enum mail_kind */
    uint8_t quota; /* ACQUIRE, ACQUIRED, RELEASE: enum quota_kind */
    bool granted;  /* ACQUIRED */
    uint16_t from;
    union {
        struct {
            struct frame frame;
            uint32_t class_index;
            uint32_t messages;
            uint32_t last_bytes; /* of the newest message in the range */
            uint32_t conflate;   /* event.conflate of a single message */
            /* Not 0: the listeners are closed behind the range, which may be empty (segment NULL). */
            uint16_t close_code;
            const char *close_reason;
        } deliver;
        struct {
            struct segment *segment;
            uint32_t lendings;
        } back;
        struct errand *errand; /* ASK, ANSWER */
        struct {
            uint32_t class_index;
        } unsubscribe;
        struct {
            struct hash128 name;
            struct handle conn;
            uint64_t window_ms;
            uint32_t limit;
        } acquire;
        struct {
            struct segment *segment; /* only compared: it may be gone by then */
            uint64_t serial;
        } cut;
        struct {
            uint8_t dialect;
        } restart;
    };
};

/* What is called with each, by the receiving shard: the functions that mail.def names; the table is where the floors
 * meet (mails.c). */
typedef void mail_handler_fn(struct shard *shard, const struct mail *mail);
#define MAIL(id, handler, meaning) mail_handler_fn handler;
#include "shards/mail/mail.def"
#undef MAIL
extern mail_handler_fn *const mail_handlers[MAIL_KINDS];

/* The rings into one shard, and what it has not been able to post. */
struct mail_backlog {
    struct mail *items; /* a ring buffer */
    uint32_t head, count, capacity;
};

struct mailbox {
    /* What other shards look at whenever they post: in a cache line that changes only when the owner goes to sleep. */
    _Alignas(64) struct spsc *in; /* [from] */
    _Atomic bool asleep;          /* the owner is about to wait, or waits, in its ring */
    /* The owner's own. */
    _Alignas(64) struct mail_backlog *backlog; /* [to] */
    uint32_t backlogged;                       /* over all destinations */
    bool *ring_doorbell;                       /* [to]: something was posted since the last doorbell */
    uint16_t first;                            /* the ring that the next drain begins with */
};

int mailbox_init(struct mailbox *box, uint16_t shards);
void mailbox_destroy(struct mailbox *box, uint16_t shards);

/* Posts, or keeps in the backlog; never fails (a backlog that cannot grow ends the process: it is bounded, see
 * above). */
void mail_post(struct shard *shard, uint16_t to, struct mail mail);
/* Takes up to `budget` mails from each ring in turn, as long as the phase has work left, and calls their handlers; another ring is the first
 * each time. Returns how many. */
uint32_t mail_drain(struct shard *shard, uint32_t budget);
/* Whether a ring holds something. */
bool mail_waits(const struct shard *shard);
/* Moves the backlog into the rings as far as there is room. */
void mail_push_backlog(struct shard *shard);
/* Wakes the shards that were posted to and sleep. Once a tick. */
void mail_ring_doorbells(struct shard *shard);
/* Before waiting: declares the shard asleep; false (and awake again) when mail has come meanwhile. */
bool mail_try_sleep(struct shard *shard);
void mail_awake(struct shard *shard);

/* A frame goes into a mail or errand to another shard, or to itself: counts it there. */
void mail_hand_over(struct shard *shard, uint16_t to, struct segment *segment);
/* A frame has come out of a mail or errand: the shard now holds one reference. */
void mail_take_over(struct shard *shard, struct segment *segment);
/* Reclaims idle segments of its own, mails others home. Once a tick. */
void mail_return_idle(struct shard *shard);

#endif
