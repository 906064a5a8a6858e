/* SPDX-License-Identifier: MIT */
#include "core/pool.h"

#include <criterion/criterion.h>

Test(pool, hands_out_room_for_what_was_asked)
{
    struct pool pool;
    pool_init(&pool, 1U << 20);
    for (size_t bytes = 1; bytes <= POOL_BYTES_MAX; bytes = bytes * 2 + 1) {
        struct buf b;
        cr_assert(pool_take(&pool, bytes, &b));
        cr_expect_geq(b.capacity, bytes);
        cr_expect_eq(b.used, 0);
        memset(b.data, 0xA5, b.capacity); /* a sanitizer objects when it is not there */
        pool_give(&pool, &b);
        cr_expect_null(b.data);
    }
    pool_destroy(&pool);
}

Test(pool, gives_the_buffer_that_came_back_last)
{
    struct pool pool;
    struct buf a, b, c;
    pool_init(&pool, 1U << 20);
    pool_take(&pool, 2000, &a);
    pool_take(&pool, 2000, &b);
    uint8_t *first = a.data, *second = b.data;
    pool_give(&pool, &a);
    pool_give(&pool, &b);
    pool_take(&pool, 1025, &c);
    cr_expect_eq(c.data, second);
    pool_take(&pool, 2048, &a);
    cr_expect_eq(a.data, first);
    cr_expect_eq(pool.bytes, 4096);
    pool_give(&pool, &a);
    pool_give(&pool, &c);
    pool_destroy(&pool);
}

Test(pool, never_holds_more_than_its_budget)
{
    struct pool pool;
    struct buf items[5];
    pool_init(&pool, 4096);
    for (int i = 0; i < 4; i++)
        cr_assert(pool_take(&pool, 1024, &items[i]));
    cr_expect_not(pool_take(&pool, 1024, &items[4]));
    pool_give(&pool, &items[0]);
    cr_expect(pool_take(&pool, 1000, &items[0]));
    cr_expect_eq(pool.taken, 4);
    for (int i = 0; i < 4; i++)
        pool_give(&pool, &items[i]);
    cr_expect_eq(pool.bytes, 4096);
    cr_expect(pool_take(&pool, 4096, &items[0]), "kept buffers of another class make room");
    cr_expect_eq(pool.bytes, 4096);
    pool_give(&pool, &items[0]);
    pool_destroy(&pool);
}

Test(pool, keeps_what_is_in_use_and_lets_go_of_the_rest)
{
    struct pool pool;
    struct buf items[10];
    pool_init(&pool, 1U << 20);
    for (int i = 0; i < 10; i++)
        pool_take(&pool, 1024, &items[i]);
    for (int i = 0; i < 10; i++)
        pool_give(&pool, &items[i]);
    pool_trim(&pool); /* all ten were in use since the last trim */
    cr_expect_eq(pool.bytes, 10 * 1024);
    for (int i = 0; i < 4; i++)
        pool_take(&pool, 1024, &items[i]);
    for (int i = 0; i < 4; i++)
        pool_give(&pool, &items[i]);
    pool_trim(&pool); /* six were not */
    cr_expect_eq(pool.bytes, 4 * 1024);
    pool_trim(&pool);
    cr_expect_eq(pool.bytes, 0);
    pool_destroy(&pool);
}
