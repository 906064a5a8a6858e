/* SPDX-License-Identifier: MIT */
/* Owns the descriptors of a depot's files and the rule that nothing is reached but what lies below the root. It never
 * retries what failed. Called by depot_thread.c. */
#include "shards/depot/depot_files.h"

#include "core/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define TARGET_BYTES_MAX 1100 /* of a folder's name, a path and what stands between */

static int result(int value)
{
    return value < 0 ? -errno : value;
}

/* openat2(2) below `folder`; -errno. */
static int open_below(int folder, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return result((int)syscall(SYS_openat2, folder, path, &how, sizeof how));
}

/* --- the root ----------------------------------------------------------------------------------------------------- */

static int fail(struct buf *why, const char *root, const char *what, int error)
{
    buf_put_text(why, root);
    buf_put_text(why, ": ");
    buf_put_text(why, what);
    return error;
}

int depot_files_open(struct depot_files *files, const char *root, struct buf *why)
{
    memset(files, 0, sizeof *files);
    for (unsigned i = 0; i < DEPOT_FILES_OPEN_MAX; i++)
        files->files[i].fd = -1;
    files->staging = -1;
    files->root = result(open(root, FOLDER_FLAGS));
    if (files->root < 0)
        return fail(why, root,
                    files->root == -ENOENT ? "no such folder; make it, writable for this user"
                                           : strerrordesc_np(-files->root),
                    files->root);
    int error = result(mkdirat(files->root, DEPOT_STAGING, 0700));
    if (error == 0)
        error = result(fsync(files->root));
    if (error == 0 || error == -EEXIST)
        error = files->staging = open_below(files->root, DEPOT_STAGING, FOLDER_FLAGS, 0);
    if (error >= 0)
        return 0;
    close(files->root);
    return fail(why, root,
                error == -ENOSYS                      ? "this kernel has no openat2 (Linux 5.6 or later has)"
                : error == -EACCES || error == -EROFS ? "nothing can be written there; give this user the right to"
                                                      : strerrordesc_np(-error),
                error);
}

static void drop(struct depot_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    file->dirty = false;
}

void depot_files_close(struct depot_files *files)
{
    for (unsigned i = 0; i < DEPOT_FILES_OPEN_MAX; i++)
        drop(&files->files[i]);
    close(files->staging);
    close(files->root);
}

/* --- files in the making ------------------------------------------------------------------------------------------ */

static struct depot_file *find(struct depot_files *files, const char *name)
{
    for (unsigned i = 0; i < DEPOT_FILES_OPEN_MAX; i++)
        if (files->files[i].fd >= 0 && strcmp(files->files[i].name, name) == 0)
            return &files->files[i];
    return NULL;
}

/* A place for another descriptor: a free one, or that of the file that was used longest ago, which is synced. */
static struct depot_file *find_place(struct depot_files *files)
{
    struct depot_file *oldest = &files->files[0];
    for (unsigned i = 0; i < DEPOT_FILES_OPEN_MAX && oldest->fd >= 0; i++)
        if (files->files[i].fd < 0 || files->files[i].used < oldest->used)
            oldest = &files->files[i];
    if (oldest->dirty && fdatasync(oldest->fd) != 0)
        files->failed = -errno;
    drop(oldest);
    return oldest;
}

static int open_file(struct depot_files *files, const char *name, uint64_t flags, struct depot_file **out)
{
    struct depot_file *file = find(files, name);
    check_op(strlen(name), <, sizeof file->name);
    if (file != NULL && (flags & O_TRUNC) != 0) {
        drop(file);
        file = NULL;
    }
    if (file == NULL) {
        int fd = open_below(files->staging, name, flags | O_RDWR, (flags & O_CREAT) != 0 ? 0640 : 0);
        if (fd < 0)
            return fd;
        file = find_place(files);
        file->fd = fd;
        snprintf(file->name, sizeof file->name, "%s", name);
    }
    file->used = ++files->uses;
    *out = file;
    return 0;
}

