/* SPDX-License-Identifier: MIT */
/* The store on SQLite when nothing goes wrong: what is kept, in which order it is read, what other programs see of
 * it. */
#include "shards/storage/store_schema.h"
#include "tests/unit/shards/storage/store_dir.h"

Test(store_sqlite, keeps_what_was_committed_over_a_restart)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_put(store, 0, slice_text("a"), slice_text("1")), 0);
    cr_assert_eq(store_put(store, 1, slice_text("a"), slice_text("other table")), 0);
    cr_assert_eq(store_put(store, 0, slice_text("b"), slice_text("2")), 0);
    cr_assert_eq(store_commit(store), 0);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_put(store, 0, slice_text("a"), slice_text("changed")), 0);
    cr_assert_eq(store_delete(store, 0, slice_text("b")), 0);
    cr_assert_eq(store_delete(store, 0, slice_text("never there")), 0);
    cr_assert_eq(store_commit(store), 0);
    store_close(store);

    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "changed");
    store_dir_has(store, 0, "b", NULL);
    store_dir_has(store, 1, "a", "other table");
    cr_assert_str_eq(store_why(store), "");
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_sqlite, undoes_a_transaction_that_was_rolled_back_or_left_open)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_put(store, 0, slice_text("a"), slice_text("2")), 0);
    store_dir_has(store, 0, "a", "2"); /* seen inside */
    store_rollback(store);
    store_rollback(store); /* nothing is open: nothing happens */
    store_dir_has(store, 0, "a", "1");
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_delete(store, 0, slice_text("a")), 0);
    store_close(store);

    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "1");
    store_close(store);
    store_dir_remove(&dir);
}

static void expect_scan(struct store *store, struct slice after, const struct slice *keys, size_t count)
{
    struct store_record record;
    cr_assert_eq(store_scan_begin(store, 0, after), 0);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(store_scan_next(store, &record), 1);
        cr_assert(slice_equal(record.key, keys[i]), "key %zu", i);
        cr_assert(slice_equal(record.value, keys[i]), "value %zu", i);
    }
    cr_assert_eq(store_scan_next(store, &record), 0);
    cr_assert_eq(store_scan_next(store, &record), 0);
    store_scan_end(store);
}

Test(store_sqlite, scans_in_the_order_of_the_bytes_of_keys_from_behind_any_key)
{
    const struct slice sorted[] = {
        slice_of("\0", 1),      slice_of("\0\0", 2), slice_text("1"),      slice_text("10"), slice_text("2"),
        slice_text("A"),        slice_text("a"),     slice_text("aa"),     slice_text("ab"), slice_text("b"),
        slice_text("\xc3\xa4"), slice_of("\xff", 1), slice_of("\xff\0", 2)};
    const size_t count = sizeof sorted / sizeof *sorted;
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_begin(store), 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(store_put(store, 0, sorted[i * 5 % count], sorted[i * 5 % count]), 0);
    cr_assert_eq(store_commit(store), 0);
    expect_scan(store, (struct slice){0}, sorted, count);
    for (size_t i = 0; i < count; i++)
        expect_scan(store, sorted[i], sorted + i + 1, count - i - 1);
    expect_scan(store, slice_text("aaa"), sorted + 8, count - 8); /* need not be there */
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_sqlite, takes_empty_and_longest_values_and_longest_keys_as_they_are)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    static uint8_t value[STORE_VALUE_BYTES_MAX];
    uint8_t key[STORE_KEY_BYTES_MAX];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 31 + (i >> 11));
    memset(key, 0xfe, sizeof key);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_put(store, 0, slice_of(key, sizeof key), slice_of(value, sizeof value)), 0);
    cr_assert_eq(store_put(store, 0, slice_text("empty"), (struct slice){0}), 0);
    cr_assert_eq(store_put(store, 0, slice_text("json"), slice_of("{\"a\":\0}", 7)), 0);
    cr_assert_eq(store_commit(store), 0);
    store_close(store);

    store = store_dir_open(&dir);
    struct slice found;
    cr_assert_eq(store_get(store, 0, slice_of(key, sizeof key), &found), 1);
    cr_assert(slice_equal(found, slice_of(value, sizeof value)));
    cr_assert_eq(store_get(store, 0, slice_text("empty"), &found), 1);
    cr_assert_eq(found.bytes, 0);
    cr_assert_eq(store_get(store, 0, slice_text("json"), &found), 1);
    cr_assert(slice_equal(found, slice_of("{\"a\":\0}", 7)));
    store_close(store);
    store_dir_remove(&dir);
}

