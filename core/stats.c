/* SPDX-License-Identifier: MIT */
/* Owns the text form of the counters: Prometheus' exposition format 0.0.4, one HELP and TYPE per metric, one line per
 * row of stats.def. It never counts anything and never resets a counter. Called by the metrics page. */
#include "core/stats.h"

#include "core/buf.h"

enum stat_kind { COUNTER, GAUGE };

struct stat_row {
    const char *name;
    const char *labels; /* `label="value"`, comma-separated, or "" */
    enum stat_kind kind;
    const char *help;
};

static const struct stat_row rows[STATS] = {
#define STAT(id, name, labels, kind, help) [STAT_##id] = {name, labels, kind, help},
#include "core/stats.def"
#undef STAT
};

static void put_header(struct buf *out, const struct stat_row *row)
{
    buf_put_text(out, "# HELP ");
    buf_put_text(out, row->name);
    buf_put_byte(out, ' ');
    buf_put_text(out, row->help);
    buf_put_text(out, "\n# TYPE ");
    buf_put_text(out, row->name);
    buf_put_text(out, row->kind == COUNTER ? " counter\n" : " gauge\n");
}

static void put_sample(struct buf *out, const struct stat_row *row, uint64_t value)
{
    buf_put_text(out, row->name);
    if (row->labels[0] != '\0') {
        buf_put_byte(out, '{');
        buf_put_text(out, row->labels);
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ' ');
    buf_put_u64(out, value);
    buf_put_byte(out, '\n');
}

/* Modulo 2^64: a gauge that one shard raises and another lowers still sums up right. */
static uint64_t sum_over(const struct stats *const *all, uint32_t count, enum stat_id stat)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += stats_get(all[i], stat);
    return sum;
}

void stats_print(const struct stats *const *all, uint32_t count, struct buf *out)
{
    for (enum stat_id stat = 0; stat < STATS; stat++) {
        const struct stat_row *row = &rows[stat];
        if (stat == 0 || strcmp(row->name, rows[stat - 1].name) != 0)
            put_header(out, row);
        put_sample(out, row, sum_over(all, count, stat));
    }
}
