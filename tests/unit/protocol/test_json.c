/* SPDX-License-Identifier: MIT */
/* Proves the JSON grammar (RFC 8259; K-27, R-37): what is a text and what is not, in front of memory that may not be
 * touched, and random texts against the shape they were written with. What is read out of one is in test_json_values.c.
 * Run by unit_protocol. */
#include "core/random.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/json_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* --- what is a text ----------------------------------------------------------------------------------------------- */

static const char *const accepted[] = {
    /* structure */
    "[]",
    "{}",
    " [ ] ",
    "\t{\r\n}\n",
    "[[]]",
    "[{},[]]",
    "[1]",
    "[1 , 2]",
    "[1,2,3]",
    "{\"a\":1}",
    "{\"a\":{\"b\":[]}}",
    "{ \"a\" : 1 , \"b\" : 2 }",
    "{\"\":0}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":null,\"b\":true,\"c\":false}",
    "[null]",
    /* any value may stand alone */
    "null",
    "true",
    "false",
    "0",
    "-1",
    "\"\"",
    "\"a\"",
    " 7 ",
    /* numbers */
    "[0]",
    "[-0]",
    "[10]",
    "[1.5]",
    "[-1.25]",
    "[0.0]",
    "[0e1]",
    "[0e+1]",
    "[0E-1]",
    "[1e5]",
    "[1E5]",
    "[1.5e+05]",
    "[123e45]",
    "[1e999]",
    "[-1e-999]",
    "[123456789012345678901234567890]",
    "[0.00000000000000000000000000000001]",
    /* strings */
    "[\"\"]",
    "[\" \"]",
    "[\"a/b\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\u0000\"]",
    "[\"\\u0061\\u30aF\\uFFFF\"]",
    "[\"\\uD83D\\uDE00\"]",
    "[\"\\ud83d\\udFFF\"]",
    "[\"x\\u0022y\"]",
    "[\"\x7f\"]",
    "[\"\xc3\xa9\"]",
    "[\"\xe2\x82\xac\"]",
    "[\"\xf0\x9f\x98\x80\"]",
    "[\"\xef\xbf\xbf\"]",
    "[\"\xf4\x8f\xbf\xbf\"]",
    "[\"\xed\x9f\xbf\"]",
    "[\"\xe2\x80\xa8\"]",
    "[\"\\\\u0000\"]",
    "[\"// no comment\"]",
    "{\"\\u0061\":1}",
    "{\"\xc3\xa9\":1}",
};

