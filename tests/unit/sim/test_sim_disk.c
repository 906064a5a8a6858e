/* SPDX-License-Identifier: MIT */
/* The simulated disk and the store on it: cut, killed and refused at every operation, what was acknowledged is there,
 * whole transactions only; and the disk does lose, keep and tear what was not synced. */
#include "tests/unit/sim/storage_world.h"

#define ROUNDS 30U
#define KEYS 8U

/* Each shard writes its number of the round to KEYS keys of its own, in one unit; so they are alike or something is
 * torn. */
static struct storage_request *post_round(struct storage_world *world, uint16_t shard, uint32_t round)
{
    struct storage_request *request = world_request(STORAGE_COMMIT);
    request->life = world->storage.ports[shard].life_failed[0] + 1;
    request->ticket = round;
    for (uint8_t key = 0; key < KEYS; key++) {
        uint8_t name[2] = {(uint8_t)shard, key}, value[400];
        memset(value, (int)(round + key), sizeof value);
        memcpy(value, &round, sizeof round);
        cr_assert_eq(unit_put(&request->unit, 0, slice_of(name, 2), slice_of(value, sizeof value)), 0);
    }
    world_post(world, shard, request);
    return request;
}

struct history {
    uint32_t acknowledged[WORLD_SHARDS]; /* the last round that was */
    uint32_t posted[WORLD_SHARDS];
    uint32_t refused;
};

static void collect(struct storage_world *world, struct history *history)
{
    struct storage_request *answer;
    for (uint16_t shard = 0; shard < WORLD_SHARDS; shard++) {
        while ((answer = storage_take(&world->storage, shard)) != NULL) {
            if (answer->status == 0)
                history->acknowledged[shard] = (uint32_t)answer->ticket;
            else
                history->refused++;
            world_free(answer);
        }
    }
}

/* One step. The power may go while its sync stalls; else it is waited for, and the answers are looked at. Whether
 * there is more to do. */
static bool step(struct storage_world *world, struct history *history, struct random *random)
{
    bool more = storage_tick(&world->storage, world->now_ms);
    if (!world->disk->ended && sim_disk_busy_until_ms(world->disk) > 0 && random_chance(random, 1, 4))
        sim_disk_end(world->disk, true);
    if (world->disk->ended)
        return false;
    world_await_disk(world);
    collect(world, history);
    return more;
}

/* Rounds until the end or until the process is gone, with answers looked at behind every step. */
static void run_rounds(struct storage_world *world, struct history *history, struct random *random)
{
    for (uint32_t round = 1; round <= ROUNDS && !world->disk->ended; round++) {
        for (uint16_t shard = 0; shard < WORLD_SHARDS; shard++) {
            if (!random_chance(random, 2, 3))
                continue;
            history->posted[shard] = round;
            (void)post_round(world, shard, round);
        }
        uint32_t steps = (uint32_t)random_below(random, 8);
        for (uint32_t i = 0; i < steps && !world->disk->ended; i++) {
            world->now_ms += 100;
            (void)step(world, history, random);
        }
    }
    while (!world->disk->ended && step(world, history, random)) {
    }
}

static void abandon(struct storage_world *world)
{
    struct storage_request *request = storage_abandon(&world->storage);
    while (request != NULL) {
        struct storage_request *next = request->next;
        world_free(request);
        request = next;
    }
}

/* The round that the shard's records are of; 0: there are none. UINT32_MAX: of several, or broken. */
static uint32_t find_round(struct storage_world *world, uint16_t shard)
{
    uint32_t rounds[KEYS] = {0};
    for (uint8_t key = 0; key < KEYS; key++) {
        uint8_t name[2] = {(uint8_t)shard, key};
        struct slice value;
        if (store_get(world->storage.store, 0, slice_of(name, 2), &value) != 1)
            continue;
        if (value.bytes != 400)
            return UINT32_MAX;
        memcpy(&rounds[key], value.data, sizeof rounds[key]);
        for (size_t i = sizeof rounds[key]; i < value.bytes; i++)
            if (value.data[i] != (uint8_t)(rounds[key] + key))
                return UINT32_MAX;
    }
    for (uint8_t key = 1; key < KEYS; key++)
        if (rounds[key] != rounds[0])
            return UINT32_MAX;
    return rounds[0];
}

