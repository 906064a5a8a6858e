/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/slab: handles and their generations, limits, and random operations against a set. */
#include "core/random.h"
#include "core/slab.h"
#include "tests/unit/starve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

struct object {
    uint64_t stamp;
    uint32_t more[3];
};

static struct slab fresh_slab(uint32_t count_max)
{
    struct slab slab;
    cr_assert_eq(slab_init(&slab, sizeof(struct object), count_max), 0);
    return slab;
}

Test(slab, hands_out_zeroed_aligned_objects_that_lie_in_a_row)
{
    struct slab slab = fresh_slab(1000);
    cr_assert_eq(slab.object_bytes, 32);
    uint8_t *before = NULL;
    for (uint32_t i = 0; i < 600; i++) {
        struct handle handle;
        uint8_t *object = slab_alloc(&slab, &handle);
        cr_assert_eq(handle.index, i);
        cr_assert_eq(handle.generation, 1);
        cr_assert_eq((uintptr_t)object % 16, 0);
        if (i % SLAB_CHUNK_COUNT == 0)
            cr_assert_eq((uintptr_t)object % 64, 0);
        else
            cr_assert_eq(object, before + slab.object_bytes);
        for (size_t b = 0; b < slab.object_bytes; b++)
            cr_assert_eq(object[b], 0);
        memset(object, 0xff, slab.object_bytes);
        before = object;
    }
    cr_assert_eq(slab.count_live, 600);
    slab_destroy(&slab);
}

Test(slab, zeroes_objects_that_are_used_again)
{
    struct slab slab = fresh_slab(4);
    struct handle handle;
    struct object *object = slab_alloc(&slab, &handle);
    memset(object, 0xff, sizeof *object);
    slab_free(&slab, handle.index);
    struct object *again = slab_alloc(&slab, &handle);
    cr_assert_eq(again, object);
    cr_assert_eq(again->stamp, 0);
    cr_assert_eq(again->more[2], 0);
    slab_destroy(&slab);
}

Test(slab, uses_first_what_was_freed_last)
{
    struct slab slab = fresh_slab(10);
    struct handle handles[5], again;
    for (int i = 0; i < 5; i++)
        slab_alloc(&slab, &handles[i]);
    slab_free(&slab, 1);
    slab_free(&slab, 4);
    slab_free(&slab, 0);
    slab_alloc(&slab, &again);
    cr_assert_eq(again.index, 0);
    slab_alloc(&slab, &again);
    cr_assert_eq(again.index, 4);
    slab_alloc(&slab, &again);
    cr_assert_eq(again.index, 1);
    slab_alloc(&slab, &again);
    cr_assert_eq(again.index, 5, "fresh ones only when no freed one is left");
    slab_destroy(&slab);
}

Test(slab, recognises_stale_and_invented_handles)
{
    struct slab slab = fresh_slab(10);
    struct handle old, new;
    slab_alloc(&slab, &old);
    cr_assert_not_null(slab_get(&slab, old));
    slab_free(&slab, old.index);
    cr_assert_null(slab_get(&slab, old));
    cr_assert_null(slab_get(&slab, (struct handle){.index = 0, .generation = 2}), "the next life has not begun");
    void *object = slab_alloc(&slab, &new);
    cr_assert_eq(new.index, old.index);
    cr_assert_neq(new.generation, old.generation);
    cr_assert_null(slab_get(&slab, old));
    cr_assert_eq(slab_get(&slab, new), object);
    cr_assert_null(slab_get(&slab, (struct handle){.index = 0, .generation = 0}), "a zeroed handle is none");
    cr_assert_null(slab_get(&slab, (struct handle){.index = 1, .generation = 1}), "a slot that was not made yet");
    cr_assert_null(slab_get(&slab, (struct handle){.index = 10, .generation = 1}));
    cr_assert_null(slab_get(&slab, (struct handle){.index = UINT32_MAX, .generation = 1}));
    slab_destroy(&slab);
}

Test(slab, skips_generation_zero_when_it_wraps_around)
{
    struct slab slab = fresh_slab(10);
    struct handle last, next;
    slab_alloc(&slab, &last);
    slab.slots[0][0].generation = UINT32_MAX;
    last = slab_handle(&slab, 0);
    cr_assert_eq(last.generation, UINT32_MAX);
    slab_free(&slab, 0);
    slab_alloc(&slab, &next);
    cr_assert_eq(next.index, 0);
    cr_assert_eq(next.generation, 1);
    cr_assert_null(slab_get(&slab, last));
    cr_assert_null(slab_get(&slab, (struct handle){.index = 0, .generation = 0}));
    slab_destroy(&slab);
}

