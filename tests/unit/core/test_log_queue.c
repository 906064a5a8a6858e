/* SPDX-License-Identifier: MIT */
/* The ring of log lines: order, bounds and several producers at once. Run by unit_core. */
#include "core/log_queue.h"
#include "core/thread.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static struct log_queue queue;

static const char *next_line(void)
{
    static uint8_t line[LOG_QUEUE_LINE_BYTES_MAX + 1];
    size_t bytes = log_queue_peek(&queue, line);
    line[bytes] = '\0';
    if (bytes > 0)
        log_queue_drop(&queue);
    return (const char *)line;
}

Test(log_queue, gives_lines_of_every_length_back_in_order)
{
    static char line[LOG_QUEUE_LINE_BYTES_MAX + 1];
    for (size_t bytes = 1; bytes <= LOG_QUEUE_LINE_BYTES_MAX; bytes++) { /* 8 MiB: many times around the end */
        memset(line, 'a' + (int)(bytes % 26), bytes);
        cr_assert(log_queue_is_empty(&queue));
        cr_assert(log_queue_put(&queue, slice_of(line, bytes)));
        cr_assert(log_queue_put(&queue, slice_text("next")));
        cr_assert_not(log_queue_is_empty(&queue));
        cr_assert_str_eq(next_line(), line);
        cr_assert_str_eq(next_line(), "next");
        cr_assert_str_eq(next_line(), "");
    }
}

Test(log_queue, refuses_what_it_has_no_room_for_and_takes_lines_again_behind_that)
{
    char line[100] = "";
    for (int round = 0; round < 5; round++) {
        uint32_t put = 0, got = 0;
        while (snprintf(line, sizeof line, "%099u", put) > 0 && log_queue_put(&queue, slice_text(line)))
            put++;
        cr_assert_eq(put, LOG_QUEUE_BYTES / (8 + 104));
        for (; got < put; got++) {
            snprintf(line, sizeof line, "%099u", got);
            cr_assert_str_eq(next_line(), line);
        }
        cr_assert(log_queue_is_empty(&queue));
    }
}

#define PRODUCERS 4
#define LINES 20000

static void produce(void *argument)
{
    char line[64];
    for (uint32_t i = 0; i < LINES; i++) {
        size_t bytes = (size_t)snprintf(line, sizeof line, "%c %u %.*s", *(const char *)argument, i, (int)(i % 40),
                                        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        while (!log_queue_put(&queue, slice_of(line, bytes)))
            sched_yield();
    }
}

Test(log_queue, keeps_the_order_of_each_of_several_producers)
{
    struct thread threads[PRODUCERS];
    static char names[PRODUCERS] = {'a', 'b', 'c', 'd'};
    uint32_t next[PRODUCERS] = {0};
    for (int i = 0; i < PRODUCERS; i++)
        cr_assert_eq(thread_start(&threads[i], "producer", -1, produce, &names[i]), 0);
    for (uint32_t total = 0; total < PRODUCERS * LINES;) {
        const char *line = next_line();
        if (line[0] == '\0') {
            sched_yield();
            continue;
        }
        uint32_t *number = &next[line[0] - 'a'];
        cr_assert_eq(strtoul(line + 2, NULL, 10), *number);
        cr_assert_eq(strlen(strrchr(line, ' ') + 1), *number % 40);
        (*number)++;
        total++;
    }
    for (int i = 0; i < PRODUCERS; i++)
        thread_join(&threads[i]);
    cr_assert(log_queue_is_empty(&queue));
}
