/* SPDX-License-Identifier: MIT */
/* Proves how settings are read from text and printed: units, ranges, lists, secrets, defaults, and what a wrong
 * value is answered with. Every text is parsed at the end of a page that is followed by one without access. Run by
 * unit_core. */
#include "core/option.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "tests/unit/guard.h"

struct settings {
    bool enabled;
    uint64_t count;
    uint64_t bounded;
    uint64_t duration;
    uint64_t size;
    uint32_t level;
    char *text;
    struct option_texts list;
    struct option_texts secrets;
};

static const char *const levels[] = {"error", "warn", "info", NULL};

static const struct option table[] = {
    {.name = "enabled", .kind = OPTION_BOOL, .offset = offsetof(struct settings, enabled), .fallback = "true"},
    {.name = "count", .kind = OPTION_COUNT, .offset = offsetof(struct settings, count), .fallback = "0"},
    {.name = "connections_max",
     .kind = OPTION_COUNT,
     .offset = offsetof(struct settings, bounded),
     .fallback = "10",
     .min = 2,
     .max = 64},
    {.name = "idle_timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct settings, duration),
     .fallback = "90s",
     .min = 1000,
     .max = 3600000},
    {.name = "send_buffer",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct settings, size),
     .fallback = "64KiB",
     .min = 4096},
    {.name = "log_level",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct settings, level),
     .fallback = "info",
     .choices = levels},
    {.name = "prefix", .kind = OPTION_TEXT, .offset = offsetof(struct settings, text), .fallback = ""},
    {.name = "listen", .kind = OPTION_TEXTS, .offset = offsetof(struct settings, list), .fallback = "*:80, [::1]:81"},
    {.name = "keys", .kind = OPTION_SECRETS, .offset = offsetof(struct settings, secrets), .fallback = ""},
    {0},
};

static struct settings settings;
static uint8_t *placed; /* the last text, before a page without access */
static size_t placed_bytes;
static char said[512]; /* the sentence of the last refusal */

static void start(void)
{
    cr_assert_eq(option_defaults(&settings, table), 0);
}

static void stop(void)
{
    option_release(&settings, table);
    if (placed != NULL)
        guard_free(placed, placed_bytes);
}

TestSuite(option, .init = start, .fini = stop);

static struct slice guarded(struct slice text)
{
    if (placed != NULL)
        guard_free(placed, placed_bytes);
    placed = guard_place(text.data, text.bytes);
    placed_bytes = text.bytes;
    return slice_of(placed, placed_bytes);
}

static const struct option *row_of(const char *name)
{
    const struct option *row = option_find(table, slice_text(name), NULL);
    cr_assert_not_null(row, "%s", name);
    return row;
}

static int set_slice(const char *name, struct slice text)
{
    struct buf why = buf_of(said, sizeof said - 1);
    int error = option_set(&settings, row_of(name), guarded(text), &why);
    cr_assert_not(why.overflow);
    said[why.used] = '\0';
    cr_assert_eq(error == -EINVAL, why.used > 0, "a refusal has a sentence, a success has none: %d \"%s\"", error,
                 said);
    return error;
}

static int set(const char *name, const char *text)
{
    return set_slice(name, slice_text(text));
}

static int append(const char *name, const char *text)
{
    struct buf why = buf_of(said, sizeof said - 1);
    int error = option_append(&settings, row_of(name), guarded(slice_text(text)), &why);
    said[why.used] = '\0';
    return error;
}

static const char *printed(const char *name)
{
    static char text[512];
    struct buf out = buf_of(text, sizeof text - 1);
    option_print(&settings, row_of(name), &out);
    cr_assert_not(out.overflow);
    text[out.used] = '\0';
    return text;
}

static void assert_refused(const char *name, const char *text, const char *sentence)
{
    char before[512];
    strcpy(before, printed(name));
    cr_assert_eq(set(name, text), -EINVAL, "%s: \"%s\" was taken", name, text);
    cr_assert_str_eq(said, sentence);
    cr_assert_str_eq(printed(name), before, "a refused value changes nothing");
}

