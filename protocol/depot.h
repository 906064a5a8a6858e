/* SPDX-License-Identifier: MIT */
/* A depot: the half of a dialect that keeps files. It runs on one thread beside the shards, may wait for the disk, and is
 * plain blocking code: one request after the other.
 *
 * What it says is true of the disk. It writes files and puts records; its host then syncs those files, commits those
 * records in one transaction, and only then lets the replies out: one sync and one commit for all requests that had
 * waited. When that fails none of the replies is said but each request's `failure`, and the depot begins anew from what
 * the disk has (close, open, load, loaded). So it needs no way back.
 *
 * A request that takes several steps (a file to be hashed, then put in its place) returns DEPOT_LATER; the host then calls
 * `later` again and again, between other requests and with a commit before each call, until that says that it is done. */
#ifndef RINGCAST_PROTOCOL_DEPOT_H
#define RINGCAST_PROTOCOL_DEPOT_H

#include "core/buf.h"

#define DEPOT_NAME_BYTES_MAX 64         /* of a file in the making: [a-z0-9-] */
#define DEPOT_REPLY_BYTES_MAX 16384     /* of one reply */
#define DEPOT_FAILURE_BYTES_MAX 512U    /* of what is said instead */
#define DEPOT_STAGING_PREFIX ".upload-" /* no component of a path begins with it: the host's own names do */

/* Whether a file in the making of that name belongs to somebody. */
typedef bool depot_keeps_fn(void *state, const char *name);

/* What a depot may do with its disk. All of it may wait; 0 or a negative errno. */
struct depot_disk {
    void *user;
    /* Files in the making, which nobody else sees: made empty (instead of one before), */
    int (*create)(void *user, const char *name);
    /* written (synced before any reply that follows), */
    int (*write)(void *user, const char *name, uint64_t offset, struct slice bytes);
    /* read: as many bytes as `out` has room for, fewer only at the end, */
    int (*read)(void *user, const char *name, uint64_t offset, struct buf *out);
    int (*length)(void *user, const char *name, uint64_t *bytes);
    /* and thrown away, if there is one; or put in its place below the root with all its bytes: folders are made, a file that is there
     * is replaced in one step, no symbolic link is followed (-ELOOP; -EISDIR, -ENOTDIR as they are). On the disk when it returns. To be
     * called again when it has failed or the process has ended meanwhile: a name that is gone from those in the making, with a file in
     * the place, has been put there, and then that is on the disk; -ENOENT: neither. */
    int (*remove)(void *user, const char *name);
    int (*place)(void *user, const char *name, struct slice folder, struct slice path);
    /* All that `keeps` says no to are thrown away: those of lives whose records were never committed, or of records that are gone. Does
     * nothing in a life that follows a failure: only what a process finds when it begins is the whole truth. */
    int (*sweep)(void *user, depot_keeps_fn *keeps, void *state);
    /* Whether `place` could be done as things are: 0, or its error. Changes nothing. */
    int (*look)(void *user, struct slice folder, struct slice path);
    /* Free bytes of the file system. */
    int (*room)(void *user, uint64_t *bytes);
    /* Records, committed before any reply that follows. */
    int (*put)(void *user, struct slice key, struct slice value);
    int (*forget)(void *user, struct slice key);
    /* Unpredictable bytes. */
    int (*entropy)(void *user, void *out, size_t bytes);
};

#define DEPOT_LEFT 0U /* the kind of a request that has no reply: the connection is gone */

struct depot_request {
    uint32_t kind;       /* the depot's own enum, from 1 on; or DEPOT_LEFT */
    uint64_t connection; /* who asks; unique in the life of the process, never 0 */
    struct slice head;   /* what the dialect says of it, */
    struct span body;    /* and what has come; may be written over during the call */
    uint64_t ticket;     /* of the host; never 0 */
    uint64_t now_ms;     /* monotonic */
    uint64_t wall_ms;
    struct buf *reply, *failure;
};

enum depot_answer {
    DEPOT_DONE,  /* the reply is whole */
    DEPOT_LATER, /* `later` goes on with it */
};

struct depot {
    size_t state_bytes; /* zeroed before open */
    /* The folder below which its files go, of the dialect's settings; "": it is off, and its dialect asks it nothing. */
    const char *(*root)(const void *settings);
    /* `disk` stays valid until close. 0 or -ENOMEM. */
    int (*open)(void *state, const struct depot_disk *disk);
    void (*close)(void *state);
    /* A record, in the order of keys. 0, -ENOMEM, or -EINVAL with what is wrong with it as a literal in *why. */
    int (*load)(void *state, struct slice key, struct slice value, const char **why);
    /* All have been loaded. */
    void (*loaded)(void *state, uint64_t now_ms, uint64_t wall_ms);
    enum depot_answer (*request)(void *state, const struct depot_request *request);
    enum depot_answer (*later)(void *state, const struct depot_request *request);
    /* When `timer` is to be called: monotonic, UINT64_MAX: never. */
    uint64_t (*due)(const void *state);
    void (*timer)(void *state, uint64_t now_ms, uint64_t wall_ms);
};

#endif