static const char *const refused[] = {
    /* structure */
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[}",
    "{]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[]]",
    "[][]",
    "[] 1",
    "1 2",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1:2}",
    "{1:1}",
    "{a:1}",
    "{'a':1}",
    "{null:1}",
    "{[]:1}",
    "{\"a\":1]",
    "[\"a\":1]",
    "{\"a\",1}",
    "{\"a\":",
    "[{}",
    "[[]",
    "{\"a\":[}",
    "[1}",
    ",",
    ":",
    "[\"a\",\n4\n,1,",
    "{\"a\":1}}",
    "{\"a\":1}{",
    "{}#",
    "[]/**/",
    "// x\n[]",
    "[1]\v",
    "\f[]",
    "[\xc2\xa0]",
    "\xef\xbb\xbf[]",
    "\xef\xbb\xbf",
    "[1]\xe2\x80\xa8",
    /* literals */
    "nul",
    "nulL",
    "Null",
    "NULL",
    "tru",
    "truee",
    "True",
    "fals",
    "falsee",
    "undefined",
    "NaN",
    "[nan]",
    "Infinity",
    "[-Infinity]",
    "[inf]",
    "[nul]",
    "[truth]",
    "n",
    "[t",
    "[f",
    /* numbers */
    "[01]",
    "[00]",
    "[-01]",
    "[-]",
    "[+1]",
    "[--1]",
    "[-a]",
    "[.5]",
    "[-.5]",
    "[1.]",
    "[-1.]",
    "[1.e5]",
    "[1..2]",
    "[1.2.3]",
    "[1e]",
    "[1e+]",
    "[1E-]",
    "[1e+-2]",
    "[1e1.5]",
    "[1ee2]",
    "[e5]",
    "[0x10]",
    "[1_000]",
    "[1,000",
    "[1a]",
    "[1 000]",
    "[0.e1]",
    "[- 1]",
    "[1+2]",
    "[\xef\xbc\x91]",
    "-",
    "1.",
    "0e",
    /* strings */
    "\"",
    "[\"",
    "[\"a",
    "[\"a]",
    "[a\"]",
    "['a']",
    "[a]",
    "[\"\\\"]",
    "[\"\\a\"]",
    "[\"\\x00\"]",
    "[\"\\0\"]",
    "[\"\\'\"]",
    "[\"\\\n\"]",
    "[\"\\U0061\"]",
    "[\"\\u\"]",
    "[\"\\u0\"]",
    "[\"\\u00\"]",
    "[\"\\u000\"]",
    "[\"\\u00G0\"]",
    "[\"\\u00/0\"]",
    "[\"\\u 061\"]",
    "[\"\\u-061\"]",
    "[\"\\",
    "[\"\\u",
    "[\"\\u00",
    "[\"\n\"]",
    "[\"\t\"]",
    "[\"\x1f\"]",
    "[\"\x01\"]",
    "[\"a\" \"b\"]",
    "[\"a\"b]",
    "[\\u0061]",
    "[\"\\\xc3\xa9\"]",
    /* halves of surrogate pairs */
    "[\"\\uD800\"]",
    "[\"\\uDFFF\"]",
    "[\"\\uDC00\"]",
    "[\"\\uD800x\"]",
    "[\"\\uD800\\n\"]",
    "[\"\\uD800\\uD800\"]",
    "[\"\\uD800\\u0061\"]",
    "[\"\\uDE00\\uD83D\"]",
    "[\"\\uD83D\\uDE0\"]",
    "[\"\\uD83D\\u\"]",
    "[\"\\uD83D\\\"]",
    "[\"\\uD83D\\uDE00\\uDE00\"]",
    "{\"\\uD800\":1}",
    /* not UTF-8 */
    "[\"\x80\"]",
    "[\"\xff\"]",
    "[\"\xc3\"]",
    "[\"\xc0\xaf\"]",
    "[\"\xe0\x80\xaf\"]",
    "[\"\xf0\x80\x80\xaf\"]",
    "[\"\xed\xa0\x80\"]",
    "[\"\xf4\x90\x80\x80\"]",
    "[\"\xf8\x88\x80\x80\x80\"]",
    "[\"\xe2\x82\"]",
    "[\"\xe2\x82\\u0061\"]",
    "{\"\xff\":1}",
    "[\xff]",
    "\xff\xfe[\x01]",
};

Test(json, accepts_texts_of_the_grammar)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        cr_expect(valid(accepted[i]), "refused: %s", accepted[i]);
}

Test(json, refuses_all_other_texts)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        cr_expect_not(valid(refused[i]), "accepted: %s", refused[i]);
    cr_expect_not(valid_bytes("[\"a\0b\"]", 7, 8), "a NUL in a string");
    cr_expect_not(valid_bytes("[1]\0", 4, 8), "a NUL behind the value");
    cr_expect_not(valid_bytes("\0", 1, 8));
    cr_expect_not(valid_bytes("[\0]", 3, 8));
}

/* No proper prefix of an object or array is a text; none is read beyond its end. */
Test(json, refuses_every_cut)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        const char *text = accepted[i];
        size_t bytes = strlen(text);
        if (text[0] != '[' && text[0] != '{' && text[0] != '"')
            continue;
        while (text[bytes - 1] == ' ' || text[bytes - 1] == '\n')
            bytes--;
        for (size_t cut = 0; cut < bytes; cut++)
            cr_expect_not(valid_bytes(text, cut, JSON_DEPTH_MAX), "accepted %zu bytes of %s", cut, text);
    }
}