/* --- one kind after the other ------------------------------------------------------------------------------------- */

Test(option, defaults_fill_every_row)
{
    cr_assert_eq(settings.enabled, true);
    cr_assert_eq(settings.bounded, 10);
    cr_assert_eq(settings.duration, 90000);
    cr_assert_eq(settings.size, 65536);
    cr_assert_eq(settings.level, 2);
    cr_assert_str_eq(settings.text, "");
    cr_assert_eq(settings.list.count, 2);
    cr_assert_str_eq(settings.list.items[0], "*:80");
    cr_assert_str_eq(settings.list.items[1], "[::1]:81");
    cr_assert_eq(settings.secrets.count, 0);
}

Test(option, bool_is_true_or_false_and_no_other_spelling)
{
    cr_assert_eq(set("enabled", "false"), 0);
    cr_assert_eq(settings.enabled, false);
    cr_assert_eq(set("enabled", "true"), 0);
    cr_assert_eq(settings.enabled, true);
    assert_refused("enabled", "yes", "\"yes\" is neither true nor false");
    assert_refused("enabled", "True", "\"True\" is neither true nor false");
    assert_refused("enabled", "", "\"\" is neither true nor false");
}

Test(option, count_is_a_bare_whole_number)
{
    cr_assert_eq(set("count", "18446744073709551615"), 0);
    cr_assert_eq(settings.count, UINT64_MAX);
    const char *rule = "is not a count; write a whole number without a unit";
    static const char *const wrong[] = {"", "-1", "+1", "1.5", "1s", " 1", "1 ", "0x10", "18446744073709551616"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[128];
        snprintf(sentence, sizeof sentence, "\"%s\" %s", wrong[i], rule);
        assert_refused("count", wrong[i], sentence);
    }
}

Test(option, range_is_inclusive_and_named)
{
    cr_assert_eq(set("connections_max", "2"), 0);
    cr_assert_eq(set("connections_max", "64"), 0);
    cr_assert_eq(settings.bounded, 64);
    assert_refused("connections_max", "1", "\"1\" is out of range; write 2 to 64");
    assert_refused("connections_max", "65", "\"65\" is out of range; write 2 to 64");
}

Test(option, range_is_named_in_the_units_of_the_row)
{
    assert_refused("idle_timeout", "999ms", "\"999ms\" is out of range; write 1s to 1h");
    assert_refused("idle_timeout", "61m", "\"61m\" is out of range; write 1s to 1h");
    assert_refused("send_buffer", "4095B", "\"4095B\" is out of range; write 4KiB or more");
    assert_refused("send_buffer", "0", "\"0\" is out of range; write 4KiB or more");
}

static void assert_duration(const char *text, uint64_t expected)
{
    uint64_t ms = 7;
    cr_assert_eq(option_parse_duration(guarded(slice_text(text)), &ms), 0, "%s", text);
    cr_assert_eq(ms, expected, "%s gave %" PRIu64, text, ms);
}

Test(option, durations_carry_a_unit)
{
    assert_duration("250ms", 250);
    assert_duration("10s", 10000);
    assert_duration("5m", 300000);
    assert_duration("24h", 86400000);
    assert_duration("0", 0);
    assert_duration("0s", 0);
    assert_duration("18446744073709551615ms", UINT64_MAX);
    assert_duration("5124095576030h", UINT64_C(5124095576030) * 3600000);
}

static void assert_size(const char *text, uint64_t expected)
{
    uint64_t bytes = 7;
    cr_assert_eq(option_parse_size(guarded(slice_text(text)), &bytes), 0, "%s", text);
    cr_assert_eq(bytes, expected, "%s gave %" PRIu64, text, bytes);
}

Test(option, sizes_carry_a_unit)
{
    assert_size("512B", 512);
    assert_size("64KiB", 65536);
    assert_size("4MiB", 4194304);
    assert_size("1GiB", 1073741824);
    assert_size("0", 0);
    assert_size("17179869183GiB", UINT64_C(17179869183) << 30);
}

