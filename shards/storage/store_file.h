/* SPDX-License-Identifier: MIT */
/* The file that a store lives in, before SQLite sees it: whether its path can be one, its lock, its mode. Of
 * store_*.c only. */
#ifndef RINGCAST_SHARDS_STORAGE_STORE_FILE_H
#define RINGCAST_SHARDS_STORAGE_STORE_FILE_H

#include "core/buf.h"

struct store_file {
    int lock; /* descriptor of PATH.lock, -1: none */
};

#define STORE_FILE_NONE ((struct store_file){.lock = -1})

/* Locks PATH.lock (made with mode 0600, never removed: removing it would let two processes hold two files of that
 * name) and makes PATH, if it is not there, empty and with mode 0600; an existing file keeps its mode. 0, or an error
 * with a line in `why`. */
int store_file_claim(struct store_file *file, const char *path, struct buf *why);
/* Lets the lock go. */
void store_file_release(struct store_file *file);

#endif