int depot_files_create(struct depot_files *files, const char *name)
{
    struct depot_file *file;
    int error = open_file(files, name, O_CREAT | O_TRUNC, &file);
    if (error == 0)
        error = result(fsync(files->staging));
    return error;
}

int depot_files_write(struct depot_files *files, const char *name, uint64_t offset, struct slice bytes)
{
    struct depot_file *file;
    int error = open_file(files, name, 0, &file);
    while (error == 0 && bytes.bytes > 0) {
        ssize_t written = pwrite(file->fd, bytes.data, bytes.bytes, (off_t)offset);
        if (written < 0) {
            error = -errno;
            break;
        }
        file->dirty = true;
        offset += (uint64_t)written;
        bytes = slice_skip(bytes, (size_t)written);
    }
    return error;
}

int depot_files_read(struct depot_files *files, const char *name, uint64_t offset, struct buf *out)
{
    struct depot_file *file;
    int error = open_file(files, name, 0, &file);
    while (error == 0 && out->used < out->capacity) {
        ssize_t got = pread(file->fd, out->data + out->used, out->capacity - out->used, (off_t)offset);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        offset += (uint64_t)got;
        out->used += (size_t)got;
    }
    return error;
}

int depot_files_length(struct depot_files *files, const char *name, uint64_t *bytes)
{
    struct stat status;
    /* By its name: a file that somebody has removed is gone, also when it is still open here. */
    int error = result(fstatat(files->staging, name, &status, AT_SYMLINK_NOFOLLOW));
    if (error == 0 && !S_ISREG(status.st_mode))
        error = -ENOENT;
    *bytes = error == 0 ? (uint64_t)status.st_size : 0;
    return error;
}

int depot_files_remove(struct depot_files *files, const char *name)
{
    struct depot_file *file = find(files, name);
    if (file != NULL)
        drop(file);
    int error = result(unlinkat(files->staging, name, 0));
    return error == -ENOENT ? 0 : error;
}

/* What depot.h lets be a name; the store of records has others. */
static bool is_name(const char *text)
{
    size_t bytes = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return bytes > 0 && bytes < DEPOT_NAME_BYTES_MAX && text[bytes] == '\0';
}

int depot_files_sweep(struct depot_files *files, depot_keeps_fn *keeps, void *state)
{
    _Alignas(struct dirent64) char entries[16384];
    int folder = open_below(files->staging, ".", FOLDER_FLAGS, 0), error = folder < 0 ? folder : 0;
    ssize_t bytes = 0;
    while (error == 0 && (bytes = getdents64(folder, entries, sizeof entries)) > 0) {
        for (ssize_t at = 0; at < bytes && error == 0;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
            if (is_name(entry->d_name) && !keeps(state, entry->d_name))
                error = depot_files_remove(files, entry->d_name);
            at += entry->d_reclen;
        }
    }
    if (bytes < 0)
        error = -errno;
    if (folder >= 0)
        close(folder);
    return error;
}

int depot_files_sync(struct depot_files *files)
{
    int error = files->failed;
    files->failed = 0;
    for (unsigned i = 0; i < DEPOT_FILES_OPEN_MAX; i++) {
        struct depot_file *file = &files->files[i];
        if (file->fd < 0 || !file->dirty)
            continue;
        file->dirty = false;
        int failed = result(fdatasync(file->fd));
        error = error != 0 ? error : failed;
    }
    return error;
}

/* --- files in their places ---------------------------------------------------------------------------------------- */

/* A component that goes down one step, and is none of the host's own names. The dialect has a rule of its own for what people may
 * write; what it lets through by mistake ends here. */
static bool goes_down(const char *from, size_t bytes)
{
    struct slice component = slice_of(from, bytes), prefix = slice_text(DEPOT_STAGING_PREFIX);
    return bytes > 0 && !slice_is(component, ".") && !slice_is(component, "..") && memchr(from, '\0', bytes) == NULL &&
           (bytes < prefix.bytes || memcmp(from, prefix.data, prefix.bytes) != 0);
}

