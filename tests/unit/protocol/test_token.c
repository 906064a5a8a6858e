/* SPDX-License-Identifier: MIT */
/* Proves where a credential is taken from and that only the very same is the same. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/http1.h"
#include "protocol/token.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(token, is_the_same_only_when_every_byte_is)
{
    static const struct {
        const char *known, *presented;
    } rows[] = {{"alpha", "alph"}, {"alpha", "alphaa"}, {"alpha", "alphb"}, {"alpha", "Alpha"}, {"beta-key", "ata"},
                {"b", "bbbbbbbb"}, {"alpha", ""},       {"", "alpha"},      {"", "b"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_not(token_equal(slice_text(rows[i].known), slice_text(rows[i].presented)), "%s", rows[i].presented);
        cr_assert(token_equal(slice_text(rows[i].known), slice_text(rows[i].known)));
    }
    cr_assert_not(token_equal(slice_text(""), slice_of("\0", 1)));
    cr_assert_not(token_equal((struct slice){0}, slice_of("\0", 1)));
}

Test(token, is_not_misled_by_lengths_that_differ_by_a_multiple_of_256)
{
    static uint8_t text[600];
    memset(text, 'k', sizeof text);
    for (size_t known = 1; known <= 600; known += 299)
        for (size_t given = 1; given <= 600; given++)
            cr_assert_eq(token_equal(slice_of(text, known), slice_of(text, given)), given == known, "%zu for %zu",
                         given, known);
}

Test(token, compares_like_a_plain_comparison_and_reads_no_further)
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
        cr_assert_eq(token_equal(key, presented), slice_equal(key, presented), "round %d", round);
        guard_free(a, known_bytes);
        guard_free(b, given_bytes);
    }
}

/* --- requests (G-43: headers are accepted too) -------------------------------------------------------------------- */

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

Test(token, of_a_header_is_the_field_or_a_bearer)
{
    static const struct {
        const char *fields, *token; /* NULL: none */
    } rows[] = {
        {"", NULL},
        {"X-Ingest-Key: a b\r\nAuthorization: Bearer c\r\n", "a b"},
        {"X-Ingest-Key:\r\nAuthorization: Bearer c\r\n", ""},
        {"Authorization: bearer  c\r\n", "c"},
        {"Authorization: Bearer\r\n", ""},
        {"Authorization: Basic c\r\n", NULL},
        {"X-Api-Key: a\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http1_request request;
        char head[200];
        size_t scanned = 0, head_bytes;
        const char *why = "";
        struct slice token;
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i].fields);
        cr_assert_eq(http1_parse_head(slice_text(head), &scanned, &request, &head_bytes, &why), HTTP1_OK, "%s", why);
        cr_assert_eq(token_header(&request, "X-Ingest-Key", &token), rows[i].token != NULL, "%s", rows[i].fields);
        cr_assert(rows[i].token == NULL || slice_is(token, rows[i].token), "%s", rows[i].fields);
    }
}
