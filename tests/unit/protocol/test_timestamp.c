/* SPDX-License-Identifier: MIT */
/* Proves times (G-11, Q-1): known instants both ways, each day of a long range against a calendar that only counts, and
 * what is no time. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/timestamp.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool parse(const char *text, int64_t *unix_ms)
{
    uint8_t *guarded = guard_place(text, strlen(text));
    bool good = timestamp_parse_iso(slice_of(guarded, strlen(text)), unix_ms);
    guard_free(guarded, strlen(text));
    return good;
}

static void assert_text(int64_t unix_ms, const char *expected)
{
    uint8_t memory[TIMESTAMP_ISO_BYTES];
    struct buf out = buf_of(memory, sizeof memory);
    timestamp_put_iso(&out, unix_ms);
    cr_assert(!out.overflow && slice_is(buf_slice(&out), expected), "%.*s instead of %s", (int)out.used, (char *)memory,
              expected);
}

Test(timestamp, knows_famous_instants)
{
    static const struct {
        const char *text;
        int64_t unix_ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2024-01-23T12:34:56Z", 1706013296000},
        {"2000-02-29T23:59:59Z", 951868799000},
        {"2038-01-19T03:14:08Z", 2147483648000},
        {"1969-12-31T23:59:59Z", -1000},
        {"1900-03-01T00:00:00Z", -2203891200000},
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"0000-01-01T00:00:00Z", -62167219200000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t found = 1;
        cr_assert(parse(cases[i].text, &found), "%s", cases[i].text);
        cr_assert_eq(found, cases[i].unix_ms, "%s: %lld", cases[i].text, (long long)found);
        assert_text(cases[i].unix_ms, cases[i].text);
    }
}

/* C-28 */
Test(timestamp, writes_milliseconds)
{
    static const struct {
        int64_t unix_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1706013296007, "2024-01-23T12:34:56.007Z"},
        {1706013296789, "2024-01-23T12:34:56.789Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t memory[TIMESTAMP_ISO_MS_BYTES];
        struct buf out = buf_of(memory, sizeof memory);
        int64_t back;
        timestamp_put_iso_ms(&out, cases[i].unix_ms);
        cr_assert(!out.overflow && slice_is(buf_slice(&out), cases[i].text), "%.*s", (int)out.used, (char *)memory);
        cr_assert(timestamp_parse_iso(buf_slice(&out), &back) && back == cases[i].unix_ms);
    }
}

/* RFC 9110 section 5.6.7 */
Test(timestamp, writes_what_http_says)
{
    static const struct {
        int64_t unix_ms;
        const char *text;
    } cases[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777000, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the section's own example */
        {1706013296999, "Tue, 23 Jan 2024 12:34:56 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {951868799000, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {253402300799999, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {-62167219200000, "Sat, 01 Jan 0000 00:00:00 GMT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t memory[TIMESTAMP_HTTP_BYTES];
        struct buf out = buf_of(memory, sizeof memory);
        timestamp_put_http(&out, cases[i].unix_ms);
        cr_assert(!out.overflow && out.used == sizeof memory && slice_is(buf_slice(&out), cases[i].text),
                  "%.*s instead of %s", (int)out.used, (char *)memory, cases[i].text);
    }
}

Test(timestamp, cuts_fractions_to_milliseconds)
{
    int64_t found;
    cr_assert(parse("2024-01-23T12:34:56.5Z", &found) && found == 1706013296500);
    cr_assert(parse("2024-01-23T12:34:56.07Z", &found) && found == 1706013296070);
    cr_assert(parse("2024-01-23T12:34:56.789Z", &found) && found == 1706013296789);
    cr_assert(parse("2024-01-23T12:34:56.999999999999999999999Z", &found) && found == 1706013296999);
    assert_text(1706013296999, "2024-01-23T12:34:56Z");
    assert_text(-1, "1969-12-31T23:59:59Z");
}

Test(timestamp, refuses_what_is_no_time)
{
    static const char *const bad[] = {
        "",
        "2024",
        "2024-01-23",
        "2024-01-23T12:34:56",
        "2024-01-23 12:34:56Z",
        "2024-01-23t12:34:56Z",
        "2024-01-23T12:34:56z",
        "2024-01-23T12:34:56+00:00",
        "2024-01-23T12:34:56.Z",
        "2024-01-23T12:34:56.5",
        "2024-01-23T12:34:56,5Z",
        "2024-01-23T12:34:56.5xZ",
        "2024-01-23T12:34:56ZZ",
        "2024-01-23T12:34Z       ",
        "2024-1-23T12:34:56Z ",
        "2024-00-23T12:34:56Z",
        "2024-13-23T12:34:56Z",
        "2024-01-00T12:34:56Z",
        "2024-01-32T12:34:56Z",
        "2024-04-31T12:34:56Z",
        "2023-02-29T12:34:56Z",
        "1900-02-29T12:34:56Z",
        "2024-02-30T12:34:56Z",
        "2024-01-23T24:00:00Z",
        "2024-01-23T12:60:00Z",
        "2024-01-23T12:34:60Z",
        "-024-01-23T12:34:56Z",
        "2024-01-23T12:34:5aZ",
        "20240123T123456Z0000",
        "2024-01-23T12:34:56Z\n",
    };
    int64_t found;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(parse(bad[i], &found), "%s", bad[i]);
}

static int days_in(int year, int month)
{
    if (month == 2)
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Counts through 801 years, day by day. */
Test(timestamp, agrees_with_a_calendar_that_counts)
{
    int64_t days = -134774; /* of 1601-01-01 */
    for (int year = 1601; year <= 2401; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= days_in(year, month); day++, days++) {
                char text[64];
                int64_t found;
                snprintf(text, sizeof text, "%04d-%02d-%02dT06:07:08Z", year, month, day);
                cr_assert(timestamp_parse_iso(slice_text(text), &found));
                cr_assert_eq(found, (days * 86400 + 22028) * 1000, "%s", text);
                assert_text(found, text);
            }
        }
    }
}

Test(timestamp, any_time_comes_back)
{
    struct random random;
    random_init(&random, 16);
    for (int round = 0; round < 10000; round++) {
        int64_t unix_ms = (int64_t)random_below(&random, 315569520000000) - 62167219200000, found;
        uint8_t memory[TIMESTAMP_ISO_BYTES];
        struct buf out = buf_of(memory, sizeof memory);
        timestamp_put_iso(&out, unix_ms);
        cr_assert(timestamp_parse_iso(buf_slice(&out), &found));
        cr_assert(found <= unix_ms && unix_ms - found < 1000, "%lld became %lld", (long long)unix_ms, (long long)found);
    }
}

Test(timestamp, tells_seconds_from_milliseconds)
{
    int64_t found;
    cr_assert(timestamp_from_number(1706013296, &found) && found == 1706013296000);
    cr_assert(timestamp_from_number(1706013296789, &found) && found == 1706013296789);
    cr_assert(timestamp_from_number(0, &found) && found == 0);
    cr_assert(timestamp_from_number(99999999999, &found) && found == 99999999999000);
    cr_assert(timestamp_from_number(100000000000, &found) && found == 100000000000);
    cr_assert(timestamp_from_number(253402300799999, &found) && found == 253402300799999);
    cr_assert_not(timestamp_from_number(253402300800000, &found));
    cr_assert_not(timestamp_from_number(UINT64_MAX, &found));
}
