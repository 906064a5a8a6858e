/* SPDX-License-Identifier: MIT */
/* Owns the bytes of a simulated disk, their fate when the power goes, and the faults of its operations.
 * It never knows what the bytes mean, and draws chance from nothing but its seed.
 * Called by sim_store.c for every write, and by whoever runs the simulation. */
#include "tests/sim/sim_disk.h"

#include "core/check.h"
#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>

static struct sim_disk *inserted; /* one seed, one process, one disk */

struct sim_disk *sim_disk_create(uint64_t seed, const struct sim_disk_faults *faults)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    if (disk == NULL)
        return NULL;
    random_init(&disk->random, seed);
    disk->faults = *faults;
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    check(disk->opened == NULL);
    for (unsigned i = 0; i < SIM_DISK_AREAS; i++) {
        free(disk->area[i].live);
        free(disk->area[i].durable);
    }
    if (inserted == disk)
        inserted = NULL;
    free(disk);
}

void sim_disk_insert(struct sim_disk *disk)
{
    inserted = disk;
}

struct sim_disk *sim_disk_inserted(void)
{
    return inserted;
}

void sim_disk_set_full(struct sim_disk *disk, bool full)
{
    disk->full = full;
}

/* --- what is on the platter --------------------------------------------------------------------------------------- */

static void make_clean(struct sim_disk_area *area)
{
    area->dirty_from = area->dirty_to = 0;
}

static void make_durable(struct sim_disk_area *area)
{
    if (area->dirty_to > area->dirty_from)
        memcpy(area->durable + area->dirty_from, area->live + area->dirty_from, area->dirty_to - area->dirty_from);
    make_clean(area);
}

static bool is_busy(const struct sim_disk *disk)
{
    return clock_monotonic_ns() / 1000000U < disk->busy_until_ms;
}

/* A sync that stalled has ended by now: whoever called it was not ticked before. */
static void settle(struct sim_disk *disk)
{
    if (disk->busy_until_ms == 0)
        return;
    make_durable(&disk->area[disk->busy_area]);
    disk->busy_until_ms = 0;
}

/* Each sector that was written and not synced: there, not there, or there in part. */
static void scatter(struct sim_disk *disk, struct sim_disk_area *area)
{
    size_t from = area->dirty_from / SIM_DISK_SECTOR * SIM_DISK_SECTOR;
    for (size_t at = from; at < area->dirty_to; at += SIM_DISK_SECTOR) {
        size_t bytes = area->capacity - at < SIM_DISK_SECTOR ? area->capacity - at : SIM_DISK_SECTOR;
        uint64_t fate = random_below(&disk->random, 8);
        size_t kept = fate < 5 ? bytes : fate < 7 ? 0 : random_below(&disk->random, bytes);
        memcpy(area->durable + at, area->live + at, kept);
    }
    make_clean(area);
}

static void lose_power(struct sim_disk *disk)
{
    if (disk->busy_until_ms != 0 && !is_busy(disk))
        settle(disk);
    disk->busy_until_ms = 0;
    for (unsigned i = 0; i < SIM_DISK_AREAS; i++) {
        struct sim_disk_area *area = &disk->area[i];
        scatter(disk, area);
        if (area->capacity > 0)
            memcpy(area->live, area->durable, area->capacity);
        area->used = area->capacity; /* where the writing ended, nobody knows any more */
    }
}

void sim_disk_end(struct sim_disk *disk, bool cut)
{
    disk->opened = NULL;
    disk->ended = true;
    if (cut)
        lose_power(disk);
}

uint64_t sim_disk_busy_until_ms(const struct sim_disk *disk)
{
    return disk->busy_until_ms;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static bool happens(struct sim_disk *disk, uint32_t chance)
{
    return chance > 0 && random_chance(&disk->random, chance, 65536);
}

/* Counts an operation. 0 or the fault that it meets. */
static int operate(struct sim_disk *disk)
{
    settle(disk);
    disk->operations++;
    return disk->operations == disk->faults.fail_at ? disk->faults.fail_with : 0;
}

static int fault_of_write(struct sim_disk *disk)
{
    int error = operate(disk);
    if (error == 0 && (disk->full || happens(disk, disk->faults.no_room)))
        error = -ENOSPC;
    if (error == 0 && happens(disk, disk->faults.write_fails))
        error = -EIO;
    return error;
}

static int reserve(struct sim_disk_area *area, size_t bytes)
{
    if (bytes <= area->capacity)
        return 0;
    size_t capacity = area->capacity == 0 ? 8192 : area->capacity;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *live = realloc(area->live, capacity);
    if (live == NULL)
        return -ENOMEM;
    area->live = live;
    uint8_t *durable = realloc(area->durable, capacity);
    if (durable == NULL)
        return -ENOMEM;
    area->durable = durable;
    memset(live + area->capacity, 0, capacity - area->capacity);
    memset(durable + area->capacity, 0, capacity - area->capacity);
    area->capacity = capacity;
    return 0;
}

static void put_piece(struct sim_disk_area *area, size_t at, struct slice piece)
{
    memcpy(area->live + at, piece.data, piece.bytes);
    size_t end = at + piece.bytes;
    bool clean = area->dirty_from == area->dirty_to;
    area->dirty_from = clean || at < area->dirty_from ? at : area->dirty_from;
    area->dirty_to = clean || end > area->dirty_to ? end : area->dirty_to;
    area->used = end > area->used ? end : area->used;
}

int sim_disk_write(struct sim_disk *disk, unsigned number, size_t at, struct slice bytes)
{
    struct sim_disk_area *area = &disk->area[number];
    int error = reserve(area, at + bytes.bytes);
    while (error == 0 && bytes.bytes > 0) {
        struct slice piece = slice_of(bytes.data, bytes.bytes < SIM_DISK_PIECE ? bytes.bytes : SIM_DISK_PIECE);
        error = fault_of_write(disk);
        if (error != 0)
            break;
        put_piece(area, at, piece);
        at += piece.bytes;
        bytes = slice_skip(bytes, piece.bytes);
        if (disk->operations == disk->faults.end_at) {
            sim_disk_end(disk, disk->faults.end_is_cut);
            error = -EIO;
        }
    }
    return error;
}

int sim_disk_sync(struct sim_disk *disk, unsigned number)
{
    struct sim_disk_area *area = &disk->area[number];
    int error = operate(disk);
    if (disk->operations == disk->faults.end_at) {
        sim_disk_end(disk, disk->faults.end_is_cut);
        return -EIO;
    }
    if (error != 0 || happens(disk, disk->faults.sync_fails)) {
        scatter(disk, area);
        return error != 0 ? error : -EIO;
    }
    if (happens(disk, disk->faults.stalls)) {
        disk->busy_until_ms = clock_monotonic_ns() / 1000000U + disk->faults.stall_ms;
        disk->busy_area = number;
        return 0;
    }
    make_durable(area);
    return 0;
}

struct slice sim_disk_read(const struct sim_disk *disk, unsigned area)
{
    return slice_of(disk->area[area].live, disk->area[area].used);
}

void sim_disk_clear(struct sim_disk *disk, unsigned number, size_t at)
{
    struct sim_disk_area *area = &disk->area[number];
    settle(disk);
    if (at >= area->used)
        return;
    memset(area->live + at, 0, area->used - at);
    memset(area->durable + at, 0, area->used - at);
    area->used = at;
    area->dirty_to = area->dirty_to > at ? at : area->dirty_to;
    area->dirty_from = area->dirty_from > area->dirty_to ? area->dirty_to : area->dirty_from;
}
