/* SPDX-License-Identifier: MIT */
/* Owns the translation of SQLite's result codes into errno values and sentences for operators.
 * It never decides what follows from an error, and never prints.
 * Called by the files of the SQLite store. */
#include "shards/storage/store_error.h"

#include <errno.h>

/* Of a failed read or write, by what the kernel said. EFBIG is RLIMIT_FSIZE or the file system's own largest file. */
static int of_system(int system)
{
    switch (system) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case EROFS:
        return -EROFS;
    case ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static int of_opening(int system)
{
    switch (system) {
    case 0:
        return -EIO;
    case EPERM:
        return -EACCES;
    case EDQUOT:
        return -ENOSPC;
    default:
        return -system;
    }
}

bool store_error_is_sync(int code)
{
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

int store_error_of(int code, int system)
{
    if (store_error_is_sync(code))
        return -EIO;
    if (code == SQLITE_IOERR_NOMEM)
        return -ENOMEM;
    if (code == SQLITE_IOERR_CORRUPTFS)
        return -EBADMSG;
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CORRUPT:
        return -EBADMSG;
    case SQLITE_NOTADB:
        return -EMEDIUMTYPE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_CANTOPEN:
        return of_opening(system);
    case SQLITE_IOERR:
        return of_system(system);
    default:
        return -EIO;
    }
}

/* What is wrong; what would be right. */
static const char *sentence(int error)
{
    switch (error) {
    case -ENOSPC:
        return "there is no room on its file system (or in the quota); make room, the store then works again";
    case -EROFS:
        return "its file system is read-only; mount it for writing or choose another path";
    case -ENOENT:
        return "its folder does not exist; make it, or choose another path";
    case -ENOTDIR:
        return "a part of its path is no folder; choose another path";
    case -EISDIR:
        return "is a directory; the path of a file is wanted";
    case -EACCES:
        return "this process may not read and write it (or its folder); give it to the user that the server runs as";
    case -EBUSY:
        return "is in use by another process; one process may use a store at a time";
    case -EBADMSG:
        return "is damaged; bring back a copy from a backup, or move the file away to begin anew";
    case -EMEDIUMTYPE:
        return "is no store of this server; choose another path, the file was left as it is";
    case -ENOMEM:
        return "there is not enough memory";
    case -EMSGSIZE:
        return "a record is too long";
    case -ENAMETOOLONG:
        return "its path is too long; choose a shorter one";
    default:
        return "the device or file system failed; look into the kernel's log";
    }
}

#define PATH_BYTES_SAID 200

/* So much of a path that the sentence behind it has room. */
static void put_path(struct buf *why, const char *path)
{
    struct slice said = slice_text(path);
    bool is_long = said.bytes > PATH_BYTES_SAID;
    said.bytes = is_long ? PATH_BYTES_SAID : said.bytes;
    buf_put(why, said);
    if (is_long)
        buf_put_text(why, "...");
}

void store_error_say(struct buf *why, const char *path, int error, const char *detail)
{
    put_path(why, path);
    buf_put_text(why, ": ");
    buf_put_text(why, sentence(error));
    if (detail != NULL) {
        buf_put_text(why, " (");
        buf_put_text(why, detail);
        buf_put_text(why, ")");
    }
}

static int last_errno(sqlite3_file *file)
{
    int last = 0;
    if (file != NULL && file->pMethods != NULL)
        (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &last);
    return last;
}

/* What the kernel said. The connection forgets it when it was COMMIT that failed; the files remember: the log's
 * first, which is what a transaction writes. */
static int system_errno(sqlite3 *db, int extended)
{
    sqlite3_file *log = NULL, *file = NULL;
    int error = sqlite3_system_errno(db);
    if (error != 0 || (extended != SQLITE_IOERR_WRITE && extended != SQLITE_IOERR_TRUNCATE))
        return error;
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    error = last_errno(log);
    return error != 0 ? error : last_errno(file);
}

int store_error_report(struct buf *why, const char *path, sqlite3 *db, int code)
{
    int extended = sqlite3_extended_errcode(db);
    if ((extended & 0xff) != (code & 0xff))
        extended = code;
    int error = store_error_of(extended, system_errno(db, extended));
    if (store_error_is_sync(extended)) {
        put_path(why, path);
        buf_put_text(why, ": a sync failed, so what was written may not be on the disk; nothing more is kept until the "
                          "server is started anew; look into the kernel's log");
        return error;
    }
    store_error_say(why, path, error, sqlite3_errstr(extended));
    return error;
}
