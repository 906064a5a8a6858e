/* SPDX-License-Identifier: MIT */
/* What waits for one connection: slices of shared frames in order, of which the first `inflight_slices` are being sent.
 * Adjacent slices merge, so a listener of one channel holds one slice however far behind it is. Pure: no ring, no clock.
 *
 * Invariants (outbox_check):
 *   - `bytes` and `messages` are the sums over all slices, `inflight_bytes` and `inflight_messages` over what a send names;
 *   - the first slice stands inside the outbox, the others in nodes of the shard's pool, in order;
 *   - nothing is removed, replaced or moved while it is in flight; the last slice in flight may grow at its end. */
#ifndef RINGCAST_SHARDS_OUTBOX_H
#define RINGCAST_SHARDS_OUTBOX_H

#include "core/frame.h"
#include "protocol/event.h"

#include <sys/uio.h>

struct outbox_slice {
    struct frame frame;
    uint32_t messages; /* channel messages in it; 0: a reply or control frame of the connection's own */
    uint32_t source;   /* of POLICY_LATEST and POLICY_CONFLATE: which audience it came from; else 0 */
    uint32_t
        conflate; /* with a source: what a newer one of that source with the same number replaces; 0: nothing does */
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

struct outbox {
    struct outbox_slice first; /* valid when count > 0 */
    struct outbox_node *rest;
    struct outbox_node *last; /* of rest */
    uint32_t count;
    uint32_t inflight_slices;
    uint32_t inflight_messages;
    uint32_t messages;
    uint64_t bytes;
    uint64_t inflight_bytes;
};

enum outbox_result {
    OUTBOX_PUSHED,   /* added (or merged into the last slice) */
    OUTBOX_REPLACED, /* likewise, and an older message of the same source that was waiting is gone */
    OUTBOX_FULL,     /* it holds OUTBOX_SLICES_MAX slices, or the pool has no node left; nothing changed */
};

void outbox_pool_init(struct outbox_pool *pool, uint32_t count_max, uint16_t shard, struct frame_idle *idle);
void outbox_pool_destroy(struct outbox_pool *pool);

/* What is inline below is a subscriber's usual life: nothing waits, one slice is pushed, sent and done with. The functions
 * named _behind, _all and _rest are the general cases. */

enum outbox_result outbox_push_behind(struct outbox *outbox, struct outbox_pool *pool, struct frame frame,
                                      uint32_t messages, uint32_t source, uint32_t conflate);
uint32_t outbox_begin_send_all(struct outbox *outbox, struct iovec *vector, uint32_t max);
uint32_t outbox_sent_rest(struct outbox *outbox, struct outbox_pool *pool);

/* Adds a frame at the end and references its segment. `source` 0: lossless. Else the newest slice of that source is taken out, if
 * it still waits and both bear the same `conflate` number (not 0). The new one does not take its place: replies between them may
 * tell something newer than the old one. */
static inline enum outbox_result outbox_push(struct outbox *outbox, struct outbox_pool *pool, struct frame frame,
                                             uint32_t messages, uint32_t source, uint32_t conflate)
{
    if (outbox->count > 0)
        return outbox_push_behind(outbox, pool, frame, messages, source, conflate);
    outbox->first = (struct outbox_slice){.frame = frame, .messages = messages, .source = source, .conflate = conflate};
    outbox->count = 1;
    outbox->messages = messages;
    outbox->bytes = frame.bytes;
    frame_ref(frame.segment, pool->shard, 1);
    return OUTBOX_PUSHED;
}

/* Bytes that wait behind what is in flight. */
static inline uint64_t outbox_waiting(const struct outbox *outbox)
{
    return outbox->bytes - outbox->inflight_bytes;
}

/* Names everything that waits for one send: fills up to `max` iovecs and marks them in flight. Nothing may be in flight.
 * Returns how many; their total is outbox->inflight_bytes. At most UINT32_MAX / 2 bytes. */
static inline uint32_t outbox_begin_send(struct outbox *outbox, struct iovec *vector, uint32_t max)
{
    const struct outbox_slice *first = &outbox->first;
    check_op(outbox->inflight_bytes, ==, 0);
    if (outbox->count != 1 || max == 0 || first->frame.bytes > UINT32_MAX / 2)
        return outbox_begin_send_all(outbox, vector, max);
    vector->iov_base = first->frame.segment->data + first->frame.offset;
    vector->iov_len = first->frame.bytes;
    outbox->inflight_slices = 1;
    outbox->inflight_messages = first->messages;
    outbox->inflight_bytes = first->frame.bytes;
    return 1;
}
/* Names the bytes [from, from + bytes) of what is in flight: fills up to `max` iovecs, each within one slice; returns how many.
 * `max` is at least the number of slices in flight. */
uint32_t outbox_in_flight(const struct outbox *outbox, uint64_t from, uint64_t bytes, struct iovec *vector,
                          uint32_t max);
/* The segments that the send names, one per slice: at most `max`, which is no less than there are slices. Their number. */
uint32_t outbox_inflight_segments(const struct outbox *outbox, struct segment **segments, uint32_t max);
/* The send took all of it: releases what was in flight. Returns the channel messages it held. */
static inline uint32_t outbox_sent(struct outbox *outbox, struct outbox_pool *pool)
{
    uint32_t messages = outbox->messages;
    if (outbox->count != 1 || outbox->inflight_bytes != outbox->bytes)
        return outbox_sent_rest(outbox, pool);
    outbox->count = outbox->inflight_slices = 0;
    outbox->messages = outbox->inflight_messages = 0;
    outbox->bytes = outbox->inflight_bytes = 0;
    frame_release(pool->idle, outbox->first.frame.segment, pool->shard, 1);
    return messages;
}
/* The send ended early, after `bytes` bytes (less than what was in flight): what it took is released, messages cut in the
 * middle count as not sent. Returns the channel messages that went out whole. Nothing is in flight afterwards. */
uint32_t outbox_cut(struct outbox *outbox, struct outbox_pool *pool, uint64_t bytes);
/* Releases all that waits behind what is in flight; returns its channel messages. */
uint32_t outbox_drop_waiting(struct outbox *outbox, struct outbox_pool *pool);
/* Whether a slice of the segment is in it (same address and same serial: the address may have been used again). */
bool outbox_holds(const struct outbox *outbox, const struct segment *segment, uint64_t serial);
/* Asserts the invariants above. */
void outbox_check(const struct outbox *outbox);

#endif