struct found {
    uint32_t lost, torn, kept_more;
};

static void look(struct storage_world *world, const struct history *history, struct found *found)
{
    for (uint16_t shard = 0; shard < WORLD_SHARDS; shard++) {
        uint32_t round = find_round(world, shard);
        found->torn += round == UINT32_MAX;
        found->lost += round != UINT32_MAX && round < history->acknowledged[shard];
        found->kept_more += round != UINT32_MAX && round > history->acknowledged[shard];
        cr_assert(round == UINT32_MAX || round <= history->posted[shard], "what nobody has written");
    }
}

/* One life that ends at the n-th operation, or at its end; then the next process looks. Whether there was an n-th. */
static bool live_and_look(uint64_t seed, uint64_t n, const struct sim_disk_faults *faults, struct found *found)
{
    struct storage_world world;
    struct history history = {0};
    struct random random;
    random_init(&random, seed);
    world_open(&world, seed * 1000003 + n, faults);
    bool opened = world_begin(&world) == 0;
    if (opened) {
        run_rounds(&world, &history, &random);
        if (!world.disk->ended)
            sim_disk_end(world.disk, faults->end_is_cut);
        abandon(&world);
    }
    bool hit = faults->end_at <= world.disk->operations && faults->fail_at <= world.disk->operations;
    bool shows_torn = world.disk->faults.shows_torn;
    world.disk->faults = (struct sim_disk_faults){.shows_torn = shows_torn};
    cr_assert_eq(world_begin(&world), 0);
    look(&world, &history, found);
    world_close(&world);
    return hit;
}

Test(sim_disk, loses_nothing_acknowledged_and_shows_nothing_torn_when_the_power_goes_at_any_operation)
{
    struct found found = {0};
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (uint64_t n = 1;; n++)
            if (!live_and_look(seed, n, &(struct sim_disk_faults){.end_at = n, .end_is_cut = true}, &found))
                break;
    cr_assert_eq(found.lost, 0);
    cr_assert_eq(found.torn, 0);
    cr_assert_gt(found.kept_more, 0, "at times what was not synced is kept");
}

Test(sim_disk, loses_nothing_acknowledged_when_the_process_is_killed_at_any_operation)
{
    struct found found = {0};
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (uint64_t n = 1;; n++)
            if (!live_and_look(seed, n, &(struct sim_disk_faults){.end_at = n}, &found))
                break;
    cr_assert_eq(found.lost, 0);
    cr_assert_eq(found.torn, 0);
    cr_assert_gt(found.kept_more, 0);
}

Test(sim_disk, loses_nothing_acknowledged_when_any_operation_fails_and_the_power_goes_at_the_end)
{
    struct found found = {0};
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (uint64_t n = 1;; n++) {
            bool hit = false;
            for (int fail_with = 0; fail_with < 2; fail_with++)
                hit |=
                    live_and_look(seed, n,
                                  &(struct sim_disk_faults){
                                      .fail_at = n, .fail_with = fail_with == 0 ? -ENOSPC : -EIO, .end_is_cut = true},
                                  &found);
            if (!hit)
                break;
        }
    cr_assert_eq(found.lost, 0);
    cr_assert_eq(found.torn, 0);
}

Test(sim_disk, loses_nothing_acknowledged_under_faults_by_chance)
{
    struct found found = {0};
    const struct sim_disk_faults faults = {
        .no_room = 2000, .write_fails = 1000, .sync_fails = 300, .stalls = 3000, .stall_ms = 500, .end_is_cut = true};
    for (uint64_t seed = 1; seed <= 300; seed++)
        (void)live_and_look(seed, 0, &faults, &found);
    cr_assert_eq(found.lost, 0);
    cr_assert_eq(found.torn, 0);
}

