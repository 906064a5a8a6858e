/* SPDX-License-Identifier: MIT */
/* What the tests of core/frame share: a shard's half of the frame memory, and a look at whether its books balance. All
 * shards of a test live in one thread. */
#ifndef RINGCAST_TESTS_FRAME_SHARD_H
#define RINGCAST_TESTS_FRAME_SHARD_H

#include "core/frame.h"
#include "core/frame_memory.h"

#include <criterion/criterion.h>
#include <string.h>

#define SHARDS 3
#define ROOMY ((size_t)64 << 20)

struct shard {
    struct frame_memory memory;
    struct frame_idle idle;
    uint16_t number;
};

static inline void begin(struct shard *shard, uint16_t number, size_t bytes_max)
{
    *shard = (struct shard){.number = number};
    frame_memory_init(&shard->memory, number, SHARDS, bytes_max);
}

static inline uint8_t *reserve(struct shard *shard, struct frame_log *log, uint32_t bytes)
{
    return frame_append_reserve(&shard->memory, &shard->idle, log, bytes);
}

static inline struct frame append(struct shard *shard, struct frame_log *log, uint8_t fill, uint32_t bytes)
{
    uint8_t *at = reserve(shard, log, bytes);
    cr_assert_not_null(at);
    memset(at, fill, bytes);
    return frame_append_commit(log, bytes);
}

/* An append whose frame the caller holds. */
static inline struct frame append_held(struct shard *shard, struct frame_log *log, uint8_t fill, uint32_t bytes)
{
    struct frame frame = append(shard, log, fill, bytes);
    frame_ref(frame.segment, shard->number, 1);
    return frame;
}

static inline void release(struct shard *shard, struct frame frame)
{
    frame_release(&shard->idle, frame.segment, shard->number, 1);
}

/* The home's part of a tick's end: whatever is idle and not lent is freed or cached. */
static inline void reclaim_idle(struct shard *home)
{
    for (struct segment *segment; (segment = frame_idle_pop(&home->idle, home->number)) != NULL;)
        frame_reclaim(&home->memory, segment);
    frame_check(&home->memory);
}

static inline void release_log(struct shard *shard, struct frame_log *log)
{
    frame_log_release(&shard->memory, &shard->idle, log);
}

static inline bool filled_with(struct frame frame, uint8_t fill)
{
    for (uint32_t i = 0; i < frame.bytes; i++)
        if (frame_data(frame)[i] != fill)
            return false;
    return true;
}

static inline uint32_t alive_count(const struct shard *shard)
{
    uint32_t count = 0;
    for (struct list_node *n = list_first(&shard->memory.segments); n != NULL;
         n = list_next(&shard->memory.segments, n))
        count++;
    return count;
}

static inline size_t footprint(const struct arena *arena, const struct segment *segment)
{
    size_t header = sizeof(struct segment) + SHARDS * sizeof(struct segment_share);
    return header + (arena_chunk_of(arena, segment->data) == ARENA_NOWHERE ? segment->capacity : 0);
}

/* What the memory says that it uses is what can be counted; the budget holds; the oldest segment is the first. */
static inline void expect_sound(const struct shard *shard)
{
    const struct frame_memory *memory = &shard->memory;
    size_t bytes = 0;
    uint64_t serial = 0;
    for (struct list_node *n = list_first(&memory->segments); n != NULL; n = list_next(&memory->segments, n)) {
        struct segment *segment = list_entry(n, struct segment, node);
        cr_assert_eq(segment->home, shard->number);
        cr_assert_leq(segment->used, segment->capacity);
        cr_assert_gt(segment->serial, serial);
        serial = segment->serial;
        bytes += footprint(&memory->arena, segment);
    }
    bytes += (size_t)memory->arena.chunks_opened * ARENA_CHUNK_BYTES;
    for (int class = 0; class < FRAME_CACHE_CLASSES; class ++) {
        uint32_t count = 0;
        for (struct segment *s = memory->cache[class]; s != NULL; s = s->shares[memory->shard].next_idle, count++)
            bytes += footprint(&memory->arena, s);
        cr_assert_eq(count, memory->cache_count[class]);
    }
    cr_assert_eq(bytes, memory->bytes);
    cr_assert_leq(memory->bytes, memory->bytes_max);
}

/* Nothing alive: memory->bytes is what the cache holds. */
static inline void expect_all_returned(struct shard *shard)
{
    cr_assert(list_empty(&shard->memory.segments), "shard %u still has segments", shard->number);
    cr_assert_null(shard->idle.first);
    expect_sound(shard);
    frame_memory_destroy(&shard->memory);
}

#endif
