/* SPDX-License-Identifier: MIT */
/* Proves that a line becomes its key and its words, that exactly the known keys are found whatever their number, and
 * what a pattern covers. Run by unit_protocol. */
#include "protocol/grant.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct grant_list list_of(char **lines, uint32_t count)
{
    struct grant_list list;
    struct option_texts texts = {lines, count};
    cr_assert_eq(grant_list_init(&list, &texts), 0);
    cr_assert_eq(list.count, count);
    return list;
}

Test(grant, a_line_is_a_key_and_words_between_blanks_and_tabs)
{
    char one[] = "  k1\tplain/*   rustorium/blocks ", two[] = "k2", three[] = "", four[] = "k4 *";
    char *lines[] = {one, two, three, four};
    struct grant_list list = list_of(lines, 4);
    memset(one, 'x', sizeof one - 1); /* the lines may go */
    cr_assert(slice_is(list.items[0].key, "k1"));
    cr_assert_eq(list.items[0].word_count, 2);
    cr_assert(slice_is(list.items[0].words[0], "plain/*"));
    cr_assert(slice_is(list.items[0].words[1], "rustorium/blocks"));
    cr_assert(slice_is(list.items[1].key, "k2"));
    cr_assert_eq(list.items[1].word_count, 0);
    cr_assert_eq(list.items[2].key.bytes, 0);
    cr_assert_eq(list.items[3].word_count, 1);
    cr_assert(slice_is(list.items[3].words[0], "*"));
    grant_list_free(&list);
    cr_assert_eq(list.count, 0);
}

Test(grant, only_the_very_key_is_found)
{
    char alpha[] = "alpha w", beta[] = "beta-key", none[] = "", again[] = "alpha v", b[] = "b";
    char *lines[] = {alpha, beta, none, again, b};
    static const struct {
        const char *key;
        int index;
    } rows[] = {{"alpha", 0},    {"beta-key", 1}, {"b", 4},      {"", -1},    {"alph", -1},     {"alphaa", -1},
                {"alpha w", -1}, {"alphb", -1},   {"Alpha", -1}, {"ata", -1}, {"bbbbbbbb", -1}, {"w", -1}};
    struct grant_list list = list_of(lines, 5), empty = list_of(NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(grant_find(&list, slice_text(rows[i].key)), rows[i].index, "%s", rows[i].key);
    cr_assert_eq(grant_find(&list, slice_of("\0", 1)), -1, "an empty line is no key");
    cr_assert_eq(grant_find(&list, (struct slice){0}), -1);
    cr_assert_eq(grant_find(&empty, slice_text("alpha")), -1);
    static const int repeats[] = {-1, -1, -1, 0, -1};
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(grant_repeats(&list, i), repeats[i]);
    grant_list_free(&list);
}

/* Keys of many lengths, each with one that differs in its last byte. */
Test(grant, each_of_20000_keys_is_found_and_nothing_beside_them)
{
    enum { COUNT = 20000 };
    char **lines = malloc(COUNT * sizeof *lines);
    for (uint32_t i = 0; i < COUNT; i++) {
        lines[i] = malloc(300);
        snprintf(lines[i], 300, "%0*u plain/%u", 5 + (int)(i % 250), i, i);
    }
    struct grant_list list = list_of(lines, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        char key[300];
        snprintf(key, sizeof key, "%0*u", 5 + (int)(i % 250), i);
        cr_assert_eq(grant_find(&list, slice_text(key)), (int)i);
        cr_assert_eq(grant_repeats(&list, i), -1);
        key[strlen(key) - 1] = 'x';
        cr_assert_eq(grant_find(&list, slice_text(key)), -1);
    }
    /* the index is in the order of the hashes, so that a look-up is a binary search and one comparison */
    for (uint32_t i = 1; i < COUNT; i++)
        cr_assert_lt(list.slots[i - 1].hash, list.slots[i].hash);
    grant_list_free(&list);
    for (uint32_t i = 0; i < COUNT; i++)
        free(lines[i]);
    free(lines);
}

/* What hashes an attacker who knows other lists can expect is of no use. */
Test(grant, another_list_hashes_otherwise)
{
    char a[] = "a", b[] = "b", c[] = "c";
    char *ab[] = {a, b}, *ac[] = {a, c};
    struct grant_list one = list_of(ab, 2), other = list_of(ac, 2);
    cr_assert(one.key.k0 != other.key.k0 && one.key.k1 != other.key.k1);
    grant_list_free(&one);
    grant_list_free(&other);
}

Test(grant, a_star_at_the_end_stands_for_any_rest)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"plain/a", "plain/a", true},
        {"plain/a", "plain/ab", false},
        {"plain/a", "plain/", false},
        {"plain/*", "plain/a", true},
        {"plain/*", "plain/", true},
        {"plain/*", "plainly", false},
        {"plain/a*", "plain/abc", true},
        {"plain/a*", "plain/b", false},
        {"*", "anything", true},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"plain/*a", "plain/*a", true},
        {"plain/*a", "plain/xa", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(grant_pattern_matches(slice_text(rows[i].pattern), slice_text(rows[i].name)), rows[i].matches,
                     "%s %s", rows[i].pattern, rows[i].name);
}

Test(grant, covers_what_one_of_its_words_covers)
{
    char some[] = "k plain/a rustorium/*", none[] = "k2";
    char *lines[] = {some, none};
    struct grant_list list = list_of(lines, 2);
    cr_assert(grant_covers(&list.items[0], slice_text("plain/a")));
    cr_assert(grant_covers(&list.items[0], slice_text("rustorium/x")));
    cr_assert_not(grant_covers(&list.items[0], slice_text("plain/ab")));
    cr_assert_not(grant_covers(&list.items[0], slice_text("k")), "a key is no pattern");
    cr_assert_not(grant_covers(&list.items[1], slice_text("plain/a")));
    grant_list_free(&list);
}

/* A printed configuration loads again, with a mask in the place of each key; whoever starts it lets nobody in by the
 * mask. */
Test(grant, what_stands_for_a_masked_key_opens_nothing)
{
    char mask[] = OPTION_MASK " plain/*", key[] = "k plain/*";
    char *lines[] = {mask, key};
    struct grant_list list = list_of(lines, 2);
    cr_assert_eq(grant_find(&list, slice_text(OPTION_MASK)), -1);
    cr_assert_eq(grant_find(&list, slice_text("k")), 1);
    grant_list_free(&list);
}
