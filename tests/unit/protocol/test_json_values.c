/* SPDX-License-Identifier: MIT */
/* Proves what is read out of a JSON text, and what is written into one: tokens, members, escapes, numbers, random
 * strings there and back. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/json_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

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
    size_t here = json_unescape_here((struct span){guarded, strlen(raw)});
    cr_assert(slice_equal(slice_of(guarded, here), slice_of(expected, bytes)), "%s where it lies", raw);
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