static mode_t mode_of(const char *path, const char *suffix)
{
    char name[128];
    struct stat status = {0};
    (void)snprintf(name, sizeof name, "%s%s", path, suffix);
    cr_assert_eq(stat(name, &status), 0, "%s", name);
    return status.st_mode & 07777;
}

Test(store_sqlite, makes_its_files_for_its_own_user_alone)
{
    struct store_dir dir = store_dir_make();
    umask(0);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    cr_assert_eq(mode_of(dir.path, ""), 0600);
    cr_assert_eq(mode_of(dir.path, "-wal"), 0600);
    cr_assert_eq(mode_of(dir.path, ".lock"), 0600);
    store_close(store);
    store_dir_remove(&dir);
}

static int run_sql(const char *path, const char *sql, char *answer, size_t bytes)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    cr_assert_eq(code, SQLITE_OK, "%s", sqlite3_errmsg(db));
    code = sqlite3_step(statement);
    if (answer != NULL)
        (void)snprintf(answer, bytes, "%s", code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "");
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return code;
}

Test(store_sqlite, lets_operators_read_json_and_keys_with_sqlite)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "job-1", "{\"state\": \"waiting\"}"), 0);
    store_close(store);
    char answer[64];
    run_sql(dir.path, "SELECT json_extract(value, '$.state') FROM jobs WHERE CAST(key AS TEXT) = 'job-1'", answer,
            sizeof answer);
    cr_assert_str_eq(answer, "waiting");
    run_sql(dir.path, "PRAGMA application_id", answer, sizeof answer);
    cr_assert_eq(atoi(answer), STORE_APPLICATION_ID);
    run_sql(dir.path, "PRAGMA user_version", answer, sizeof answer);
    cr_assert_eq(atoi(answer), store_schema_current.version);
    run_sql(dir.path, "PRAGMA journal_mode", answer, sizeof answer);
    cr_assert_str_eq(answer, "wal");
    store_dir_remove(&dir);
}

Test(store_sqlite, leaves_no_log_behind_a_clean_end)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    char name[128];
    (void)snprintf(name, sizeof name, "%s-wal", dir.path);
    cr_assert_neq(access(name, F_OK), 0, "a copy of the one file is a whole copy");
    store_dir_remove(&dir);
}

Test(store_sqlite, of_kind_memory_does_the_same_and_keeps_nothing)
{
    for (int round = 0; round < 2; round++) {
        char text[256] = "";
        struct buf why = buf_of(text, sizeof text);
        struct store *store = NULL;
        cr_assert_eq(store_open(&store, "memory", store_dir_tables, &why), 0, "%s", text);
        store_dir_has(store, 0, "a", NULL);
        cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
        cr_assert_eq(store_begin(store), 0);
        cr_assert_eq(store_put(store, 0, slice_text("a"), slice_text("2")), 0);
        store_rollback(store);
        store_dir_has(store, 0, "a", "1");
        cr_assert_eq(store_dir_count(store, 0), 1);
        cr_assert_eq(store_tidy(store, true), 0);
        cr_assert_eq(store_probe(store, 10000), 0);
        store_close(store);
    }
    cr_assert_neq(access("memory", F_OK), 0);
    cr_assert_neq(access("memory.lock", F_OK), 0);
}

Test(store_sqlite, tidies_when_the_log_has_grown_and_sooner_when_idle)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    static uint8_t value[1U << 20];
    cr_assert(!store_wants_tidying(store));
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_put(store, 0, slice_text("a"), slice_of(value, sizeof value)), 0);
    cr_assert_eq(store_commit(store), 0);
    cr_assert(store_wants_tidying(store));
    cr_assert_eq(store_tidy(store, false), 0);
    cr_assert(store_wants_tidying(store), "1 MiB is not due while there is work");
    cr_assert_eq(store_tidy(store, true), 0);
    cr_assert(!store_wants_tidying(store));
    for (char key = 'b'; key < 'b' + 17; key++) {
        cr_assert_eq(store_begin(store), 0);
        cr_assert_eq(store_put(store, 0, slice_of(&key, 1), slice_of(value, sizeof value)), 0);
        cr_assert_eq(store_commit(store), 0);
    }
    cr_assert_eq(store_tidy(store, false), 0);
    cr_assert(!store_wants_tidying(store));
    cr_assert_eq(store_dir_count(store, 0), 18);
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_sqlite, keeps_a_table_that_nobody_asks_for_any_more)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 1, "a", "1"), 0);
    store_close(store);
    char text[256];
    struct buf why = buf_of(text, sizeof text);
    cr_assert_eq(store_open(&store, dir.path, (const char *const[]){"jobs", NULL}, &why), 0);
    store_close(store);
    store = store_dir_open(&dir);
    store_dir_has(store, 1, "a", "1");
    store_close(store);
    store_dir_remove(&dir);
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

