/* SPDX-License-Identifier: MIT */
/* The files of a depot on a simulated disk: shards/depot/depot_files.h without a system call, beside the store of sim_store.c.
 * They have one disk and end together.
 *
 *   bytes   what was written and not synced is kept, dropped or torn when the power goes, sector by sector, by the seed. A
 *           sync that fails keeps some of it, and no later sync brings the rest.
 *   names   are kept in their order up to some place, as a journal does, unless a folder has been synced; a rename is whole.
 *
 * Operations are numbered from 1: each call, each further step of `create` and `place`, each sync of a file. When the process
 * has ended nothing has an effect any more. */
#ifndef RINGCAST_TESTS_SIM_SIM_FILES_H
#define RINGCAST_TESTS_SIM_SIM_FILES_H

#include "core/random.h"
#include "protocol/depot.h"

#define SIM_FILES_SECTOR 64U
#define SIM_FILES_BYTES_MAX 16384U /* of a file */
#define SIM_FILES_MAX 64           /* in all, those that are gone included */
#define SIM_FILES_NAMES_MAX 64     /* likewise */
#define SIM_FILES_CHANGES_MAX 64   /* of names, between two syncs of folders */

struct sim_file {
    size_t live_bytes, kept_bytes;
    bool dirty[SIM_FILES_BYTES_MAX / SIM_FILES_SECTOR]; /* a sector that the next sync brings to the disk */
    uint8_t live[SIM_FILES_BYTES_MAX], kept[SIM_FILES_BYTES_MAX];
};

/* A name in a folder; a file is its place in `files`, or -1. */
struct sim_name {
    char path[96]; /* of one in the making: behind DEPOT_STAGING_PREFIX */
    int live, kept;
};

/* What was done to names and is not on the disk for sure: one, or the two of a rename. */
struct sim_change {
    int name[2], file[2];
    unsigned count;
};

struct sim_files_faults {
    uint64_t fail_at; /* this operation fails once; 0: none */
    int fail_with;    /* so: -ENOSPC, -EIO */
    uint64_t end_at;  /* before this one the process is gone; 0: never */
    bool end_is_cut;  /* with the power */
};

struct sim_files {
    struct random random;
    struct sim_files_faults faults;
    uint64_t room;
    uint64_t operations;
    bool ended;
    struct sim_file *files;
    unsigned file_count;
    struct sim_name names[SIM_FILES_NAMES_MAX];
    unsigned name_count;
    struct sim_change changes[SIM_FILES_CHANGES_MAX];
    unsigned change_count;
};

/* Empty, and what depot_files_open finds from now on, whatever the root. NULL when there is no memory. */
struct sim_files *sim_files_create(uint64_t seed);
void sim_files_destroy(struct sim_files *files);

/* Whether the process is gone: these files or the store beside them have ended it. */
bool sim_files_ended(const struct sim_files *files);
/* It is gone, and with `cut` what was not synced, as far as the seed says. The next depot_files_open is another process's. The store's disk
 * (sim_disk_end) is the caller's. */
void sim_files_end(struct sim_files *files, bool cut);

/* Puts a file at a path below the root, on the disk at once. */
void sim_files_put(struct sim_files *files, const char *path, struct slice bytes);
/* What the system shows there; data NULL: nothing. */
struct slice sim_files_get(const struct sim_files *files, const char *path);
/* Names that the system shows, those in the making too. */
unsigned sim_files_count(const struct sim_files *files);

#endif
