/* SPDX-License-Identifier: MIT */
/* Log lines as they are written, byte for byte behind the time, in both forms (A-59: keys masked is the callers'
 * part). */
#include "core/check.h"
#include "core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIME_BYTES 24 /* 2026-05-11T10:00:00.000Z */

static int pipe_ends[2];
static char written[8192];

static void catch_lines(enum log_level level, enum log_format format)
{
    cr_assert_eq(pipe2(pipe_ends, O_NONBLOCK), 0);
    log_configure(level, format);
    log_redirect(pipe_ends[1]);
}

/* What was logged since the last call; "" when nothing was. */
static const char *lines(void)
{
    ssize_t bytes = read(pipe_ends[0], written, sizeof written - 1);
    written[bytes < 0 ? 0 : bytes] = '\0';
    return written;
}

/* One logfmt line without its time. */
static const char *line_behind_time(void)
{
    const char *line = lines();
    cr_assert_eq(strncmp(line, "time=", 5), 0);
    cr_assert_eq(line[strlen(line) - 1], '\n');
    written[strlen(line) - 1] = '\0';
    return line + 5 + TIME_BYTES + 1;
}

static void log_value(const char *value)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "m");
    log_text(&line, "k", value);
    log_end(&line);
}

Test(log, writes_logfmt)
{
    catch_lines(LOG_DEBUG, LOG_LOGFMT);
    struct log_line line;
    log_begin(&line, LOG_WARN, "slow consumer");
    log_text(&line, "peer", "127.0.0.1:80");
    log_slice(&line, "path", slice_of("/a b", 4));
    log_u64(&line, "lag", UINT64_MAX);
    log_errno(&line, "error", -ECONNRESET);
    log_end(&line);
    cr_assert_str_eq(line_behind_time(), "level=warn msg=\"slow consumer\" peer=127.0.0.1:80 path=\"/a b\" "
                                         "lag=18446744073709551615 error=\"Connection reset by peer (104)\"");
}

Test(log, writes_json)
{
    catch_lines(LOG_DEBUG, LOG_JSON);
    struct log_line line;
    log_begin(&line, LOG_DEBUG, "say \"hi\"");
    log_text(&line, "peer", "127.0.0.1:80");
    log_u64(&line, "lag", 7);
    log_errno(&line, "error", ENOENT);
    log_end(&line);
    const char *json = lines();
    cr_assert_eq(strncmp(json, "{\"time\":\"", 9), 0);
    cr_assert_str_eq(json + 9 + TIME_BYTES,
                     "\",\"level\":\"debug\",\"msg\":\"say \\\"hi\\\"\",\"peer\":\"127.0.0.1:80\","
                     "\"lag\":7,"
                     "\"error\":\"No such file or directory (2)\"}\n");
}

Test(log, time_is_rfc_3339_in_utc)
{
    catch_lines(LOG_INFO, LOG_LOGFMT);
    log_message(LOG_INFO, "x");
    int year, month, day, hour, minute, second, ms;
    int used = 0;
    cr_assert_eq(sscanf(lines(), "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute, &second,
                        &ms, &used),
                 7);
    cr_assert_eq(used, 5 + TIME_BYTES);
    struct tm utc = {.tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = hour,
                     .tm_min = minute,
                     .tm_sec = second};
    cr_assert_leq(llabs((long long)timegm(&utc) - (long long)time(NULL)), 5);
}

Test(log, keeps_to_its_level)
{
    catch_lines(LOG_WARN, LOG_LOGFMT);
    cr_assert(log_enabled(LOG_ERROR));
    cr_assert(log_enabled(LOG_WARN));
    cr_assert_not(log_enabled(LOG_INFO));
    struct log_line line;
    log_begin(&line, LOG_INFO, "not shown");
    log_text(&line, "k", "v");
    log_u64(&line, "n", 1);
    log_errno(&line, "e", 1);
    log_end(&line);
    cr_assert_str_eq(lines(), "");
    log_message(LOG_ERROR, "shown");
    cr_assert_str_eq(line_behind_time(), "level=error msg=\"shown\"");
    log_redirect(-1);
    log_message(LOG_ERROR, "nowhere");
    cr_assert_str_eq(lines(), "");
}

