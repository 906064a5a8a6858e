/* SPDX-License-Identifier: MIT */
/* Storage over a simulated disk, played by hand: shards that post, a step at a time, answers that are collected. */
#ifndef RINGCAST_TESTS_STORAGE_WORLD_H
#define RINGCAST_TESTS_STORAGE_WORLD_H

#include "core/clock.h"
#include "core/log.h"
#include "core/ring_sim.h"
#include "shards/storage/storage.h"
#include "shards/storage/store.h"
#include "tests/sim/sim_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WORLD_SHARDS 3

struct storage_world {
    struct sim_network *network; /* whose clock the disk goes by */
    struct sim_disk *disk;
    struct storage storage;
    uint64_t now_ms;
    uint32_t doorbells[WORLD_SHARDS];
};

static const char *const world_tables[] = {"jobs", "chunks", NULL};

static inline void world_answered(void *user, uint16_t origin)
{
    struct storage_world *world = user;
    world->doorbells[origin]++;
}

/* 0, or why the store cannot be opened. */
static inline int world_begin(struct storage_world *world)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text);
    struct store *store;
    int error = store_open(&store, "disk", world_tables, &why);
    if (error != 0)
        return error;
    cr_assert_eq(storage_init(&world->storage, store, WORLD_SHARDS, world_answered, world), 0);
    return 0;
}

static inline void world_open(struct storage_world *world, uint64_t seed, const struct sim_disk_faults *faults)
{
    log_redirect(-1);
    *world = (struct storage_world){.now_ms = 1000};
    world->network = sim_network_create(seed, &(struct sim_faults){0}, 4096);
    world->disk = sim_disk_create(seed, faults);
    sim_disk_insert(world->disk);
}

static inline void world_lose(struct storage_world *world)
{
    sim_disk_destroy(world->disk);
    sim_network_destroy(world->network);
}

static inline void world_close(struct storage_world *world)
{
    storage_destroy(&world->storage);
    world_lose(world);
}

/* Time goes on to the end of a sync that stalls. */
static inline void world_await_disk(struct storage_world *world)
{
    uint64_t now_ns = clock_monotonic_ns(), due_ns = sim_disk_busy_until_ms(world->disk) * 1000000U;
    if (due_ns > now_ns)
        sim_clock_advance(due_ns - now_ns);
}

static inline struct storage_request *world_request(enum storage_kind kind)
{
    struct storage_request *request = calloc(1, sizeof *request);
    cr_assert_not_null(request);
    request->kind = kind;
    request->life = 1;
    request->bytes_max = STORAGE_PIECE_BYTES_MAX;
    return request;
}

static inline void world_free(struct storage_request *request)
{
    unit_release(&request->unit);
    free(request);
}

static inline void world_post(struct storage_world *world, uint16_t origin, struct storage_request *request)
{
    cr_assert(storage_post(&world->storage, origin, request));
}

/* Posts the putting of one record. */
static inline struct storage_request *world_put(struct storage_world *world, uint16_t origin, const char *key,
                                                const char *value)
{
    struct storage_request *request = world_request(STORAGE_COMMIT);
    cr_assert_eq(unit_put(&request->unit, 0, slice_text(key), slice_text(value)), 0);
    world_post(world, origin, request);
    return request;
}

static inline struct storage_request *world_fetch(struct storage_world *world, uint16_t origin, const char *key)
{
    struct storage_request *request = world_request(STORAGE_FETCH);
    request->key_bytes = (uint16_t)strlen(key);
    memcpy(request->key, key, request->key_bytes);
    world_post(world, origin, request);
    return request;
}

/* Steps until there is nothing to do at once. */
static inline void world_run(struct storage_world *world)
{
    int steps = 0;
    while (storage_tick(&world->storage, world->now_ms))
        cr_assert_lt(++steps, 100000);
}

/* The next answer of the shard has to be this request, with this status; it is freed. */
static inline void world_expect(struct storage_world *world, uint16_t origin, struct storage_request *request,
                                int status)
{
    struct storage_request *answer = storage_take(&world->storage, origin);
    cr_assert_eq((void *)answer, (void *)request);
    cr_assert_eq(answer->status, status, "%d, not %d", answer->status, status);
    world_free(answer);
}

/* The same for a FETCH: its one record. */
static inline void world_expect_value(struct storage_world *world, uint16_t origin, struct storage_request *request,
                                      const char *value)
{
    struct storage_request *answer = storage_take(&world->storage, origin);
    struct unit_operation operation;
    uint32_t at = 0;
    cr_assert_eq((void *)answer, (void *)request);
    cr_assert_eq(answer->status, 0);
    cr_assert(unit_next(&answer->unit, &at, &operation));
    cr_assert(slice_is(operation.value, value), "%.*s", (int)operation.value.bytes, (const char *)operation.value.data);
    world_free(answer);
}

/* Shorthands for what stands on the disk: what a later process would find. */
static inline void world_has(struct storage_world *world, const char *key, const char *value)
{
    struct slice found = {0};
    int is_there = store_get(world->storage.store, 0, slice_text(key), &found);
    cr_assert_eq(is_there, value != NULL, "%s", key);
    cr_assert(value == NULL || slice_is(found, value), "%s", key);
}

#endif
