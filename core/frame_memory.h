/* SPDX-License-Identifier: MIT */
/* Where frames come from: the segments that one shard has made, within a hard budget, and the logs that are appended to
 * them. What may be done with a frame that is there: frame.h. */
#ifndef RINGCAST_CORE_FRAME_MEMORY_H
#define RINGCAST_CORE_FRAME_MEMORY_H

#include "core/arena.h"
#include "core/frame.h"

#define FRAME_CACHE_CLASSES 9

/* The frame memory of one shard: what it has made, within a hard budget. */
struct frame_memory {
    struct list segments; /* alive, oldest first */
    size_t bytes;         /* of the segments alive and cached, headers included, and of the arena's open chunks */
    size_t bytes_max;
    size_t bytes_cached; /* of them, segments that nobody uses */
    struct arena arena;  /* where segments that long sends may read in place come from, as far as it goes */
    uint64_t serial;
    uint16_t shard;
    uint16_t shards;
    uint8_t number;                             /* among the frame memories of its shard, noted in each segment */
    struct segment *cache[FRAME_CACHE_CLASSES]; /* free segments by size class (linked by the home's next_idle) */
    uint32_t cache_count[FRAME_CACHE_CLASSES];
};

struct frame_log {
    struct segment *tail;   /* referenced by the log; NULL: nothing appended yet */
    uint32_t segment_bytes; /* capacity of the next segment: grows from SEGMENT_BYTES_MIN while the log is busy */
};

void frame_memory_init(struct frame_memory *memory, uint16_t shard, uint16_t shards, size_t bytes_max);
/* The same without an arena, as one more memory of the shard, whose number its segments bear. */
void frame_memory_init_plain(struct frame_memory *memory, uint8_t number, uint16_t shard, uint16_t shards,
                             size_t bytes_max);
/* What a segment takes beside its bytes. */
size_t frame_header_bytes(const struct frame_memory *memory);
/* Bytes of what is in use, not only cached. */
static inline size_t frame_memory_alive(const struct frame_memory *memory)
{
    return memory->bytes - memory->bytes_cached;
}
/* Frees everything, whatever is still referenced: only after all shards have stopped. */
void frame_memory_destroy(struct frame_memory *memory);

/* Room for `bytes` contiguous bytes at the end of the log; NULL when the budget or the machine's memory is exhausted.
 * What is written there becomes a frame with frame_append_commit; a second reserve forgets the first. */
uint8_t *frame_append_reserve(struct frame_memory *memory, struct frame_idle *idle, struct frame_log *log,
                              uint32_t bytes);
/* Seals the first `bytes` of what was reserved. The frame is not referenced for the caller: the log's own reference
 * keeps it alive until the next call on this log. */
struct frame frame_append_commit(struct frame_log *log, uint32_t bytes);
/* Lets the tail go (a channel ends, or has been quiet); the next segment is a small one again. */
void frame_log_release(struct frame_memory *memory, struct frame_idle *idle, struct frame_log *log);

/* At home, for a segment from frame_idle_pop: frees (or caches) it unless it is lent. */
void frame_reclaim(struct frame_memory *memory, struct segment *segment);
/* At home: lendings came back. */
void frame_return(struct frame_memory *memory, struct segment *segment, uint32_t lendings);

/* At home: asserts what holds for all segments of the memory (frame_memory.c says what). */
void frame_check(const struct frame_memory *memory);

#endif
