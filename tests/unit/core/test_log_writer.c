/* SPDX-License-Identifier: MIT */
/* The thread that writes the log: who logs never waits, and what was lost is said (H3 of the hostile peers: a reader
 * that stops). Run by unit_core. */
#include "core/log.h"
#include "core/log_writer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int ends[2];

static void begin(int flags)
{
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(ends, flags), 0);
    log_configure(LOG_INFO, LOG_LOGFMT);
    log_redirect(ends[1]);
    cr_assert_eq(log_writer_start(), 0);
}

static char text[8 << 20]; /* what has been read so far */
static size_t used;

static const char *read_more(void)
{
    ssize_t bytes = read(ends[0], text + used, sizeof text - 1 - used);
    cr_assert_gt(bytes, 0);
    used += (size_t)bytes;
    text[used] = '\0';
    return text;
}

static void log_number(uint32_t number)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "line");
    log_u64(&line, "number", number);
    log_end(&line);
}

Test(log_writer, has_the_time_zone_read_before_any_thread_logs)
{
    setenv("TZ", "ABC-3", 1);
    begin(0);
    cr_assert_str_eq(tzname[0], "ABC");
    cr_assert(log_writer_stop(60000));
}

Test(log_writer, writes_lines_in_order_and_ends_when_all_are_out)
{
    begin(0);
    for (uint32_t i = 0; i < 100; i++)
        log_number(i);
    cr_assert(log_writer_stop(60000));
    const char *at = read_more();
    for (uint32_t i = 0; i < 100; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "msg=\"line\" number=%u\n", i);
        at = strstr(at, wanted);
        cr_assert_not_null(at, "line %u", i);
    }
    log_message(LOG_INFO, "by itself"); /* as before the start */
    cr_assert_not_null(strstr(read_more(), "by itself"));
    cr_assert_eq(log_writer_dropped(), 0);
}

/* How many lines were said to be dropped in what was read up to the last newline. */
static uint64_t said_in(const char *at)
{
    static const char words[] = "msg=\"log lines were dropped\" count=";
    uint64_t said = 0;
    while ((at = strstr(at, words)) != NULL && strchr(at, '\n') != NULL)
        said += strtoul(at += strlen(words), NULL, 10);
    return said;
}

/* With a log_end that writes by itself this test does not end. */
static void fill_a_pipe_that_nobody_reads(int flags)
{
    enum { LINES = 20000 };
    begin(flags);
    fcntl(ends[0], F_SETFL, 0);
    for (uint32_t i = 0; i < LINES; i++)
        log_number(i);
    cr_assert_not(log_writer_flush(20), "nobody has read");
    uint64_t dropped = log_writer_dropped(), lines = 0;
    cr_assert_gt(dropped, 0);
    while (said_in(text) < dropped)
        read_more();
    cr_assert_eq(said_in(text), dropped);
    uint32_t next = 0;
    for (const char *at = text; (at = strstr(at, "msg=\"line\" number=")) != NULL; lines++) {
        uint32_t number = (uint32_t)strtoul(at += strlen("msg=\"line\" number="), NULL, 10);
        cr_assert_geq(number, next, "in order");
        next = number + 1;
    }
    cr_assert_eq(lines + dropped, LINES);
    cr_assert(log_writer_stop(60000));
}

Test(log_writer, a_reader_that_stops_costs_lines_and_these_are_counted_and_said)
{
    fill_a_pipe_that_nobody_reads(0);
}

Test(log_writer, a_descriptor_that_does_not_block_costs_no_more_lines)
{
    fill_a_pipe_that_nobody_reads(O_NONBLOCK);
}

Test(log_writer, a_stop_does_not_wait_for_ever_for_a_reader)
{
    begin(0);
    for (uint32_t i = 0; i < 20000; i++)
        log_number(i);
    cr_assert_not(log_writer_stop(50));
    log_number(0); /* goes nowhere, and waits for nobody */
}

Test(log_writer, lines_that_cannot_be_written_are_counted)
{
    begin(0);
    close(ends[0]);
    for (uint32_t i = 0; i < 10; i++)
        log_number(i);
    cr_assert(log_writer_stop(60000));
    cr_assert_eq(log_writer_dropped(), 10);

    log_redirect(open("/dev/full", O_WRONLY | O_CLOEXEC));
    cr_assert_eq(log_writer_start(), 0);
    log_number(10);
    cr_assert(log_writer_stop(60000));
    cr_assert_eq(log_writer_dropped(), 11);
}
