/* SPDX-License-Identifier: MIT */
/* Owns the segments of one shard: making, caching and freeing them, and the reference protocol between shards. It never
 * touches the counts of another shard and never writes to bytes that were committed. Called by fanout and session (to
 * append), outbox (references) and the mail handlers (lendings).
 *
 * Between two turns of the home (frame_check):
 *   - `bytes` is the sum of all segments, alive and cached, headers included, with the arena's chunks in place of the
 *   segments
 *     that lie there, and within the budget;
 *   - as many pieces of the arena are taken as segments alive lie there, and none of these is cached;
 *   - the segments alive stand in the order of their serials, all of this home, none used beyond its capacity;
 *   - a segment alive is referenced here, lent, or waits on the idle list: nothing is forgotten;
 *   - a cached segment is of its class's size, and neither referenced, lent nor on the idle list;
 *   - a class caches no more than its share. */
#include "core/frame_memory.h"

#include "core/check.h"
#include "core/limits.h"
#include "core/poison.h"

#include <stdlib.h>

#define CACHE_BYTES_PER_CLASS (4U << 20)
#define ARENA_SHARE 4                       /* of the budget: what the arena has opened stays with it */
#define ARENA_SEGMENT_BYTES_MIN (64U << 10) /* the log is so busy that many of its frames go out in one send */

_Static_assert((SEGMENT_BYTES_MIN << (FRAME_CACHE_CLASSES - 1)) >= SEGMENT_BYTES_MAX, "each regular size has a class");

static size_t header_bytes(uint16_t shards)
{
    return sizeof(struct segment) + (size_t)shards * sizeof(struct segment_share);
}

static bool is_in_arena(const struct frame_memory *memory, const struct segment *segment)
{
    return arena_chunk_of(&memory->arena, segment->data) != ARENA_NOWHERE;
}

static size_t segment_footprint(const struct frame_memory *memory, const struct segment *segment)
{
    return header_bytes(segment->shards) + (is_in_arena(memory, segment) ? 0 : segment->capacity);
}

static void segment_free(struct frame_memory *memory, struct segment *segment)
{
    memory->bytes -= segment_footprint(memory, segment);
    if (is_in_arena(memory, segment))
        arena_give(&memory->arena, segment->data);
    free(segment);
}

/* The class of a capacity, or FRAME_CACHE_CLASSES when it is not a regular size. */
static unsigned cache_class(uint32_t capacity)
{
    for (unsigned class = 0; class < FRAME_CACHE_CLASSES; class ++)
        if (capacity == SEGMENT_BYTES_MIN << class)
            return class;
    return FRAME_CACHE_CLASSES;
}

void frame_memory_init(struct frame_memory *memory, uint16_t shard, uint16_t shards, size_t bytes_max)
{
    check_op(shard, <, shards);
    *memory = (struct frame_memory){.bytes_max = bytes_max, .shard = shard, .shards = shards};
    list_init(&memory->segments);
    arena_init(&memory->arena, bytes_max / ARENA_SHARE);
}

void frame_memory_init_plain(struct frame_memory *memory, uint8_t number, uint16_t shard, uint16_t shards,
                             size_t bytes_max)
{
    check_op(shard, <, shards);
    *memory = (struct frame_memory){.bytes_max = bytes_max, .shard = shard, .shards = shards, .number = number};
    list_init(&memory->segments);
}

size_t frame_header_bytes(const struct frame_memory *memory)
{
    return header_bytes(memory->shards);
}

void frame_memory_destroy(struct frame_memory *memory)
{
    for (struct list_node *node; (node = list_pop_front(&memory->segments)) != NULL;)
        free(list_entry(node, struct segment, node));
    for (unsigned class = 0; class < FRAME_CACHE_CLASSES; class ++) {
        while (memory->cache[class] != NULL) {
            struct segment *segment = memory->cache[class];
            memory->cache[class] = segment->shares[memory->shard].next_idle;
            free(segment);
        }
    }
    arena_destroy(&memory->arena);
    memory->bytes = memory->bytes_cached = 0;
}

static struct segment *cache_take(struct frame_memory *memory, uint32_t capacity)
{
    unsigned class = cache_class(capacity);
    if (class == FRAME_CACHE_CLASSES || memory->cache[class] == NULL)
        return NULL;
    struct segment *segment = memory->cache[class];
    memory->cache[class] = segment->shares[memory->shard].next_idle;
    memory->cache_count[class]--;
    memory->bytes_cached -= segment_footprint(memory, segment);
    segment->shares[memory->shard].next_idle = NULL;
    unpoison(segment->data, segment->capacity);
    return segment;
}