/* Q-7: the outermost object is depth 1; 32 is accepted, 33 refused. */
Test(json, counts_depth_from_one)
{
    char text[2 * JSON_DEPTH_MAX + 4];
    for (uint32_t depth = 1; depth <= JSON_DEPTH_MAX; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        cr_expect(valid_bytes(text, 2 * (size_t)depth, depth));
        cr_expect(depth == 1 || !valid_bytes(text, 2 * (size_t)depth, depth - 1), "depth %u", depth);
    }
    cr_expect(valid_bytes("[[],[],{},[]]", 13, 2), "siblings do not add up");
    cr_expect(valid_bytes("7", 1, 1));
}

/* Objects and arrays in turn, to the last bit of the nesting map. */
Test(json, remembers_what_it_is_inside_of)
{
    char text[16 * JSON_DEPTH_MAX], *at = text;
    char closing[JSON_DEPTH_MAX];
    struct random random;
    random_init(&random, 11);
    for (int round = 0; round < 200; round++) {
        at = text;
        for (int i = 0; i < JSON_DEPTH_MAX; i++) {
            bool object = random_chance(&random, 1, 2);
            at += sprintf(at, "%s", object ? "{\"k\":" : "[");
            closing[i] = object ? '}' : ']';
        }
        *at++ = '0';
        for (int i = JSON_DEPTH_MAX; i-- > 0;)
            *at++ = closing[i];
        cr_assert(valid_bytes(text, (size_t)(at - text), JSON_DEPTH_MAX));
        size_t wrong = (size_t)random_below(&random, JSON_DEPTH_MAX);
        char *bracket = at - 1 - wrong;
        *bracket = *bracket == '}' ? ']' : '}';
        cr_assert_not(valid_bytes(text, (size_t)(at - text), JSON_DEPTH_MAX));
    }
}

/* --- random texts ------------------------------------------------------------------------------------------------- */

/* Writes a random value with random white space and appends its shape, a letter per token, to `shape`. */
static void put_random(struct random *random, uint32_t depth, struct buf *out, struct buf *shape)
{
    static const char *const spaces[] = {"", "", " ", "\n", "\t\r "};
    static const char *const numbers[] = {"0", "-1", "2.5", "1e9", "-0.1E-2"};
    buf_put_text(out, spaces[random_below(random, 5)]);
    uint64_t kind = random_below(random, depth > 1 ? 7 : 5);
    if (kind < 3) {
        static const char *const literals[] = {"null", "true", "false"};
        buf_put_text(out, literals[kind]);
        buf_put_byte(shape, (uint8_t) "ntf"[kind]);
    } else if (kind == 3) {
        buf_put_text(out, numbers[random_below(random, 5)]);
        buf_put_byte(shape, '0');
    } else if (kind == 4) {
        uint8_t text[4];
        size_t bytes = random_character(random, text);
        json_put_string(out, slice_of(text, bytes));
        buf_put_byte(shape, '"');
    } else {
        bool object = kind == 5;
        buf_put_byte(out, object ? '{' : '[');
        buf_put_byte(shape, object ? '{' : '[');
        for (uint64_t i = 0, n = random_below(random, 4); i < n; i++) {
            if (i > 0)
                buf_put_byte(out, ',');
            if (object) {
                buf_put_text(out, " \"k\" :");
                buf_put_byte(shape, 'k');
            }
            put_random(random, depth - 1, out, shape);
        }
        buf_put_text(out, object ? " }" : "]");
        buf_put_byte(shape, object ? '}' : ']');
    }
    buf_put_text(out, spaces[random_below(random, 5)]);
}