Test(slab, stops_at_its_maximum_and_goes_on_after_a_free)
{
    struct slab slab = fresh_slab(300);
    struct handle handle, kept = {.index = 0, .generation = 0};
    for (int i = 0; i < 300; i++) {
        cr_assert_not_null(slab_alloc(&slab, &handle));
        if (i == 150)
            kept = handle;
    }
    cr_assert_null(slab_alloc(&slab, &handle));
    cr_assert_null(slab_alloc(&slab, &handle));
    cr_assert_eq(slab.count_live, 300);
    slab_free(&slab, kept.index);
    cr_assert_not_null(slab_alloc(&slab, &handle));
    cr_assert_eq(handle.index, kept.index);
    cr_assert_null(slab_alloc(&slab, &handle));
    slab_destroy(&slab);
}

Test(slab, holds_a_single_object)
{
    struct slab slab = fresh_slab(1);
    struct handle handle;
    cr_assert_not_null(slab_alloc(&slab, &handle));
    cr_assert_null(slab_alloc(&slab, &handle));
    slab_destroy(&slab);
}

Test(slab, walks_live_objects_in_rising_order_while_they_are_freed)
{
    struct slab slab = fresh_slab(1000);
    struct handle handle;
    for (uint32_t i = 0; i < 600; i++)
        ((struct object *)slab_alloc(&slab, &handle))->stamp = i;
    for (uint32_t i = 0; i < 600; i += 3)
        slab_free(&slab, i);
    uint32_t cursor = 0, index = 0, expected = 1, count = 0;
    for (struct object *object; (object = slab_next(&slab, &cursor, &index)) != NULL; count++) {
        cr_assert_eq(index, expected);
        cr_assert_eq(object->stamp, index);
        slab_free(&slab, index);
        expected += expected % 3 == 1 ? 1 : 2;
    }
    cr_assert_eq(count, 400);
    cr_assert_eq(slab.count_live, 0);
    slab_destroy(&slab);
}

Test(slab, stops_the_process_when_a_slot_is_freed_twice, .signal = SIGABRT)
{
    struct slab slab = fresh_slab(10);
    struct handle handle;
    slab_alloc(&slab, &handle);
    slab_free(&slab, handle.index);
    slab_free(&slab, handle.index);
}

/* Model: every handle ever given out, and whether it lives. */
Test(slab, agrees_with_a_set)
{
    enum { MAX = 700, LIVES = 20000 };
    static struct handle given[LIVES];
    static bool lives[LIVES];
    struct slab slab = fresh_slab(MAX);
    struct random random;
    random_init(&random, 1);
    uint32_t made = 0, live = 0;
    for (int step = 0; step < 40000 && made < LIVES; step++) {
        bool grow = random_chance(&random, step / 4000 % 2 == 0 ? 3 : 1, 4); /* fills and drains in turns */
        uint32_t at = made == 0 ? 0 : (uint32_t)random_below(&random, made);
        if (grow) {
            struct object *object = slab_alloc(&slab, &given[made]);
            cr_assert_eq(object == NULL, live == MAX);
            if (object != NULL) {
                cr_assert_eq(object->stamp, 0);
                object->stamp = made;
                lives[made++] = true;
                live++;
            }
        } else if (made != 0 && lives[at]) {
            slab_free(&slab, given[at].index);
            lives[at] = false;
            live--;
        }
        cr_assert_eq(slab.count_live, live);
        if (made != 0) {
            struct object *object = slab_get(&slab, given[at]);
            cr_assert_eq(object != NULL, lives[at], "step %d", step);
            cr_assert(object == NULL || object->stamp == at);
        }
    }
    uint32_t cursor = 0, index, seen = 0;
    for (struct object *object; (object = slab_next(&slab, &cursor, &index)) != NULL; seen++) {
        cr_assert(lives[object->stamp]);
        cr_assert_eq(slab_handle(&slab, index).generation, given[object->stamp].generation);
    }
    cr_assert_eq(seen, live);
    slab_destroy(&slab);
}

#if STARVE_WORKS
Test(slab, answers_null_when_memory_is_out_and_goes_on_when_it_is_back)
{
    struct slab slab;
    struct handle handle, first;
    cr_assert_eq(slab_init(&slab, 1 << 16, 1000), 0); /* a chunk is 16 MiB */
    void *object = slab_alloc(&slab, &first);
    for (uint32_t i = 1; i < SLAB_CHUNK_COUNT; i++)
        slab_alloc(&slab, &handle);

    starve_begin();
    void *none = slab_alloc(&slab, &handle);
    starve_end();

    cr_assert_null(none);
    cr_assert_eq(slab.count_live, SLAB_CHUNK_COUNT);
    cr_assert_eq(slab_get(&slab, first), object);
    cr_assert_not_null(slab_alloc(&slab, &handle));
    cr_assert_eq(handle.index, SLAB_CHUNK_COUNT);
    slab_destroy(&slab);
}

Test(slab, refuses_to_begin_without_memory_for_its_table)
{
    struct slab slab;
    starve_begin();
    int result = slab_init(&slab, 64, 1U << 31); /* two tables of 64 MiB */
    starve_end();
    cr_assert_eq(result, -ENOMEM);
}
#endif
