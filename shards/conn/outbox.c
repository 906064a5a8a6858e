/* SPDX-License-Identifier: MIT */
/* Owns the slices that wait for a connection and the pool their nodes come from. It never sends, never decides that a
 * reader is too slow and never frees a segment: it only references and releases. Called by audience and session (push)
 * and conn_write (send, sent, cut). */
#include "shards/conn/outbox.h"

#include "core/check.h"
#include "core/frame.h"
#include "core/limits.h"
#include "protocol/ws.h"

#include <stdlib.h>

#define NODES_PER_BLOCK 512

struct outbox_block {
    struct outbox_block *next;
    struct outbox_node nodes[NODES_PER_BLOCK];
};

void outbox_pool_init(struct outbox_pool *pool, uint32_t count_max, uint16_t shard, struct frame_idle *idle)
{
    *pool = (struct outbox_pool){.count_max = count_max, .shard = shard, .idle = idle};
}

void outbox_pool_destroy(struct outbox_pool *pool)
{
    while (pool->blocks != NULL) {
        struct outbox_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
    *pool = (struct outbox_pool){0};
}

static bool pool_grow(struct outbox_pool *pool)
{
    if (pool->count + NODES_PER_BLOCK > pool->count_max)
        return false;
    struct outbox_block *block = malloc(sizeof *block);
    if (block == NULL)
        return false;
    block->next = pool->blocks;
    pool->blocks = block;
    pool->count += NODES_PER_BLOCK;
    for (uint32_t i = 0; i < NODES_PER_BLOCK; i++) {
        block->nodes[i].next = pool->free;
        pool->free = &block->nodes[i];
    }
    return true;
}

static struct outbox_node *node_take(struct outbox_pool *pool)
{
    if (pool->free == NULL && !pool_grow(pool))
        return NULL;
    struct outbox_node *node = pool->free;
    pool->free = node->next;
    node->next = NULL;
    return node;
}

static void node_give(struct outbox_pool *pool, struct outbox_node *node)
{
    node->next = pool->free;
    pool->free = node;
}

static struct outbox_slice *last_slice(struct outbox *outbox)
{
    return outbox->all.slices == 1 ? &outbox->first : &outbox->last->slice;
}

static bool try_merge(struct outbox *outbox, struct frame frame, uint32_t messages)
{
    struct outbox_slice *last = last_slice(outbox);
    if (last->source != 0 || !frame_adjacent(last->frame, frame) || last->frame.bytes > UINT32_MAX - frame.bytes)
        return false;
    last->frame.bytes += frame.bytes;
    last->messages += messages;
    return true;
}

/* What waits (is not in flight) of a source. */
struct waiting {
    const struct outbox_slice *newest; /* or NULL */
    const struct outbox_slice *same;   /* the newest with that conflation number, or NULL */
};

static void look_at(struct waiting *waiting, const struct outbox_slice *slice, uint32_t source, uint32_t conflate)
{
    if (slice->source != source)
        return;
    waiting->newest = slice;
    if (slice->conflate == conflate)
        waiting->same = slice;
}

static struct waiting find_waiting(const struct outbox *outbox, uint32_t source, uint32_t conflate)
{
    struct waiting waiting = {0};
    if (outbox->all.slices > 0 && outbox->inflight.slices == 0)
        look_at(&waiting, &outbox->first, source, conflate);
    uint32_t position = 1;
    for (const struct outbox_node *node = outbox->rest; node != NULL; node = node->next, position++)
        if (position >= outbox->inflight.slices)
            look_at(&waiting, &node->slice, source, conflate);
    return waiting;
}

uint64_t outbox_charge(const struct outbox *outbox, struct frame frame, uint32_t source, uint32_t conflate)
{
    if (source == 0 || conflate == 0)
        return frame.bytes;
    struct waiting waiting = find_waiting(outbox, source, conflate);
    return waiting.same == NULL || waiting.same == waiting.newest ? 0 : waiting.same->frame.bytes;
}

static bool is_charged(const struct outbox_slice *slice)
{
    return slice->source == 0 || slice->conflate == 0;
}

uint64_t outbox_charged(const struct outbox *outbox)
{
    uint64_t excused = 0;
    if (outbox->all.slices > 0 && outbox->inflight.slices == 0 && !is_charged(&outbox->first))
        excused += outbox->first.frame.bytes;
    uint32_t position = 1;
    for (const struct outbox_node *node = outbox->rest; node != NULL; node = node->next, position++)
        if (position >= outbox->inflight.slices && !is_charged(&node->slice))
            excused += node->slice.frame.bytes;
    return outbox_waiting(outbox) - excused;
}

static bool append(struct outbox *outbox, struct outbox_pool *pool, struct outbox_slice slice)
{
    if (outbox->all.slices == 0) {
        outbox->first = slice;
    } else {
        struct outbox_node *node = outbox->all.slices < OUTBOX_SLICES_MAX ? node_take(pool) : NULL;
        if (node == NULL)
            return false;
        node->slice = slice;
        if (outbox->rest == NULL)
            outbox->rest = node;
        else
            outbox->last->next = node;
        outbox->last = node;
    }
    outbox->all.slices++;
    frame_ref(slice.frame.segment, pool->shard, 1);
    return true;
}

uint32_t outbox_begin_send_all(struct outbox *outbox, struct iovec *vector, uint32_t max)
{
    uint32_t count = 0, messages = 0;
    uint64_t bytes = 0;
    const struct outbox_slice *slice = &outbox->first;
    struct outbox_node *next = outbox->rest;
    while (count < max && count < outbox->all.slices) {
        if (bytes + slice->frame.bytes > UINT32_MAX / 2)
            break;
        vector[count].iov_base = slice->frame.segment->data + slice->frame.offset;
        vector[count].iov_len = slice->frame.bytes;
        bytes += slice->frame.bytes;
        messages += slice->messages;
        count++;
        if (next == NULL)
            break;
        slice = &next->slice;
        next = next->next;
    }
    outbox->inflight = (struct outbox_sum){.bytes = bytes, .messages = messages, .slices = count};
    return count;
}

uint32_t outbox_in_flight(const struct outbox *outbox, uint64_t from, uint64_t bytes, struct iovec *vector,
                          uint32_t max)
{
    check_op(from + bytes, <=, outbox->inflight.bytes);
    uint32_t count = 0;
    const struct outbox_slice *slice = &outbox->first;
    for (const struct outbox_node *next = outbox->rest; bytes > 0; next = next->next) {
        uint64_t skip = from < slice->frame.bytes ? from : slice->frame.bytes;
        uint64_t part = slice->frame.bytes - skip < bytes ? slice->frame.bytes - skip : bytes;
        from -= skip;
        bytes -= part;
        if (part > 0) {
            check_op(count, <, max);
            vector[count].iov_base = slice->frame.segment->data + slice->frame.offset + skip;
            vector[count++].iov_len = part;
        }
        if (bytes == 0)
            break;
        slice = &next->slice;
    }
    return count;
}

uint32_t outbox_inflight_segments(const struct outbox *outbox, struct segment **segments, uint32_t max)
{
    check_op(outbox->inflight.slices, <=, max);
    const struct outbox_node *node = outbox->rest;
    for (uint32_t i = 0; i < outbox->inflight.slices; i++) {
        segments[i] = i == 0 ? outbox->first.frame.segment : node->slice.frame.segment;
        if (i > 0)
            node = node->next;
    }
    return outbox->inflight.slices;
}

/* Takes the first slice out; its reference is released. */
static void pop_first(struct outbox *outbox, struct outbox_pool *pool)
{
    frame_release(pool->idle, outbox->first.frame.segment, pool->shard, 1);
    outbox->all.slices--;
    struct outbox_node *node = outbox->rest;
    if (node == NULL)
        return;
    outbox->first = node->slice;
    outbox->rest = node->next;
    if (outbox->rest == NULL)
        outbox->last = NULL;
    node_give(pool, node);
}

/* Takes a slice out that waits. */
static void remove_waiting(struct outbox *outbox, struct outbox_pool *pool, const struct outbox_slice *old)
{
    outbox->all.bytes -= old->frame.bytes;
    outbox->all.messages -= old->messages;
    if (old == &outbox->first) {
        pop_first(outbox, pool);
        return;
    }
    struct outbox_node *before = NULL, *node = outbox->rest;
    for (; &node->slice != old; node = node->next)
        before = node;
    if (before == NULL)
        outbox->rest = node->next;
    else
        before->next = node->next;
    if (outbox->last == node)
        outbox->last = before;
    frame_release(pool->idle, old->frame.segment, pool->shard, 1);
    outbox->all.slices--;
    node_give(pool, node);
}

/* A newer one with its number waits behind it, and others of the source in between: nothing replaces it any more, so it
 * is charged. */
static void supersede(struct outbox *outbox, const struct outbox_slice *old)
{
    struct outbox_slice *slice = &outbox->first;
    for (struct outbox_node *node = outbox->rest; slice != old; node = node->next)
        slice = &node->slice;
    slice->conflate = 0;
}

bool outbox_takes(const struct outbox *outbox, struct frame frame, uint32_t source, uint32_t conflate, uint64_t max)
{
    uint64_t charge = outbox_charge(outbox, frame, source, conflate);
    uint64_t charged = charge == 0 ? 0 : outbox_charged(outbox);
    return charged == 0 || charged + charge <= max;
}

enum outbox_result outbox_push_behind(struct outbox *outbox, struct outbox_pool *pool, struct frame frame,
                                      uint32_t messages, uint32_t source, uint32_t conflate)
{
    struct waiting waiting = {0};
    if (source != 0 && conflate != 0)
        waiting = find_waiting(outbox, source, conflate);
    bool replaces = waiting.same != NULL && waiting.same == waiting.newest;
    if (replaces)
        remove_waiting(outbox, pool, waiting.same); /* so there is room for the newer one */
    bool merged = source == 0 && outbox->all.slices > 0 && try_merge(outbox, frame, messages);
    if (!merged) {
        struct outbox_slice slice = {.frame = frame, .messages = messages, .source = source, .conflate = conflate};
        if (!append(outbox, pool, slice))
            return OUTBOX_FULL;
    }
    if (waiting.same != NULL && !replaces)
        supersede(outbox, waiting.same);
    outbox->all.bytes += frame.bytes;
    outbox->all.messages += messages;
    return replaces ? OUTBOX_REPLACED : OUTBOX_PUSHED;
}

/* Removes `bytes` bytes and `messages` messages from the front. */
static void consume(struct outbox *outbox, struct outbox_pool *pool, uint64_t bytes, uint32_t messages)
{
    outbox->all.bytes -= bytes;
    outbox->all.messages -= messages;
    while (bytes > 0) {
        struct outbox_slice *first = &outbox->first;
        if (first->frame.bytes <= bytes) {
            bytes -= first->frame.bytes;
            messages -= first->messages;
            pop_first(outbox, pool);
        } else { /* it grew while it was in flight, or was cut */
            first->frame.offset += (uint32_t)bytes;
            first->frame.bytes -= (uint32_t)bytes;
            first->messages -= messages;
            bytes = 0;
        }
    }
}

uint32_t outbox_sent_rest(struct outbox *outbox, struct outbox_pool *pool)
{
    uint32_t messages = outbox->inflight.messages;
    consume(outbox, pool, outbox->inflight.bytes, messages);
    outbox->inflight = (struct outbox_sum){0};
    return messages;
}

/* Messages that lie whole within the first `bytes` bytes of a slice that begins at a message's first byte. */
static uint32_t whole_messages(const struct outbox_slice *slice, uint64_t bytes)
{
    if (slice->messages == 0)
        return 0;
    struct slice wire = slice_of(frame_data(slice->frame), slice->frame.bytes);
    uint32_t whole = 0;
    for (uint64_t frame; (frame = ws_frame_bytes(wire)) != 0 && frame <= bytes; whole++) {
        bytes -= frame;
        wire = slice_skip(wire, frame);
    }
    return whole;
}

uint32_t outbox_cut(struct outbox *outbox, struct outbox_pool *pool, uint64_t bytes)
{
    check_op(bytes, <, outbox->inflight.bytes);
    uint32_t messages = 0;
    while (bytes > 0) {
        struct outbox_slice *first = &outbox->first;
        uint64_t part = first->frame.bytes < bytes ? first->frame.bytes : bytes;
        uint32_t whole = part == first->frame.bytes ? first->messages : whole_messages(first, part);
        messages += whole;
        consume(outbox, pool, part, whole);
        bytes -= part;
    }
    outbox->inflight = (struct outbox_sum){0};
    return messages;
}

uint32_t outbox_drop_waiting(struct outbox *outbox, struct outbox_pool *pool)
{
    uint32_t messages = outbox->all.messages - outbox->inflight.messages;
    if (outbox->inflight.bytes == 0) {
        while (outbox->all.slices > 0)
            pop_first(outbox, pool);
    } else {
        /* Cut the row behind the slices in flight, and the last of these back to what the send names. */
        uint64_t bytes = outbox->inflight.bytes;
        uint32_t left = outbox->inflight.messages;
        struct outbox_slice *slice = &outbox->first;
        struct outbox_node *node = NULL;
        for (uint32_t i = 1; i < outbox->inflight.slices; i++) {
            bytes -= slice->frame.bytes;
            left -= slice->messages;
            node = node == NULL ? outbox->rest : node->next;
            slice = &node->slice;
        }
        slice->frame.bytes = (uint32_t)bytes;
        slice->messages = left;
        struct outbox_node *drop = node == NULL ? outbox->rest : node->next;
        while (drop != NULL) {
            struct outbox_node *next = drop->next;
            frame_release(pool->idle, drop->slice.frame.segment, pool->shard, 1);
            node_give(pool, drop);
            drop = next;
        }
        if (node == NULL)
            outbox->rest = NULL;
        else
            node->next = NULL;
        outbox->last = node;
        outbox->all.slices = outbox->inflight.slices;
    }
    outbox->all.bytes = outbox->inflight.bytes;
    outbox->all.messages = outbox->inflight.messages;
    return messages;
}

static bool slice_holds(const struct outbox_slice *slice, const struct segment *segment, uint64_t serial)
{
    return slice->frame.segment == segment && segment->serial == serial;
}

bool outbox_holds(const struct outbox *outbox, const struct segment *segment, uint64_t serial)
{
    if (outbox->all.slices > 0 && slice_holds(&outbox->first, segment, serial))
        return true;
    for (const struct outbox_node *node = outbox->rest; node != NULL; node = node->next)
        if (slice_holds(&node->slice, segment, serial))
            return true;
    return false;
}

void outbox_check(const struct outbox *outbox)
{
    uint64_t bytes = 0;
    uint32_t messages = 0, count = 0;
    const struct outbox_node *node = outbox->rest;
    for (const struct outbox_slice *slice = outbox->all.slices > 0 ? &outbox->first : NULL; slice != NULL;) {
        bytes += slice->frame.bytes;
        messages += slice->messages;
        count++;
        check(slice->frame.bytes > 0);
        check(node != NULL || outbox->last == NULL || slice == &outbox->last->slice);
        slice = node == NULL ? NULL : &node->slice;
        node = node == NULL ? NULL : node->next;
    }
    check_op(bytes, ==, outbox->all.bytes);
    check_op(messages, ==, outbox->all.messages);
    check_op(count, ==, outbox->all.slices);
    check_op(outbox->inflight.bytes, <=, outbox->all.bytes);
    check_op(outbox->inflight.slices, <=, outbox->all.slices);
    check((outbox->inflight.slices == 0) == (outbox->inflight.bytes == 0));
}
