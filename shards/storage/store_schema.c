/* SPDX-License-Identifier: MIT */
/* Owns the list of the schema's steps, and how a file comes from its version to ours.
 * It never touches a record and never goes back a version.
 * Called by store_sqlite.c when it opens a file. */
#include "shards/storage/store_schema.h"

#include "shards/storage/store_error.h"

#include <errno.h>
#include <stdio.h>

static const char *const steps[] = {
    /* 0 -> 1 */ "CREATE TABLE ringcast_probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL)",
};

const struct store_schema store_schema_current = {.steps = steps, .version = sizeof steps / sizeof steps[0]};

/* The one number that a statement yields. 0 or an error. */
static int read_number(sqlite3 *db, const char *path, const char *sql, int *number, struct buf *why)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int(statement, 0);
    int error = code == SQLITE_ROW ? 0 : store_error_report(why, path, db, code);
    (void)sqlite3_finalize(statement);
    return error;
}

static int run(sqlite3 *db, const char *path, const char *sql, struct buf *why)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : store_error_report(why, path, db, code);
}

static int refuse_newer(const char *path, int found, int known, struct buf *why)
{
    buf_put_text(why, path);
    buf_put_text(why, ": was made by a newer version (its schema is ");
    buf_put_i64(why, found);
    buf_put_text(why, ", this one knows up to ");
    buf_put_i64(why, known);
    buf_put_text(why, "); use that version, or choose another path; the file was left as it is");
    return -EPROTONOSUPPORT;
}

int store_schema_check(sqlite3 *db, const char *path, const struct store_schema *schema, struct buf *why)
{
    int application = 0, version = 0, tables = 0;
    int error = read_number(db, path, "PRAGMA application_id", &application, why);
    if (error == 0)
        error = read_number(db, path, "PRAGMA user_version", &version, why);
    if (error == 0)
        error = read_number(db, path, "SELECT count(*) FROM sqlite_schema", &tables, why);
    if (error != 0)
        return error;
    if (application != STORE_APPLICATION_ID && (application != 0 || version != 0 || tables != 0)) {
        store_error_say(why, path, -EMEDIUMTYPE, "a database of another program");
        return -EMEDIUMTYPE;
    }
    return version > schema->version ? refuse_newer(path, version, schema->version, why) : 0;
}

static int take_step(sqlite3 *db, const char *path, const char *step, int version, struct buf *why)
{
    char mark[100];
    (void)snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                   STORE_APPLICATION_ID, version);
    int error = run(db, path, "BEGIN IMMEDIATE", why);
    if (error == 0)
        error = run(db, path, step, why);
    if (error == 0)
        error = run(db, path, mark, why);
    if (error != 0 && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return error;
}

int store_schema_migrate(sqlite3 *db, const char *path, const struct store_schema *schema, struct buf *why)
{
    int version = 0;
    int error = read_number(db, path, "PRAGMA user_version", &version, why);
    for (; error == 0 && version < schema->version; version++)
        error = take_step(db, path, schema->steps[version], version + 1, why);
    return error;
}
