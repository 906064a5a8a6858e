/* SPDX-License-Identifier: MIT */
/* The steps of storage one at a time, over a simulated disk that fails when it is told to: who shares a sync, who is
 * told what, and when. */
#include "tests/unit/sim/storage_world.h"

static const struct sim_disk_faults none = {0};

static void open_world(struct storage_world *world)
{
    world_open(world, 1, &none);
    cr_assert_eq(world_begin(world), 0);
}

/* The n-th disk operation from now on fails so. A put of one short record takes two writes and a sync. */
static void fail_at(struct storage_world *world, uint64_t n, int error)
{
    world->disk->faults.fail_at = world->disk->operations + n;
    world->disk->faults.fail_with = error;
}

Test(storage_steps, says_nothing_before_the_sync)
{
    struct storage_world world;
    open_world(&world);
    struct storage_request *put = world_put(&world, 0, "a", "1");
    uint64_t operations = world.disk->operations;
    cr_assert(!storage_is_quiet(&world.storage));
    cr_assert(storage_tick(&world.storage, 1000)); /* gathers */
    cr_assert_null(storage_take(&world.storage, 0));
    cr_assert_eq(world.disk->operations, operations);
    cr_assert(storage_tick(&world.storage, 1000)); /* syncs */
    cr_assert_null(storage_take(&world.storage, 0));
    cr_assert_eq(world.disk->operations, operations + 3);
    cr_assert_eq(world.doorbells[0], 0);
    cr_assert(storage_tick(&world.storage, 1000)); /* answers */
    cr_assert_eq(world.doorbells[0], 1);
    world_expect(&world, 0, put, 0);
    world_run(&world);
    cr_assert(storage_is_quiet(&world.storage));
    cr_assert_eq(storage_wake_ms(&world.storage), 0, "nothing is due: it sleeps for ever");
    world_close(&world);
}

Test(storage_steps, all_that_waits_shares_one_sync)
{
    struct storage_world world;
    struct storage_request *puts[WORLD_SHARDS][50];
    open_world(&world);
    for (uint16_t shard = 0; shard < WORLD_SHARDS; shard++) {
        for (int i = 0; i < 50; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "%u-%02d", shard, i);
            puts[shard][i] = world_put(&world, shard, key, "value");
        }
    }
    cr_assert_eq(storage_queued(&world.storage), 150);
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_COMMITS), 1);
    cr_assert_eq(storage_count(&world.storage, STORAGE_UNITS), 150);
    cr_assert_eq(storage_count(&world.storage, STORAGE_OPERATIONS), 150);
    for (uint16_t shard = 0; shard < WORLD_SHARDS; shard++) {
        cr_assert_eq(world.doorbells[shard], 1, "one doorbell for all answers");
        for (int i = 0; i < 50; i++)
            world_expect(&world, shard, puts[shard][i], 0);
        cr_assert_null(storage_take(&world.storage, shard));
    }
    world_close(&world);
}

Test(storage_steps, a_read_sees_what_was_posted_before_it_and_nothing_behind)
{
    struct storage_world world;
    open_world(&world);
    struct storage_request *requests[] = {
        world_fetch(&world, 1, "a"),    world_put(&world, 1, "a", "1"), world_fetch(&world, 1, "a"),
        world_put(&world, 1, "a", "2"), world_fetch(&world, 1, "a"),    world_put(&world, 1, "a", "3"),
    };
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_COMMITS), 1);
    world_expect(&world, 1, requests[0], -ENOENT);
    world_expect(&world, 1, requests[1], 0);
    world_expect_value(&world, 1, requests[2], "1");
    world_expect(&world, 1, requests[3], 0);
    world_expect_value(&world, 1, requests[4], "2");
    world_expect(&world, 1, requests[5], 0);
    world_has(&world, "a", "3");
    world_close(&world);
}

