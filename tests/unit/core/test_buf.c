/* SPDX-License-Identifier: MIT */
/* Proves that bounded output writes whole pieces in order, never behind its capacity, and nothing after the first that
 * did not fit. Holds every writer against printf over random values. Run by unit_core. */
#include "core/buf.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#define CANARY 0xa5

static void assert_text(const struct buf *b, const char *expected)
{
    cr_assert(slice_is(buf_slice(b), expected), "got \"%.*s\", expected \"%s\"", (int)b->used, (const char *)b->data,
              expected);
}

Test(buf, appends_pieces_in_order)
{
    char memory[64];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_text(&b, "id=");
    buf_put_u64(&b, 17);
    buf_put_byte(&b, ',');
    buf_put(&b, slice_of("a\0b", 3));
    cr_assert(slice_equal(buf_slice(&b), slice_of("id=17,a\0b", 9)));
    cr_assert_not(b.overflow);
}

Test(buf, fills_its_capacity_to_the_last_byte)
{
    char memory[4];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_text(&b, "abcd");
    cr_assert_not(b.overflow);
    assert_text(&b, "abcd");
}

Test(buf, writes_a_piece_whole_or_not_at_all)
{
    uint8_t memory[8];
    memset(memory, CANARY, sizeof memory);
    struct buf b = buf_of(memory, 4);
    buf_put_text(&b, "ab");
    buf_put_text(&b, "cde");
    cr_assert(b.overflow);
    assert_text(&b, "ab");
    for (size_t i = 2; i < sizeof memory; i++)
        cr_assert_eq(memory[i], CANARY, "byte %zu was written", i);
}

Test(buf, writes_nothing_after_an_overflow_even_if_it_would_fit)
{
    char memory[4];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_text(&b, "abcde");
    buf_put_byte(&b, 'x');
    buf_put_u64(&b, 1);
    buf_put_i64(&b, -1);
    buf_put_hex(&b, 1, 1);
    cr_assert(b.overflow);
    cr_assert_eq(b.used, 0);
}

Test(buf, leaves_no_lone_sign_of_a_number_that_did_not_fit)
{
    char memory[3];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_i64(&b, -123);
    cr_assert(b.overflow);
    cr_assert_eq(b.used, 0);
}

Test(buf, of_no_capacity_takes_empty_pieces_only)
{
    struct buf b = buf_of(NULL, 0);
    buf_put(&b, slice_of(NULL, 0));
    buf_put_text(&b, "");
    cr_assert_not(b.overflow);
    buf_put_byte(&b, 0);
    cr_assert(b.overflow);
}

Test(buf, an_empty_piece_does_not_overflow_a_full_one)
{
    char memory[1];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_byte(&b, 'x');
    buf_put_text(&b, "");
    cr_assert_not(b.overflow);
}

Test(buf, reset_forgets_text_and_overflow)
{
    char memory[2];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_text(&b, "abc");
    buf_reset(&b);
    buf_put_text(&b, "de");
    cr_assert_not(b.overflow);
    assert_text(&b, "de");
}

Test(buf, since_gives_what_followed_the_mark)
{
    char memory[16];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_text(&b, "head");
    size_t mark = b.used;
    cr_assert(slice_is(buf_since(&b, mark), ""));
    buf_put_text(&b, "body");
    cr_assert(slice_is(buf_since(&b, mark), "body"));
}

static void assert_u64(uint64_t value)
{
    char memory[32], expected[32];
    struct buf b = buf_of(memory, sizeof memory);
    snprintf(expected, sizeof expected, "%" PRIu64, value);
    buf_put_u64(&b, value);
    assert_text(&b, expected);
}

static void assert_i64(int64_t value)
{
    char memory[32], expected[32];
    struct buf b = buf_of(memory, sizeof memory);
    snprintf(expected, sizeof expected, "%" PRId64, value);
    buf_put_i64(&b, value);
    assert_text(&b, expected);
}

static void assert_hex(uint64_t value, unsigned digits)
{
    char memory[32], expected[32];
    struct buf b = buf_of(memory, sizeof memory);
    snprintf(expected, sizeof expected, "%016" PRIx64, value);
    buf_put_hex(&b, value, digits);
    assert_text(&b, expected + 16 - digits);
}

Test(buf, numbers_at_their_bounds)
{
    assert_u64(0);
    assert_u64(9);
    assert_u64(10);
    assert_u64(UINT64_MAX);
    assert_i64(0);
    assert_i64(-1);
    assert_i64(INT64_MAX);
    assert_i64(INT64_MIN);
    assert_hex(0, 1);
    assert_hex(0xabc, 2);
    assert_hex(UINT64_MAX, 16);
}

Test(buf, numbers_are_printed_as_printf_does)
{
    struct random random;
    random_init(&random, 20260511);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = random_u64(&random) >> random_below(&random, 64);
        assert_u64(value);
        assert_i64((int64_t)value);
        assert_i64((int64_t)(0 - value));
        assert_hex(value, 1 + (unsigned)random_below(&random, 16));
    }
}

/* For every capacity: what is written is the longest row of whole pieces that fits, and no byte lies behind it. */
Test(buf, any_capacity_holds_the_pieces_that_fit)
{
    static const char *const pieces[] = {"alpha", "", "be", "-7", "c", "0000ff", "omega"};
    for (size_t capacity = 0; capacity <= 24; capacity++) {
        uint8_t memory[32];
        memset(memory, CANARY, sizeof memory);
        struct buf b = buf_of(memory, capacity);
        char expected[32] = "";
        bool fits = true;
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            buf_put_text(&b, pieces[i]);
            fits = fits && strlen(expected) + strlen(pieces[i]) <= capacity;
            if (fits)
                strcat(expected, pieces[i]);
        }
        assert_text(&b, expected);
        cr_assert_eq(b.overflow, !fits);
        for (size_t i = b.used; i < sizeof memory; i++)
            cr_assert_eq(memory[i], CANARY, "capacity %zu: byte %zu was written", capacity, i);
    }
}

Test(buf, hex_of_no_digits_is_our_bug, .signal = SIGABRT)
{
    char memory[32];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_hex(&b, 1, 0);
}

Test(buf, hex_of_more_digits_than_there_are_is_our_bug, .signal = SIGABRT)
{
    char memory[32];
    struct buf b = buf_of(memory, sizeof memory);
    buf_put_hex(&b, 1, 17);
}
