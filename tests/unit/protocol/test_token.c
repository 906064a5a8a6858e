/* SPDX-License-Identifier: MIT */
/* Proves where a credential is taken from and that only the very key is found. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/http1.h"
#include "protocol/token.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

static int find(const struct slice *keys, uint32_t count, struct slice key)
{
    struct slice copy[8];
    memcpy(copy, keys, count * sizeof *keys);
    const struct key_list list = {.keys = copy, .count = count};
    return key_list_find(&list, key);
}

Test(token, finds_only_the_very_key)
{
    const struct slice keys[] = {slice_text("alpha"), slice_text("beta-key"), slice_text(""), slice_text("alpha"),
                                 slice_text("b")};
    static const struct {
        const char *key;
        int index;
    } rows[] = {
        {"alpha", 0},   {"beta-key", 1}, {"b", 4},      {"", -1},    {"alph", -1},
        {"alphaa", -1}, {"alphb", -1},   {"Alpha", -1}, {"ata", -1}, {"bbbbbbbb", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(find(keys, 5, slice_text(rows[i].key)), rows[i].index, "%s", rows[i].key);
    cr_assert_eq(find(keys, 0, slice_text("alpha")), -1);
    cr_assert_eq(find(&keys[2], 1, slice_of("\0", 1)), -1, "an empty entry is no key");
    const struct slice none = {0};
    cr_assert_eq(find(&none, 1, slice_of("\0", 1)), -1);
    cr_assert_eq(find(keys, 5, none), -1);
}

Test(token, is_not_misled_by_lengths_that_differ_by_a_multiple_of_256)
{
    static uint8_t text[600];
    memset(text, 'k', sizeof text);
    for (size_t known = 1; known <= 600; known += 299) {
        const struct slice key = slice_of(text, known);
        for (size_t given = 1; given <= 600; given++)
            cr_assert_eq(find(&key, 1, slice_of(text, given)), given == known ? 0 : -1, "%zu for %zu", given, known);
    }
}

Test(token, finds_like_a_plain_comparison_and_reads_no_further)
{
    struct random random;
    random_init(&random, 13);
    for (int round = 0; round < 2000; round++) {
        uint8_t known[3], given[3];
        size_t known_bytes = random_below(&random, 4), given_bytes = random_below(&random, 4);
        for (size_t i = 0; i < 3; i++) {
            known[i] = (uint8_t)random_below(&random, 2);
            given[i] = (uint8_t)random_below(&random, 2);
        }
        uint8_t *a = guard_place(known, known_bytes), *b = guard_place(given, given_bytes);
        const struct slice key = slice_of(a, known_bytes), presented = slice_of(b, given_bytes);
        bool same = given_bytes > 0 && slice_equal(key, presented);
        cr_assert_eq(find(&key, 1, presented), same ? 0 : -1, "round %d", round);
        guard_free(a, known_bytes);
        guard_free(b, given_bytes);
    }
}

/* ---- requests (G-43: headers are accepted too) ---- */

static bool take(const char *target, const char *fields, const char *query_name, struct buf *out)
{
    static struct http1_request request;
    char head[1200];
    size_t scanned = 0, head_bytes;
    const char *why = "";
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
    cr_assert_eq(http1_parse_head(slice_text(head), &scanned, &request, &head_bytes, &why), HTTP1_OK, "%s", why);
    return token_from_request(&request, query_name, out);
}

Test(token, is_taken_from_the_first_place_that_has_one)
{
    static const struct {
        const char *target, *fields, *token; /* NULL: none */
    } rows[] = {
        {"/", "", NULL},
        {"/?token=q", "", "q"},
        {"/?token=q%2Fr+s&token=t", "", "q/r+s"},
        {"/?token=%zz", "", NULL},
        {"/?token=", "", NULL},
        {"/?token", "", NULL},
        {"/?key=q", "", NULL},
        {"/?token=q", "X-Api-Key: x\r\nAuthorization: Bearer b\r\n", "x"},
        {"/?token=q", "Authorization: Bearer b\r\n", "b"},
        {"/", "authorization: bearer   b.c-d\r\n", "b.c-d"},
        {"/", "Authorization: Bearer\r\n", NULL},
        {"/?token=q", "Authorization: Bearer\r\n", NULL}, /* an empty one counts */
        {"/?token=q", "X-Api-Key:\r\n", NULL},
        {"/", "Authorization: Basic YTpi\r\n", NULL},
        {"/?token=a+b%2Bc", "", "a+b+c"}, /* a key has no blanks: the plus was meant */
        {"/?token=q", "Authorization: Basic YTpi\r\n", "q"},
        {"/", "Authorization: Bearerb\r\n", NULL},
        {"/", "Authorization: Bear\r\n", NULL},
        {"/", "X-Api-Key: one\r\nX-Api-Key: two\r\n", "one"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char memory[300];
        struct buf out = buf_of(memory, sizeof memory);
        buf_put_text(&out, "<");
        cr_assert_eq(take(rows[i].target, rows[i].fields, "token", &out), rows[i].token != NULL, "%s %s",
                     rows[i].target, rows[i].fields);
        cr_assert(slice_is(buf_since(&out, 1), rows[i].token != NULL ? rows[i].token : ""), "%s %s", rows[i].target,
                  rows[i].fields);
        cr_assert_not(out.overflow);
    }
}

Test(token, is_not_taken_from_the_query_without_a_name_for_it)
{
    char memory[300];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert_not(take("/?token=q", "", NULL, &out));
    cr_assert(take("/?token=q", "X-Api-Key: x\r\n", NULL, &out));
}

Test(token, is_bounded)
{
    char memory[600], text[KEY_BYTES_MAX + 2], fields[400], target[400];
    for (size_t over = 0; over <= 1; over++) {
        memset(text, 'k', sizeof text);
        text[KEY_BYTES_MAX + over] = '\0';
        snprintf(fields, sizeof fields, "X-Api-Key: %s\r\n", text);
        snprintf(target, sizeof target, "/?token=%s", text);
        struct buf out = buf_of(memory, sizeof memory);
        cr_assert_eq(take("/", fields, "token", &out), over == 0);
        cr_assert_eq(out.used, over ? 0 : KEY_BYTES_MAX);
        out = buf_of(memory, sizeof memory);
        cr_assert_eq(take(target, "", "token", &out), over == 0);
        cr_assert_eq(out.used, over ? 0 : KEY_BYTES_MAX);
    }
    struct buf small = buf_of(memory, 3);
    cr_assert_not(take("/", "X-Api-Key: four\r\n", "token", &small));
    cr_assert_eq(small.used, 0);
}
