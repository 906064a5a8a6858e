/* SPDX-License-Identifier: MIT */
/* Owns a VFS, and a heap for SQLite, that hand every call on to the system's own and let one fail.
 * They never change what is written.
 * Called by tests of the store. */
#include "tests/unit/shards/storage/fault_vfs.h"

#include <sqlite3.h>
#include <string.h>

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static struct fault_vfs plan;
static sqlite3_vfs *system_vfs;
static sqlite3_vfs fault;

static bool fails(enum fault_kind kind)
{
    bool now = ++plan.seen[kind] == plan.at && kind == plan.kind;
    plan.hit |= now;
    return now;
}

static sqlite3_file *real(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

static int on_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int on_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 at)
{
    return fails(FAULT_READ) ? SQLITE_IOERR_READ : real(file)->pMethods->xRead(real(file), data, bytes, at);
}

/* Half of the bytes are written before it fails, as a disk that is full does it. */
static int on_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 at)
{
    bool full = fails(FAULT_WRITE_FULL), broken = fails(FAULT_WRITE);
    if (!full && !broken)
        return real(file)->pMethods->xWrite(real(file), data, bytes, at);
    (void)real(file)->pMethods->xWrite(real(file), data, bytes / 2, at);
    return full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    return fails(FAULT_TRUNCATE) ? SQLITE_IOERR_TRUNCATE : real(file)->pMethods->xTruncate(real(file), bytes);
}

static int on_sync(sqlite3_file *file, int flags)
{
    return fails(FAULT_SYNC) ? SQLITE_IOERR_FSYNC : real(file)->pMethods->xSync(real(file), flags);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return real(file)->pMethods->xFileSize(real(file), bytes);
}

static int on_lock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xLock(real(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int on_check_lock(sqlite3_file *file, int *locked)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), locked);
}

static int on_control(sqlite3_file *file, int operation, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

static int on_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int on_traits(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

/* Version 1: no shared memory, which a connection that has its file for itself does without. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_lock,
    .xFileControl = on_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_traits,
};

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *got)
{
    (void)vfs;
    struct fault_file *mine = (struct fault_file *)file;
    mine->base.pMethods = NULL;
    mine->real = (sqlite3_file *)(mine + 1);
    if (fails(FAULT_OPEN))
        return SQLITE_CANTOPEN;
    int code = system_vfs->xOpen(system_vfs, name, mine->real, flags, got);
    mine->base.pMethods = code == SQLITE_OK ? &methods : NULL;
    return code;
}

struct fault_vfs *fault_vfs_install(void)
{
    if (system_vfs != NULL)
        return &plan;
    system_vfs = sqlite3_vfs_find(NULL);
    fault = *system_vfs;
    fault.zName = "fault";
    fault.pNext = NULL;
    fault.szOsFile += (int)sizeof(struct fault_file);
    fault.xOpen = on_open;
    (void)sqlite3_vfs_register(&fault, 1);
    return &plan;
}

void fault_vfs_plan(struct fault_vfs *vfs, enum fault_kind kind, uint64_t at)
{
    memset(vfs, 0, sizeof *vfs);
    vfs->kind = kind;
    vfs->at = at;
}

/* --- the heap ----------------------------------------------------------------------------------------------------- */

static sqlite3_mem_methods system_heap;
static uint64_t heap_at, heap_seen;

static void *on_malloc(int bytes)
{
    return ++heap_seen == heap_at ? NULL : system_heap.xMalloc(bytes);
}

static void *on_realloc(void *memory, int bytes)
{
    return ++heap_seen == heap_at ? NULL : system_heap.xRealloc(memory, bytes);
}

bool fault_heap_plan(uint64_t at)
{
    bool hit = heap_at != 0 && heap_seen >= heap_at;
    if (system_heap.xMalloc == NULL) {
        (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_heap);
        sqlite3_mem_methods heap = system_heap;
        heap.xMalloc = on_malloc;
        heap.xRealloc = on_realloc;
        (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &heap);
    }
    heap_at = at;
    heap_seen = 0;
    return hit;
}
