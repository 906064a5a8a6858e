/* SPDX-License-Identifier: MIT */
/* Log lines: their two forms, the escaping of values, and the one write that puts a line out where no writer's thread
 * runs. It never allocates, locks, or lets a value break out of its line: control characters and what is no UTF-8 are
 * escaped, long values are cut, and a line that is full says so. Called by shards and main; by failed checks through
 * check_report. */
#include "core/log.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/dying.h"
#include "core/log_writer.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* A value of more escaped bytes is cut, so that a peer's input does not push the other fields out of the line. */
#define VALUE_BYTES_MAX 384
/* Kept back for the end of the line: ` cut=true` or `,"cut":true}`, and the newline. */
#define TAIL_BYTES 16

/* The log is process-wide, as stderr is. Settings may change on a reload while other threads log. */
static _Atomic int log_level_now = LOG_INFO;
static _Atomic int log_format_now = LOG_LOGFMT;
static _Atomic int log_fd = STDERR_FILENO;

#define FLUSH_MS 200 /* for what others have logged before the process dies */

/* Past the queue: its thread may not live to write it. */
static void report_check(const char *what)
{
    struct log_line line;
    dying_begin();
    log_begin(&line, LOG_ERROR, what);
    log_writer_flush(FLUSH_MS);
    if (!line.off && log_descriptor() >= 0)
        dying_write(log_descriptor(), log_finish(&line));
}

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&log_level_now, level, memory_order_relaxed);
    atomic_store_explicit(&log_format_now, format, memory_order_relaxed);
    check_report = report_check;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

