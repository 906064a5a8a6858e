/* SPDX-License-Identifier: MIT */
/* The store on files and file systems that are not as they should be: one line each, nothing lost, and service again
 * where that can be. */
#include "tests/unit/shards/storage/store_dir.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

/* --- paths -------------------------------------------------------------------------------------------------------- */

Test(store_refusals, names_the_folder_that_is_missing)
{
    struct store_dir dir = store_dir_make();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/missing/jobs.db", dir.name);
    store_dir_refuses(path, -ENOENT, path, "folder does not exist");
    store_dir_remove(&dir);
}

Test(store_refusals, wants_a_file_where_a_directory_or_a_device_is)
{
    struct store_dir dir = store_dir_make();
    store_dir_refuses(dir.name, -EISDIR, dir.name, "is a directory");
    store_dir_refuses("/dev/null", -EMEDIUMTYPE, "/dev/null", "is no store");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", dir.name);
    cr_assert_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    strcat(path, "/jobs.db");
    store_dir_refuses(path, -ENOTDIR, path, "no folder");
    store_dir_remove(&dir);
}

Test(store_refusals, refuses_paths_and_tables_that_cannot_be)
{
    struct store_dir dir = store_dir_make();
    char longest[PATH_MAX + 8];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    store_dir_refuses("", -EINVAL, "the store's path", "empty");
    store_dir_refuses(longest, -ENAMETOOLONG, "xxx", "is too long");
    static const char *const wrong[] = {"Jobs", "jobs\"; DROP", "", "sqlite_jobs", "ringcast_probe"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256] = "";
        struct buf why = buf_of(text, sizeof text - 1);
        struct store *store;
        cr_assert_eq(store_open(&store, dir.path, (const char *const[]){wrong[i], NULL}, &why), -EINVAL, "%s",
                     wrong[i]);
        cr_assert_not_null(strstr(text, "cannot be the name of a table"), "%s", text);
    }
    store_dir_remove(&dir);
}

/* A name that SQLite itself would take for a database in memory, or for a URI, is a file like any other. */
Test(store_refusals, takes_a_path_for_a_path)
{
    struct store_dir dir = store_dir_make();
    cr_assert_eq(chdir(dir.name), 0);
    static const char *const names[] = {":memory:", "file:jobs?mode=memory", "a%20b", "./memory"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct store_dir here = dir;
        (void)snprintf(here.path, sizeof here.path, "%s", names[i]);
        struct store *store = store_dir_open(&here);
        cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
        store_close(store);
        cr_assert_eq(access(names[i], F_OK), 0, "%s", names[i]);
        store = store_dir_open(&here);
        store_dir_has(store, 0, "a", "1");
        store_close(store);
    }
    store_dir_remove(&dir);
}

static int refused_as_nobody(const struct store_dir *dir)
{
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 77;
    if (store_open(&store, dir->path, store_dir_tables, &why) != -EACCES)
        return 1;
    return strstr(text, dir->path) == text && strstr(text, "may not read and write") != NULL ? 0 : 2;
}

Test(store_refusals, says_so_when_it_may_not)
{
    struct store_dir dir = store_dir_make(); /* mode 0700 */
    int code = store_dir_apart(refused_as_nobody, &dir);
    if (code == 0) {
        cr_assert_eq(chmod(dir.name, 0777), 0); /* its folder may be written, the file not */
        store_close(store_dir_open(&dir));
        code = store_dir_apart(refused_as_nobody, &dir);
    }
    store_dir_remove(&dir);
    if (code == 77)
        cr_skip_test("only root can become somebody else");
    cr_assert_eq(code, 0);
}

/* --- two processes ------------------------------------------------------------------------------------------------ */

static int refused_as_second(const struct store_dir *dir)
{
    char text[512] = "", who[32];
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    (void)snprintf(who, sizeof who, "process %ld", (long)getppid());
    if (store_open(&store, dir->path, store_dir_tables, &why) != -EBUSY)
        return 1;
    return strstr(text, dir->path) == text && strstr(text, who) != NULL && strchr(text, '\n') == NULL ? 0 : 2;
}

static int opens_well(const struct store_dir *dir)
{
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    if (store_open(&store, dir->path, store_dir_tables, &why) != 0)
        return 1;
    store_close(store);
    return 0;
}

Test(store_refusals, belongs_to_one_process_at_a_time)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_apart(refused_as_second, &dir), 0);
    store_dir_refuses(dir.path, -EBUSY, dir.path, "another process"); /* nor twice in one */
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    cr_assert_eq(store_dir_apart(opens_well, &dir), 0);
    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "1");
    store_close(store);
    store_dir_remove(&dir);
}

