/* SPDX-License-Identifier: MIT */
/* SQLite's result codes as the store's errors, and the one line that says so. Of store_*.c only. */
#ifndef RINGCAST_SHARDS_STORAGE_STORE_ERROR_H
#define RINGCAST_SHARDS_STORAGE_STORE_ERROR_H

#include "core/buf.h"

#include <sqlite3.h>

/* The error (store.h) of an extended result code; `system` is the errno that came with it, or 0. */
int store_error_of(int code, int system);
/* Whether the code means that data may not have reached the disk although it was written (fsync failed). */
bool store_error_is_sync(int code);
/* "PATH: what; what would be right" for an error; `detail` (may be NULL) is the library's own text. */
void store_error_say(struct buf *why, const char *path, int error, const char *detail);
/* The same from what the connection has just reported. Returns the error. */
int store_error_report(struct buf *why, const char *path, sqlite3 *db, int code);

#endif
