/* SPDX-License-Identifier: MIT */
/* A root for a test of a depot's files, with a folder beside it that nothing may ever reach. Both on the real disk. */
#ifndef RINGCAST_TESTS_DEPOT_DIR_H
#define RINGCAST_TESTS_DEPOT_DIR_H

#include "shards/depot/depot_files.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "a secret outside"

struct depot_dir {
    char base[64];
    char root[80], outside[80]; /* of base */
    struct depot_files files;
};

static inline int depot_dir_unlink(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

/* BASE/... for a format with one more text; lies in a static buffer of eight. */
static inline const char *depot_dir_path(const struct depot_dir *dir, const char *below)
{
    static char paths[8][2400];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir->base, below);
    return path;
}

static inline void depot_dir_write(const struct depot_dir *dir, const char *below, const char *text)
{
    FILE *file = fopen(depot_dir_path(dir, below), "w");
    cr_assert_not_null(file, "%s", below);
    fputs(text, file);
    fclose(file);
}

/* Whether the file, or what a link leads to, holds exactly this; NULL: whether there is nothing, not even a link. */
static inline bool depot_dir_holds(const struct depot_dir *dir, const char *below, const char *text)
{
    char found[4096];
    struct stat status;
    if (text == NULL)
        return lstat(depot_dir_path(dir, below), &status) != 0;
    int fd = open(depot_dir_path(dir, below), O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t bytes = read(fd, found, sizeof found);
    close(fd);
    return bytes >= 0 && slice_equal(slice_of(found, (size_t)bytes), slice_text(text));
}

/* Names in a folder, without . and .. */
static inline unsigned depot_dir_count(const struct depot_dir *dir, const char *below)
{
    unsigned count = 0;
    DIR *folder = opendir(depot_dir_path(dir, below));
    cr_assert_not_null(folder, "%s", below);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count - 2;
}

static inline void depot_dir_open(struct depot_dir *dir)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text);
    cr_assert_eq(depot_files_open(&dir->files, dir->root, &why), 0, "%.*s", (int)why.used, text);
}

static inline void depot_dir_make(struct depot_dir *dir)
{
    (void)snprintf(dir->base, sizeof dir->base, "%s/ringcast-depot-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert_not_null(mkdtemp(dir->base));
    (void)snprintf(dir->root, sizeof dir->root, "%s/root", dir->base);
    (void)snprintf(dir->outside, sizeof dir->outside, "%s/outside", dir->base);
    cr_assert(mkdir(dir->root, 0755) == 0 && mkdir(dir->outside, 0755) == 0);
    depot_dir_write(dir, "outside/secret", SECRET);
}

static inline void depot_dir_remove(const struct depot_dir *dir)
{
    (void)nftw(dir->base, depot_dir_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* Nothing outside the root has changed. */
static inline bool depot_dir_is_intact(const struct depot_dir *dir)
{
    return depot_dir_holds(dir, "outside/secret", SECRET) && depot_dir_count(dir, "outside") == 1 &&
           depot_dir_count(dir, "") == 2;
}

/* A file in the making with these bytes. */
static inline void depot_dir_stage(struct depot_dir *dir, const char *name, const char *text)
{
    cr_assert_eq(depot_files_create(&dir->files, name), 0);
    cr_assert_eq(depot_files_write(&dir->files, name, 0, slice_text(text)), 0);
}

#endif
