/* SPDX-License-Identifier: MIT */
/* Proves how counters are counted and printed, and that the rows of stats.def give a page that Prometheus can read.
 * Reads the page back with a small parser of its own. Run by unit_core. */
#include "core/buf.h"
#include "core/stats.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_BYTES (1U << 17)

/* An own view of the rows, so that the page is not held against the table that printed it. */
static const char *const row_names[STATS] = {
#define STAT(id, name, labels, kind, help) name,
#include "core/stats.def"
#undef STAT
};
static const char *const row_labels[STATS] = {
#define STAT(id, name, labels, kind, help) labels,
#include "core/stats.def"
#undef STAT
};
static const char *const row_kinds[STATS] = {
#define STAT(id, name, labels, kind, help) #kind,
#include "core/stats.def"
#undef STAT
};
static const char *const row_helps[STATS] = {
#define STAT(id, name, labels, kind, help) help,
#include "core/stats.def"
#undef STAT
};

static char page[PAGE_BYTES];

static void print_page(const struct stats *const *all, uint32_t count)
{
    struct buf out = buf_of(page, sizeof page - 1);
    stats_print(all, count, &out);
    cr_assert_not(out.overflow);
    page[out.used] = '\0';
}

static uint64_t sample(enum stat_id stat)
{
    char line[512];
    snprintf(line, sizeof line, row_labels[stat][0] == '\0' ? "\n%s%s " : "\n%s{%s} ", row_names[stat],
             row_labels[stat]);
    const char *at = strstr(page, line);
    cr_assert_not_null(at, "no sample%s", line);
    cr_assert_null(strstr(at + 1, line), "two samples%s", line);
    return strtoull(at + strlen(line), NULL, 10);
}

Test(stats, counts_up_down_and_sets)
{
    struct stats stats = {0};
    stats_add(&stats, 0, 5);
    stats_sub(&stats, 0, 2);
    cr_assert_eq(stats_get(&stats, 0), 3);
    stats_set(&stats, 0, 40);
    cr_assert_eq(stats_get(&stats, 0), 40);
    cr_assert_eq(stats_get(&stats, 1), 0);
}

Test(stats, prints_each_row_once_summed_over_all_shards)
{
    static struct stats shards[3];
    const struct stats *all[3] = {&shards[0], &shards[1], &shards[2]};
    for (enum stat_id stat = 0; stat < STATS; stat++)
        for (uint64_t i = 0; i < 3; i++)
            stats_set(&shards[i], stat, (stat + 1) * (i + 1));
    print_page(all, 3);
    for (enum stat_id stat = 0; stat < STATS; stat++)
        cr_assert_eq(sample(stat), 6 * ((uint64_t)stat + 1));
}

Test(stats, a_gauge_raised_on_one_shard_and_lowered_on_another_sums_up)
{
    static struct stats shards[2];
    const struct stats *all[2] = {&shards[0], &shards[1]};
    stats_add(&shards[0], STATS - 1, 3);
    stats_sub(&shards[1], STATS - 1, 1);
    print_page(all, 2);
    cr_assert_eq(sample(STATS - 1), 2);
}

Test(stats, prints_zeros_for_no_shards)
{
    print_page(NULL, 0);
    for (enum stat_id stat = 0; stat < STATS; stat++)
        cr_assert_eq(sample(stat), 0);
}

static uint32_t lines_with(const char *front, const char *name)
{
    char text[256];
    uint32_t count = 0;
    snprintf(text, sizeof text, "# %s %s ", front, name);
    for (const char *at = page; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

Test(stats, each_metric_has_one_help_and_one_type_before_its_samples)
{
    print_page(NULL, 0);
    for (enum stat_id stat = 0; stat < STATS; stat++) {
        char type[256];
        cr_assert_eq(lines_with("HELP", row_names[stat]), 1, "%s: rows of one metric stand together", row_names[stat]);
        snprintf(type, sizeof type, "\n# TYPE %s %s\n%s", row_names[stat],
                 strcmp(row_kinds[stat], "COUNTER") == 0 ? "counter" : "gauge", row_names[stat]);
        cr_assert_not_null(strstr(page, type), "%s has one kind", row_names[stat]);
    }
}

static bool is_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return false;
    return strncmp(name, "ringcast_", 9) == 0;
}

static bool ends_in_total(const char *name)
{
    return strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
}

Test(stats, names_follow_prometheus_conventions)
{
    for (enum stat_id stat = 0; stat < STATS; stat++) {
        cr_assert(is_name(row_names[stat]), "%s", row_names[stat]);
        cr_assert_eq(ends_in_total(row_names[stat]), strcmp(row_kinds[stat], "COUNTER") == 0, "%s", row_names[stat]);
    }
}

/* label="value" separated by commas; a value has no quote, backslash or newline, so nothing needs an escape. */
static bool are_labels(const char *labels)
{
    while (*labels != '\0') {
        size_t key = strspn(labels, "abcdefghijklmnopqrstuvwxyz_");
        if (key == 0 || strncmp(labels + key, "=\"", 2) != 0)
            return false;
        labels += key + 2;
        labels += strcspn(labels, "\"\\\n");
        if (*labels != '"')
            return false;
        labels++;
        if (*labels == ',' && labels[1] != '\0')
            labels++;
        else if (*labels != '\0')
            return false;
    }
    return true;
}

Test(stats, labels_and_help_need_no_escape)
{
    for (enum stat_id stat = 0; stat < STATS; stat++) {
        cr_assert(are_labels(row_labels[stat]), "%s", row_labels[stat]);
        cr_assert_null(strpbrk(row_helps[stat], "\\\n"), "%s", row_helps[stat]);
        bool first = stat == 0 || strcmp(row_names[stat], row_names[stat - 1]) != 0;
        cr_assert(!first || row_helps[stat][0] != '\0', "%s has no help", row_names[stat]);
    }
}

Test(stats, a_page_that_does_not_fit_says_so)
{
    char memory[100];
    struct buf out = buf_of(memory, sizeof memory);
    stats_print(NULL, 0, &out);
    cr_assert(out.overflow);
}
