/* SPDX-License-Identifier: MIT */
/* Owns the lock file beside a store and the making of the store's own file, so that both have their mode from the
 * first moment. It never reads or writes the store's file: a descriptor of ours that is closed would take SQLite's
 * locks with it. Called by store_sqlite.c, before SQLite opens the file and after it has closed it. */
#include "shards/storage/store_file.h"

#include "shards/storage/store_error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(struct buf *why, const char *path, int error)
{
    error = error == -EPERM ? -EACCES : error == -EDQUOT ? -ENOSPC : error;
    store_error_say(why, path, error, NULL);
    return error;
}

/* Who holds the lock has written its process id into the file; a line without it, if it could not. */
static int refuse_locked(int lock, const char *path, struct buf *why)
{
    char text[16] = "";
    ssize_t bytes = pread(lock, text, sizeof text - 1, 0);
    long pid = 0;
    if (bytes > 0 && sscanf(text, "%ld", &pid) == 1 && pid > 0) {
        char who[40];
        (void)snprintf(who, sizeof who, "process %ld", pid);
        store_error_say(why, path, -EBUSY, who);
    } else {
        store_error_say(why, path, -EBUSY, NULL);
    }
    return -EBUSY;
}

static void write_pid(int lock)
{
    char text[16];
    int bytes = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)bytes, 0) != bytes)
        return; /* a full disk: only the other process's line is poorer */
}

static int take_lock(struct store_file *file, const char *path, struct buf *why)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s.lock", path) >= (int)sizeof name)
        return refuse(why, path, -ENAMETOOLONG);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return refuse(why, name, -errno);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        int error = errno == EWOULDBLOCK ? refuse_locked(lock, path, why) : refuse(why, name, -errno);
        (void)close(lock);
        return error;
    }
    write_pid(lock);
    file->lock = lock;
    return 0;
}

static int make_file(const char *path, struct buf *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(why, path, -errno);
    struct stat status;
    int error = fstat(fd, &status) != 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EMEDIUMTYPE;
    (void)close(fd);
    return error == 0 ? 0 : refuse(why, path, error);
}

int store_file_claim(struct store_file *file, const char *path, struct buf *why)
{
    struct stat status;
    *file = STORE_FILE_NONE;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return refuse(why, path, S_ISDIR(status.st_mode) ? -EISDIR : -EMEDIUMTYPE);
    int error = take_lock(file, path, why);
    if (error == 0)
        error = make_file(path, why);
    if (error != 0)
        store_file_release(file);
    return error;
}

void store_file_release(struct store_file *file)
{
    if (file->lock >= 0)
        (void)close(file->lock);
    file->lock = -1;
}