/* The same file by another name: the lock file is another, SQLite's own lock is not. */
Test(store_refusals, belongs_to_one_process_under_all_its_names)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    struct store_dir other = dir;
    (void)snprintf(other.path, sizeof other.path, "%s/other.db", dir.name);
    cr_assert_eq(symlink(dir.path, other.path), 0);
    cr_assert_eq(store_dir_apart(opens_well, &other), 1);
    store_close(store);
    cr_assert_eq(store_dir_apart(opens_well, &other), 0);
    store_dir_remove(&dir);
}

/* Another program that writes to it; and none can while it is ours. */
Test(store_refusals, shares_its_file_with_no_other_program)
{
    struct store_dir dir = store_dir_make();
    store_close(store_dir_open(&dir));
    int ready[2], done[2], status;
    char byte = 0;
    cr_assert_eq(pipe(ready) + pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db;
        if (sqlite3_open(dir.path, &db) != SQLITE_OK ||
            sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
            _exit(1);
        _exit(write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1 ? 0 : 1);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    store_dir_refuses(dir.path, -EBUSY, dir.path, "another process");
    cr_assert_eq(write(done[1], &byte, 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    struct store *store = store_dir_open(&dir);
    child = fork();
    if (child == 0) {
        sqlite3 *db;
        (void)sqlite3_open(dir.path, &db);
        _exit(sqlite3_exec(db, "SELECT count(*) FROM jobs", NULL, NULL, NULL) == SQLITE_BUSY ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    store_close(store);
    store_dir_remove(&dir);
}

/* --- file systems ------------------------------------------------------------------------------------------------- */

static int put_block(struct store *store, uint32_t number)
{
    static uint8_t value[20000];
    char key[16];
    (void)snprintf(key, sizeof key, "%08u", number);
    memset(value, (int)number, sizeof value);
    int error = store_begin(store);
    if (error == 0)
        error = store_put(store, 0, slice_text(key), slice_of(value, sizeof value));
    if (error == 0)
        return store_commit(store);
    store_rollback(store);
    return error;
}

/* Puts until there is no room; how many were kept. */
static uint32_t fill(struct store *store, uint32_t from)
{
    int error = 0;
    while ((error = put_block(store, from)) == 0)
        cr_assert_lt(++from, 10000);
    cr_assert_eq(error, -ENOSPC, "%d %s", error, store_why(store));
    cr_assert_not_null(strstr(store_why(store), "no room"), "%s", store_why(store));
    cr_assert(!store_is_broken(store));
    cr_assert_eq(put_block(store, from), -ENOSPC, "and so it stays");
    cr_assert_eq(store_dir_count(store, 0), from, "what is kept can be read all the same");
    return from;
}

Test(store_refusals, keeps_what_it_has_on_a_full_disk_and_goes_on_when_there_is_room)
{
    struct store_dir dir = store_dir_make();
    char filler[128];
    store_dir_mount(&dir, "size=4m");
    (void)snprintf(filler, sizeof filler, "%s/filler", dir.name);
    struct store *store = store_dir_open(&dir);
    int fd = open(filler, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(posix_fallocate(fd, 0, 2 << 20), 0);
    (void)close(fd);
    uint32_t first = fill(store, 0);
    cr_assert_gt(first, 10);
    cr_assert_eq(store_probe(store, 100000), -ENOSPC);
    cr_assert_eq(unlink(filler), 0);
    cr_assert_eq(store_probe(store, 100000), 0);
    cr_assert_eq(store_dir_count(store, 0), first);
    uint32_t second = fill(store, first);
    cr_assert_gt(second, first + 10);
    store_close(store);
    store_dir_refuses(dir.path, -ENOSPC, dir.path, "no room"); /* what the log holds has to go into the file first */
    cr_assert_eq(mount("none", dir.name, NULL, MS_REMOUNT, "size=12m"), 0);
    store = store_dir_open(&dir);
    cr_assert_eq(store_dir_count(store, 0), second);
    store_close(store);
    store_dir_remove(&dir);
}

/* A full disk from the first: there is not even room for the lock, the file, the log. */
Test(store_refusals, says_at_the_start_that_there_is_no_room)
{
    struct store_dir dir = store_dir_make();
    store_dir_mount(&dir, "size=64k");
    char filler[128];
    (void)snprintf(filler, sizeof filler, "%s/filler", dir.name);
    int fd = open(filler, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(posix_fallocate(fd, 0, 64 << 10), 0);
    store_dir_refuses(dir.path, -ENOSPC, dir.path, "no room");
    cr_assert_eq(ftruncate(fd, 0), 0);
    (void)close(fd);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    store_dir_remove(&dir);
}

/* A server that was stopped in good order comes up on a full disk, with what it has. */
Test(store_refusals, opens_on_a_full_disk_when_its_log_is_empty)
{
    struct store_dir dir = store_dir_make();
    store_dir_mount(&dir, "size=1m");
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    char filler[128];
    (void)snprintf(filler, sizeof filler, "%s/filler", dir.name);
    int fd = open(filler, O_CREAT | O_WRONLY, 0600);
    static const uint8_t page[4096];
    while (write(fd, page, sizeof page) > 0) {
    }
    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "1");
    cr_assert_eq(store_dir_put(store, 0, "b", "2"), -ENOSPC);
    cr_assert_eq(ftruncate(fd, 0), 0);
    (void)close(fd);
    cr_assert_eq(store_dir_put(store, 0, "b", "2"), 0);
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_refusals, takes_the_limit_of_a_files_length_for_a_full_disk)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    struct rlimit limit, before;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1 << 20;
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint32_t kept = fill(store, 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_eq(put_block(store, kept), 0);
    store_close(store);
    store = store_dir_open(&dir);
    cr_assert_eq(store_dir_count(store, 0), kept + 1);
    store_close(store);
    store_dir_remove(&dir);
}

Test(store_refusals, says_that_the_file_system_is_read_only)
{
    struct store_dir dir = store_dir_make();
    store_dir_mount(&dir, "size=4m");
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), 0);
    store_close(store);
    cr_assert_eq(mount("none", dir.name, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    store_dir_refuses(dir.path, -EROFS, dir.path, "read-only");
    cr_assert_eq(mount("none", dir.name, NULL, MS_REMOUNT, NULL), 0);
    store = store_dir_open(&dir);
    store_dir_has(store, 0, "a", "1");
    store_close(store);
    store_dir_remove(&dir);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static void damage(const char *path, const char *suffix, off_t at, size_t bytes)
{
    char name[128];
    uint8_t garbage[8192];
    memset(garbage, 0xa5, sizeof garbage);
    (void)snprintf(name, sizeof name, "%s%s", path, suffix);
    int fd = open(name, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, garbage, bytes, at), (ssize_t)bytes);
    (void)close(fd);
}

static struct store_dir make_filled(uint32_t blocks)
{
    struct store_dir dir = store_dir_make();
    struct store *store = store_dir_open(&dir);
    for (uint32_t i = 0; i < blocks; i++)
        cr_assert_eq(put_block(store, i), 0);
    store_close(store);
    return dir;
}

Test(store_refusals, opens_no_damaged_file_and_leaves_it_as_it_is)
{
    static const struct {
        off_t at;
        int error;
    } cases[] = {{0, -EMEDIUMTYPE}, {100, -EBADMSG}, {4096, -EBADMSG}, {4 * 4096, -EBADMSG}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_dir dir = make_filled(40);
        struct stat before, after;
        damage(dir.path, "", cases[i].at, 64);
        cr_assert_eq(stat(dir.path, &before), 0);
        store_dir_refuses(dir.path, cases[i].error, dir.path,
                          cases[i].error == -EBADMSG ? "is damaged" : "is no store");
        cr_assert_eq(stat(dir.path, &after), 0);
        cr_assert_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        cr_assert_eq(before.st_size, after.st_size);
        store_dir_remove(&dir);
    }
}

Test(store_refusals, opens_no_file_that_was_cut_short)
{
    struct store_dir dir = make_filled(40);
    cr_assert_eq(truncate(dir.path, 3 * 4096 + 100), 0);
    store_dir_refuses(dir.path, -EBADMSG, dir.path, "is damaged");
    store_dir_remove(&dir);
}

Test(store_refusals, opens_no_text)
{
    struct store_dir dir = store_dir_make();
    FILE *file = fopen(dir.path, "w");
    for (int i = 0; i < 1000; i++)
        fprintf(file, "not a database\n");
    fclose(file);
    store_dir_refuses(dir.path, -EMEDIUMTYPE, dir.path, "is no store");
    store_dir_remove(&dir);
}

/* Damage that comes while it is open (seen through a cache that is smaller than the file) ends the commits. */
Test(store_refusals, keeps_nothing_more_once_it_has_met_damage)
{
    struct store_dir dir = make_filled(2000); /* 40 MB, the cache has 16 MiB */
    struct store *store = store_dir_open(&dir);
    for (off_t page = 100; page < 9000; page++)
        damage(dir.path, "", page * 4096, 16);
    struct store_record record;
    int found = store_scan_begin(store, 0, (struct slice){0});
    while (found >= 0 && (found = store_scan_next(store, &record)) == 1) {
    }
    cr_assert_eq(found, -EBADMSG);
    cr_assert(store_is_broken(store));
    cr_assert_not_null(strstr(store_why(store), "is damaged"), "%s", store_why(store));
    cr_assert_eq(store_dir_put(store, 0, "a", "1"), -EBADMSG);
    store_close(store);
    store_dir_refuses(dir.path, -EBADMSG, dir.path, "is damaged");
    store_dir_remove(&dir);
}
