/* SPDX-License-Identifier: MIT */
/* Proves that the automaton accepts exactly the encodings of RFC 3629, refuses at the first hopeless byte, and does not
 * care where a text is cut. The oracle reads characters by arithmetic. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/utf8.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/naive_utf8.h"

#include <criterion/criterion.h>

static enum naive_utf8 meaning(uint8_t state)
{
    return state == UTF8_START ? NAIVE_UTF8_WHOLE : state == UTF8_REJECT ? NAIVE_UTF8_INVALID : NAIVE_UTF8_CUT;
}

static void assert_agrees(const uint8_t *text, size_t bytes)
{
    enum naive_utf8 ours = meaning(utf8_next(UTF8_START, slice_of(text, bytes)));
    enum naive_utf8 expected = naive_utf8_read(slice_of(text, bytes));
    if (ours != expected) /* not cr_assert: it is too slow for millions of texts */
        cr_assert_fail("%02x %02x %02x %02x (%zu bytes): %d, expected %d", text[0], text[1], text[2], text[3], bytes,
                       ours, expected);
}

Test(utf8, accepts_every_character_and_no_surrogate)
{
    for (uint32_t point = 0; point <= 0x1FFFFF; point++) {
        uint8_t text[4] = {0};
        size_t bytes = naive_utf8_put(point, text);
        bool character = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
        if (utf8_valid(slice_of(text, bytes)) != character)
            cr_assert_fail("U+%X", point);
    }
}

Test(utf8, refuses_at_the_first_byte_that_makes_it_certain)
{
    /* every text of one to three bytes */
    for (uint32_t i = 0; i < 1U << 24; i++) {
        uint8_t text[4] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        if ((i & 0xFFFF) == 0)
            assert_agrees(text, 1);
        if ((i & 0xFF) == 0)
            assert_agrees(text, 2);
        assert_agrees(text, 3);
    }
}

Test(utf8, checks_every_fourth_byte)
{
    for (uint32_t i = 0xF0U << 24; i < 0xF5U << 24; i++) {
        uint8_t text[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_agrees(text, 4);
    }
}

Test(utf8, stays_refused)
{
    cr_assert_eq(utf8_next(UTF8_REJECT, slice_text("abcdefghijklmnop")), UTF8_REJECT);
    cr_assert_eq(utf8_next(UTF8_REJECT, slice_of(NULL, 0)), UTF8_REJECT);
}

Test(utf8, keeps_its_state_over_no_bytes)
{
    uint8_t state = utf8_next(UTF8_START, slice_of("\xE2\x82", 2));
    cr_assert_eq(utf8_next(state, slice_of(NULL, 0)), state);
    cr_assert_eq(utf8_next(state, slice_of("\xAC", 1)), UTF8_START);
}

/* A text of characters of all lengths, ASCII in runs, at times with a byte changed. */
static size_t random_text(struct random *random, uint8_t *out, size_t bytes_max)
{
    static const uint32_t bounds[] = {0x80, 0x800, 0xD800, 0x110000};
    size_t bytes = 0;

    while (bytes + 4 <= bytes_max) {
        uint32_t point = (uint32_t)random_below(random, bounds[random_below(random, 4)]);
        if (point >= 0xD800 && point <= 0xDFFF)
            continue;
        bytes += naive_utf8_put(point, out + bytes);
        for (uint64_t run = random_chance(random, 1, 4) ? random_below(random, 40) : 0; run > 0 && bytes < bytes_max;
             run--)
            out[bytes++] = (uint8_t)('a' + run % 26);
    }
    if (random_chance(random, 1, 2))
        out[random_below(random, bytes)] = (uint8_t)random_u64(random);
    return bytes;
}

Test(utf8, does_not_care_where_a_text_is_cut)
{
    struct random random;
    random_init(&random, 3629);
    for (int round = 0; round < 300; round++) {
        uint8_t text[120];
        size_t bytes = random_text(&random, text, 1 + 4 + random_below(&random, sizeof text - 5));
        uint8_t *placed = guard_place(text, bytes);
        uint8_t whole = utf8_next(UTF8_START, slice_of(placed, bytes));
        cr_assert_eq(meaning(whole), naive_utf8_read(slice_of(text, bytes)), "round %d", round);
        for (size_t cut = 0; cut <= bytes; cut++) {
            uint8_t state = utf8_next(UTF8_START, slice_of(placed, cut));
            cr_assert_eq(meaning(state), naive_utf8_read(slice_of(text, cut)), "round %d, first %zu", round, cut);
            cr_assert_eq(utf8_next(state, slice_of(placed + cut, bytes - cut)), whole, "round %d, cut %zu", round, cut);
        }
        guard_free(placed, bytes);
    }
}
