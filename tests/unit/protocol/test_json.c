/* SPDX-License-Identifier: MIT */
/* Proves the JSON grammar (RFC 8259; K-27, R-37): what is a text and what is not, in front of memory that may not be
 * touched; tokens, members, escapes, numbers; random values there and back through a writer of its own. Run by
 * unit_protocol. */
#include "core/random.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool valid_bytes(const void *text, size_t bytes, uint32_t depth_max)
{
    uint8_t *guarded = guard_place(text, bytes);
    bool valid = json_valid(slice_of(guarded, bytes), depth_max);
    guard_free(guarded, bytes);
    return valid;
}

static bool valid(const char *text)
{
    return valid_bytes(text, strlen(text), JSON_DEPTH_MAX);
}

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

/* --- tokens ------------------------------------------------------------------------------------------------------- */

Test(json, yields_tokens_in_order)
{
    static const char text[] = " {\"a\" : [1, \"x\\n\"], \"b\":{}, \"c\":null} ";
    static const struct {
        enum json_token token;
        const char *raw;
        size_t offset;
    } expected[] = {
        {JSON_OBJECT_BEGIN, "", 1}, {JSON_KEY, "a", 2},       {JSON_ARRAY_BEGIN, "", 8}, {JSON_NUMBER, "1", 9},
        {JSON_STRING, "x\\n", 12},  {JSON_ARRAY_END, "", 17}, {JSON_KEY, "b", 20},       {JSON_OBJECT_BEGIN, "", 24},
        {JSON_OBJECT_END, "", 25},  {JSON_KEY, "c", 28},      {JSON_NULL, "null", 32},   {JSON_OBJECT_END, "", 36},
        {JSON_END, "", 38},         {JSON_END, "", 38},
    };
    struct json_reader reader;
    struct json_value value;
    json_init(&reader, slice_text(text), 4);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert_eq(json_next(&reader, &value), expected[i].token, "token %zu", i);
        cr_assert_eq(value.token, expected[i].token);
        cr_assert(slice_is(value.raw, expected[i].raw), "token %zu", i);
        cr_assert_eq(value.offset, expected[i].offset, "token %zu at %zu", i, value.offset);
        cr_assert_eq(value.escaped, i == 4);
    }
}

Test(json, keeps_to_its_error)
{
    struct json_reader reader;
    struct json_value value;
    json_init(&reader, slice_text("[1,}"), 4);
    cr_assert_eq(json_next(&reader, &value), JSON_ARRAY_BEGIN);
    cr_assert_eq(json_next(&reader, &value), JSON_NUMBER);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(json_next(&reader, &value), JSON_ERROR);
        cr_assert_eq(value.token, JSON_ERROR);
        cr_assert_str_eq(reader.error, "a closing bracket out of place");
    }
}

Test(json, skip_gives_the_whole_value)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"[ {\"a\":[1,{}],\"b\":\"]\"} , 2]", "{\"a\":[1,{}],\"b\":\"]\"}"},
        {"[[[[]]],2]", "[[[]]]"},
        {"[ \"a\\\"b\" ,2]", "\"a\\\"b\""},
        {"[-1.5e3,2]", "-1.5e3"},
        {"[true,2]", "true"},
        {"[ null ,2]", "null"},
        {"[{ } ,2]", "{ }"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_reader reader;
        struct json_value value;
        struct slice text;
        json_init(&reader, slice_text(cases[i].text), 8);
        json_next(&reader, &value);
        json_next(&reader, &value);
        cr_assert(json_skip(&reader, &value, &text));
        cr_assert(slice_is(text, cases[i].value), "%.*s", (int)text.bytes, (const char *)text.data);
        cr_assert_eq(json_next(&reader, &value), JSON_NUMBER);
        cr_assert(slice_is(value.raw, "2"));
        cr_assert_eq(json_next(&reader, &value), JSON_ARRAY_END);
        cr_assert_not(json_skip(&reader, &value, &text), "an end is no value");
        cr_assert_eq(json_next(&reader, &value), JSON_END);
        cr_assert_not(json_skip(&reader, &value, &text));
    }
}