Test(storage_steps, reads_of_a_group_that_fails_do_not_say_what_is_not_kept)
{
    struct storage_world world;
    open_world(&world);
    struct storage_request *first = world_put(&world, 0, "a", "1");
    world_run(&world);
    world_expect(&world, 0, first, 0);
    fail_at(&world, 3, -EIO);
    struct storage_request *put = world_put(&world, 0, "a", "2");
    struct storage_request *fetch = world_fetch(&world, 0, "a");
    struct storage_request *other = world_fetch(&world, 2, "a");
    world_run(&world);
    world_expect(&world, 0, put, -EIO);
    world_expect_value(&world, 0, fetch, "1");
    world_expect_value(&world, 2, other, "1");
    world_close(&world);
}

Test(storage_steps, a_failed_group_fails_whole_and_the_next_is_tried)
{
    for (uint64_t n = 1; n <= 4;
         n++) { /* of the writes: the head and the 2 pieces of the one record that the group is, then the sync */
        struct storage_world world;
        char value[3001];
        memset(value, 'x', sizeof value - 1);
        value[sizeof value - 1] = '\0';
        open_world(&world);
        fail_at(&world, n, -ENOSPC);
        struct storage_request *one = world_put(&world, 0, "a", value), *two = world_put(&world, 1, "b", "2");
        world_run(&world);
        int error = n == 4 ? -EIO : -ENOSPC;
        world_expect(&world, 0, one, error);
        world_expect(&world, 1, two, error);
        int number = 0;
        cr_assert_eq(storage_state(&world.storage, &number), n == 4 ? STORAGE_FAILED : STORAGE_FULL);
        cr_assert_eq(number, -error);
        cr_assert_eq(storage_count(&world.storage, STORAGE_REFUSED_FULL), n == 4 ? 0 : 2);
        struct storage_request *next = world_put(&world, 2, "c", "3");
        world_run(&world);
        world_expect(&world, 2, next, n == 4 ? -EIO : 0);
        cr_assert_eq(storage_state(&world.storage, &number), n == 4 ? STORAGE_FAILED : STORAGE_WORKING);
        world_has(&world, "a", NULL);
        world_has(&world, "b", NULL);
        world_has(&world, "c", n == 4 ? NULL : "3");
        world_close(&world);
    }
}

static struct storage_request *put_in_life(struct storage_world *world, uint8_t stream, uint32_t life, const char *key)
{
    struct storage_request *request = world_request(STORAGE_COMMIT);
    request->stream = stream;
    request->life = life;
    cr_assert_eq(unit_put(&request->unit, 0, slice_text(key), slice_text("x")), 0);
    world_post(world, 0, request);
    return request;
}

Test(storage_steps, what_a_failed_life_has_sent_behind_is_not_kept_without_it)
{
    struct storage_world world;
    open_world(&world);
    fail_at(&world, 1, -ENOSPC);
    struct storage_request *failed = put_in_life(&world, 5, 3, "a");
    cr_assert(storage_tick(&world.storage, 1000));                   /* gathered */
    struct storage_request *behind = put_in_life(&world, 5, 3, "b"); /* sent before the failure was told */
    struct storage_request *older = put_in_life(&world, 5, 2, "c");
    struct storage_request *stream = put_in_life(&world, 6, 3, "d");
    struct storage_request *next = put_in_life(&world, 5, 4, "e");
    world_run(&world);
    world_expect(&world, 0, failed, -ENOSPC);
    world_expect(&world, 0, behind, -ECANCELED);
    world_expect(&world, 0, older, -ECANCELED);
    world_expect(&world, 0, stream, 0);
    world_expect(&world, 0, next, 0);
    world_has(&world, "b", NULL);
    world_has(&world, "c", NULL);
    world_has(&world, "d", "x");
    world_has(&world, "e", "x");
    cr_assert_eq(storage_count(&world.storage, STORAGE_REFUSED_LIFE), 2);
    world_close(&world);
}