/* FOLDER/PATH with a NUL; *leaf: where its last component begins. 0, -ENAMETOOLONG, -EINVAL. */
static int write_target(struct slice folder, struct slice path, char target[TARGET_BYTES_MAX], size_t *leaf)
{
    struct buf out = buf_of(target, TARGET_BYTES_MAX - 1);
    buf_put(&out, folder);
    buf_put_byte(&out, '/');
    buf_put(&out, path);
    if (out.overflow)
        return -ENAMETOOLONG;
    target[out.used] = '\0';
    *leaf = 0;
    for (size_t at = 0; at <= out.used; at++) {
        if (at < out.used && target[at] != '/')
            continue;
        if (!goes_down(target + *leaf, at - *leaf))
            return -EINVAL;
        *leaf = at < out.used ? at + 1 : *leaf;
    }
    return 0;
}

/* Goes down to the folder in which the target is, and makes what is not there when `make` is set. Its descriptor, or
 * -errno; -ENOENT: it is not there, and nothing speaks against it. */
static int open_parent(const struct depot_files *files, char *target, size_t leaf, bool make)
{
    int at = result(dup(files->root));
    for (char *from = target; at >= 0 && from < target + leaf;) {
        char *end = strchr(from, '/');
        *end = '\0';
        int made = make ? result(mkdirat(at, from, 0750)) : -EEXIST;
        if (make && (made == 0 || made == -EEXIST) && fsync(at) != 0) /* one that is there may not be on the disk yet */
            made = -errno;
        int next = made == 0 || made == -EEXIST ? open_below(at, from, FOLDER_FLAGS, 0) : made;
        *end = '/';
        close(at);
        at = next;
        from = end + 1;
    }
    return at;
}

/* What is there under the name may be replaced: nothing, or a file. */
static int judge_target(int parent, const char *name)
{
    struct stat status;
    int error = result(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW));
    if (error == -ENOENT)
        return 0;
    if (error != 0)
        return error;
    return S_ISREG(status.st_mode) ? 0 : S_ISLNK(status.st_mode) ? -ELOOP : S_ISDIR(status.st_mode) ? -EISDIR : -EEXIST;
}

int depot_files_look(struct depot_files *files, struct slice folder, struct slice path)
{
    char target[TARGET_BYTES_MAX];
    size_t leaf;
    int error = write_target(folder, path, target, &leaf);
    if (error != 0)
        return error;
    int parent = open_parent(files, target, leaf, false);
    if (parent < 0)
        return parent == -ENOENT ? 0 : parent;
    error = judge_target(parent, target + leaf);
    close(parent);
    return error;
}

/* A name that is gone has been moved before, and the folders may not have been synced since, if there is a file at its place. */
static int move(const struct depot_files *files, const char *name, int parent, const char *leaf)
{
    struct stat status;
    int error = result(renameat(files->staging, name, parent, leaf));
    return error == -ENOENT ? result(fstatat(parent, leaf, &status, AT_SYMLINK_NOFOLLOW)) : error;
}

int depot_files_place(struct depot_files *files, const char *name, struct slice folder, struct slice path)
{
    char target[TARGET_BYTES_MAX];
    size_t leaf;
    struct depot_file *file;
    int error = write_target(folder, path, target, &leaf);
    if (error == 0)
        error = open_file(files, name, 0, &file);
    if (error == 0)
        error = result(fsync(file->fd));
    if (error == 0)
        file->dirty = false;
    else if (error != -ENOENT)
        return error;
    int parent = open_parent(files, target, leaf, error == 0);
    if (parent < 0)
        return parent;
    error = judge_target(parent, target + leaf);
    if (error == 0)
        error = move(files, name, parent, target + leaf);
    if (error == 0)
        error = result(fsync(parent));
    if (error == 0)
        error = result(fsync(files->staging));
    close(parent);
    file = find(files, name);
    if (error == 0 && file != NULL)
        drop(file);
    return error;
}

int depot_files_room(struct depot_files *files, uint64_t *bytes)
{
    struct statfs status;
    int error = result(fstatfs(files->staging, &status));
    *bytes = error == 0 ? (uint64_t)status.f_bavail * (uint64_t)status.f_bsize : 0;
    return error;
}