Test(option, a_unit_is_never_guessed)
{
    static const char *const wrong[] = {
        "",    "10",  "00001", "s",   "ms",  "10 s", " 10s", "10s ", "-10s", "1.5s",
        "10S", "10d", "10sec", "1kb", "1KB", "1K",   "1MB",  "1kib", "1G",   "1TiB",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t value = 7;
        struct slice text = guarded(slice_text(wrong[i]));
        cr_assert_eq(option_parse_duration(text, &value), -EINVAL, "duration \"%s\"", wrong[i]);
        cr_assert_eq(option_parse_size(text, &value), -EINVAL, "size \"%s\"", wrong[i]);
        cr_assert_eq(value, 7, "a refused text leaves the value");
    }
}

Test(option, a_value_beyond_64_bits_is_refused_not_wrapped)
{
    uint64_t value = 7;
    cr_assert_eq(option_parse_duration(slice_text("18446744073709551616ms"), &value), -EINVAL);
    cr_assert_eq(option_parse_duration(slice_text("18446744073709552s"), &value), -EINVAL);
    cr_assert_eq(option_parse_duration(slice_text("5124095576031h"), &value), -EINVAL);
    cr_assert_eq(option_parse_size(slice_text("17179869184GiB"), &value), -EINVAL);
    cr_assert_eq(option_parse_size(slice_text("99999999999999999999999B"), &value), -EINVAL);
    cr_assert_eq(value, 7);
}

/* They are added to the time now. */
Test(option, no_duration_comes_near_the_end_of_its_type)
{
    static const struct option rows[] = {{.name = "endless", .kind = OPTION_DURATION, .fallback = "0"}, {0}};
    uint64_t value = 0;
    char memory[200];
    struct buf why = buf_of(memory, sizeof memory - 1);
    cr_assert_eq(option_set(&value, rows, slice_text("876000h"), &why), 0);
    cr_assert_eq(value, OPTION_DURATION_MS_MAX);
    cr_assert_eq(option_set(&value, rows, slice_text("18446744073709551615ms"), &why), -EINVAL);
    memory[why.used] = '\0';
    cr_assert_str_eq(memory, "\"18446744073709551615ms\" is out of range; write 0 to 876000h");
}

Test(option, wrong_units_are_answered_with_the_right_ones)
{
    assert_refused("idle_timeout", "10",
                   "\"10\" is not a duration; write a whole number with ms, s, m or h, such as 10s");
    assert_refused("send_buffer", "64KB",
                   "\"64KB\" is not a size; write a whole number with B, KiB, MiB or GiB, such as 64KiB");
}

Test(option, choice_is_one_of_its_words)
{
    cr_assert_eq(set("log_level", "error"), 0);
    cr_assert_eq(settings.level, 0);
    assert_refused("log_level", "warning", "\"warning\" is not a choice; write one of error, warn, info");
    assert_refused("log_level", "war", "\"war\" is not a choice; write one of error, warn, info");
}

Test(option, text_is_taken_as_it_is)
{
    cr_assert_eq(set("prefix", " /a, b "), 0);
    cr_assert_str_eq(settings.text, " /a, b ");
    cr_assert_eq(set("prefix", ""), 0);
    cr_assert_str_eq(settings.text, "");
}

Test(option, text_with_a_nul_is_refused)
{
    cr_assert_eq(set("prefix", "/kept"), 0);
    cr_assert_eq(set_slice("prefix", slice_of("/a\0b", 4)), -EINVAL);
    cr_assert_str_eq(said, "holds a NUL byte; write text without it");
    cr_assert_str_eq(settings.text, "/kept");
    cr_assert_eq(set_slice("listen", slice_of("a,b\0", 4)), -EINVAL);
    cr_assert_eq(settings.list.count, 2);
}

Test(option, list_is_split_at_commas_and_replaces_the_one_before)
{
    cr_assert_eq(set("listen", "\t127.0.0.1:1 , [::1]:2,*:3"), 0);
    cr_assert_str_eq(printed("listen"), "[\"127.0.0.1:1\", \"[::1]:2\", \"*:3\"]");
    cr_assert_eq(set("listen", "one"), 0);
    cr_assert_str_eq(printed("listen"), "[\"one\"]");
    cr_assert_eq(set("listen", "  "), 0);
    cr_assert_str_eq(printed("listen"), "[]");
}

