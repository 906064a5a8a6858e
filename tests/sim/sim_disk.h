/* SPDX-License-Identifier: MIT */
/* A disk in virtual time: two areas of bytes, what the system shows of them and what would be left without power.
 * What was written and not synced is kept, dropped or torn, sector by sector, when the power goes; by the seed.
 * sim_store.c is the store (shards/storage/store.h) on it.
 *
 * Operations are numbered from 1: each write of at most SIM_DISK_PIECE bytes is one, each sync is one. */
#ifndef RINGCAST_TESTS_SIM_SIM_DISK_H
#define RINGCAST_TESTS_SIM_SIM_DISK_H

#include "core/bytes.h"
#include "core/random.h"

#define SIM_DISK_AREAS 2
#define SIM_DISK_SECTOR 512U
#define SIM_DISK_PIECE 2048U

struct sim_disk_faults {
    /* By chance, in 65,536ths of the operations. */
    uint32_t no_room;     /* a write finds none: -ENOSPC */
    uint32_t write_fails; /* -EIO */
    uint32_t sync_fails;  /* -EIO; what was to be synced is on the disk or not, and no later sync brings it there */
    uint32_t stalls;      /* a sync takes stall_ms of virtual time */
    uint32_t stall_ms;
    /* On purpose; 0: never. */
    uint64_t fail_at; /* this operation fails once, */
    int fail_with;    /* so: -ENOSPC, -EIO */
    uint64_t end_at;  /* behind this write, or before this sync, the process is gone: sim_disk_end */
    bool end_is_cut;  /* with the power */
    bool shows_torn;  /* planted: the store believes what it finds without a look at the checksums */
};

struct sim_disk_area {
    uint8_t *live, *durable; /* both `capacity` long, zero behind what was written */
    size_t used, capacity;
    size_t dirty_from, dirty_to; /* written since the last sync; empty when equal */
};

struct store;

struct sim_disk {
    struct random random;
    struct sim_disk_faults faults;
    struct sim_disk_area area[SIM_DISK_AREAS];
    struct store *opened;
    uint64_t operations;
    uint64_t busy_until_ms; /* a sync that stalls ends then; */
    unsigned busy_area;     /* of this area */
    bool full;              /* every write finds no room */
    bool ended;             /* since the last sim_disk_end nobody has opened it */
};

/* NULL when there is no memory. */
struct sim_disk *sim_disk_create(uint64_t seed, const struct sim_disk_faults *faults);
/* Nobody has it open. */
void sim_disk_destroy(struct sim_disk *disk);
/* The disk that store_open finds from now on, whatever the path; NULL: none. */
void sim_disk_insert(struct sim_disk *disk);
struct sim_disk *sim_disk_inserted(void);

/* The process that had the store open is gone, between two operations: its handle does nothing any more but
 * store_close. With `cut` the power is gone too, and with it what was not synced, as far as the seed says. */
void sim_disk_end(struct sim_disk *disk, bool cut);
/* There is no room until this is called again. */
void sim_disk_set_full(struct sim_disk *disk, bool full);
/* Storage is not ticked before that time (virtual milliseconds): its sync is still going on, and power that is lost
 * meanwhile takes with it what was to be synced. */
uint64_t sim_disk_busy_until_ms(const struct sim_disk *disk);

/* --- the store's side --------------------------------------------------------------------------------------------- */

/* Writes in pieces; what was written before a failure stays written. 0, -ENOSPC, -EIO, -ENOMEM. */
int sim_disk_write(struct sim_disk *disk, unsigned area, size_t at, struct slice bytes);
int sim_disk_sync(struct sim_disk *disk, unsigned area);
/* What the system shows. */
struct slice sim_disk_read(const struct sim_disk *disk, unsigned area);
/* Zeros from `at` on, on the disk too, at once: only for what nobody would read again. */
void sim_disk_clear(struct sim_disk *disk, unsigned area, size_t at);

#endif
