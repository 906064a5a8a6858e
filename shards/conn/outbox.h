/* SPDX-License-Identifier: MIT */
/* What waits for one connection: slices of shared frames in order, of which the first `inflight_slices` are being sent.
 * Adjacent slices merge, so a listener of one channel holds one slice however far behind it is. Pure: no ring, no
 * clock.
 *
 * Invariants (outbox_check):
 *   - `all` is the sum over all slices, `inflight` over what a send names;
 *   - the first slice stands inside the outbox, the others in nodes of the shard's pool, in order;
 *   - nothing is removed, replaced or moved while it is in flight; the last slice in flight may grow at its end. */
#ifndef RINGCAST_SHARDS_OUTBOX_H
#define RINGCAST_SHARDS_OUTBOX_H

#include "core/frame.h"

#include <sys/uio.h>

struct outbox_slice {
    struct frame frame;
    uint32_t messages; /* channel messages in it; 0: a reply or control frame of the connection's own */
    uint32_t source;   /* of POLICY_LATEST and POLICY_CONFLATE: which audience it came from; else 0 */
    /* With a source: a newer one of it with the same number replaces this one; 0: none does, any more. */
    uint32_t conflate;
};

struct outbox_node {
    struct outbox_slice slice;
    struct outbox_node *next;
};

/* Nodes of all outboxes of a shard: made in blocks, kept, within a limit. */
struct outbox_pool {
    struct outbox_node *free;
    struct outbox_block *blocks;
    uint32_t count; /* made */
    uint32_t count_max;
    uint16_t shard;
    struct frame_idle *idle; /* where released segments go */
};

/* What some slices add up to. */
struct outbox_sum {
    uint64_t bytes;
    uint32_t messages;
    uint32_t slices;
};

struct outbox {
    struct outbox_slice first; /* valid when there are slices */
    struct outbox_sum all;
    struct outbox_sum inflight;
    struct outbox_node *rest;
    struct outbox_node *last; /* of rest */
};

enum outbox_result {
    OUTBOX_PUSHED,   /* added (or merged into the last slice) */
    OUTBOX_REPLACED, /* likewise, and an older message of the same source that was waiting is gone */
    OUTBOX_FULL,     /* it holds OUTBOX_SLICES_MAX slices, or the pool has no node left; nothing changed */
};

void outbox_pool_init(struct outbox_pool *pool, uint32_t count_max, uint16_t shard, struct frame_idle *idle);
void outbox_pool_destroy(struct outbox_pool *pool);

/* What is inline below is a subscriber's usual life: nothing waits, one slice is pushed, sent and done with. The
 * functions named _behind, _all and _rest are the general cases. */

enum outbox_result outbox_push_behind(struct outbox *outbox, struct outbox_pool *pool, struct frame frame,
                                      uint32_t messages, uint32_t source, uint32_t conflate);
uint32_t outbox_begin_send_all(struct outbox *outbox, struct iovec *vector, uint32_t max);
uint32_t outbox_sent_rest(struct outbox *outbox, struct outbox_pool *pool);

/* Puts the only slice into an empty outbox; the caller references its segment. */
static inline void outbox_fill(struct outbox *outbox, const struct outbox_slice *slice)
{
    outbox->first = *slice;
    outbox->all = (struct outbox_sum){.bytes = slice->frame.bytes, .messages = slice->messages, .slices = 1};
}

/* Adds a frame at the end and references its segment. `source` 0: lossless. Else the newest slice of that source is
 * taken out, if it still waits and both bear the same `conflate` number (not 0). The new one does not take its place:
 * replies between them may tell something newer than the old one. */
static inline enum outbox_result outbox_push(struct outbox *outbox, struct outbox_pool *pool, struct frame frame,
                                             uint32_t messages, uint32_t source, uint32_t conflate)
{
    if (outbox->all.slices > 0)
        return outbox_push_behind(outbox, pool, frame, messages, source, conflate);
    const struct outbox_slice slice = {.frame = frame, .messages = messages, .source = source, .conflate = conflate};
    outbox_fill(outbox, &slice);
    frame_ref(frame.segment, pool->shard, 1);
    return OUTBOX_PUSHED;
}

