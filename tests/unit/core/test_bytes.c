/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/bytes.h: slices, comparisons without case, big-endian loads and stores. */
#include "core/bytes.h"
#include "core/random.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>

Test(bytes, compares_slices_by_content_and_length)
{
    cr_assert(slice_equal(slice_text("abc"), slice_of("abcd", 3)));
    cr_assert(!slice_equal(slice_text("abc"), slice_text("abd")));
    cr_assert(!slice_equal(slice_text("abc"), slice_text("ab")));
    cr_assert(slice_equal(slice_of(NULL, 0), slice_text("")));
    cr_assert(!slice_equal(slice_of("a\0b", 3), slice_of("a\0c", 3)));
}

Test(bytes, compares_slices_with_texts)
{
    cr_assert(slice_is(slice_of("GET /", 3), "GET"));
    cr_assert(!slice_is(slice_of("GET /", 4), "GET"));
    cr_assert(slice_is(slice_of(NULL, 0), ""));
}

Test(bytes, finds_prefixes)
{
    cr_assert(slice_starts(slice_text("channel:a"), slice_text("channel:")));
    cr_assert(slice_starts(slice_text("x"), slice_of(NULL, 0)));
    cr_assert(slice_starts(slice_of(NULL, 0), slice_of(NULL, 0)));
    cr_assert(slice_starts(slice_text("same"), slice_text("same")));
    cr_assert(!slice_starts(slice_text("cha"), slice_text("chan")));
    cr_assert(!slice_starts(slice_text("Chan"), slice_text("chan")));
}

Test(bytes, skips_no_further_than_the_end)
{
    struct slice text = slice_text("abcdef");
    cr_assert(slice_is(slice_skip(text, 0), "abcdef"));
    cr_assert(slice_is(slice_skip(text, 4), "ef"));
    cr_assert_eq(slice_skip(text, 6).bytes, 0);
    cr_assert_eq(slice_skip(text, SIZE_MAX).bytes, 0);
    cr_assert_eq(slice_skip(text, SIZE_MAX).data, text.data + 6);
    cr_assert_eq(slice_skip(slice_of(NULL, 0), 3).bytes, 0);
}

/* RFC 9110 section 5.1: only the 26 letters have a case; '[' and '{' differ by the same bit and are no pair. */
Test(bytes, ignores_the_case_of_ascii_letters_only)
{
    cr_assert(slice_is_nocase(slice_text("Sec-WebSocket-KEY"), "sec-websocket-key"));
    cr_assert(!slice_is_nocase(slice_text("upgrades"), "upgrade"));
    cr_assert(!slice_is_nocase(slice_text("upgrad"), "upgrade"));
    cr_assert(!slice_is_nocase(slice_text("["), "{"));
    cr_assert(!slice_is_nocase(slice_text("\xc4"), "\xe4"));
    cr_assert(slice_is_nocase(slice_of(NULL, 0), ""));
    for (int c = 0; c < 256; c++) {
        bool upper = c >= 'A' && c <= 'Z';
        cr_assert_eq(ascii_lower((uint8_t)c), upper ? c + 32 : c);
    }
}

Test(bytes, loads_and_stores_the_most_significant_byte_first)
{
    static const uint8_t wire[8] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    cr_assert_eq(load_be16(wire), 0x0123);
    cr_assert_eq(load_be16(wire + 6), 0xcdef);
    cr_assert_eq(load_be64(wire), 0x0123456789abcdef);
    uint8_t out[8];
    store_be64(out, 0x0123456789abcdef);
    cr_assert_arr_eq(out, wire, 8);
    store_be16(out, 0x89ab);
    cr_assert_arr_eq(out, wire + 4, 2);
    cr_assert_arr_eq(out + 2, wire + 2, 6, "two bytes are stored, no more");
}

Test(bytes, loads_back_what_was_stored)
{
    struct random random;
    random_init(&random, 1);
    uint8_t zeros[8] = {0};
    uint8_t *at = guard_place(zeros, sizeof zeros);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = random_u64(&random) >> random_below(&random, 64);
        store_be64(at, value);
        cr_assert_eq(load_be64(at), value);
        store_be16(at + 6, (uint16_t)value);
        cr_assert_eq(load_be16(at + 6), (uint16_t)value);
    }
    guard_free(at, sizeof zeros);
}

Test(bytes, words_stand_between_blanks_and_tabs)
{
    static const struct {
        const char *text, *words[4];
    } rows[] = {
        {"", {NULL}},
        {" \t ", {NULL}},
        {"one", {"one"}},
        {"one two", {"one", "two"}},
        {"\tone  two\t three ", {"one", "two", "three"}},
        {"a\rb\n c", {"a\rb\n", "c"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t bytes = strlen(rows[i].text);
        uint8_t *at = guard_place(rows[i].text, bytes);
        struct slice rest = slice_of(at, bytes);
        for (size_t k = 0; rows[i].words[k] != NULL; k++)
            cr_assert(slice_is(slice_next_word(&rest), rows[i].words[k]), "%s", rows[i].text);
        cr_assert_eq(slice_next_word(&rest).bytes, 0);
        cr_assert_eq(rest.bytes, 0);
        guard_free(at, bytes);
    }
    struct slice none = {0};
    cr_assert_eq(slice_next_word(&none).bytes, 0);
}
