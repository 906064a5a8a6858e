/* SPDX-License-Identifier: MIT */
/* core/arena: pieces never overlap, chunks are cut anew when they are empty, and random takes and gives come out
 * even. */
#include "core/arena.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define CHUNKS 4

static void begin(struct arena *arena)
{
    arena_init(arena, CHUNKS * ARENA_CHUNK_BYTES + 1);
    cr_assert_eq(arena->chunks_max, CHUNKS);
}

Test(arena, is_empty_with_less_than_a_chunk)
{
    struct arena arena;
    arena_init(&arena, ARENA_CHUNK_BYTES - 1);
    cr_assert_eq(arena.chunks_max, 0);
    cr_assert_not(arena_open(&arena));
    cr_assert_eq(arena_chunk_of(&arena, NULL), ARENA_NOWHERE);
    arena_destroy(&arena);
}

Test(arena, opens_chunks_only_when_asked)
{
    struct arena arena;
    begin(&arena);
    cr_assert_null(arena_take(&arena, ARENA_CHUNK_BYTES));
    for (uint32_t i = 0; i < CHUNKS; i++) {
        cr_assert(arena_open(&arena));
        cr_assert_eq(arena_take(&arena, ARENA_CHUNK_BYTES), arena_chunk(&arena, i));
        cr_assert_null(arena_take(&arena, ARENA_CHUNK_BYTES));
    }
    cr_assert_not(arena_open(&arena));
    arena_destroy(&arena);
}

Test(arena, gives_pieces_hardly_larger_than_asked_for)
{
    struct arena arena;
    begin(&arena);
    for (uint32_t bytes = ARENA_PIECE_BYTES_MIN; bytes <= ARENA_CHUNK_BYTES; bytes += 4093) {
        cr_assert(arena.chunks_opened > 0 || arena_open(&arena));
        uint8_t *piece = arena_take(&arena, bytes);
        cr_assert_not_null(piece);
        cr_assert_geq(arena.chunks[0].piece_bytes, bytes);
        cr_assert_leq(arena.chunks[0].piece_bytes, bytes + bytes / 4 + 1);
        memset(piece, 1, bytes);
        arena_give(&arena, piece);
        cr_assert_eq(arena_check(&arena), 0);
    }
    arena_destroy(&arena);
}

Test(arena, says_where_a_piece_lies)
{
    struct arena arena;
    begin(&arena);
    arena_open(&arena);
    uint8_t *piece = arena_take(&arena, ARENA_CHUNK_BYTES);
    cr_assert_eq(arena_chunk_of(&arena, piece), 0);
    cr_assert_eq(arena_chunk_of(&arena, piece + ARENA_CHUNK_BYTES - 1), 0);
    cr_assert_eq(arena_chunk_of(&arena, piece - 1), ARENA_NOWHERE);
    cr_assert_eq(arena_chunk_of(&arena, piece + CHUNKS * ARENA_CHUNK_BYTES), ARENA_NOWHERE);
    arena_destroy(&arena);
}

/* Each piece is filled with its own number; one that is damaged was given out twice. */
Test(arena, comes_out_even_whatever_is_taken_and_given)
{
    enum { HELD = 120, STEPS = 20000 };
    struct arena arena;
    struct random random;
    struct {
        uint8_t *at;
        uint32_t bytes;
    } held[HELD] = {{NULL, 0}};
    uint32_t count = 0, refused = 0;
    begin(&arena);
    random_init(&random, 1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)random_below(&random, HELD);
        if (held[i].at != NULL) {
            cr_assert(held[i].at[0] == i && held[i].at[held[i].bytes - 1] == i);
            arena_give(&arena, held[i].at);
            held[i].at = NULL;
            count--;
        } else {
            uint32_t bytes = ARENA_PIECE_BYTES_MIN << random_below(&random, 3);
            held[i].at = arena_take(&arena, bytes);
            if (held[i].at == NULL && arena_open(&arena))
                held[i].at = arena_take(&arena, bytes);
            if (held[i].at == NULL) {
                refused++;
                continue;
            }
            held[i].bytes = bytes;
            held[i].at[0] = held[i].at[held[i].bytes - 1] = (uint8_t)i;
            count++;
        }
        cr_assert_eq(arena_check(&arena), count);
    }
    cr_assert_gt(refused, 0, "it is bounded");
    arena_destroy(&arena);
}

Test(arena, takes_a_piece_back_once, .signal = SIGABRT)
{
    struct arena arena;
    begin(&arena);
    arena_open(&arena);
    uint8_t *piece = arena_take(&arena, ARENA_PIECE_BYTES_MIN);
    arena_give(&arena, piece);
    arena_give(&arena, piece);
}
