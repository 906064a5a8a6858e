/* SPDX-License-Identifier: MIT */
/* The files of a depot below a root: those in the making, in a folder of the root that no path can name, and those in
 * their places. No symbolic link is ever followed below the root, and nothing is opened outside it (openat2 with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS). One thread at a time. */
#ifndef RINGCAST_SHARDS_DEPOT_FILES_H
#define RINGCAST_SHARDS_DEPOT_FILES_H

#include "protocol/depot.h"

#define DEPOT_STAGING DEPOT_STAGING_PREFIX "staging" /* the folder of files in the making, and of the records' store */
#define DEPOT_FILES_OPEN_MAX 256                     /* descriptors that are kept open; a power of two */

struct depot_file {
    int fd; /* -1: this place is free */
    bool dirty;
    uint64_t used; /* rises: when it was used last */
    char name[DEPOT_NAME_BYTES_MAX];
};

struct depot_files {
    int root, staging; /* folders */
    uint64_t uses;
    int failed; /* -errno of a sync before the next depot_files_sync */
    struct depot_file files[DEPOT_FILES_OPEN_MAX];
};

/* Opens the root, which is there, and makes the folder of files in the making. 0, or -errno with one line in `why`: what is wrong, and
 * what would be right. */
int depot_files_open(struct depot_files *files, const char *root, struct buf *why);
void depot_files_close(struct depot_files *files);

/* As struct depot_disk has them. */
int depot_files_create(struct depot_files *files, const char *name);
int depot_files_write(struct depot_files *files, const char *name, uint64_t offset, struct slice bytes);
int depot_files_read(struct depot_files *files, const char *name, uint64_t offset, struct buf *out);
int depot_files_length(struct depot_files *files, const char *name, uint64_t *bytes);
int depot_files_remove(struct depot_files *files, const char *name);
int depot_files_sweep(struct depot_files *files, depot_keeps_fn *keeps, void *state);
int depot_files_place(struct depot_files *files, const char *name, struct slice folder, struct slice path);
int depot_files_look(struct depot_files *files, struct slice folder, struct slice path);
int depot_files_room(struct depot_files *files, uint64_t *bytes);

/* Everything that has been written is on the disk. 0 or -errno; after an error what the disk has is not known. */
int depot_files_sync(struct depot_files *files);

#endif