static void read_shape(struct slice text, struct buf *shape)
{
    static const char letters[] = {
        [JSON_ERROR] = '!',       [JSON_END] = '.',       [JSON_OBJECT_BEGIN] = '{', [JSON_OBJECT_END] = '}',
        [JSON_ARRAY_BEGIN] = '[', [JSON_ARRAY_END] = ']', [JSON_KEY] = 'k',          [JSON_STRING] = '"',
        [JSON_NUMBER] = '0',      [JSON_TRUE] = 't',      [JSON_FALSE] = 'f',        [JSON_NULL] = 'n'};
    struct json_reader reader;
    struct json_value value;
    json_init(&reader, text, 8);
    for (;;) {
        enum json_token token = json_next(&reader, &value);
        buf_put_byte(shape, (uint8_t)letters[token]);
        if (token == JSON_END || token == JSON_ERROR)
            return;
    }
}

Test(json, random_values_have_the_shape_they_were_written_with)
{
    static uint8_t text[65536], made[65536], read[65536];
    struct random random;
    random_init(&random, 14);
    for (int round = 0; round < 2000; round++) {
        struct buf out = buf_of(text, sizeof text), expected = buf_of(made, sizeof made),
                   found = buf_of(read, sizeof read);
        put_random(&random, 6, &out, &expected);
        buf_put_byte(&expected, '.');
        cr_assert(!out.overflow && !expected.overflow);
        uint8_t *guarded = guard_place(text, out.used);
        read_shape(slice_of(guarded, out.used), &found);
        cr_assert(slice_equal(buf_slice(&found), buf_slice(&expected)), "%.*s", (int)out.used, (char *)text);
        guard_free(guarded, out.used);
    }
}

/* A byte changed at random never makes the reader leave the text, and what it accepts is balanced. */
Test(json, survives_random_damage)
{
    static uint8_t text[65536], made[65536], read[65536];
    struct random random;
    random_init(&random, 15);
    for (int round = 0; round < 3000; round++) {
        struct buf out = buf_of(text, sizeof text), shape = buf_of(made, sizeof made),
                   found = buf_of(read, sizeof read);
        put_random(&random, 5, &out, &shape);
        if (out.used == 0)
            continue;
        text[random_below(&random, out.used)] = (uint8_t)random_u64(&random);
        uint8_t *guarded = guard_place(text, out.used);
        read_shape(slice_of(guarded, out.used), &found);
        int depth = 0;
        for (size_t i = 0; i < found.used; i++)
            depth += read[i] == '{' || read[i] == '[' ? 1 : read[i] == '}' || read[i] == ']' ? -1 : 0;
        cr_assert(read[found.used - 1] == '!' || depth == 0);
        cr_assert_eq(read[found.used - 1] == '.', json_valid(slice_of(guarded, out.used), 8));
        guard_free(guarded, out.used);
    }
}

/* Whatever stands between plain characters, and wherever: strings are read eight bytes at a time. */
Test(json, stops_at_the_same_byte_at_every_place)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {{"\\n", true}, {"\xC3\xA9", true}, {"\x7F", true},  {" ", true},     {"!", true},     {"#", true},
                {"[", true},   {"]", true},        {"\x1F", false}, {"\x01", false}, {"\xC3", false}, {"\x80", false}};
    char text[64];
    for (size_t before = 0; before < 20; before++)
        for (size_t after = 0; after < 20; after++)
            for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                snprintf(text, sizeof text, "\"%.*s%s%.*s\"", (int)before, "abcdefghijklmnopqrst", rows[i].text,
                         (int)after, "ABCDEFGHIJKLMNOPQRST");
                cr_assert_eq(json_valid(slice_text(text), 1), rows[i].good, "%zu %zu row %zu", before, after, i);
            }
    for (size_t bytes = 0; bytes < 40; bytes++) { /* the end of the string, and of all */
        struct json_reader reader;
        struct json_value value;
        snprintf(text, sizeof text, "\"%.*s\"", (int)bytes, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        json_init(&reader, slice_text(text), 1);
        cr_assert_eq(json_next(&reader, &value), JSON_STRING);
        cr_assert_eq(value.raw.bytes, bytes);
        cr_assert_not(json_valid(slice_of(text, bytes + 1), 1), "without its end");
    }
}