Test(json, skip_notices_errors_inside)
{
    struct json_reader reader;
    struct json_value value;
    struct slice text;
    json_init(&reader, slice_text("[[1,[2,]]]"), 8);
    json_next(&reader, &value);
    json_next(&reader, &value);
    cr_assert_not(json_skip(&reader, &value, &text));
    cr_assert_eq(json_next(&reader, &value), JSON_ERROR);
}

/* --- members ------------------------------------------------------------------------------------------------------ */

static enum json_members find(const char *text, bool refuse_duplicates, struct json_member *members, size_t count)
{
    return json_find_members(slice_text(text), 32, refuse_duplicates, members, count);
}

Test(json, finds_members)
{
    struct json_member members[] = {{.name = "type"}, {.name = "data"}, {.name = "gone"}, {.name = "n"}};
    cr_assert_eq(
        find("{\"x\":[{\"type\":0}],\"n\":-1,\"data\":{\"gone\":1},\"t\\u0079pe\":\"a\\tb\"}", true, members, 4),
        JSON_MEMBERS_OK);
    cr_assert_eq(members[0].token, JSON_STRING);
    cr_assert(slice_is(members[0].raw, "a\\tb"));
    cr_assert(slice_is(members[0].text, "\"a\\tb\""));
    cr_assert(members[0].escaped);
    cr_assert_eq(members[1].token, JSON_OBJECT_BEGIN);
    cr_assert(slice_is(members[1].text, "{\"gone\":1}"));
    cr_assert_eq(members[2].token, JSON_ERROR);
    cr_assert(slice_is(members[3].raw, "-1"));
}

Test(json, last_of_equal_keys_wins_unless_refused)
{
    struct json_member member = {.name = "a"};
    cr_assert_eq(find("{\"a\":1,\"b\":2,\"a\":\"x\"}", false, &member, 1), JSON_MEMBERS_OK);
    cr_assert(slice_is(member.text, "\"x\""));
    cr_assert_eq(find("{\"a\":1,\"b\":2,\"a\":3}", true, &member, 1), JSON_MEMBERS_DUPLICATE);
    cr_assert_eq(find("{\"a\":1,\"b\":2,\"b\":3}", true, &member, 1), JSON_MEMBERS_DUPLICATE, "whatever the key");
    cr_assert_eq(find("{\"a\":1,\"\\u0061\":2}", true, &member, 1), JSON_MEMBERS_DUPLICATE, "escapes resolved");
    cr_assert_eq(find("{\"\xc3\xa9\":1,\"\\u00e9\":2}", true, &member, 1), JSON_MEMBERS_DUPLICATE);
    cr_assert_eq(find("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", true, &member, 1), JSON_MEMBERS_DUPLICATE);
    cr_assert_eq(find("{\"a\":{\"b\":1,\"b\":2}}", true, &member, 1), JSON_MEMBERS_OK, "only this object");
    cr_assert_eq(find("{\"a\":1,\"A\":2,\"aa\":3,\"\":4,\"\\u0000\":5}", true, &member, 1), JSON_MEMBERS_OK);
    cr_assert_eq(find("{\"\":1,\"\":2}", true, &member, 1), JSON_MEMBERS_DUPLICATE);
}

