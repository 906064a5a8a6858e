/* SPDX-License-Identifier: MIT */
/* The store: records (table, key, value) that survive the process, changed in whole transactions. A seam, chosen when a
 * program is linked: store_sqlite.c keeps them in a database, tests/sim/sim_store.c on a simulated disk.
 *
 *     store_open -> { begin -> put | delete ... -> commit | rollback }, get,
 *                   { scan_begin -> scan_next ... -> scan_end }, tidy, probe -> store_close
 *
 * Everything here is synchronous and may wait for the disk; one thread at a time, which is storage's. Every function
 * that returns an int returns 0 (or what its comment says) or a negative errno:
 *
 *     -ENOSPC   no room on the file system or in the quota; passes when there is
 *     -EROFS    the file system takes no writes
 *     -EIO      the device failed
 *     -EBADMSG  the file is damaged
 *     -ENOMEM   no memory
 *
 * After a failure store_why() has one line for the operator. A failed *sync* is final, and so is damage: what the
 * kernel holds may differ from what the disk has, so every later commit of this process is refused with -EIO or
 * -EBADMSG (store_is_broken). */
#ifndef RINGCAST_SHARDS_STORAGE_STORE_H
#define RINGCAST_SHARDS_STORAGE_STORE_H

#include "core/buf.h"
#include "core/limits.h"

struct store;

/* A record, borrowed until the next call with this store. */
struct store_record {
    struct slice key, value;
};

/* Opens, makes or brings up to date the store at `path`, a file name or "memory" (the same in all, but nothing
 * survives). It is locked against every other process until it is closed. `tables` is a NULL-terminated list of names
 * of [a-z0-9_], at most STORE_TABLES_MAX; a table is from then on known by its index, tables that the file has beyond
 * them are left alone. What a former process wrote without knowing that it was synced is synced by then. 0, or an error
 * with one line in `why`: what is wrong, with which file, what would be right; besides those above
 *
 *     -EBUSY            another process has it
 *     -ENOENT           no such folder; -ENOTDIR, -EISDIR, -ENAMETOOLONG as the system says
 *     -EACCES           this process may not
 *     -EINVAL           a path or the name of a table that cannot be
 *     -EPROTONOSUPPORT  made by a newer version
 *     -EMEDIUMTYPE      another program's database, or none */
int store_open(struct store **store, const char *path, const char *const *tables, struct buf *why);
/* Rolls back what is open, tidies when nothing has failed, lets the lock go. */
void store_close(struct store *store);

/* A transaction begins; none may be open. */
int store_begin(struct store *store);
/* Inside a transaction: the record is added or takes the place of the one with that key. A key has 1 to
 * STORE_KEY_BYTES_MAX bytes, a value at most STORE_VALUE_BYTES_MAX (the caller has seen to it). On an error only
 * store_rollback is left. */
int store_put(struct store *store, uint8_t table, struct slice key, struct slice value);
/* Inside a transaction: the record is gone; it need not have been there. */
int store_delete(struct store *store, uint8_t table, struct slice key);
/* 0: the transaction is on the disk. On an error it is undone, in the file too, as if it had never begun. */
int store_commit(struct store *store);
/* Undoes the open transaction, if there is one. */
void store_rollback(struct store *store);

/* 1 and the value, or 0 when there is no such record. An open transaction's changes are seen. */
int store_get(struct store *store, uint8_t table, struct slice key, struct slice *value);
/* The records of a table in the order of their keys (memcmp; a prefix comes first), from the one behind `after` on
 * (empty: from the first). One scan at a time, and no other call before its end. */
int store_scan_begin(struct store *store, uint8_t table, struct slice after);
/* 1 and the next record, 0 at the end. */
int store_scan_next(struct store *store, struct store_record *record);
void store_scan_end(struct store *store);

/* Upkeep outside a transaction, as far as it is due: `idle` says that nobody waits. Errors are those of the disk;
 * nothing that was committed is touched by them. Of a store that is broken: its error, and nothing is done. */
int store_tidy(struct store *store, bool idle);
/* Whether store_tidy(store, true) would do something. */
bool store_wants_tidying(const struct store *store);
/* Finds out whether a transaction of `bytes` could be committed now, by committing one and undoing it. For a store
 * that had no room. */
int store_probe(struct store *store, uint32_t bytes);

/* One line about the last failure; "" before the first. */
const char *store_why(const struct store *store);
/* No commit will ever succeed again in this process. */
bool store_is_broken(const struct store *store);

#endif
