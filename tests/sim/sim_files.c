/* SPDX-License-Identifier: MIT */
/* Owns the files of a depot in simulation: what the system shows and what would be left, of bytes and of names. It never
 * knows what a depot makes of them. Called by depot_thread.c through the seam shards/depot/depot_files.h. */
#include "tests/sim/sim_files.h"

#include "core/check.h"
#include "shards/depot/depot_files.h"
#include "tests/sim/sim_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim_files *inserted; /* what depot_files_open finds; as the store's disk is */

/* --- operations --------------------------------------------------------------------------------------------------- */

bool sim_files_ended(const struct sim_files *files)
{
    const struct sim_disk *disk = sim_disk_inserted();
    return files->ended || (disk != NULL && disk->ended);
}

/* Counts one. 0: it is done now; else its error. */
static int begin(struct sim_files *files)
{
    struct sim_disk *disk = sim_disk_inserted();
    if (sim_files_ended(files))
        return -EIO;
    files->operations++;
    if (files->operations == files->faults.end_at) {
        files->ended = true;
        if (disk != NULL && disk->opened != NULL)
            sim_disk_end(disk, files->faults.end_is_cut);
        return -EIO;
    }
    return files->operations == files->faults.fail_at ? files->faults.fail_with : 0;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int find_name(struct sim_files *files, const char *path)
{
    for (unsigned i = 0; i < files->name_count; i++)
        if (strcmp(files->names[i].path, path) == 0)
            return (int)i;
    check_op(files->name_count, <, SIM_FILES_NAMES_MAX);
    struct sim_name *name = &files->names[files->name_count];
    check_op(strlen(path), <, sizeof name->path);
    *name = (struct sim_name){.live = -1, .kept = -1};
    memcpy(name->path, path, strlen(path) + 1);
    return (int)files->name_count++;
}

static int find_staged(struct sim_files *files, const char *name)
{
    char path[96];
    int bytes = snprintf(path, sizeof path, DEPOT_STAGING_PREFIX "%s", name);
    check_op((size_t)bytes, <, sizeof path);
    for (const char *at = name; *at != '\0'; at++)
        check((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-'); /* as depot.h says */
    check_op(strlen(name), <=, DEPOT_NAME_BYTES_MAX);
    return find_name(files, path);
}

static void sync_names(struct sim_files *files)
{
    files->change_count = 0;
    for (unsigned i = 0; i < files->name_count; i++)
        files->names[i].kept = files->names[i].live;
}

static void change_names(struct sim_files *files, const struct sim_change *change)
{
    if (files->change_count == SIM_FILES_CHANGES_MAX)
        sync_names(files);
    files->changes[files->change_count++] = *change;
    for (unsigned i = 0; i < change->count; i++)
        files->names[change->name[i]].live = change->file[i];
}

static void change_name(struct sim_files *files, int name, int file)
{
    change_names(files, &(struct sim_change){.name = {name}, .file = {file}, .count = 1});
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static int new_file(struct sim_files *files)
{
    check_op(files->file_count, <, SIM_FILES_MAX);
    files->files[files->file_count] = (struct sim_file){.live_bytes = 0};
    return (int)files->file_count++;
}

static void write_bytes(struct sim_file *file, size_t offset, struct slice bytes)
{
    check_op(offset + bytes.bytes, <=, SIM_FILES_BYTES_MAX);
    if (bytes.bytes == 0)
        return;
    memcpy(file->live + offset, bytes.data, bytes.bytes);
    if (file->live_bytes < offset + bytes.bytes)
        file->live_bytes = offset + bytes.bytes;
    for (size_t at = offset / SIM_FILES_SECTOR; at * SIM_FILES_SECTOR < offset + bytes.bytes; at++)
        file->dirty[at] = true;
}

/* What is dirty gets to the disk, all of it or (`some`) what the seed says. */
static void settle(struct sim_files *files, struct sim_file *file, bool some)
{
    for (size_t i = 0; i < SIM_FILES_BYTES_MAX / SIM_FILES_SECTOR; i++) {
        if (file->dirty[i] && (!some || random_chance(&files->random, 1, 2)))
            memcpy(file->kept + i * SIM_FILES_SECTOR, file->live + i * SIM_FILES_SECTOR, SIM_FILES_SECTOR);
        file->dirty[i] = false;
    }
    if (!some || random_chance(&files->random, 1, 2))
        file->kept_bytes = file->live_bytes;
}

static void lose_power(struct sim_files *files)
{
    for (unsigned i = 0; i < files->file_count; i++) {
        struct sim_file *file = &files->files[i];
        settle(files, file, true);
        memcpy(file->live, file->kept, sizeof file->live);
        file->live_bytes = file->kept_bytes;
        memset(file->live + file->live_bytes, 0, sizeof file->live - file->live_bytes);
    }
    uint64_t kept = random_below(&files->random, files->change_count + UINT64_C(1));
    for (unsigned i = 0; i < kept; i++)
        for (unsigned n = 0; n < files->changes[i].count; n++)
            files->names[files->changes[i].name[n]].kept = files->changes[i].file[n];
    files->change_count = 0;
    for (unsigned i = 0; i < files->name_count; i++)
        files->names[i].live = files->names[i].kept;
}

/* --- what a depot calls ------------------------------------------------------------------------------------------- */

int depot_files_open(struct depot_files *unused, const char *root, struct buf *why)
{
    (void)unused;
    (void)root;
    if (inserted != NULL)
        return 0;
    buf_put_text(why, "no simulated files have been inserted");
    return -ENOENT;
}

void depot_files_close(struct depot_files *unused)
{
    (void)unused;
}

int depot_files_create(struct depot_files *unused, const char *name)
{
    struct sim_files *files = inserted;
    int error = begin(files), at = find_staged(files, name);
    (void)unused;
    if (error != 0)
        return error;
    change_name(files, at, new_file(files));
    error = begin(files);
    if (error == 0)
        sync_names(files);
    return error;
}

/* A write that fails has written half. */
int depot_files_write(struct depot_files *unused, const char *name, uint64_t offset, struct slice bytes)
{
    struct sim_files *files = inserted;
    int error = begin(files), at = find_staged(files, name);
    (void)unused;
    if (sim_files_ended(files))
        return error;
    if (files->names[at].live < 0)
        return -ENOENT;
    if (error != 0)
        bytes.bytes /= 2;
    write_bytes(&files->files[files->names[at].live], offset, bytes);
    return error;
}

int depot_files_read(struct depot_files *unused, const char *name, uint64_t offset, struct buf *out)
{
    struct sim_files *files = inserted;
    int error = begin(files), at = find_staged(files, name);
    (void)unused;
    if (error != 0 || files->names[at].live < 0)
        return error != 0 ? error : -ENOENT;
    const struct sim_file *file = &files->files[files->names[at].live];
    size_t room = out->capacity - out->used, left = offset < file->live_bytes ? file->live_bytes - offset : 0;
    buf_put(out, slice_of(file->live + offset, room < left ? room : left));
    return 0;
}

int depot_files_length(struct depot_files *unused, const char *name, uint64_t *bytes)
{
    struct sim_files *files = inserted;
    int error = begin(files), at = find_staged(files, name);
    (void)unused;
    *bytes = 0;
    if (error != 0 || files->names[at].live < 0)
        return error != 0 ? error : -ENOENT;
    *bytes = files->files[files->names[at].live].live_bytes;
    return 0;
}

int depot_files_remove(struct depot_files *unused, const char *name)
{
    struct sim_files *files = inserted;
    int error = begin(files), at = find_staged(files, name);
    (void)unused;
    if (error == 0 && files->names[at].live >= 0)
        change_name(files, at, -1);
    return error;
}

int depot_files_sweep(struct depot_files *unused, depot_keeps_fn *keeps, void *state)
{
    struct sim_files *files = inserted;
    int error = begin(files);
    for (unsigned i = 0; i < files->name_count && error == 0; i++) {
        const char *path = files->names[i].path;
        bool staged = strncmp(path, DEPOT_STAGING_PREFIX, strlen(DEPOT_STAGING_PREFIX)) == 0;
        if (staged && files->names[i].live >= 0 && !keeps(state, path + strlen(DEPOT_STAGING_PREFIX)))
            error = depot_files_remove(unused, path + strlen(DEPOT_STAGING_PREFIX));
    }
    return error;
}

static int find_target(struct sim_files *files, struct slice folder, struct slice path)
{
    char text[96];
    struct buf out = buf_of(text, sizeof text - 1);
    buf_put(&out, folder);
    buf_put_byte(&out, '/');
    buf_put(&out, path);
    check(!out.overflow);
    text[out.used] = '\0';
    return find_name(files, text);
}

/* Three steps: the bytes, the rename, the folders; the last alone when that has been done before. */
int depot_files_place(struct depot_files *unused, const char *name, struct slice folder, struct slice path)
{
    struct sim_files *files = inserted;
    int error = begin(files), from = find_staged(files, name), to = find_target(files, folder, path);
    int file = files->names[from].live;
    (void)unused;
    if (error != 0 || (file < 0 && files->names[to].live < 0))
        return error != 0 ? error : -ENOENT;
    if (file >= 0) {
        settle(files, &files->files[file], false);
        error = begin(files);
    }
    if (error != 0)
        return error;
    if (file >= 0)
        change_names(files, &(struct sim_change){.name = {to, from}, .file = {file, -1}, .count = 2});
    error = begin(files);
    if (error == 0)
        sync_names(files);
    return error;
}

int depot_files_look(struct depot_files *unused, struct slice folder, struct slice path)
{
    (void)unused;
    (void)folder;
    (void)path;
    return begin(inserted);
}

int depot_files_room(struct depot_files *unused, uint64_t *bytes)
{
    (void)unused;
    *bytes = inserted->room;
    return begin(inserted);
}

static bool is_dirty(const struct sim_file *file)
{
    bool any = file->live_bytes != file->kept_bytes;
    for (size_t i = 0; i < SIM_FILES_BYTES_MAX / SIM_FILES_SECTOR; i++)
        any |= file->dirty[i];
    return any;
}

int depot_files_sync(struct depot_files *unused)
{
    struct sim_files *files = inserted;
    (void)unused;
    for (unsigned i = 0; i < files->name_count; i++) {
        int file = files->names[i].live;
        if (file < 0 || !is_dirty(&files->files[file]))
            continue;
        int error = begin(files);
        if (sim_files_ended(files))
            return error;
        settle(files, &files->files[file], error != 0);
        if (error != 0)
            return error;
    }
    return 0;
}

/* --- the test's side ---------------------------------------------------------------------------------------------- */

struct sim_files *sim_files_create(uint64_t seed)
{
    struct sim_files *files = calloc(1, sizeof *files);
    check(inserted == NULL);
    if (files == NULL || (files->files = calloc(SIM_FILES_MAX, sizeof *files->files)) == NULL) {
        free(files);
        return NULL;
    }
    random_init(&files->random, seed);
    files->room = UINT64_C(1) << 30;
    inserted = files;
    return files;
}

void sim_files_destroy(struct sim_files *files)
{
    check(inserted == files);
    inserted = NULL;
    free(files->files);
    free(files);
}

void sim_files_end(struct sim_files *files, bool cut)
{
    if (cut)
        lose_power(files);
    files->ended = false;
    files->faults.end_at = 0;
}

void sim_files_put(struct sim_files *files, const char *path, struct slice bytes)
{
    int name = find_name(files, path), file = new_file(files);
    write_bytes(&files->files[file], 0, bytes);
    settle(files, &files->files[file], false);
    files->names[name].live = files->names[name].kept = file;
}

struct slice sim_files_get(const struct sim_files *files, const char *path)
{
    for (unsigned i = 0; i < files->name_count; i++)
        if (strcmp(files->names[i].path, path) == 0 && files->names[i].live >= 0) {
            const struct sim_file *file = &files->files[files->names[i].live];
            return slice_of(file->live, file->live_bytes);
        }
    return slice_of(NULL, 0);
}

unsigned sim_files_count(const struct sim_files *files)
{
    unsigned count = 0;
    for (unsigned i = 0; i < files->name_count; i++)
        count += files->names[i].live >= 0;
    return count;
}
