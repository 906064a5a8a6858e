/* SPDX-License-Identifier: MIT */
/* Finished wire bytes, shared by all receivers. A frame log is an append-only row of segments; a frame is a range of
 * one segment and never changes once it is committed, so frames that follow each other are one contiguous range.
 *
 * Ownership: the shard that appended (the home) owns a segment. Every shard counts its own references in its own cache
 * line (`shares[shard]`), without atomics. When the home lends a range to another shard it counts the lending
 * (frame_lend) and mails the slice; that shard takes it over (frame_borrow) and refs and releases as it likes. A
 * segment whose count at a shard has fallen to zero is put on that shard's list of idle segments (frame_release), so
 * nothing is freed in the middle of a delivery; later in the tick the shard empties the list (frame_idle_pop): the home
 * reclaims its own, another shard mails home how many lendings it had taken over (frame_take_lendings, frame_return).
 * The home frees the segment when neither references of its own nor lendings are left. Where segments come from, and how
 * frames are appended: frame_memory.h. */
#ifndef RINGCAST_CORE_FRAME_H
#define RINGCAST_CORE_FRAME_H

#include "core/bytes.h"
#include "core/check.h"
#include "core/list.h"
#include "core/siphash.h"

struct segment_share { /* written by one shard only */
    uint32_t refs;
    uint32_t lendings;         /* taken over and not yet mailed home */
    struct segment *next_idle; /* of this shard's list of idle segments */
    bool queued_idle;
} __attribute__((aligned(64)));

struct segment {
    uint8_t *data;
    uint32_t capacity;
    uint32_t used; /* home only */
    uint32_t lent; /* home only: lendings that other shards hold */
    uint16_t home; /* shard number of the owner */
    uint8_t shards;
    uint8_t memory;        /* which of its home's frame memories made it (frame_memory.number) */
    uint64_t serial;       /* home only: rises with each segment made; the oldest is cut first */
    struct list_node node; /* home only: in frame_memory.segments, oldest first */
    struct hash128 owner;  /* home only: whose frames these are, noted by who appends; zero when it is made */
    struct segment_share shares[];
};

/* A range of a segment: one frame or several that follow each other. */
struct frame {
    struct segment *segment;
    uint32_t offset;
    uint32_t bytes;
};

/* The segments of one shard whose count of references has fallen to zero. */
struct frame_idle {
    struct segment *first;
};

/* References of the calling shard. */
static inline void frame_ref(struct segment *segment, uint16_t shard, uint32_t count)
{
    segment->shares[shard].refs += count;
}

/* Puts a segment without references on the list, unless it is there. */
void frame_idle_push(struct frame_idle *idle, struct segment *segment, uint16_t shard);

/* Drops references of the calling shard. */
static inline void frame_release(struct frame_idle *idle, struct segment *segment, uint16_t shard, uint32_t count)
{
    struct segment_share *share = &segment->shares[shard];
    check_op(share->refs, >=, count);
    share->refs -= count;
    if (share->refs == 0)
        frame_idle_push(idle, segment, shard);
}
/* The next segment that is still unreferenced here, or NULL when the list is empty. */
struct segment *frame_idle_pop(struct frame_idle *idle, uint16_t shard);

/* At home: the segment is about to be mailed to another shard once more. */
void frame_lend(struct segment *segment);
/* At the other shard: a mailed slice has arrived; it holds one reference for the caller. */
void frame_borrow(struct segment *segment, uint16_t shard);
/* At the other shard, when its references are zero: the number of lendings to mail home. */
uint32_t frame_take_lendings(struct segment *segment, uint16_t shard);

/* Whether b starts right where a ends, so that they are one range. */
static inline bool frame_adjacent(struct frame a, struct frame b)
{
    return a.segment == b.segment && a.offset + a.bytes == b.offset;
}

static inline const uint8_t *frame_data(struct frame frame)
{
    return frame.segment->data + frame.offset;
}

#endif