Test(storage_steps, tries_a_full_disk_every_second_until_there_is_room)
{
    struct storage_world world;
    open_world(&world);
    sim_disk_set_full(world.disk, true);
    struct storage_request *put = world_put(&world, 0, "a", "1");
    world_run(&world);
    world_expect(&world, 0, put, -ENOSPC);
    cr_assert_eq(storage_wake_ms(&world.storage), 2000);
    world.now_ms = 1999;
    uint64_t operations = world.disk->operations;
    world_run(&world);
    cr_assert_eq(world.disk->operations, operations, "not before its time");
    world.now_ms = 2000;
    world_run(&world);
    cr_assert_eq(world.disk->operations, operations + 1);
    cr_assert_eq(storage_state(&world.storage, NULL), STORAGE_FULL);
    cr_assert_eq(storage_wake_ms(&world.storage), 3000);
    sim_disk_set_full(world.disk, false);
    world.now_ms = 3000;
    world_run(&world);
    cr_assert_eq(storage_state(&world.storage, NULL), STORAGE_WORKING);
    cr_assert_eq(storage_wake_ms(&world.storage), 0);
    world_close(&world);
}

Test(storage_steps, tries_a_broken_store_no_more)
{
    struct storage_world world;
    open_world(&world);
    fail_at(&world, 3, -EIO);
    struct storage_request *put = world_put(&world, 0, "a", "1");
    world_run(&world);
    world_expect(&world, 0, put, -EIO);
    cr_assert_eq(storage_wake_ms(&world.storage), 0);
    uint64_t operations = world.disk->operations;
    for (int i = 0; i < 3; i++) {
        world.now_ms += 5000;
        put = put_in_life(&world, 1, 2, "b");
        world_run(&world);
        world_expect(&world, 0, put, i == 0 ? -EIO : -ECANCELED);
    }
    cr_assert_eq(world.disk->operations, operations);
    cr_assert_eq(storage_state(&world.storage, NULL), STORAGE_FAILED);
    cr_assert_eq(storage_count(&world.storage, STORAGE_REFUSED_IO), 2);
    world_close(&world);
}

/* --- scans -------------------------------------------------------------------------------------------------------- */

static void put_many(struct storage_world *world, uint32_t count)
{
    static uint8_t value[1000];
    for (uint32_t i = 0; i < count; i++) {
        struct storage_request *request = world_request(STORAGE_COMMIT);
        char key[16];
        (void)snprintf(key, sizeof key, "%06u", i);
        memcpy(value, &i, sizeof i);
        cr_assert_eq(unit_put(&request->unit, 0, slice_text(key), slice_of(value, sizeof value)), 0);
        world_post(world, 0, request);
        if (i % 1000 != 999 && i + 1 < count)
            continue;
        world_run(world);
        while ((request = storage_take(&world->storage, 0)) != NULL)
            world_free(request);
    }
}

Test(storage_steps, a_scan_comes_in_pieces_and_commits_go_on_between_them)
{
    struct storage_world world;
    const uint32_t count = 3000;
    uint32_t seen = 0, pieces = 0;
    open_world(&world);
    put_many(&world, count);
    struct storage_request *scan = world_request(STORAGE_SCAN);
    scan->bytes_max = 100000;
    for (bool more = true; more; pieces++) {
        struct storage_request *put = world_put(&world, 1, "zzz", "1");
        world_post(&world, 2, scan);
        uint64_t commits = storage_count(&world.storage, STORAGE_COMMITS);
        world_run(&world);
        cr_assert_eq(storage_count(&world.storage, STORAGE_COMMITS), commits + 1, "no waiting for scans");
        world_expect(&world, 1, put, 0);
        cr_assert_eq((void *)storage_take(&world.storage, 2), (void *)scan);
        cr_assert_eq(scan->status, 0);
        cr_assert_leq(scan->unit.used, 100000 + 1020);
        struct unit_operation operation;
        for (uint32_t at = 0; unit_next(&scan->unit, &at, &operation);) {
            char key[16];
            (void)snprintf(key, sizeof key, "%06u", seen);
            cr_assert(slice_is(operation.key, seen < count ? key : "zzz"));
            scan->key_bytes = (uint16_t)operation.key.bytes;
            memcpy(scan->key, operation.key.data, operation.key.bytes);
            seen++;
        }
        more = scan->more;
        unit_clear(&scan->unit);
    }
    cr_assert_eq(seen, count + 1);
    cr_assert_geq(pieces, 30);
    world_free(scan);
    world_close(&world);
}

