/* SPDX-License-Identifier: MIT */
/* What is measured of storage: puts through the party and its store, and beside them the limit, a loop that appends
 * the same bytes to a file and syncs it. Both lie in the same folder. */
#ifndef RINGCAST_BENCH_STORAGE_LOAD_H
#define RINGCAST_BENCH_STORAGE_LOAD_H

#include "core/buf.h"
#include "shards/storage/storage.h"

#include <semaphore.h>

struct load {
    struct storage storage;
    sem_t answered;
    int bare; /* descriptor of the file that is appended to */
    uint64_t sequence;
    uint32_t bytes; /* of a record's value */
    uint8_t *value; /* `bytes` of it, and for a group as many times that */
};

/* Makes a store and a file in the folder; a group has at most `group` records. 0, or a negative errno with a line in
 * `why`. */
int load_open(struct load *load, const char *folder, uint32_t bytes, uint32_t group, struct buf *why);
/* Ends the thread, closes the store and removes both files. */
void load_close(struct load *load, const char *folder);

/* Appends `records` values at once and syncs them: nanoseconds, or a negative errno. */
int64_t load_append(struct load *load, uint32_t records);
/* One put, from before it is posted until its answer is here: nanoseconds, or a negative errno. */
int64_t load_put(struct load *load);
/* `total` puts, `window` of them always under way (as of so many producers, each with one): nanoseconds for all, or a
 * negative errno. */
int64_t load_put_many(struct load *load, uint32_t window, uint32_t total);

#endif
