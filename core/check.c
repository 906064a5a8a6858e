/* SPDX-License-Identifier: MIT */
/* Owns the last words of a process that has found a bug of its own: one line, then the abort. It never writes anywhere
 * itself and never returns; the line goes to whoever has set check_report. Called by check() and check_op(), from
 * everywhere. */
#include "core/check.h"

#include "core/buf.h"

#include <stdlib.h>

#define LINE_BYTES 512

check_report_fn *check_report;

/* Puts as much of the text as there is room for: a cut line is better than none. */
static void put_cut(struct buf *line, const char *text)
{
    size_t room = line->capacity - line->used;
    size_t bytes = strlen(text);
    buf_put(line, slice_of(text, bytes < room ? bytes : room));
}

static void put_place(struct buf *line, const char *file, int number)
{
    put_cut(line, file);
    buf_put_byte(line, ':');
    buf_put_i64(line, number);
    buf_put_text(line, ": check failed");
}

/* Reports at most once, also when the report itself fails a check. */
static _Noreturn void report_and_abort(struct buf *line)
{
    check_report_fn *report = check_report;
    check_report = NULL;
    line->data[line->used] = '\0';
    if (report != NULL)
        report((const char *)line->data);
    abort();
}

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    char memory[LINE_BYTES];
    struct buf out = buf_of(memory, sizeof memory - 1);
    put_place(&out, file, line);
    buf_put_text(&out, ": ");
    put_cut(&out, what);
    report_and_abort(&out);
}

_Noreturn void check_failed_pair(const char *file, int line, const char *what, uint64_t left, uint64_t right)
{
    char memory[LINE_BYTES];
    struct buf out = buf_of(memory, sizeof memory - 1);
    put_place(&out, file, line);
    buf_put_text(&out, " (left ");
    buf_put_u64(&out, left);
    buf_put_text(&out, ", right ");
    buf_put_u64(&out, right);
    buf_put_text(&out, "): ");
    put_cut(&out, what);
    report_and_abort(&out);
}