Test(option, list_has_no_empty_entries)
{
    assert_refused("listen", "a,,b", "has an empty entry; remove it");
    assert_refused("listen", "a,", "has an empty entry; remove it");
    assert_refused("listen", ",", "has an empty entry; remove it");
    cr_assert_eq(append("listen", ""), -EINVAL);
    cr_assert_str_eq(printed("listen"), "[\"*:80\", \"[::1]:81\"]");
}

Test(option, an_appended_entry_keeps_its_commas)
{
    cr_assert_eq(set("listen", ""), 0);
    cr_assert_eq(append("listen", "a, b"), 0);
    cr_assert_eq(append("listen", "c"), 0);
    cr_assert_eq(settings.list.count, 2);
    cr_assert_str_eq(settings.list.items[0], "a, b");
    cr_assert_str_eq(printed("listen"), "[\"a, b\", \"c\"]");
}

Test(option, appending_to_what_is_no_list_is_our_bug, .signal = SIGABRT)
{
    append("count", "1");
}

Test(option, a_default_that_does_not_parse_is_our_bug, .signal = SIGABRT)
{
    static const struct option wrong[] = {
        {.name = "count", .kind = OPTION_COUNT, .offset = offsetof(struct settings, count), .fallback = "ten"}, {0}};
    option_defaults(&settings, wrong);
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

Test(option, prints_values_as_they_would_be_written)
{
    cr_assert_str_eq(printed("enabled"), "true");
    cr_assert_str_eq(printed("count"), "0");
    cr_assert_str_eq(printed("connections_max"), "10");
    cr_assert_str_eq(printed("idle_timeout"), "90s");
    cr_assert_str_eq(printed("send_buffer"), "64KiB");
    cr_assert_str_eq(printed("log_level"), "info");
    cr_assert_str_eq(printed("prefix"), "\"\"");
    cr_assert_str_eq(printed("keys"), "[]");
}

Test(option, prints_zero_without_a_unit_and_the_largest_unit_otherwise)
{
    settings.duration = 0;
    cr_assert_str_eq(printed("idle_timeout"), "0");
    settings.duration = 86400000;
    cr_assert_str_eq(printed("idle_timeout"), "24h");
    settings.duration = 1001;
    cr_assert_str_eq(printed("idle_timeout"), "1001ms");
    settings.size = 3 << 20;
    cr_assert_str_eq(printed("send_buffer"), "3MiB");
    settings.size = 4097;
    cr_assert_str_eq(printed("send_buffer"), "4097B");
}

Test(option, quotes_text_for_yaml)
{
    cr_assert_eq(set("prefix", "a\"b\\c\n\t\x01\x7f\xc3\xa9: #"), 0);
    cr_assert_str_eq(printed("prefix"), "\"a\\\"b\\\\c\\n\\t\\x01\\x7f\xc3\xa9: #\"");
}

Test(option, never_prints_a_secret)
{
    cr_assert_eq(set("keys", "alpha,beta"), 0);
    cr_assert_str_eq(settings.secrets.items[1], "beta");
    cr_assert_str_eq(printed("keys"), "[\"***\", \"***\"]");
}

Test(option, a_refused_secret_is_not_repeated)
{
    cr_assert_eq(set("keys", "alpha,,beta"), -EINVAL);
    cr_assert_null(strstr(said, "alpha"));
    cr_assert_eq(set_slice("keys", slice_of("alpha\0", 6)), -EINVAL);
    cr_assert_null(strstr(said, "alpha"));
}

Test(option, a_wrong_value_is_repeated_cut_and_without_control_bytes)
{
    assert_refused("enabled", "a\nb\x1b\xff", "\"a\\nb\\x1b?\" is neither true nor false");
    assert_refused("enabled", "0123456789012345678901234567890123456789012345678",
                   "\"012345678901234567890123456789012345678901234567...\" is neither true nor false");
}

Test(option, what_is_printed_is_read_back_as_the_same_number)
{
    struct random random;
    random_init(&random, 20260512);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = random_u64(&random) >> random_below(&random, 64), read;
        static const uint64_t factors[] = {1, 1000, 1024, 60000, 3600000, 1 << 20, 1 << 30};
        uint64_t factor = factors[random_below(&random, sizeof factors / sizeof *factors)];
        value = value > UINT64_MAX / factor ? value : value * factor;
        settings.duration = settings.size = value;
        cr_assert_eq(option_parse_duration(slice_text(printed("idle_timeout")), &read), 0);
        cr_assert_eq(read, value);
        cr_assert_eq(option_parse_size(slice_text(printed("send_buffer")), &read), 0);
        cr_assert_eq(read, value);
    }
}

