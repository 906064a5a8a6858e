/* SPDX-License-Identifier: MIT */
/* A bounded region for segments of long frames, in chunks that never move and are never given back: so a ring can have
 * them registered with the kernel, each once. A chunk is cut into pieces of one size; one that is empty again may be
 * cut anew. Any thread may ask where something lies; all else is the owner's. */
#ifndef RINGCAST_CORE_ARENA_H
#define RINGCAST_CORE_ARENA_H

#include "core/bytes.h"

#define ARENA_CHUNK_BYTES (1U << 20)
#define ARENA_CHUNKS_MAX 64
#define ARENA_PIECE_BYTES_MIN (16U << 10)
#define ARENA_NOWHERE UINT32_MAX

struct arena_chunk {
    uint64_t taken; /* bit per piece: one word is enough */
    uint32_t piece_bytes;
};

struct arena {
    uint8_t *base; /* aligned to a chunk; NULL: no arena */
    uint32_t chunks_max;
    uint32_t chunks_opened; /* the others have never been touched */
    struct arena_chunk chunks[ARENA_CHUNKS_MAX];
};

/* Reserves addresses, no memory; with less than a chunk, or none to be had, the arena is empty. */
void arena_init(struct arena *arena, size_t bytes_max);
void arena_destroy(struct arena *arena);
/* A piece of so many bytes (ARENA_PIECE_BYTES_MIN to ARENA_CHUNK_BYTES) in the chunks that are open; NULL when there is
 * none. */
uint8_t *arena_take(struct arena *arena, uint32_t bytes);
/* One more chunk; false when all are open. */
bool arena_open(struct arena *arena);
void arena_give(struct arena *arena, const uint8_t *piece);

/* The chunk in which it lies, or ARENA_NOWHERE. */
static inline uint32_t arena_chunk_of(const struct arena *arena, const uint8_t *at)
{
    uintptr_t offset = (uintptr_t)at - (uintptr_t)arena->base;
    bool inside = arena->base != NULL && offset < (uintptr_t)arena->chunks_max * ARENA_CHUNK_BYTES;
    return inside ? (uint32_t)(offset / ARENA_CHUNK_BYTES) : ARENA_NOWHERE;
}

static inline uint8_t *arena_chunk(const struct arena *arena, uint32_t chunk)
{
    return arena->base + (size_t)chunk * ARENA_CHUNK_BYTES;
}

/* Asserts that pieces lie inside their chunks; returns how many are taken. */
uint32_t arena_check(const struct arena *arena);

#endif
