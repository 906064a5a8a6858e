/* SPDX-License-Identifier: MIT */
/* Owns the reference protocol between shards: lendings, and the list of segments that nobody at a shard references any
 * more. It never makes or frees a segment (frame_memory.c does), nor touches the counts of another shard. Called by the
 * outbox (references), the turn and the mail handlers. */
#include "core/frame.h"

void frame_idle_push(struct frame_idle *idle, struct segment *segment, uint16_t shard)
{
    struct segment_share *share = &segment->shares[shard];
    if (share->queued_idle)
        return;
    share->queued_idle = true;
    share->next_idle = idle->first;
    idle->first = segment;
}

struct segment *frame_idle_pop(struct frame_idle *idle, uint16_t shard)
{
    while (idle->first != NULL) {
        struct segment *segment = idle->first;
        struct segment_share *share = &segment->shares[shard];
        idle->first = share->next_idle;
        share->next_idle = NULL;
        share->queued_idle = false;
        if (share->refs == 0)
            return segment;
    }
    return NULL;
}

void frame_lend(struct segment *segment)
{
    segment->lent++;
}

void frame_borrow(struct segment *segment, uint16_t shard)
{
    check_op(segment->home, !=, shard);
    segment->shares[shard].lendings++;
    segment->shares[shard].refs++;
}

uint32_t frame_take_lendings(struct segment *segment, uint16_t shard)
{
    uint32_t lendings = segment->shares[shard].lendings;
    segment->shares[shard].lendings = 0;
    return lendings;
}