Test(log, quotes_and_escapes_what_could_break_a_line)
{
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain", "k=plain"},
        {"", "k=\"\""},
        {"a=b", "k=\"a=b\""},
        {"back\\slash", "k=\"back\\\\slash\""},
        {"\" level=error", "k=\"\\\" level=error\""},
        {"two\nlines\r\ttab", "k=\"two\\nlines\\r\\ttab\""},
        {"\x1b[31mred\x7f", "k=\"\\u001b[31mred\\u007f\""},
        {"\xc2\x9b"
         "31m",
         "k=\"\\u009b31m\""}, /* CSI of the second control set */
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "k=\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"\xff", "k=\"\\ufffd\""},
        {"\xc3", "k=\"\\ufffd\""},                                  /* ends in the middle */
        {"\xc0\xaf", "k=\"\\ufffd\\ufffd\""},                       /* overlong */
        {"\xe0\x80\xaf", "k=\"\\ufffd\\ufffd\\ufffd\""},            /* overlong */
        {"\xed\xa0\x80", "k=\"\\ufffd\\ufffd\\ufffd\""},            /* a surrogate */
        {"\xf4\x90\x80\x80", "k=\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond U+10FFFF */
    };
    catch_lines(LOG_INFO, LOG_LOGFMT);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        log_value(cases[i].value);
        cr_assert_str_eq(line_behind_time() + strlen("level=info msg=\"m\" "), cases[i].shown);
    }
}

Test(log, cuts_long_values_and_says_when_fields_are_left_out)
{
    catch_lines(LOG_INFO, LOG_LOGFMT);
    char value[4096];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';

    struct log_line line;
    log_begin(&line, LOG_INFO, "m");
    log_text(&line, "long", value);
    log_text(&line, "next", "here");
    log_end(&line);
    const char *shown = line_behind_time();
    cr_assert_not_null(strstr(shown, "vvv...\" next=here"));
    cr_assert_lt(strlen(shown), 450);

    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        log_configure(LOG_INFO, (enum log_format)format);
        log_begin(&line, LOG_INFO, value);
        for (int i = 0; i < 10; i++)
            log_text(&line, "k", value);
        log_u64(&line, "n", 1);
        log_end(&line);
        shown = lines();
        const char *tail = format == LOG_JSON ? "v...\",\"cut\":true}\n" : "v...\" cut=true\n";
        cr_assert_str_eq(shown + strlen(shown) - strlen(tail), tail);
        cr_assert_leq(strlen(shown), sizeof line.memory);
    }
}

/* However full the line is, its end fits. */
Test(log, ends_whole_at_every_length)
{
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        catch_lines(LOG_INFO, (enum log_format)format);
        for (size_t length = 0; length < 1700; length++) {
            struct log_line line;
            log_begin(&line, LOG_INFO, "m");
            char one[2] = "v";
            for (size_t i = 0; i < length / 8; i++) /* ` key=vvv` is 8 bytes */
                log_text(&line, "key", "vvv");
            for (size_t i = 0; i < length % 8; i++)
                log_text(&line, "", one);
            log_end(&line);
            const char *shown = lines();
            size_t bytes = strlen(shown);
            cr_assert(bytes > 0 && bytes <= sizeof line.memory);
            cr_assert_eq(shown[bytes - 1], '\n');
            cr_assert(format == LOG_LOGFMT || shown[bytes - 2] == '}');
        }
    }
}

Test(log, a_failed_check_is_a_line_before_the_end)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        log_configure(LOG_ERROR, LOG_LOGFMT);
        log_redirect(ends[1]);
        check_op(1, ==, 2);
    }
    char line[512] = "";
    cr_assert_gt(read(ends[0], line, sizeof line - 1), 0);
    cr_assert_not_null(strstr(line, "level=error"), "%s", line);
    cr_assert_not_null(strstr(line, "1 == 2"), "%s", line);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