Test(storage_steps, what_is_read_between_two_syncs_is_bounded)
{
    struct storage_world world;
    struct storage_request *scans[20];
    open_world(&world);
    put_many(&world, 1000);
    for (int i = 0; i < 20; i++) { /* 5 MiB in all */
        scans[i] = world_request(STORAGE_SCAN);
        world_post(&world, 0, scans[i]);
    }
    struct storage_request *put = world_put(&world, 1, "a", "1");
    uint64_t read = storage_count(&world.storage, STORAGE_READ_BYTES);
    do
        cr_assert(storage_tick(&world.storage, world.now_ms));
    while (world.doorbells[1] == 0);
    cr_assert_leq(storage_count(&world.storage, STORAGE_READ_BYTES) - read,
                  2 * (STORAGE_GROUP_READS_MAX + STORAGE_PIECE_BYTES_MAX + 2000));
    world_expect(&world, 1, put, 0);
    world_run(&world);
    for (int i = 0; i < 20; i++)
        world_expect(&world, 0, scans[i], 0);
    world_close(&world);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

Test(storage_steps, takes_so_many_requests_of_a_shard_and_no_more)
{
    struct storage_world world;
    struct storage_request *request;
    uint32_t taken = 0;
    open_world(&world);
    for (int i = 0; i < STORAGE_OUTSTANDING_MAX; i++)
        (void)world_put(&world, 0, "a", "1");
    request = world_request(STORAGE_COMMIT);
    cr_assert(!storage_post(&world.storage, 0, request));
    world_run(&world);
    cr_assert(!storage_post(&world.storage, 0, request), "answered is not yet taken");
    cr_assert_eq(storage_refused(&world.storage), 2);
    world_free(storage_take(&world.storage, 0));
    world_post(&world, 0, request);
    world_run(&world);
    while ((request = storage_take(&world.storage, 0)) != NULL) {
        cr_assert_eq(request->status, 0);
        world_free(request);
        taken++;
    }
    cr_assert_eq(taken, STORAGE_OUTSTANDING_MAX);
    world_close(&world);
}

static struct storage_request *make_long(uint32_t bytes)
{
    struct storage_request *request = world_request(STORAGE_COMMIT);
    uint8_t *value = calloc(1, bytes);
    cr_assert_eq(unit_put(&request->unit, 0, slice_text("long"), slice_of(value, bytes)), 0);
    free(value);
    return request;
}

Test(storage_steps, takes_so_many_bytes_of_a_shard_and_no_more)
{
    struct storage_world world;
    open_world(&world);
    for (int i = 0; i < 3; i++)
        world_post(&world, 0, make_long(STORE_VALUE_BYTES_MAX));
    struct storage_request *fourth = make_long(STORE_VALUE_BYTES_MAX), *shorter = make_long(1U << 20);
    cr_assert(!storage_post(&world.storage, 0, fourth), "48 MiB and some bytes, and 16 more");
    world_post(&world, 0, shorter);
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_COMMITS), 4, "a transaction has 16 MiB");
    for (int i = 0; i < 4; i++)
        world_free(storage_take(&world.storage, 0));
    world_post(&world, 0, fourth);
    world_run(&world);
    world_expect(&world, 0, fourth, 0);
    world_close(&world);
}