void log_redirect(int fd)
{
    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

int log_descriptor(void)
{
    return atomic_load_explicit(&log_fd, memory_order_relaxed);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at the start of `text` (RFC 3629 section 4), 0 when it is none. */
static size_t utf8_sequence(struct slice text)
{
    const uint8_t *p = text.data;
    size_t bytes = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (bytes == 0 || bytes > text.bytes)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return overlong || outside ? 0 : bytes;
}

static void put_escape(struct buf *out, uint8_t code)
{
    switch (code) {
    case '"':
    case '\\':
        buf_put_byte(out, '\\');
        buf_put_byte(out, code);
        break;
    case '\n':
        buf_put_text(out, "\\n");
        break;
    case '\r':
        buf_put_text(out, "\\r");
        break;
    case '\t':
        buf_put_text(out, "\\t");
        break;
    default:
        buf_put_text(out, "\\u");
        buf_put_hex(out, code, 4);
        break;
    }
}

/* Puts the first character of `text`, escaped as in a JSON string (RFC 8259 section 7); its length in `text`. Control
 * characters of both sets are escaped, since terminals obey them: U+0000-001F, U+007F-009F. */
static size_t put_character(struct buf *out, struct slice text)
{
    size_t bytes = utf8_sequence(text);
    uint8_t first = text.data[0];
    if (bytes == 0) {
        buf_put_text(out, "\\ufffd");
        return 1;
    }
    if (bytes == 1 && (first < 0x20 || first == 0x7f || first == '"' || first == '\\'))
        put_escape(out, first);
    else if (bytes == 2 && first == 0xc2 && text.data[1] < 0xa0)
        put_escape(out, text.data[1]);
    else
        buf_put(out, slice_of(text.data, bytes));
    return bytes;
}

static void put_quoted(struct buf *out, struct slice value)
{
    size_t start = out->used;
    buf_put_byte(out, '"');
    while (value.bytes > 0 && out->used - start < VALUE_BYTES_MAX && !out->overflow)
        value = slice_skip(value, put_character(out, value));
    buf_put_text(out, value.bytes > 0 ? "...\"" : "\"");
}

/* Whether logfmt can show the value without quotes and every reader still finds its end. */
static bool is_bare(struct slice value)
{
    if (value.bytes == 0 || value.bytes > VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < value.bytes; i++) {
        uint8_t c = value.data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static bool is_json(void)
{
    return atomic_load_explicit(&log_format_now, memory_order_relaxed) == LOG_JSON;
}

/* A line keeps the form it began with, whatever a reload does meanwhile. */
static bool line_is_json(const struct log_line *line)
{
    return line->memory[0] == '{';
}

static void put_key(struct log_line *line, const char *key)
{
    bool json = line_is_json(line);
    buf_put_text(&line->out, json ? ",\"" : " ");
    buf_put_text(&line->out, key);
    buf_put_text(&line->out, json ? "\":" : "=");
}

/* Ends a field that began at `mark`: it stands there whole or not at all. */
static void end_field(struct log_line *line, size_t mark)
{
    if (line->out.overflow)
        line->out.used = mark;
}

/* 2026-05-11T10:00:00.000Z (RFC 3339). */
static void put_time(struct buf *out, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32];
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &utc);
    buf_put_text(out, text);
    for (unsigned ms = (unsigned)(wall_ms % 1000), unit = 100; unit > 0; ms %= unit, unit /= 10)
        buf_put_byte(out, (uint8_t)('0' + ms / unit));
    buf_put_byte(out, 'Z');
}

void log_begin(struct log_line *line, enum log_level level, const char *message)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    line->off = !log_enabled(level);
    if (line->off)
        return;
    bool json = is_json();
    line->out = buf_of(line->memory, sizeof line->memory - TAIL_BYTES);
    buf_put_text(&line->out, json ? "{\"time\":\"" : "time=");
    put_time(&line->out, clock_wall_ms());
    buf_put_text(&line->out, json ? "\",\"level\":\"" : " level=");
    buf_put_text(&line->out, names[level]);
    buf_put_text(&line->out, json ? "\",\"msg\":" : " msg=");
    put_quoted(&line->out, slice_text(message));
}

void log_slice(struct log_line *line, const char *key, struct slice value)
{
    if (line->off)
        return;
    size_t mark = line->out.used;
    put_key(line, key);
    if (!line_is_json(line) && is_bare(value))
        buf_put(&line->out, value);
    else
        put_quoted(&line->out, value);
    end_field(line, mark);
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    log_slice(line, key, slice_text(value));
}

void log_u64(struct log_line *line, const char *key, uint64_t value)
{
    if (line->off)
        return;
    size_t mark = line->out.used;
    put_key(line, key);
    buf_put_u64(&line->out, value);
    end_field(line, mark);
}

void log_errno(struct log_line *line, const char *key, int error)
{
    int number = error < 0 ? -error : error;
    const char *description =
        strerrordesc_np(number); /* unlike strerror safe in threads, and the same in all locales */
    uint8_t memory[96];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, description != NULL ? description : "unknown error");
    buf_put_text(&text, " (");
    buf_put_i64(&text, number);
    buf_put_text(&text, ")");
    log_slice(line, key, buf_slice(&text));
}

/* --- output ------------------------------------------------------------------------------------------------------- */

static void put_out(struct slice line)
{
    int fd = log_descriptor();
    if (fd < 0 || log_writer_put(line))
        return;
    int before = errno;
    ssize_t written;
    do
        written = write(fd, line.data, line.bytes);
    while (written < 0 && errno == EINTR); /* nobody could be told of any other failure */
    errno = before;
}

struct slice log_finish(struct log_line *line)
{
    bool json = line_is_json(line);
    bool cut = line->out.overflow;
    line->out.capacity = sizeof line->memory;
    line->out.overflow = false;
    if (cut)
        buf_put_text(&line->out, json ? ",\"cut\":true" : " cut=true");
    buf_put_text(&line->out, json ? "}\n" : "\n");
    check(!line->out.overflow);
    return buf_slice(&line->out);
}

void log_end(struct log_line *line)
{
    if (!line->off)
        put_out(log_finish(line));
}

void log_message(enum log_level level, const char *message)
{
    struct log_line line;
    log_begin(&line, level, message);
    log_end(&line);
}