Test(json, tells_what_is_no_object_from_what_is_no_json)
{
    struct json_member member = {.name = "a"};
    static const char *const others[] = {"[]", "1", "\"a\"", "null", " [{}] "};
    static const char *const broken[] = {"",           "{",         "{\"a\":1", "{\"a\":1}x",      "[1",
                                         "{\"a\":1,}", "{\"a\":[}", "\"\xff\"", "{\"a\":1,\"a\":2"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_eq(find(others[i], true, &member, 1), JSON_MEMBERS_NOT_OBJECT, "%s", others[i]);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_expect_eq(find(broken[i], true, &member, 1), JSON_MEMBERS_INVALID, "%s", broken[i]);
    cr_assert_eq(find("{}", true, &member, 1), JSON_MEMBERS_OK);
    cr_assert_eq(member.token, JSON_ERROR);
    cr_assert_eq(json_find_members(slice_text("{\"a\":[[]]}"), 2, false, &member, 1), JSON_MEMBERS_INVALID, "too deep");
}

/* Up to 4,096 keys are compared, in any order, and one pair among them is found; more are refused. */
Test(json, finds_one_pair_among_very_many_keys)
{
    static char text[4200 * 16];
    static uint32_t order[4200];
    struct random random;
    random_init(&random, 12);
    for (int round = 0; round < 12; round++) {
        uint32_t count = round == 0 ? 4097 : round == 1 ? 4096 : 2 + (uint32_t)random_below(&random, 4095);
        bool pair = round % 2 == 0;
        char *at = text;
        for (uint32_t i = 0; i < count; i++)
            order[i] = i;
        for (uint32_t i = count; round > 3 && i-- > 1;) {
            uint32_t other = (uint32_t)random_below(&random, i + 1), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        if (pair)
            order[random_below(&random, count - 1)] = order[count - 1];
        *at++ = '{';
        for (uint32_t i = 0; i < count; i++)
            at += sprintf(at, "%s\"k%u\":0", i == 0 ? "" : ",", order[i]);
        *at++ = '}';
        enum json_members expected = count > 4096 ? JSON_MEMBERS_INVALID
                                     : pair       ? JSON_MEMBERS_DUPLICATE
                                                  : JSON_MEMBERS_OK;
        cr_assert_eq(json_find_members(slice_of(text, (size_t)(at - text)), 4, true, NULL, 0), expected, "round %d",
                     round);
        cr_assert_eq(json_find_members(slice_of(text, (size_t)(at - text)), 4, false, NULL, 0), JSON_MEMBERS_OK);
    }
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static void assert_unescaped(const char *raw, const char *expected, size_t bytes)
{
    uint8_t memory[256];
    struct buf out = buf_of(memory, strlen(raw)); /* never longer than the input */
    uint8_t *guarded = guard_place(raw, strlen(raw));
    struct slice input = slice_of(guarded, strlen(raw));
    json_unescape(input, &out);
    cr_assert_not(out.overflow, "%s", raw);
    cr_assert(slice_equal(buf_slice(&out), slice_of(expected, bytes)), "%s", raw);
    cr_assert(json_raw_equal(input, strchr(raw, '\\') != NULL, slice_of(expected, bytes)), "%s", raw);
    cr_assert_not(json_raw_equal(input, true, slice_of(expected, bytes - (bytes > 0))) && bytes > 0);
    guard_free(guarded, strlen(raw));
}

Test(json, resolves_escapes)
{
    assert_unescaped("", "", 0);
    assert_unescaped("plain", "plain", 5);
    assert_unescaped("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8);
    assert_unescaped("a\\u0000b", "a\0b", 3);
    assert_unescaped("\\u007f\\u0080\\u07ff\\u0800\\uffff", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11);
    assert_unescaped("\\ud800\\udc00\\uDBFF\\uDFFF", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    assert_unescaped("\xc3\xa9\\u00E9\xc3\xa9", "\xc3\xa9\xc3\xa9\xc3\xa9", 6);
    assert_unescaped("\\\\u0061", "\\u0061", 6);
}

Test(json, compares_raw_strings_with_plain_ones)
{
    cr_assert(json_raw_equal(slice_text("ab"), false, slice_text("ab")));
    cr_assert_not(json_raw_equal(slice_text("ab"), false, slice_text("abc")));
    cr_assert_not(json_raw_equal(slice_text("abc"), false, slice_text("ab")));
    cr_assert_not(json_raw_equal(slice_text("a\\u0062"), true, slice_text("a")));
    cr_assert_not(json_raw_equal(slice_text("a\\u0062"), true, slice_text("abc")));
    cr_assert_not(json_raw_equal(slice_text("a\\u00e9"), true, slice_text("a\xc3")), "half a character");
    cr_assert_not(json_raw_equal(slice_text("\\n"), true, slice_text("\\n")));
}

Test(json, resolve_copies_only_what_is_escaped)
{
    uint8_t memory[8];
    struct buf space = buf_of(memory, sizeof memory);
    struct slice raw = slice_text("plain");
    cr_assert_eq(json_resolve(raw, false, &space).data, raw.data);
    cr_assert_eq(space.used, 0);
    cr_assert(slice_is(json_resolve(slice_text("\\u0041\\n"), true, &space), "A\n"));
    cr_assert(slice_is(json_resolve(slice_text("B\\/"), true, &space), "B/"));
    cr_assert_eq(space.used, 4);
}

Test(json, writes_strings_with_golden_bytes)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *expected;
    } cases[] = {
        {"", 0, "\"\""},
        {"a/b", 3, "\"a/b\""},
        {"\"\\", 2, "\"\\\"\\\\\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f x", 5, "\"\\u0000\\u0001\\u001f x\""},
        {"\x7f\xc3\xa9\xf0\x9f\x98\x80", 7, "\"\x7f\xc3\xa9\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t memory[64];
        struct buf out = buf_of(memory, sizeof memory);
        json_put_string(&out, slice_of(cases[i].text, cases[i].bytes));
        cr_expect(slice_is(buf_slice(&out), cases[i].expected), "%zu: %.*s", i, (int)out.used, (char *)memory);
    }
    uint8_t small[3];
    struct buf out = buf_of(small, sizeof small);
    json_put_string(&out, slice_text("ab"));
    cr_assert(out.overflow);
}

/* A random code point that can stand in a text, as UTF-8. */
static size_t random_character(struct random *random, uint8_t out[4])
{
    static const uint32_t below[] = {0x20, 0x80, 0x800, 0x10000, 0x110000};
    uint32_t c = (uint32_t)random_below(random, below[random_below(random, 5)]);
    if (c >= 0xD800 && c <= 0xDFFF)
        c -= 0x800;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

Test(json, any_string_comes_back)
{
    struct random random;
    random_init(&random, 13);
    for (int round = 0; round < 3000; round++) {
        uint8_t text[256], written[2000], again[256];
        size_t bytes = 0;
        for (uint64_t n = random_below(&random, 40); n > 0; n--)
            bytes += random_character(&random, text + bytes);
        cr_assert(utf8_valid(slice_of(text, bytes)));
        struct buf out = buf_of(written, sizeof written), back = buf_of(again, sizeof again);
        json_put_string(&out, slice_of(text, bytes));
        cr_assert(valid_bytes(written, out.used, 1));
        struct slice raw = slice_of(written + 1, out.used - 2);
        json_unescape(raw, &back);
        cr_assert(slice_equal(buf_slice(&back), slice_of(text, bytes)));
        cr_assert(json_raw_equal(raw, true, slice_of(text, bytes)));
    }
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

Test(json, reads_whole_numbers_in_range)
{
    uint64_t u = 7;
    int64_t i = 7;
    cr_assert(json_u64(slice_text("0"), &u) && u == 0);
    cr_assert(json_u64(slice_text("18446744073709551615"), &u) && u == UINT64_MAX);
    cr_assert(json_i64(slice_text("-9223372036854775808"), &i) && i == INT64_MIN);
    cr_assert(json_i64(slice_text("9223372036854775807"), &i) && i == INT64_MAX);
    cr_assert(json_i64(slice_text("-1"), &i) && i == -1);
    cr_assert(json_i64(slice_text("0"), &i) && i == 0);
    static const char *const neither[] = {"",
                                          "-",
                                          "-0",
                                          "1.0",
                                          "1e3",
                                          "1E0",
                                          "01",
                                          "00",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "a",
                                          "0x1",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    for (size_t k = 0; k < sizeof neither / sizeof neither[0]; k++) {
        cr_expect_not(json_u64(slice_text(neither[k]), &u), "%s", neither[k]);
        cr_expect_not(json_i64(slice_text(neither[k]), &i), "%s", neither[k]);
    }
    cr_assert_not(json_u64(slice_text("-1"), &u));
    cr_assert_not(json_i64(slice_text("9223372036854775808"), &i));
    cr_assert_not(json_i64(slice_text("-9223372036854775809"), &i));
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