Test(storage_steps, reads_no_more_than_a_shard_takes)
{
    struct storage_world world;
    struct storage_request *fetches[8];
    open_world(&world);
    struct storage_request *put = make_long(8U << 20);
    world_post(&world, 0, put);
    world_run(&world);
    world_expect(&world, 0, put, 0);
    for (int i = 0; i < 8; i++)
        fetches[i] = world_fetch(&world, 0, "long");
    put = world_put(&world, 1, "a", "1");
    world_run(&world);
    world_expect(&world, 1, put, 0); /* another shard does not wait */
    cr_assert_eq(storage_count(&world.storage, STORAGE_FETCHES), 4, "32 MiB");
    cr_assert(storage_is_quiet(&world.storage), "it sleeps until there is room");
    for (int i = 0; i < 8; i++) {
        world_expect(&world, 0, fetches[i], 0);
        cr_assert(world.storage.ports[0].must_ring || i >= 5, "taking makes room: storage is to be told");
        world_run(&world);
    }
    world_close(&world);
}

Test(storage_steps, tidies_when_nothing_has_come_for_a_second)
{
    struct storage_world world;
    open_world(&world);
    put_many(&world, 20);
    cr_assert_eq(storage_wake_ms(&world.storage), 2000);
    world.now_ms = 2000;
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_CHECKPOINTS), 1);
    cr_assert_eq(storage_wake_ms(&world.storage), 0);
    put_many(&world, 100);
    cr_assert_eq(storage_count(&world.storage, STORAGE_CHECKPOINTS), 2, "much is tidied at once");
    world_close(&world);
}

/* The log of 20 records is rewritten in pieces of 2 KiB; then two syncs and the header. */
Test(storage_steps, goes_on_when_tidying_fails_and_tries_it_again_after_a_second)
{
    struct storage_world world;
    open_world(&world);
    put_many(&world, 20);
    sim_disk_set_full(world.disk, true);
    world.now_ms = 2000;
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_FAILED_TIDYING), 1);
    cr_assert_eq(storage_state(&world.storage, NULL), STORAGE_WORKING);
    cr_assert_eq(storage_wake_ms(&world.storage), 3000);
    sim_disk_set_full(world.disk, false);
    struct storage_request *put = world_put(&world, 0, "a", "1");
    world_run(&world);
    world_expect(&world, 0, put, 0);
    world.now_ms = 3000;
    world_run(&world);
    cr_assert_eq(storage_count(&world.storage, STORAGE_CHECKPOINTS), 1);
    world_has(&world, "a", "1");
    world_close(&world);
}

Test(storage_steps, has_failed_when_the_sync_of_its_tidying_has)
{
    struct storage_world world;
    open_world(&world);
    put_many(&world, 20);
    world.disk->faults.sync_fails = 65536;
    world.now_ms = 2000;
    world_run(&world);
    int error = 0;
    cr_assert_eq(storage_state(&world.storage, &error), STORAGE_FAILED);
    cr_assert_eq(error, EIO);
    cr_assert_eq(storage_wake_ms(&world.storage), 0);
    world_close(&world);
}

Test(storage_steps, gives_everything_back_when_the_process_dies)
{
    for (int steps = 0; steps < 4; steps++) {
        struct storage_world world;
        struct storage_request *made[6], *list;
        open_world(&world);
        for (int i = 0; i < 3; i++)
            made[i] = world_put(&world, (uint16_t)(i % 2), "a", "1");
        for (int i = 0; i < steps; i++)
            (void)storage_tick(&world.storage, world.now_ms);
        for (int i = 3; i < 6; i++)
            made[i] = world_put(&world, (uint16_t)(i % 2), "a", "1");
        sim_disk_end(world.disk, true);
        list = storage_abandon(&world.storage);
        int given = 0;
        while (list != NULL) {
            struct storage_request *next = list->next;
            for (int i = 0; i < 6; i++)
                given += list == made[i];
            world_free(list);
            list = next;
        }
        cr_assert_eq(given, 6);
        world_lose(&world);
    }
}
