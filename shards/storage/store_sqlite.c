/* SPDX-License-Identifier: MIT */
/* Owns the one connection to the SQLite database that is the store: opening, transactions, reads, checkpoints, and
 * what has failed for good. It never lets SQLite check points on its own, never says "committed" before the log is
 * synced, and never touches the file again for writing once a sync has failed.
 * Called by storage, on whose thread it may wait for the disk.
 *
 * What makes a commit durable: WAL and synchronous=FULL, so COMMIT appends the changed pages to PATH-wal and syncs
 * it. What keeps that true after a failed sync (the kernel then calls pages clean that the disk does not have):
 * `broken`, here, and at the next start a checkpoint in open, which writes and syncs all anew that the log holds. */
#include "shards/storage/store.h"

#include "core/check.h"
#include "shards/storage/store_error.h"
#include "shards/storage/store_file.h"
#include "shards/storage/store_schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WAL_PAGES_DUE 4096 /* a checkpoint is due though there is work: 16 MiB */
#define WAL_PAGES_IDLE 64  /* and when there is none: 256 KiB */

#define WHY_BYTES 512

struct table {
    sqlite3_stmt *put, *remove, *get, *scan;
};

struct store {
    sqlite3 *db;
    struct store_file file;
    char *path;
    bool in_memory;
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *reading; /* get's or the scan's, whose row is borrowed */
    uint32_t tables;
    struct table table[STORE_TABLES_MAX];
    uint32_t wal_pages; /* in the log since the last checkpoint */
    int broken;         /* not 0: the error of every commit from now on */
    char why[WHY_BYTES];
};

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void close_buf(struct buf *out)
{
    out->data[out->used] = '\0';
}

/* Keeps the line about what the connection has just reported, and whether it is final. Returns the error. */
static int fail(struct store *store, int code)
{
    int extended = sqlite3_extended_errcode(store->db);
    struct buf why = buf_of(store->why, sizeof store->why - 1);
    int error = store_error_report(&why, store->path, store->db, code);
    close_buf(&why);
    if (error == -EMEDIUMTYPE)
        error = -EBADMSG; /* it was a database when it was opened */
    if (error == -EBADMSG || store_error_is_sync(extended))
        store->broken = error;
    return error;
}

const char *store_why(const struct store *store)
{
    return store->why;
}

bool store_is_broken(const struct store *store)
{
    return store->broken != 0;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int run(struct store *store, const char *sql, struct buf *why)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : store_error_report(why, store->path, store->db, code);
}

/* Whether the first column of the only row is `wanted`. 1, 0 or an error. */
static int answers(struct store *store, const char *sql, const char *wanted, struct buf *why)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    int result = code != SQLITE_ROW ? store_error_report(why, store->path, store->db, code)
                                    : text != NULL && strcmp(text, wanted) == 0;
    (void)sqlite3_finalize(statement);
    return result;
}

static int count_pages(void *argument, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct store *store = argument;
    store->wal_pages = (uint32_t)pages;
    return SQLITE_OK;
}

