/* SPDX-License-Identifier: MIT */
/* Owns the conversion between calendar texts and milliseconds since 1970.
 * It never reads a clock or a time zone.
 * The dialects call it for times in what is ingested and for those that they stamp. */
#include "protocol/timestamp.h"

#include "core/check.h"

#define MS_PER_SECOND 1000
#define SECONDS_PER_DAY 86400
#define SECONDS_BELOW UINT64_C(100000000000)   /* larger numbers are milliseconds */
#define UNIX_MS_MAX INT64_C(253402300799999)   /* the end of the year 9999 */
#define UNIX_MS_MIN (-INT64_C(62167219200000)) /* the beginning of the year 0000 */
#define DAYS_PER_ERA 146097                    /* of 400 years */
#define DAYS_TO_1970 719468                    /* from 0000-03-01 */

/* Days since 1970. The year is taken to begin in March, so that the leap day is its last and the lengths of the months
 * before a month are (153 * month + 2) / 5: the known method of counting in eras of 400 years. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

static void civil_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The number that stands in the text at [at, at + digits), which holds digits only. */
static int64_t number_at(struct slice text, size_t at, size_t digits)
{
    int64_t value = 0;
    for (size_t i = at; i < at + digits; i++)
        value = value * 10 + (text.data[i] - '0');
    return value;
}

/* ".5Z" and the like: a point, digits, Z. */
static bool parse_fraction(struct slice text, int64_t *ms)
{
    int64_t weight = 100, sum = 0;
    if (text.bytes < 3 || text.data[0] != '.' || text.data[text.bytes - 1] != 'Z')
        return false;
    for (size_t i = 1; i < text.bytes - 1; i++, weight /= 10) {
        if (!is_digit(text.data[i]))
            return false;
        sum += weight * (text.data[i] - '0');
    }
    *ms = sum;
    return true;
}

bool timestamp_parse_iso(struct slice text, int64_t *unix_ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    int64_t ms = 0;
    if (text.bytes < TIMESTAMP_ISO_BYTES)
        return false;
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (shape[i] == 'd' ? !is_digit(text.data[i]) : text.data[i] != (uint8_t)shape[i])
            return false;
    struct slice rest = slice_skip(text, sizeof shape - 1);
    if (!slice_is(rest, "Z") && !parse_fraction(rest, &ms))
        return false;
    int64_t year = number_at(text, 0, 4), month = number_at(text, 5, 2), day = number_at(text, 8, 2);
    int64_t hour = number_at(text, 11, 2), minute = number_at(text, 14, 2), second = number_at(text, 17, 2);
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    int64_t seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    *unix_ms = seconds * MS_PER_SECOND + ms;
    return true;
}

bool timestamp_from_number(uint64_t number, int64_t *unix_ms)
{
    if (number > (uint64_t)UNIX_MS_MAX)
        return false;
    *unix_ms = number < SECONDS_BELOW ? (int64_t)number * MS_PER_SECOND : (int64_t)number;
    return true;
}

static void put_digits(struct buf *out, int64_t value, size_t digits, char behind)
{
    uint8_t text[5] = {0};
    for (size_t i = digits; i-- > 0; value /= 10)
        text[i] = (uint8_t)('0' + value % 10);
    text[digits] = (uint8_t)behind;
    buf_put(out, slice_of(text, digits + 1));
}

/* The day since 1970 in which a time lies; *ms: how far into it. */
static int64_t day_of(int64_t unix_ms, int64_t *ms)
{
    check(unix_ms >= UNIX_MS_MIN && unix_ms <= UNIX_MS_MAX);
    int64_t ms_per_day = (int64_t)SECONDS_PER_DAY * MS_PER_SECOND;
    int64_t days = (unix_ms >= 0 ? unix_ms : unix_ms - (ms_per_day - 1)) / ms_per_day;
    *ms = unix_ms - days * ms_per_day;
    return days;
}

static void put_clock(struct buf *out, int64_t seconds, char behind)
{
    put_digits(out, seconds / 3600, 2, ':');
    put_digits(out, seconds / 60 % 60, 2, ':');
    put_digits(out, seconds % 60, 2, behind);
}

/* YYYY-MM-DDThh:mm:ss and `behind`; the milliseconds that are left over. */
static int64_t put_seconds(struct buf *out, int64_t unix_ms, char behind)
{
    int64_t ms, year, month, day;
    civil_from_days(day_of(unix_ms, &ms), &year, &month, &day);
    put_digits(out, year, 4, '-');
    put_digits(out, month, 2, '-');
    put_digits(out, day, 2, 'T');
    put_clock(out, ms / MS_PER_SECOND, behind);
    return ms % MS_PER_SECOND;
}

void timestamp_put_iso(struct buf *out, int64_t unix_ms)
{
    (void)put_seconds(out, unix_ms, 'Z');
}

void timestamp_put_iso_ms(struct buf *out, int64_t unix_ms)
{
    put_digits(out, put_seconds(out, unix_ms, '.'), 3, 'Z');
}

void timestamp_put_http(struct buf *out, int64_t unix_ms)
{
    static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, "; /* from that of 1970-01-01 */
    static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    int64_t ms, year, month, day, days = day_of(unix_ms, &ms);
    civil_from_days(days, &year, &month, &day);
    buf_put(out, slice_of(weekdays + (days % 7 + 7) % 7 * 5, 5));
    put_digits(out, day, 2, ' ');
    buf_put(out, slice_of(months + (month - 1) * 4, 4));
    put_digits(out, year, 4, ' ');
    put_clock(out, ms / MS_PER_SECOND, ' ');
    buf_put_text(out, "GMT");
}
