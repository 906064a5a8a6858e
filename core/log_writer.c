/* SPDX-License-Identifier: MIT */
/* Owns the queue of log lines, the thread that empties it into the log's descriptor, and the count of what was lost.
 * It never makes anybody wait who logs: beyond the queue's bound lines are dropped, counted, and said when the reader
 * is back. Started and stopped by the server; log_end puts lines in from every thread. */
#include "core/log_writer.h"

#include "core/check.h"
#include "core/log.h"
#include "core/log_queue.h"
#include "core/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SAY_MS 1000  /* between two lines about dropped ones, while the queue does not run empty */
#define RETRY_MS 100 /* on a descriptor that does not block and takes nothing */

enum { OFF, RUNNING, STOPPING };

/* Process-wide, as stderr is. */
static struct writer {
    struct log_queue queue;
    struct thread thread;
    _Atomic int state;
    _Atomic uint32_t asleep; /* a futex: 1 while the thread sleeps */
    _Atomic uint64_t dropped;
    uint64_t said; /* of these; the thread's */
} writer;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- those who log ------------------------------------------------------------------------------------------------ */

/* Behind a put or a change of state. The fence and that of sleep_until_woken order them: the thread sees what was
 * put, or it is seen asleep. */
static void wake(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange(&writer.asleep, 0) == 1)
        syscall(SYS_futex, &writer.asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool log_writer_put(struct slice line)
{
    if (atomic_load_explicit(&writer.state, memory_order_acquire) == OFF)
        return false;
    if (log_queue_put(&writer.queue, line))
        wake();
    else
        atomic_fetch_add_explicit(&writer.dropped, 1, memory_order_relaxed);
    return true;
}

uint64_t log_writer_dropped(void)
{
    return atomic_load_explicit(&writer.dropped, memory_order_relaxed);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* False: the line is lost, the descriptor takes nothing any more. It may wait without end. */
static bool write_all(int fd, struct slice text)
{
    while (text.bytes > 0) {
        ssize_t written = write(fd, text.data, text.bytes);
        if (written > 0) {
            text = slice_skip(text, (size_t)written);
            continue;
        }
        if (written < 0 && errno == EAGAIN) /* somebody who shares it has made it not block */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, RETRY_MS);
        else if (written == 0 || errno != EINTR)
            return false;
    }
    return true;
}

static void write_line(struct slice line)
{
    int fd = log_descriptor();
    if (fd >= 0 && !write_all(fd, line))
        atomic_fetch_add_explicit(&writer.dropped, 1, memory_order_relaxed);
}

/* Says how many lines are missing, if any are that it has not said. */
static void say_dropped(void)
{
    uint64_t dropped = log_writer_dropped();
    struct log_line line;
    if (dropped == writer.said)
        return;
    log_begin(&line, LOG_WARN, "log lines were dropped");
    log_u64(&line, "count", dropped - writer.said);
    log_text(&line, "hint", "whoever reads the log was too slow, or the disk is full");
    if (line.off || log_descriptor() < 0 || write_all(log_descriptor(), log_finish(&line)))
        writer.said = dropped;
}

static void sleep_until_woken(void)
{
    uint8_t memory[LOG_QUEUE_LINE_BYTES_MAX];
    atomic_store(&writer.asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (log_queue_peek(&writer.queue, memory) == 0 && atomic_load(&writer.state) == RUNNING)
        syscall(SYS_futex, &writer.asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    atomic_store(&writer.asleep, 0);
}

static void writer_main(void *argument)
{
    uint8_t memory[LOG_QUEUE_LINE_BYTES_MAX];
    uint64_t said_ms = now_ms();
    (void)argument;
    for (;;) {
        size_t bytes = log_queue_peek(&writer.queue, memory);
        if (bytes > 0) {
            write_line(slice_of(memory, bytes));
            log_queue_drop(&writer.queue);
        }
        if (bytes == 0 || now_ms() - said_ms >= SAY_MS) {
            say_dropped();
            said_ms = now_ms();
        }
        if (bytes > 0)
            continue;
        if (atomic_load(&writer.state) == STOPPING && log_queue_is_empty(&writer.queue))
            return;
        sleep_until_woken();
    }
}

/* --- the server --------------------------------------------------------------------------------------------------- */

/* The time of a line is UTC, but the first gmtime_r of a process also reads the time zone from a file: here, and not on
 * the thread that logs first, which may be a shard and may not open any. */
int log_writer_start(void)
{
    check_op(atomic_load(&writer.state), ==, OFF);
    tzset();
    writer.said = log_writer_dropped();
    atomic_store(&writer.state, RUNNING);
    int error = thread_start(&writer.thread, "log", -1, writer_main, NULL);
    if (error != 0)
        atomic_store(&writer.state, OFF);
    return error;
}

static void sleep_1_ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

bool log_writer_flush(uint64_t ms)
{
    uint64_t end = now_ms() + ms;
    while (atomic_load(&writer.state) != OFF && !log_queue_is_empty(&writer.queue)) {
        if (now_ms() >= end)
            return false;
        sleep_1_ms();
    }
    return true;
}

bool log_writer_stop(uint64_t ms)
{
    uint64_t end = now_ms() + ms;
    if (atomic_load(&writer.state) != RUNNING)
        return true;
    atomic_store(&writer.state, STOPPING);
    wake();
    while (!thread_has_ended(&writer.thread)) {
        if (now_ms() >= end)
            return false;
        sleep_1_ms();
    }
    thread_join(&writer.thread);
    atomic_store(&writer.state, OFF);
    return true;
}
