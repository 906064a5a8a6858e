/* SPDX-License-Identifier: MIT */
/* shards/errand: size classes, recycling, and the bytes that the pool accounts for. */
#include "shards/mail/errand.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

Test(errand, holds_what_it_was_made_for)
{
    static const size_t sizes[] = {0, 1, 511, 512, 513, 4096, 4097, 32768, 32769, 1 << 20};
    struct errands errands;
    errands_init(&errands, 3);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct errand *errand = errand_make(&errands.pool, ERRAND_PUBLISH, sizes[i]);
        uint8_t *bytes = malloc(sizes[i] + 1);
        memset(bytes, 'x', sizes[i]);
        cr_assert_geq(errand->capacity, sizes[i]);
        cr_assert_eq(errand->origin, 3);
        struct slice first = errand_put(errand, slice_of(bytes, sizes[i] / 2));
        struct slice second = errand_put(errand, slice_of(bytes, sizes[i] - sizes[i] / 2));
        cr_assert(slice_equal(first, slice_of(bytes, sizes[i] / 2)));
        cr_assert_eq(second.bytes, sizes[i] - sizes[i] / 2);
        free(bytes);
        errand_free(&errands.pool, errand);
    }
    errands_destroy(&errands);
}

Test(errand, comes_back_zeroed)
{
    struct errands errands;
    errands_init(&errands, 0);
    struct errand *errand = errand_make(&errands.pool, ERRAND_PUBLISH, 100);
    errand->status = 202;
    errand->reply = malloc(10);
    errand->subscribe.frames = malloc(10);
    errand->ticket = 7;
    errand_put(errand, slice_text("hello"));
    size_t bytes = errands.pool.bytes;
    errand_free(&errands.pool, errand);
    struct errand *again = errand_make(&errands.pool, ERRAND_NEWEST, 512);
    cr_assert_eq(again, errand, "of the same class");
    cr_assert_eq(errands.pool.bytes, bytes);
    cr_assert(again->status == 0 && again->reply == NULL && again->subscribe.frames == NULL && again->used == 0 &&
              again->ticket == 0);
    errand_free(&errands.pool, again);
    errands_destroy(&errands);
}

Test(errand, keeps_no_memory_of_large_ones)
{
    struct errands errands;
    errands_init(&errands, 0);
    struct errand *large = errand_make(&errands.pool, ERRAND_PUBLISH, 32769);
    cr_assert_gt(errands.pool.bytes, 32769);
    errand_free(&errands.pool, large);
    cr_assert_eq(errands.pool.bytes, 0);
    errands_destroy(&errands);
}

Test(errand, does_not_take_more_than_it_was_made_for, .signal = SIGABRT)
{
    static const uint8_t bytes[513];
    struct errands errands;
    errands_init(&errands, 0);
    errand_put(errand_make(&errands.pool, ERRAND_PUBLISH, 512), slice_of(bytes, 513));
}

Test(errand, is_freed_by_its_maker_only, .signal = SIGABRT)
{
    struct errands errands, other;
    errands_init(&errands, 0);
    errands_init(&other, 1);
    errand_free(&other.pool, errand_make(&errands.pool, ERRAND_PUBLISH, 512));
}
