/* SPDX-License-Identifier: MIT */
/* A folder of its own for a test of the store, on the disk or on a small file system that only this process sees. */
#ifndef RINGCAST_TESTS_STORE_DIR_H
#define RINGCAST_TESTS_STORE_DIR_H

#include "shards/storage/store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE_DIR_BYTES 64

struct store_dir {
    char name[STORE_DIR_BYTES];
    char path[STORE_DIR_BYTES + 16]; /* of the store in it */
};

static inline struct store_dir store_dir_make_in(const char *parent)
{
    struct store_dir dir;
    (void)snprintf(dir.name, sizeof dir.name, "%s/ringcast-store-XXXXXX", parent);
    cr_assert_not_null(mkdtemp(dir.name));
    (void)snprintf(dir.path, sizeof dir.path, "%s/jobs.db", dir.name);
    return dir;
}

static inline struct store_dir store_dir_make(void)
{
    return store_dir_make_in("/tmp");
}

/* In memory, where a sync costs nothing, if there is such a place. */
static inline struct store_dir store_dir_make_fast(void)
{
    return store_dir_make_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static inline int store_dir_unlink(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void store_dir_remove(const struct store_dir *dir)
{
    (void)umount2(dir->name, MNT_DETACH); /* fails when nothing was mounted */
    (void)nftw(dir->name, store_dir_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* A tmpfs with these options on the folder, seen by this process alone; the test is skipped where that is not
 * allowed. */
static inline void store_dir_mount(const struct store_dir *dir, const char *options)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir->name, "tmpfs", 0, options) != 0) {
        store_dir_remove(dir);
        cr_skip_test("no file system may be mounted here (%s)", strerror(errno));
    }
}

static const char *const store_dir_tables[] = {"jobs", "chunks", NULL};

/* Opens, and demands success. */
static inline struct store *store_dir_open(const struct store_dir *dir)
{
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store = NULL;
    int error = store_open(&store, dir->path, store_dir_tables, &why);
    cr_assert_eq(error, 0, "%d %s", error, text);
    return store;
}

/* Opens, demands this error and one line that begins with `path` and contains `word`. */
static inline void store_dir_refuses(const char *path, int wanted, const char *starts, const char *word)
{
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store = NULL;
    int error = store_open(&store, path, store_dir_tables, &why);
    cr_assert_eq(error, wanted, "%d %s", error, text);
    cr_assert_null(store);
    cr_assert_null(strchr(text, '\n'), "%s", text);
    cr_assert_eq(strncmp(text, starts, strlen(starts)), 0, "%s", text);
    cr_assert_not_null(strstr(text, word), "'%s' is not in '%s'", word, text);
}

/* One record in a transaction of its own. */
static inline int store_dir_put(struct store *store, uint8_t table, const char *key, const char *value)
{
    int error = store_begin(store);
    if (error == 0) {
        error = store_put(store, table, slice_text(key), slice_text(value));
        if (error == 0)
            return store_commit(store);
        store_rollback(store);
    }
    return error;
}

static inline void store_dir_has(struct store *store, uint8_t table, const char *key, const char *wanted)
{
    struct slice value = {0};
    int found = store_get(store, table, slice_text(key), &value);
    cr_assert_eq(found, wanted != NULL, "%s: %d", key, found);
    if (wanted != NULL)
        cr_assert(slice_is(value, wanted), "%s: %.*s", key, (int)value.bytes, (const char *)value.data);
}

static inline uint32_t store_dir_count(struct store *store, uint8_t table)
{
    struct store_record record;
    uint32_t count = 0;
    cr_assert_eq(store_scan_begin(store, table, (struct slice){0}), 0);
    int found;
    while ((found = store_scan_next(store, &record)) == 1)
        count++;
    cr_assert_eq(found, 0, "%s", store_why(store));
    store_scan_end(store);
    return count;
}

/* Runs in a process of its own; its exit code. */
static inline int store_dir_apart(int (*run)(const struct store_dir *dir), const struct store_dir *dir)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(run(dir));
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
