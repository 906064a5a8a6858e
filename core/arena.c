/* SPDX-License-Identifier: MIT */
/* Owns which pieces of the region are taken. It never moves or returns memory and knows nothing of frames or rings.
 * Called by frame.c; where something lies is asked by pin.c, too.
 *
 * A search looks at all chunks, at most 64: a segment is made once for many messages, or for one that is long. */
#include "core/arena.h"

#include "core/check.h"
#include "core/poison.h"

#include <stdlib.h>

#define STEPS_PER_DOUBLING 4 /* sizes of pieces: a quarter is lost at most */

_Static_assert(ARENA_CHUNK_BYTES / ARENA_PIECE_BYTES_MIN <= 64, "one word says which are taken");

void arena_init(struct arena *arena, size_t bytes_max)
{
    size_t chunks = bytes_max / ARENA_CHUNK_BYTES;
    if (chunks > ARENA_CHUNKS_MAX)
        chunks = ARENA_CHUNKS_MAX;
    *arena = (struct arena){.chunks_max = (uint32_t)chunks};
    if (chunks > 0)
        arena->base = aligned_alloc(ARENA_CHUNK_BYTES, chunks * ARENA_CHUNK_BYTES);
    if (arena->base == NULL)
        arena->chunks_max = 0;
}

void arena_destroy(struct arena *arena)
{
    if (arena->base != NULL)
        unpoison(arena->base, (size_t)arena->chunks_opened * ARENA_CHUNK_BYTES);
    free(arena->base);
    *arena = (struct arena){0};
}

/* The size of pieces for so many bytes. */
static uint32_t piece_bytes(uint32_t bytes)
{
    uint32_t top = ARENA_PIECE_BYTES_MIN;
    while (top < bytes)
        top *= 2;
    uint32_t step = top / 2 / STEPS_PER_DOUBLING;
    return bytes <= ARENA_PIECE_BYTES_MIN ? ARENA_PIECE_BYTES_MIN : (bytes + step - 1) / step * step;
}

static uint64_t all_pieces(uint32_t bytes)
{
    uint32_t count = ARENA_CHUNK_BYTES / bytes;
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* An open chunk with a free piece of that size; one that is in use for it comes before an empty one. */
static uint32_t find(const struct arena *arena, uint32_t bytes)
{
    uint32_t found = ARENA_NOWHERE;
    for (uint32_t i = 0; i < arena->chunks_opened; i++) {
        const struct arena_chunk *chunk = &arena->chunks[i];
        if (chunk->taken == 0)
            found = found == ARENA_NOWHERE ? i : found;
        else if (chunk->piece_bytes == bytes && chunk->taken != all_pieces(bytes))
            return i;
    }
    return found;
}

uint8_t *arena_take(struct arena *arena, uint32_t bytes)
{
    check(bytes >= ARENA_PIECE_BYTES_MIN && bytes <= ARENA_CHUNK_BYTES);
    bytes = piece_bytes(bytes);
    uint32_t number = find(arena, bytes);
    if (number == ARENA_NOWHERE)
        return NULL;
    struct arena_chunk *chunk = &arena->chunks[number];
    chunk->piece_bytes = bytes;
    uint32_t piece = (uint32_t)__builtin_ctzll(~chunk->taken);
    chunk->taken |= UINT64_C(1) << piece;
    uint8_t *at = arena_chunk(arena, number) + (size_t)piece * bytes;
    unpoison(at, bytes);
    return at;
}

bool arena_open(struct arena *arena)
{
    if (arena->chunks_opened == arena->chunks_max)
        return false;
    poison(arena_chunk(arena, arena->chunks_opened++), ARENA_CHUNK_BYTES);
    return true;
}

void arena_give(struct arena *arena, const uint8_t *piece)
{
    uint32_t number = arena_chunk_of(arena, piece);
    check_op(number, <, arena->chunks_opened);
    struct arena_chunk *chunk = &arena->chunks[number];
    size_t offset = (size_t)(piece - arena_chunk(arena, number));
    uint64_t bit = UINT64_C(1) << offset / chunk->piece_bytes;
    check_op(offset % chunk->piece_bytes, ==, 0);
    check((chunk->taken & bit) != 0);
    chunk->taken &= ~bit;
    poison(piece, chunk->piece_bytes);
}

uint32_t arena_check(const struct arena *arena)
{
    uint32_t count = 0;
    check_op(arena->chunks_opened, <=, arena->chunks_max);
    for (uint32_t i = 0; i < ARENA_CHUNKS_MAX; i++) {
        const struct arena_chunk *chunk = &arena->chunks[i];
        check(chunk->taken == 0 || i < arena->chunks_opened);
        check(chunk->taken == 0 || (chunk->taken & ~all_pieces(chunk->piece_bytes)) == 0);
        count += (uint32_t)__builtin_popcountll(chunk->taken);
    }
    return count;
}