/* Frees cached segments until `bytes` more fit into the budget; whether they do. */
static bool make_room(struct frame_memory *memory, size_t bytes)
{
    for (unsigned class = FRAME_CACHE_CLASSES; class -- > 0;) {
        while (memory->bytes + bytes > memory->bytes_max && memory->cache[class] != NULL) {
            struct segment *segment = memory->cache[class];
            memory->cache[class] = segment->shares[memory->shard].next_idle;
            memory->cache_count[class]--;
            memory->bytes_cached -= segment_footprint(memory, segment);
            segment_free(memory, segment);
        }
    }
    return memory->bytes + bytes <= memory->bytes_max;
}

/* A header with so many bytes behind it; NULL beyond the budget. */
static struct segment *header_make(struct frame_memory *memory, size_t bytes)
{
    size_t header = header_bytes(memory->shards);
    if (!make_room(memory, header + bytes))
        return NULL;
    struct segment *segment = aligned_alloc(64, (header + bytes + 63) & ~(size_t)63);
    if (segment == NULL)
        return NULL;
    memory->bytes += header + bytes;
    memset(segment, 0, header);
    segment->data = (uint8_t *)segment + header;
    segment->capacity = (uint32_t)bytes;
    segment->home = memory->shard;
    segment->shards = (uint8_t)memory->shards;
    segment->memory = memory->number;
    return segment;
}

/* Whether sends from it may be long enough to be worth a place in the arena. */
static bool is_for_arena(uint32_t frame_bytes, uint32_t capacity)
{
    return (frame_bytes >= ARENA_PIECE_BYTES_MIN || capacity >= ARENA_SEGMENT_BYTES_MIN) &&
           capacity <= ARENA_CHUNK_BYTES;
}

/* One of the arena's; NULL when it is used up. */
static struct segment *arena_segment(struct frame_memory *memory, uint32_t capacity)
{
    struct arena *arena = &memory->arena;
    uint8_t *piece = arena_take(arena, capacity);
    if (piece == NULL && make_room(memory, ARENA_CHUNK_BYTES) && arena_open(arena)) {
        memory->bytes += ARENA_CHUNK_BYTES;
        piece = arena_take(arena, capacity);
    }
    if (piece == NULL)
        return NULL;
    struct segment *segment = header_make(memory, 0);
    if (segment == NULL) {
        arena_give(arena, piece);
        return NULL;
    }
    segment->data = piece;
    segment->capacity = capacity;
    return segment;
}

/* For a frame of so many bytes, and more behind it. */
static struct segment *segment_make(struct frame_memory *memory, uint32_t frame_bytes, uint32_t capacity)
{
    struct segment *segment = is_for_arena(frame_bytes, capacity) ? arena_segment(memory, capacity) : NULL;
    if (segment == NULL)
        segment = cache_take(memory, capacity);
    if (segment == NULL)
        segment = header_make(memory, capacity);
    if (segment == NULL)
        return NULL;
    segment->used = 0;
    segment->owner = (struct hash128){0};
    segment->serial = ++memory->serial;
    list_push_back(&memory->segments, &segment->node);
    return segment;
}

/* Starts again at the front. What comes now is young: among the segments it stands behind all others. */
static void rewind_tail(struct frame_memory *memory, struct segment *tail)
{
    tail->used = 0;
    tail->serial = ++memory->serial;
    list_remove(&tail->node);
    list_push_back(&memory->segments, &tail->node);
}

/* Whether nothing but the log itself holds the tail, so that it can be written again from the front. */
static bool tail_is_drained(const struct segment *tail)
{
    return tail->lent == 0 && tail->shares[tail->home].refs == 1;
}

uint8_t *frame_append_reserve(struct frame_memory *memory, struct frame_idle *idle, struct frame_log *log,
                              uint32_t bytes)
{
    struct segment *tail = log->tail;
    if (tail != NULL) {
        if (tail->used != 0 && tail_is_drained(tail))
            rewind_tail(memory, tail);
        if (bytes <= tail->capacity - tail->used)
            return tail->data + tail->used;
    }
    if (log->segment_bytes < SEGMENT_BYTES_MIN)
        log->segment_bytes = SEGMENT_BYTES_MIN;
    struct segment *segment = segment_make(memory, bytes, bytes > log->segment_bytes ? bytes : log->segment_bytes);
    if (segment == NULL)
        return NULL;
    if (log->segment_bytes < SEGMENT_BYTES_MAX)
        log->segment_bytes *= 2;
    if (tail != NULL)
        frame_release(idle, tail, memory->shard, 1);
    frame_ref(segment, memory->shard, 1);
    log->tail = segment;
    return segment->data;
}