/* A model of the grammar over sscanf: digits, then one of the units, and nothing else. */
static bool model_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return false;
    uint64_t number = strtoull(text, NULL, 10);
    *ms = 0;
    if (text[digits] == '\0')
        return number == 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + digits, units[i].unit) == 0) {
            *ms = number * units[i].factor;
            return true;
        }
    }
    return false;
}

Test(option, agrees_with_a_model_on_random_texts)
{
    struct random random;
    random_init(&random, 20260513);
    uint32_t taken = 0;
    for (int i = 0; i < 50000; i++) {
        char text[8] = "";
        size_t bytes = random_below(&random, sizeof text);
        for (size_t k = 0; k < bytes; k++)
            text[k] = "0123456789msh .-K"[random_below(&random, k + 2 < bytes ? 10 : 17)];
        uint64_t ms = 7, expected = 7;
        bool good = option_parse_duration(guarded(slice_text(text)), &ms) == 0;
        cr_assert_eq(good, model_duration(text, &expected), "\"%s\"", text);
        cr_assert(!good || ms == expected, "\"%s\"", text);
        taken += good;
    }
    cr_assert_gt(taken, 1000, "the texts hold enough right ones");
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static const char *nearest_of(const char *name)
{
    const char *nearest = "unset";
    cr_assert_null(option_find(table, guarded(slice_text(name)), &nearest), "%s", name);
    return nearest;
}

Test(option, finds_rows_by_their_whole_name)
{
    cr_assert_eq(option_find(table, slice_text("prefix"), NULL), &table[6]);
    cr_assert_null(option_find(table, slice_text("prefi"), NULL));
    cr_assert_null(option_find(table, slice_text("prefixes"), NULL));
    cr_assert_null(option_find(table, slice_text(""), NULL));
}

Test(option, suggests_the_closest_name)
{
    cr_assert_str_eq(nearest_of("idle_timout"), "idle_timeout");
    cr_assert_str_eq(nearest_of("idle-timeout"), "idle_timeout");
    cr_assert_str_eq(nearest_of("conections_max"), "connections_max");
    cr_assert_str_eq(nearest_of("key"), "keys");
    cr_assert_str_eq(nearest_of("keyss"), "keys");
}

Test(option, suggests_the_first_of_several_as_close)
{
    static const struct option two[] = {{.name = "window_a"}, {.name = "window_b"}, {0}};
    const char *nearest;
    cr_assert_null(option_find(two, slice_text("window_c"), &nearest));
    cr_assert_str_eq(nearest, "window_a");
}

Test(option, suggests_nothing_far_away)
{
    cr_assert_null(nearest_of("zzzzz"));
    cr_assert_null(nearest_of(""));
    cr_assert_null(nearest_of("ab"));
    cr_assert_null(nearest_of("kexx"), "two of four bytes differ");
    cr_assert_null(nearest_of("xxxxkeys"), "four bytes too many");
    char long_name[100];
    memset(long_name, 'k', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    cr_assert_null(nearest_of(long_name));
}

Test(option, release_frees_what_the_rows_own_and_may_be_repeated)
{
    option_release(&settings, table);
    cr_assert_null(settings.text);
    cr_assert_null(settings.list.items);
    cr_assert_eq(settings.list.count, 0);
    option_release(&settings, table);
}