/* A name that SQLite would take for something else (":memory:", "file:...") is made a plain path. */
static int open_connection(struct store *store, struct buf *why)
{
    size_t bytes = strlen(store->path) + 3;
    char *name = malloc(bytes);
    if (name == NULL) {
        store_error_say(why, store->path, -ENOMEM, NULL);
        return -ENOMEM;
    }
    (void)snprintf(name, bytes, "%s%s", store->path[0] == '/' ? "" : "./", store->path);
    int code = sqlite3_open_v2(store->in_memory ? ":memory:" : name, &store->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    free(name);
    if (code == SQLITE_OK)
        return 0;
    if (store->db != NULL)
        return store_error_report(why, store->path, store->db, code);
    store_error_say(why, store->path, -ENOMEM, NULL);
    return -ENOMEM;
}

/* Before the first read. The file's own schema is believed in nothing. */
static int configure(struct store *store, struct buf *why)
{
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
    return run(store,
               "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 4096; PRAGMA cache_size = -4096;"
               "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0",
               why);
}

static int begin_log(struct store *store, struct buf *why)
{
    int is_wal = store->in_memory ? answers(store, "PRAGMA journal_mode = MEMORY", "memory", why)
                                  : answers(store, "PRAGMA journal_mode = WAL", "wal", why);
    if (is_wal < 0)
        return is_wal;
    if (is_wal == 0) {
        store_error_say(why, store->path, -EIO, "its file system allows no write-ahead log");
        return -EIO;
    }
    (void)sqlite3_wal_hook(store->db, count_pages, store); /* takes the place of SQLite's own checkpoints */
    return run(store, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = FAST",
               why);
}

/* Damage is looked for before anything is built upon the file. */
static int examine(struct store *store, struct buf *why)
{
    int is_ok = answers(store, "PRAGMA quick_check(1)", "ok", why);
    if (is_ok == 0)
        store_error_say(why, store->path, -EBADMSG, NULL);
    return is_ok < 0 ? is_ok : is_ok == 0 ? -EBADMSG : 0;
}

/* Writes into the database and syncs all that the log holds: whoever wrote it may have died, or met a failed sync. */
static int settle_log(struct store *store, struct buf *why)
{
    int code = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store->wal_pages = 0;
    return code == SQLITE_OK ? 0 : store_error_report(why, store->path, store->db, code);
}

static int prepare(struct store *store, const char *format, const char *table, sqlite3_stmt **statement,
                   struct buf *why)
{
    char sql[160 + STORE_TABLE_NAME_BYTES_MAX];
    (void)sqlite3_snprintf((int)sizeof sql, sql, format, table);
    int code = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    return code == SQLITE_OK ? 0 : store_error_report(why, store->path, store->db, code);
}

/* With rowids, not WITHOUT ROWID: README.md, what was measured. */
static int open_table(struct store *store, const char *name, struct table *table, struct buf *why)
{
    char sql[160 + STORE_TABLE_NAME_BYTES_MAX];
    (void)sqlite3_snprintf((int)sizeof sql, sql,
                           "CREATE TABLE IF NOT EXISTS \"%w\" (key BLOB PRIMARY KEY NOT NULL, value NOT NULL)", name);
    int error = run(store, sql, why);
    if (error == 0)
        error =
            prepare(store, "INSERT INTO \"%w\" VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    name, &table->put, why);
    if (error == 0)
        error = prepare(store, "DELETE FROM \"%w\" WHERE key = ?", name, &table->remove, why);
    if (error == 0)
        error = prepare(store, "SELECT value FROM \"%w\" WHERE key = ?", name, &table->get, why);
    if (error == 0)
        error = prepare(store, "SELECT key, value FROM \"%w\" WHERE key > ? ORDER BY key", name, &table->scan, why);
    return error;
}

static bool is_table_name(const char *name)
{
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes > STORE_TABLE_NAME_BYTES_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != bytes)
        return false;
    return strncmp(name, "sqlite_", 7) != 0 && strncmp(name, "ringcast_", 9) != 0;
}

static int open_tables(struct store *store, const char *const *tables, struct buf *why)
{
    for (uint32_t i = 0; tables[i] != NULL; i++) {
        if (i == STORE_TABLES_MAX || !is_table_name(tables[i])) {
            buf_put_text(why, tables[i]);
            buf_put_text(why, i == STORE_TABLES_MAX ? ": is one table more than a store has"
                                                    : ": cannot be the name of a table; a-z, 0-9 and _ are, up to 64");
            return -EINVAL;
        }
        int error = open_table(store, tables[i], &store->table[i], why);
        if (error != 0)
            return error;
        store->tables = i + 1;
    }
    return 0;
}

static int open_statements(struct store *store, const char *const *tables, struct buf *why)
{
    int error = prepare(store, "BEGIN IMMEDIATE", "", &store->begin, why);
    if (error == 0)
        error = prepare(store, "COMMIT", "", &store->commit, why);
    if (error == 0)
        error = prepare(store, "ROLLBACK", "", &store->rollback, why);
    return error == 0 ? open_tables(store, tables, why) : error;
}

/* In an order in which nothing is written before it is known that the file is ours and whole. */
static int open_all(struct store *store, const char *const *tables, struct buf *why)
{
    int error = store->in_memory ? 0 : store_file_claim(&store->file, store->path, why);
    if (error == 0)
        error = open_connection(store, why);
    if (error == 0)
        error = configure(store, why);
    if (error == 0)
        error = store_schema_check(store->db, store->path, &store_schema_current, why);
    if (error == 0)
        error = examine(store, why);
    if (error == 0)
        error = begin_log(store, why);
    if (error == 0)
        error = settle_log(store, why);
    if (error == 0)
        error = store_schema_migrate(store->db, store->path, &store_schema_current, why);
    return error == 0 ? open_statements(store, tables, why) : error;
}

int store_open(struct store **opened, const char *path, const char *const *tables, struct buf *why)
{
    *opened = NULL;
    if (path[0] == '\0') {
        buf_put_text(why, "the store's path is empty; the name of a file is wanted, or \"memory\"");
        return -EINVAL;
    }
    struct store *store = calloc(1, sizeof *store);
    char *copy = strdup(path);
    if (store == NULL || copy == NULL) {
        free(store);
        free(copy);
        store_error_say(why, path, -ENOMEM, NULL);
        return -ENOMEM;
    }
    store->path = copy;
    store->file = STORE_FILE_NONE;
    store->in_memory = strcmp(path, "memory") == 0;
    int error = open_all(store, tables, why);
    if (error != 0) {
        store->broken = error; /* nothing is written on the way out */
        store_close(store);
        return error;
    }
    *opened = store;
    return 0;
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

static void finalize_all(struct store *store)
{
    (void)sqlite3_finalize(store->begin);
    (void)sqlite3_finalize(store->commit);
    (void)sqlite3_finalize(store->rollback);
    for (uint32_t i = 0; i < STORE_TABLES_MAX; i++) {
        struct table *table = &store->table[i];
        (void)sqlite3_finalize(table->put);
        (void)sqlite3_finalize(table->remove);
        (void)sqlite3_finalize(table->get);
        (void)sqlite3_finalize(table->scan);
    }
}

/* SQLite's own checkpoint at the end empties the log; after a failed sync it would take pages for written that are
 * not. */
void store_close(struct store *store)
{
    if (store->db != NULL) {
        if (store->begin != NULL)
            store_rollback(store);
        finalize_all(store);
        (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, store->broken != 0, NULL);
        int code = sqlite3_close(store->db);
        check_op((unsigned)code, ==, SQLITE_OK);
    }
    store_file_release(&store->file);
    free(store->path);
    free(store);
}

/* --- transactions ------------------------------------------------------------------------------------------------- */

/* The row that was borrowed is no longer. */
static void stop_reading(struct store *store)
{
    if (store->reading == NULL)
        return;
    (void)sqlite3_reset(store->reading);
    store->reading = NULL;
}

/* Runs a statement that yields no rows. */
static int step(struct store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    int error = code == SQLITE_DONE ? 0 : fail(store, code);
    (void)sqlite3_reset(statement);
    return error;
}

static int bind(sqlite3_stmt *statement, int place, struct slice bytes)
{
    if (bytes.bytes == 0)
        return sqlite3_bind_zeroblob(statement, place, 0);
    return sqlite3_bind_blob(statement, place, bytes.data, (int)bytes.bytes, SQLITE_STATIC);
}

/* A JSON object or array is stored as text, which SQLite's JSON functions take; the bytes are the same. */
static int bind_value(sqlite3_stmt *statement, int place, struct slice value)
{
    bool is_json = value.bytes > 0 && (value.data[0] == '{' || value.data[0] == '[') &&
                   memchr(value.data, '\0', value.bytes) == NULL;
    if (!is_json)
        return bind(statement, place, value);
    return sqlite3_bind_text(statement, place, (const char *)value.data, (int)value.bytes, SQLITE_STATIC);
}

static struct table *table_of(struct store *store, uint8_t table)
{
    check_op(table, <, store->tables);
    return &store->table[table];
}

static bool is_open(const struct store *store)
{
    return !sqlite3_get_autocommit(store->db);
}

int store_begin(struct store *store)
{
    check(!is_open(store));
    stop_reading(store);
    return store->broken != 0 ? store->broken : step(store, store->begin);
}

int store_put(struct store *store, uint8_t table, struct slice key, struct slice value)
{
    sqlite3_stmt *put = table_of(store, table)->put;
    check_op(key.bytes, <=, STORE_KEY_BYTES_MAX);
    check_op(value.bytes, <=, STORE_VALUE_BYTES_MAX);
    stop_reading(store);
    int code = bind(put, 1, key);
    if (code == SQLITE_OK)
        code = bind_value(put, 2, value);
    return code == SQLITE_OK ? step(store, put) : fail(store, code);
}

int store_delete(struct store *store, uint8_t table, struct slice key)
{
    sqlite3_stmt *statement = table_of(store, table)->remove;
    stop_reading(store);
    int code = bind(statement, 1, key);
    return code == SQLITE_OK ? step(store, statement) : fail(store, code);
}

int store_commit(struct store *store)
{
    stop_reading(store);
    int error = store->broken != 0 ? store->broken : step(store, store->commit);
    if (error != 0)
        store_rollback(store);
    return error;
}

/* SQLite itself has rolled back after some errors. A rollback that fails leaves the connection in a state that nobody
 * knows. */
void store_rollback(struct store *store)
{
    stop_reading(store);
    if (!is_open(store))
        return;
    int code = sqlite3_step(store->rollback);
    (void)sqlite3_reset(store->rollback);
    if (code != SQLITE_DONE && is_open(store) && store->broken == 0)
        store->broken = -EIO;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static struct slice column(sqlite3_stmt *statement, int place)
{
    const void *data = sqlite3_column_blob(statement, place); /* before the length: SQLite's rule */
    return slice_of(data, (size_t)sqlite3_column_bytes(statement, place));
}

/* 1: there is a row, 0: none (the statement is at rest again), or an error. */
static int step_row(struct store *store)
{
    int code = sqlite3_step(store->reading);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? 0 : fail(store, code);
    stop_reading(store);
    return result;
}

int store_get(struct store *store, uint8_t table, struct slice key, struct slice *value)
{
    stop_reading(store);
    sqlite3_stmt *get = table_of(store, table)->get;
    int code = bind(get, 1, key);
    if (code != SQLITE_OK)
        return fail(store, code);
    store->reading = get;
    int result = step_row(store);
    if (result == 1)
        *value = column(get, 0);
    return result;
}

int store_scan_begin(struct store *store, uint8_t table, struct slice after)
{
    stop_reading(store);
    sqlite3_stmt *scan = table_of(store, table)->scan;
    int code = bind(scan, 1, after);
    if (code != SQLITE_OK)
        return fail(store, code);
    store->reading = scan;
    return 0;
}

int store_scan_next(struct store *store, struct store_record *record)
{
    if (store->reading == NULL)
        return 0;
    int result = step_row(store);
    if (result == 1)
        *record = (struct store_record){.key = column(store->reading, 0), .value = column(store->reading, 1)};
    return result;
}

void store_scan_end(struct store *store)
{
    stop_reading(store);
}

/* --- upkeep ------------------------------------------------------------------------------------------------------- */

bool store_wants_tidying(const struct store *store)
{
    return store->broken == 0 && store->wal_pages >= WAL_PAGES_IDLE;
}

int store_tidy(struct store *store, bool idle)
{
    stop_reading(store);
    if (store->broken != 0)
        return store->broken;
    if (store->wal_pages < (idle ? WAL_PAGES_IDLE : WAL_PAGES_DUE))
        return 0;
    int code = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (code != SQLITE_OK)
        return fail(store, code);
    store->wal_pages = 0;
    return 0;
}

static int run_probe(struct store *store, const char *format, uint32_t bytes)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, format, bytes);
    int error = store_begin(store);
    if (error != 0)
        return error;
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        error = fail(store, code);
        store_rollback(store);
        return error;
    }
    return store_commit(store);
}

int store_probe(struct store *store, uint32_t bytes)
{
    int error = run_probe(store, "REPLACE INTO ringcast_probe VALUES (1, zeroblob(%u))", bytes);
    return error == 0 ? run_probe(store, "DELETE FROM ringcast_probe", 0) : error;
}