/* The range at its very end; bytes 0: it is empty. */
static inline struct frame outbox_end(const struct outbox *outbox)
{
    if (outbox->all.slices == 0)
        return (struct frame){0};
    return outbox->all.slices == 1 ? outbox->first.frame : outbox->last->slice.frame;
}

/* Bytes that wait behind what is in flight. */
static inline uint64_t outbox_waiting(const struct outbox *outbox)
{
    return outbox->all.bytes - outbox->inflight.bytes;
}

/* Of these, what the reader is charged for: all but the newest message of each source and conflation number, which it
 * holds whatever its size (C-57, K-15). Looks at every slice. */
uint64_t outbox_charged(const struct outbox *outbox);
/* By how much a push would add to it: by the frame, or, of one with a conflation number, by an older one with that
 * number which it cannot replace. */
uint64_t outbox_charge(const struct outbox *outbox, struct frame frame, uint32_t source, uint32_t conflate);

/* Whether a frame may be pushed to a reader whose budget is `max`: what it is charged for stays within that, or it is a
 * single message, which may be larger. Callers ask when all that waits is beyond `max`, which is rare. */
bool outbox_takes(const struct outbox *outbox, struct frame frame, uint32_t source, uint32_t conflate, uint64_t max);

/* Names everything that waits for one send: fills up to `max` iovecs and marks them in flight. Nothing may be in
 * flight. Returns how many; their total is outbox->inflight.bytes. At most UINT32_MAX / 2 bytes. */
static inline uint32_t outbox_begin_send(struct outbox *outbox, struct iovec *vector, uint32_t max)
{
    const struct outbox_slice *first = &outbox->first;
    check_op(outbox->inflight.bytes, ==, 0);
    if (outbox->all.slices != 1 || max == 0 || first->frame.bytes > UINT32_MAX / 2)
        return outbox_begin_send_all(outbox, vector, max);
    vector->iov_base = first->frame.segment->data + first->frame.offset;
    vector->iov_len = first->frame.bytes;
    outbox->inflight = outbox->all;
    return 1;
}
/* Names the bytes [from, from + bytes) of what is in flight: fills up to `max` iovecs, each within one slice; returns
 * how many. `max` is at least the number of slices in flight. */
uint32_t outbox_in_flight(const struct outbox *outbox, uint64_t from, uint64_t bytes, struct iovec *vector,
                          uint32_t max);
/* The segments that the send names, one per slice: at most `max`, which is no less than there are slices. Their
 * number. */
uint32_t outbox_inflight_segments(const struct outbox *outbox, struct segment **segments, uint32_t max);
/* Forgets the only slice; the caller releases its segment. */
static inline void outbox_empty(struct outbox *outbox)
{
    outbox->all = outbox->inflight = (struct outbox_sum){0};
}

/* The send took all of it: releases what was in flight. Returns the channel messages it held. */
static inline uint32_t outbox_sent(struct outbox *outbox, struct outbox_pool *pool)
{
    uint32_t messages = outbox->all.messages;
    if (outbox->all.slices != 1 || outbox->inflight.bytes != outbox->all.bytes)
        return outbox_sent_rest(outbox, pool);
    outbox_empty(outbox);
    frame_release(pool->idle, outbox->first.frame.segment, pool->shard, 1);
    return messages;
}
/* The send ended early, after `bytes` bytes (less than what was in flight): what it took is released, messages cut in
 * the middle count as not sent. Returns the channel messages that went out whole. Nothing is in flight afterwards. */
uint32_t outbox_cut(struct outbox *outbox, struct outbox_pool *pool, uint64_t bytes);
/* Releases all that waits behind what is in flight; returns its channel messages. */
uint32_t outbox_drop_waiting(struct outbox *outbox, struct outbox_pool *pool);
/* Whether a slice of the segment is in it (same address and same serial: the address may have been used again). */
bool outbox_holds(const struct outbox *outbox, const struct segment *segment, uint64_t serial);
/* Asserts the invariants above. */
void outbox_check(const struct outbox *outbox);

#endif
