/* SPDX-License-Identifier: MIT */
/* Owns the comparison of the calendar arithmetic with the C library's (timegm, gmtime_r), and the round trip of every
 * time that can be written. It never reads a clock. The input is eight bytes of a time and a text. */
#include "protocol/timestamp.h"
#include "fuzz/fuzz.h"

#include <time.h>

#define MS_MIN INT64_C(-62167219200000) /* 0000-01-01T00:00:00Z */
#define MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* The number of `n` digits at the front, or -1; the text moves on. */
static int take_number(struct slice *text, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (i >= text->bytes || text->data[i] < '0' || text->data[i] > '9')
            return -1;
        value = value * 10 + (text->data[i] - '0');
    }
    *text = slice_skip(*text, n);
    return value;
}

static bool take(struct slice *text, char c)
{
    if (text->bytes == 0 || text->data[0] != (uint8_t)c)
        return false;
    *text = slice_skip(*text, 1);
    return true;
}

/* ".digits", cut to milliseconds; none is 0; -1 is a fault. */
static int64_t take_fraction(struct slice *text)
{
    int64_t ms = 0, digits = 0;
    if (!take(text, '.'))
        return 0;
    for (int digit; (digit = take_number(text, 1)) >= 0; digits++)
        ms = digits < 3 ? ms * 10 + digit : ms;
    for (int64_t i = digits; i < 3; i++)
        ms *= 10;
    return digits == 0 ? -1 : ms;
}

/* Reads field by field and lets the C library say whether such a day exists: it comes back as another when not. */
static bool oracle_parse(struct slice text, int64_t *unix_ms)
{
    struct tm given = {0}, back;
    int year = take_number(&text, 4);
    if (year < 0 || !take(&text, '-') || (given.tm_mon = take_number(&text, 2)) < 0 || !take(&text, '-') ||
        (given.tm_mday = take_number(&text, 2)) < 0 || !take(&text, 'T') ||
        (given.tm_hour = take_number(&text, 2)) < 0 || !take(&text, ':') ||
        (given.tm_min = take_number(&text, 2)) < 0 || !take(&text, ':') || (given.tm_sec = take_number(&text, 2)) < 0)
        return false;
    int64_t ms = take_fraction(&text);
    if (ms < 0 || !take(&text, 'Z') || text.bytes > 0)
        return false;
    given.tm_year = year - 1900;
    given.tm_mon -= 1;
    struct tm wanted = given;
    time_t seconds = timegm(&given);
    gmtime_r(&seconds, &back);
    if (back.tm_year != wanted.tm_year || back.tm_mon != wanted.tm_mon || back.tm_mday != wanted.tm_mday ||
        back.tm_hour != wanted.tm_hour || back.tm_min != wanted.tm_min || back.tm_sec != wanted.tm_sec)
        return false;
    *unix_ms = (int64_t)seconds * 1000 + ms;
    return true;
}

static void expect_written(int64_t unix_ms)
{
    char text[32], wanted[32];
    struct buf out = buf_of(text, sizeof text);
    struct tm parts;
    time_t seconds = (time_t)((unix_ms - (unix_ms % 1000 + 1000) % 1000) / 1000);
    int64_t back;

    timestamp_put_iso(&out, unix_ms);
    expect(!out.overflow && out.used == TIMESTAMP_ISO_BYTES);
    gmtime_r(&seconds, &parts);
    snprintf(wanted, sizeof wanted, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    expect(slice_is(buf_slice(&out), wanted));
    expect(timestamp_parse_iso(buf_slice(&out), &back) && back == (int64_t)seconds * 1000);
    buf_reset(&out);
    timestamp_put_iso_ms(&out, unix_ms);
    expect(!out.overflow && timestamp_parse_iso(buf_slice(&out), &back) && back == unix_ms);
}

static void expect_number(uint64_t number)
{
    int64_t ms = 0;
    bool good = timestamp_from_number(number, &ms);
    uint64_t wanted = number < UINT64_C(100000000000) ? number * 1000 : number;
    expect(good == (wanted <= (uint64_t)MS_MAX && number <= (uint64_t)MS_MAX));
    expect(!good || (uint64_t)ms == wanted);
    if (good)
        expect_written(ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    uint8_t word[8] = {0};
    int64_t ms = 0, wanted = 0;

    for (size_t i = 0; i < sizeof word; i++)
        word[i] = fuzz_byte(&input);
    uint64_t number = load_be64(word);
    expect_number(number);
    expect_number(number >> 16);
    expect_written(MS_MIN + (int64_t)(number % (uint64_t)(MS_MAX - MS_MIN + 1)));

    uint8_t *copy = fuzz_copy(slice_of(input.at, input.left));
    struct slice text = slice_of(copy, input.left);
    bool good = timestamp_parse_iso(text, &ms);
    expect(good == oracle_parse(text, &wanted));
    expect(!good || ms == wanted);
    if (good)
        expect_written(ms);
    free(copy);
    return 0;
}
