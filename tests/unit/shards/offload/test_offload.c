/* SPDX-License-Identifier: MIT */
/* Proves what is computed beside the shards: every task comes back once, to who posted it, in order; the limit; the thread sleeps and is
 * woken; what is posted before the stop is done. Run by unit_shards. */
#include "shards/offload/offload.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic uint32_t woken[2];

static void on_answer(void *user, uint16_t origin)
{
    (void)user;
    atomic_fetch_add(&woken[origin], 1);
}

/* The sum of the bytes and the kind; wipes what it has read. */
static int add_up(uint32_t kind, struct span body, struct buf *reply)
{
    uint64_t sum = kind;
    for (size_t i = 0; i < body.bytes; i++)
        sum += body.data[i];
    memset(body.data, 0, body.bytes);
    buf_put_u64(reply, sum);
    return 200 + (int)(kind % 2);
}

static void begin(struct offload *offload)
{
    woken[0] = woken[1] = 0;
    cr_assert_eq(offload_init(offload, 2, on_answer, NULL), 0);
}

static void post(struct offload *offload, uint16_t origin, uint32_t kind)
{
    struct offload_task *task = offload_make(add_up, kind, slice_text("\1\2\3"), (void *)(uintptr_t)kind);
    cr_assert_not_null(task);
    cr_assert(offload_post(offload, origin, task));
}

static void expect_answer(struct offload *offload, uint16_t origin, uint32_t kind)
{
    char wanted[32];
    struct offload_task *task;
    for (unsigned i = 0; (task = offload_take(offload, origin)) == NULL && i < 100000; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* an emergency brake: 100 s */
    cr_assert_not_null(task);
    snprintf(wanted, sizeof wanted, "%u", kind + 6);
    cr_expect_eq((uintptr_t)task->user, kind);
    cr_expect_eq(task->status, 200 + (int)(kind % 2));
    cr_expect(slice_is(slice_of(task->reply, task->reply_bytes), wanted));
    offload_free(task);
}

Test(offload, gives_each_task_back_to_who_posted_it)
{
    static struct offload offload;
    begin(&offload);
    cr_assert_eq(offload_start(&offload), 0);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            post(&offload, 0, round * 100 + i);
            post(&offload, 1, 100000 + round * 100 + i);
        }
        for (uint32_t i = 0; i < 20; i++) {
            expect_answer(&offload, 0, round * 100 + i);
            expect_answer(&offload, 1, 100000 + round * 100 + i);
        }
        cr_assert_null(offload_take(&offload, 0));
    }
    offload_stop(&offload);
    cr_expect_eq(woken[0], 1000);
    cr_expect_eq(woken[1], 1000);
    offload_destroy(&offload);
}

Test(offload, refuses_and_counts_what_is_beyond_the_limit)
{
    static struct offload offload;
    begin(&offload);
    for (uint32_t i = 0; i < DESK_TASKS_MAX; i++)
        post(&offload, 0, i);
    struct offload_task *task = offload_make(add_up, 7, slice_text("x"), NULL);
    cr_expect_not(offload_post(&offload, 0, task));
    cr_expect_eq(offload_refused(&offload), 1);
    post(&offload, 1, 5); /* another shard has room of its own */
    offload_run_posted(&offload);
    cr_expect(offload_has_answers(&offload, 0));
    for (uint32_t i = 0; i < DESK_TASKS_MAX; i++)
        expect_answer(&offload, 0, i);
    cr_expect_not(offload_has_answers(&offload, 0));
    cr_expect(offload_post(&offload, 0, task));
    offload_run_posted(&offload);
    offload_free(offload_take(&offload, 0));
    expect_answer(&offload, 1, 5);
    offload_destroy(&offload);
}

Test(offload, does_what_was_posted_before_the_stop)
{
    static struct offload offload;
    begin(&offload);
    for (uint32_t i = 0; i < 30; i++)
        post(&offload, 0, i);
    cr_assert_eq(offload_start(&offload), 0);
    offload_stop(&offload);
    for (uint32_t i = 0; i < 30; i++)
        expect_answer(&offload, 0, i);
    offload_destroy(&offload);
}