struct frame frame_append_commit(struct frame_log *log, uint32_t bytes)
{
    struct segment *tail = log->tail;
    check_op(bytes, <=, tail->capacity - tail->used);
    struct frame frame = {.segment = tail, .offset = tail->used, .bytes = bytes};
    tail->used += bytes;
    return frame;
}

void frame_log_release(struct frame_memory *memory, struct frame_idle *idle, struct frame_log *log)
{
    if (log->tail != NULL)
        frame_release(idle, log->tail, memory->shard, 1);
    *log = (struct frame_log){0};
}

void frame_reclaim(struct frame_memory *memory, struct segment *segment)
{
    check_op(segment->home, ==, memory->shard);
    check_op(segment->memory, ==, memory->number);
    struct segment_share *share = &segment->shares[memory->shard];
    if (segment->lent != 0 || share->refs != 0 || share->queued_idle)
        return;
    list_remove(&segment->node);
    unsigned class = is_in_arena(memory, segment) ? FRAME_CACHE_CLASSES : cache_class(segment->capacity);
    if (class < FRAME_CACHE_CLASSES && memory->cache_count[class] < CACHE_BYTES_PER_CLASS / segment->capacity) {
        segment->shares[memory->shard].next_idle = memory->cache[class];
        memory->cache[class] = segment;
        memory->cache_count[class]++;
        memory->bytes_cached += segment_footprint(memory, segment);
        poison(segment->data, segment->capacity); /* the heap would have told of a late reader or writer, too */
        return;
    }
    segment_free(memory, segment);
}

void frame_return(struct frame_memory *memory, struct segment *segment, uint32_t lendings)
{
    check_op(segment->lent, >=, lendings);
    segment->lent -= lendings;
    frame_reclaim(memory, segment);
}

static size_t check_alive(const struct frame_memory *memory)
{
    size_t bytes = 0;
    uint32_t pieces = 0;
    uint64_t serial = 0;
    for (const struct list_node *node = list_first(&memory->segments); node != NULL;
         node = list_next(&memory->segments, node)) {
        const struct segment *segment = list_entry(node, struct segment, node);
        const struct segment_share *share = &segment->shares[memory->shard];
        check_op(segment->home, ==, memory->shard);
        check_op(segment->memory, ==, memory->number);
        check_op(segment->shards, ==, memory->shards);
        check_op(segment->serial, >, serial);
        check_op(segment->used, <=, segment->capacity);
        check_op(share->lendings, ==, 0);
        check(share->refs > 0 || segment->lent > 0 || share->queued_idle);
        serial = segment->serial;
        bytes += segment_footprint(memory, segment);
        pieces += is_in_arena(memory, segment);
    }
    check_op(serial, <=, memory->serial);
    check_op(pieces, ==, arena_check(&memory->arena));
    return bytes;
}

static size_t check_cached(const struct frame_memory *memory, unsigned class)
{
    size_t bytes = 0;
    uint32_t count = 0;
    for (const struct segment *segment = memory->cache[class]; segment != NULL; count++) {
        const struct segment_share *share = &segment->shares[memory->shard];
        check_op(segment->capacity, ==, SEGMENT_BYTES_MIN << class);
        check(share->refs == 0 && segment->lent == 0 && !share->queued_idle && !list_linked(&segment->node));
        check(!is_in_arena(memory, segment));
        bytes += segment_footprint(memory, segment);
        segment = share->next_idle;
    }
    check_op(count, ==, memory->cache_count[class]);
    check_op(count, <=, CACHE_BYTES_PER_CLASS / (SEGMENT_BYTES_MIN << class));
    return bytes;
}

void frame_check(const struct frame_memory *memory)
{
    size_t bytes = check_alive(memory) + (size_t)memory->arena.chunks_opened * ARENA_CHUNK_BYTES, cached = 0;
    for (unsigned class = 0; class < FRAME_CACHE_CLASSES; class ++)
        cached += check_cached(memory, class);
    bytes += cached;
    check_op(cached, ==, memory->bytes_cached);
    check_op(bytes, ==, memory->bytes);
    check_op(bytes, <=, memory->bytes_max);
}