Test(store_sqlite, refuses_a_newer_version_and_leaves_the_file_as_it_was)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    run_sql(dir.path, "PRAGMA user_version = 7", NULL, 0);
    store_dir_refuses(dir.path, -EPROTONOSUPPORT, dir.path, "its schema is 7, this one knows up to 1");
    char answer[16];
    run_sql(dir.path, "PRAGMA user_version", answer, sizeof answer);
    cr_assert_str_eq(answer, "7");
    run_sql(dir.path, "PRAGMA user_version = 1", NULL, 0);
    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "1");
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_sqlite, refuses_another_programs_database_and_leaves_it_as_it_was)
{
    struct store_dir dir = store_dir_make();
    run_sql(dir.path, "CREATE TABLE theirs (a)", NULL, 0);
    store_dir_refuses(dir.path, -EMEDIUMTYPE, dir.path, "another program");
    char answer[64];
    run_sql(dir.path, "SELECT group_concat(name) FROM sqlite_schema", answer, sizeof answer);
    cr_assert_str_eq(answer, "theirs");
    run_sql(dir.path, "PRAGMA journal_mode", answer, sizeof answer);
    cr_assert_str_eq(answer, "delete");
    store_dir_remove(&dir);
}

static const char *const three_steps[] = {"CREATE TABLE ringcast_probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL)",
                                          "CREATE TABLE second (a); INSERT INTO second VALUES ('two')",
                                          "ALTER TABLE second RENAME COLUMN a TO b"};

static int migrate(const char *path, const struct store_schema *schema, char *text, size_t bytes)
{
    sqlite3 *db = NULL;
    struct buf why = buf_of(text, bytes - 1);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    int error = store_schema_check(db, path, schema, &why);
    if (error == 0)
        error = store_schema_migrate(db, path, schema, &why);
    text[why.used] = '\0';
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    return error;
}

Test(store_sqlite, brings_an_older_file_to_its_version_step_by_step)
{
    struct store_dir dir = store_dir_make();
    char text[256];
    struct store *store = store_dir_open(&dir); /* version 1 */
    cr_assert_eq(store_dir_put(store, 0, "a", "kept"), 0);
    store_close(store);
    cr_assert_eq(migrate(dir.path, &(struct store_schema){three_steps, 3}, text, sizeof text), 0, "%s", text);
    run_sql(dir.path, "SELECT b || (SELECT value FROM jobs) FROM second", text, sizeof text);
    cr_assert_str_eq(text, "twokept");
    run_sql(dir.path, "PRAGMA user_version", text, sizeof text);
    cr_assert_str_eq(text, "3");
    cr_assert_eq(migrate(dir.path, &(struct store_schema){three_steps, 3}, text, sizeof text), 0, "again: nothing");
    store_dir_refuses(dir.path, -EPROTONOSUPPORT, dir.path, "newer");
    store_dir_remove(&dir);
}

Test(store_sqlite, begins_at_version_0_when_the_file_is_empty)
{
    struct store_dir dir = store_dir_make();
    FILE *file = fopen(dir.path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fclose(file), 0);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_sqlite, stays_at_the_last_whole_step_when_one_fails)
{
    const char *const steps[] = {three_steps[0], three_steps[1],
                                 "CREATE TABLE third (a); INSERT INTO nowhere VALUES (1)"};
    struct store_dir dir = store_dir_make();
    char text[256];
    cr_assert_eq(migrate(dir.path, &(struct store_schema){steps, 3}, text, sizeof text), -EIO);
    cr_assert_eq(strncmp(text, dir.path, strlen(dir.path)), 0, "%s", text);
    run_sql(dir.path, "PRAGMA user_version", text, sizeof text);
    cr_assert_str_eq(text, "2");
    run_sql(dir.path, "SELECT count(*) FROM sqlite_schema WHERE name = 'third'", text, sizeof text);
    cr_assert_str_eq(text, "0");
    cr_assert_eq(migrate(dir.path, &(struct store_schema){three_steps, 3}, text, sizeof text), 0, "%s", text);
    store_dir_remove(&dir);
}
