/* SPDX-License-Identifier: MIT */
/* A depot without a thread: requests are run to their end one by one, on a disk in memory whose operations can be made to
 * fail. What is written and put counts when a request ends, as a commit after it would make it; pure_depot_life begins
 * again from there, as behind a crash. */
#ifndef RINGCAST_TESTS_SUPPORT_PURE_DEPOT_H
#define RINGCAST_TESTS_SUPPORT_PURE_DEPOT_H

#include "core/random.h"
#include "protocol/depot.h"

struct pure_file {
    char *name; /* in the making: its name; in its place: FOLDER/PATH */
    bool placed;
    uint8_t *data;
    size_t bytes, capacity;
};

struct pure_entry {
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};

struct pure_depot {
    const struct depot *depot;
    void *state; /* NULL: no life */
    struct depot_disk disk;
    struct pure_file *files;
    size_t file_count;
    struct pure_entry *entries; /* records, in no order */
    size_t entry_count;
    struct random random;
    uint64_t tickets;
    uint64_t room;                 /* free bytes that the disk says it has */
    uint64_t operations, fails_at; /* the number of the next change; the one that fails (0: none) */
    int error;                     /* with this */
    char link[1500];               /* FOLDER/PATH at which there is a symbolic link; "": nowhere */
};

void pure_depot_init(struct pure_depot *pure, const struct depot *depot, uint64_t seed);
void pure_depot_free(struct pure_depot *pure);
/* Ends the life, if there is one, and begins another from the records. */
void pure_depot_life(struct pure_depot *pure, uint64_t now_ms, uint64_t wall_ms);
/* Runs a request to its end; what it says is appended to `reply` (of DEPOT_REPLY_BYTES_MAX at least). */
void pure_depot_ask(struct pure_depot *pure, uint32_t kind, uint64_t connection, struct slice head, struct slice body,
                    uint64_t now_ms, uint64_t wall_ms, struct buf *reply);
/* The file in its place, or NULL. */
const struct pure_file *pure_depot_file(const struct pure_depot *pure, const char *target);
/* How many files are in the making. */
size_t pure_depot_staged(const struct pure_depot *pure);
/* One in the making vanishes. */
void pure_depot_lose(struct pure_depot *pure, const char *name);

#endif
