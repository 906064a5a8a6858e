/* SPDX-License-Identifier: MIT */
/* The queue of one producer and one consumer: its bounds in one thread, its order in two. */
#include "core/spsc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

static struct spsc *make(uint32_t count)
{
    struct spsc *ring = aligned_alloc(64, sizeof *ring);
    cr_assert_not_null(ring);
    cr_assert_eq(spsc_init(ring, count), 0);
    return ring;
}

static void discard(struct spsc *ring)
{
    spsc_destroy(ring);
    free(ring);
}

/* Every word is derived from the number, so that a torn or foreign item shows. */
static struct spsc_item item_of(uint64_t number)
{
    struct spsc_item item;
    for (uint64_t i = 0; i < 8; i++)
        item.words[i] = number * 0x9e3779b97f4a7c15U + i;
    return item;
}

static void expect_item(const struct spsc_item *item, uint64_t number)
{
    struct spsc_item expected = item_of(number);
    cr_assert_arr_eq(item->words, expected.words, sizeof expected.words);
}

Test(spsc, holds_its_count_and_no_more)
{
    struct spsc *ring = make(4);
    struct spsc_item item;
    cr_assert_not(spsc_pop(ring, &item));
    for (uint64_t i = 0; i < 4; i++) {
        item = item_of(i);
        cr_assert_eq(spsc_count(ring), i);
        cr_assert(spsc_push(ring, &item));
    }
    item = item_of(99);
    cr_assert_not(spsc_push(ring, &item));
    cr_assert_eq(spsc_count(ring), 4);
    cr_assert(spsc_pop(ring, &item));
    expect_item(&item, 0);
    item = item_of(4);
    cr_assert(spsc_push(ring, &item));
    for (uint64_t i = 1; i < 5; i++) {
        cr_assert(spsc_pop(ring, &item));
        expect_item(&item, i);
    }
    cr_assert_not(spsc_pop(ring, &item));
    cr_assert_eq(spsc_count(ring), 0);
    discard(ring);
}

Test(spsc, a_ring_of_one_alternates)
{
    struct spsc *ring = make(1);
    for (uint64_t i = 0; i < 10; i++) {
        struct spsc_item item = item_of(i);
        cr_assert(spsc_push(ring, &item));
        cr_assert_not(spsc_push(ring, &item));
        cr_assert(spsc_pop(ring, &item));
        expect_item(&item, i);
        cr_assert_not(spsc_pop(ring, &item));
    }
    discard(ring);
}

Test(spsc, goes_on_when_its_indices_wrap)
{
    struct spsc *ring = make(8);
    const uint32_t before_the_end = UINT32_MAX - 20;
    atomic_store(&ring->tail, before_the_end);
    atomic_store(&ring->head, before_the_end);
    ring->head_seen = ring->tail_seen = before_the_end;
    for (uint64_t i = 0; i < 100; i++) {
        struct spsc_item item = item_of(i);
        cr_assert(spsc_push(ring, &item));
        if (i >= 5) {
            cr_assert(spsc_pop(ring, &item));
            expect_item(&item, i - 5);
        }
        cr_assert_eq(spsc_count(ring), i < 5 ? i + 1 : 5);
    }
    discard(ring);
}

Test(spsc, refuses_a_count_that_is_no_power_of_two, .signal = SIGABRT)
{
    struct spsc ring;
    (void)spsc_init(&ring, 3);
}

#define ITEMS 500000

static void *produce(void *argument)
{
    struct spsc *ring = argument;
    for (uint64_t i = 0; i < ITEMS;) {
        struct spsc_item item = item_of(i);
        if (spsc_push(ring, &item))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

Test(spsc, two_threads_see_every_item_whole_and_in_order)
{
    struct spsc *ring = make(64); /* small, so that both ends are met often */
    pthread_t producer;
    cr_assert_eq(pthread_create(&producer, NULL, produce, ring), 0);
    for (uint64_t i = 0; i < ITEMS;) {
        struct spsc_item item;
        cr_assert_leq(spsc_count(ring), 64);
        if (!spsc_pop(ring, &item)) {
            sched_yield();
            continue;
        }
        struct spsc_item expected = item_of(i);
        if (memcmp(&item, &expected, sizeof item) != 0)
            cr_assert_fail("item %llu is torn or out of order", (unsigned long long)i);
        i++;
    }
    pthread_join(producer, NULL);
    cr_assert_eq(spsc_count(ring), 0);
    discard(ring);
}
