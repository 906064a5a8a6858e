/* SPDX-License-Identifier: MIT */
/* shards/parcel: size classes, recycling, and the bytes that the pool accounts for. */
#include "shards/parcel.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

Test(parcel, holds_what_it_was_made_for)
{
    static const size_t sizes[] = {0, 1, 511, 512, 513, 4096, 4097, 32768, 32769, 1 << 20};
    struct parcel_pool pool;
    parcel_pool_init(&pool, 3);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct parcel *parcel = parcel_make(&pool, PARCEL_PUBLISH, sizes[i]);
        uint8_t *bytes = malloc(sizes[i] + 1);
        memset(bytes, 'x', sizes[i]);
        cr_assert_geq(parcel->capacity, sizes[i]);
        cr_assert_eq(parcel->origin, 3);
        struct slice first = parcel_put(parcel, slice_of(bytes, sizes[i] / 2));
        struct slice second = parcel_put(parcel, slice_of(bytes, sizes[i] - sizes[i] / 2));
        cr_assert(slice_equal(first, slice_of(bytes, sizes[i] / 2)));
        cr_assert_eq(second.bytes, sizes[i] - sizes[i] / 2);
        free(bytes);
        parcel_free(&pool, parcel);
    }
    parcel_pool_destroy(&pool);
}

Test(parcel, comes_back_zeroed)
{
    struct parcel_pool pool;
    parcel_pool_init(&pool, 0);
    struct parcel *parcel = parcel_make(&pool, PARCEL_PUBLISH, 100);
    parcel->status = 202;
    parcel->reply = malloc(10);
    parcel->frames = malloc(10);
    parcel->for_session = true;
    parcel_put(parcel, slice_text("hello"));
    size_t bytes = pool.bytes;
    parcel_free(&pool, parcel);
    struct parcel *again = parcel_make(&pool, PARCEL_NEWEST, 512);
    cr_assert_eq(again, parcel, "of the same class");
    cr_assert_eq(pool.bytes, bytes);
    cr_assert(again->status == 0 && again->reply == NULL && again->frames == NULL && again->used == 0 &&
              !again->for_session);
    parcel_free(&pool, again);
    parcel_pool_destroy(&pool);
}

Test(parcel, keeps_no_memory_of_large_ones)
{
    struct parcel_pool pool;
    parcel_pool_init(&pool, 0);
    struct parcel *large = parcel_make(&pool, PARCEL_PUBLISH, 32769);
    cr_assert_gt(pool.bytes, 32769);
    parcel_free(&pool, large);
    cr_assert_eq(pool.bytes, 0);
    parcel_pool_destroy(&pool);
}

Test(parcel, does_not_take_more_than_it_was_made_for, .signal = SIGABRT)
{
    static const uint8_t bytes[513];
    struct parcel_pool pool;
    parcel_pool_init(&pool, 0);
    parcel_put(parcel_make(&pool, PARCEL_PUBLISH, 512), slice_of(bytes, 513));
}

Test(parcel, is_freed_by_its_maker_only, .signal = SIGABRT)
{
    struct parcel_pool pool, other;
    parcel_pool_init(&pool, 0);
    parcel_pool_init(&other, 1);
    parcel_free(&other, parcel_make(&pool, PARCEL_PUBLISH, 512));
}