/* The check of the checks: with the planted bug the oracle sees transactions in part. */
Test(sim_disk, shows_torn_transactions_when_the_planted_bug_says_so)
{
    struct found found = {0};
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (uint64_t n = 1;; n++)
            if (!live_and_look(seed, n, &(struct sim_disk_faults){.end_at = n, .end_is_cut = true, .shows_torn = true},
                               &found))
                break;
    cr_assert_gt(found.torn, 0);
}

Test(sim_disk, keeps_drops_and_tears_sectors_that_were_not_synced_and_none_that_were)
{
    uint32_t kept = 0, dropped = 0, torn = 0;
    uint8_t old[4 * SIM_DISK_SECTOR], new[4 * SIM_DISK_SECTOR];
    memset(old, 1, sizeof old);
    memset(new, 2, sizeof new);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_disk *disk = sim_disk_create(seed, &(struct sim_disk_faults){0});
        cr_assert_eq(sim_disk_write(disk, 0, 0, slice_of(old, sizeof old)), 0);
        cr_assert_eq(sim_disk_sync(disk, 0), 0);
        cr_assert_eq(sim_disk_write(disk, 0, SIM_DISK_SECTOR, slice_of(new, 3 * SIM_DISK_SECTOR)), 0);
        sim_disk_end(disk, true);
        struct slice found = sim_disk_read(disk, 0);
        cr_assert_eq(memcmp(found.data, old, SIM_DISK_SECTOR), 0);
        for (unsigned i = 1; i < 4; i++) {
            const uint8_t *sector = found.data + i * SIM_DISK_SECTOR;
            unsigned twos = 0;
            while (twos < SIM_DISK_SECTOR && sector[twos] == 2)
                twos++;
            kept += twos == SIM_DISK_SECTOR;
            dropped += twos == 0;
            torn += twos > 0 && twos < SIM_DISK_SECTOR;
            cr_assert(twos == SIM_DISK_SECTOR || sector[SIM_DISK_SECTOR - 1] == 1);
        }
        sim_disk_destroy(disk);
    }
    cr_assert_eq(kept + dropped + torn, 600);
    cr_assert(kept > 200 && dropped > 50 && torn > 30, "%u %u %u", kept, dropped, torn);
}

Test(sim_disk, holds_a_sync_that_stalls_for_lost_when_the_power_goes_before_its_end)
{
    for (int late = 0; late < 2; late++) {
        uint32_t whole = 0;
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct sim_network *network = sim_network_create(1, &(struct sim_faults){0}, 4096);
            struct sim_disk *disk = sim_disk_create(seed, &(struct sim_disk_faults){.stalls = 65536, .stall_ms = 500});
            uint8_t bytes[8 * SIM_DISK_SECTOR];
            memset(bytes, 3, sizeof bytes);
            cr_assert_eq(sim_disk_write(disk, 0, 0, slice_of(bytes, sizeof bytes)), 0);
            cr_assert_eq(sim_disk_sync(disk, 0), 0);
            cr_assert_gt(sim_disk_busy_until_ms(disk), 0);
            sim_clock_advance((late ? 501 : 499) * 1000000U);
            sim_disk_end(disk, true);
            struct slice found = sim_disk_read(disk, 0);
            whole += memcmp(found.data, bytes, sizeof bytes) == 0;
            sim_disk_destroy(disk);
            sim_network_destroy(network);
        }
        cr_assert(late ? whole == 50 : whole < 25, "%d: %u", late, whole);
    }
}

Test(sim_disk, is_the_same_every_time_for_a_seed)
{
    struct found one = {0}, two = {0};
    const struct sim_disk_faults faults = {.no_room = 2000, .sync_fails = 1000, .end_is_cut = true};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        (void)live_and_look(seed, 7, &faults, &one);
        (void)live_and_look(seed, 7, &faults, &two);
    }
    cr_assert_eq(memcmp(&one, &two, sizeof one), 0);
}
