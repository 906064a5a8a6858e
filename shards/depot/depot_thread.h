/* SPDX-License-Identifier: MIT */
/* The thread of a depot (protocol/depot.h): it takes requests of all shards, lets the depot run them, syncs the files
 * that were written, commits the records that were put, and only then lets the replies out. All requests that have waited
 * share one sync and one commit.
 *
 *     round: requests -> sync, commit -> replies -> a step of each that goes on later -> sync, commit -> replies
 *
 * When a sync or a commit fails, the failures of all requests at hand go out instead, and the depot begins anew from its
 * records: another life. */
#ifndef RINGCAST_SHARDS_DEPOT_THREAD_H
#define RINGCAST_SHARDS_DEPOT_THREAD_H

#include "core/limits.h"
#include "core/list.h"
#include "protocol/depot.h"
#include "shards/depot/depot_files.h"
#include "shards/offload/desk.h"

#define DEPOT_STORE "records.db" /* in the folder of files in the making */

/* A request on its way; made and freed by a shard. */
struct depot_task {
    struct list_node node;
    struct depot_request request; /* what it points at is the maker's, and stays */
    void *user;                   /* the maker's */
    uint16_t origin;
    int status; /* 200: `reply` holds what is to be said; 503: the depot cannot be asked */
    struct buf reply, failure;
    uint8_t failure_memory[DEPOT_FAILURE_BYTES_MAX];
    uint8_t reply_memory[DEPOT_REPLY_BYTES_MAX];
};

struct store;

enum depot_count {
    DEPOT_COMMITS,     /* that were kept, with the files of their requests */
    DEPOT_SYNC_NS,     /* spent in syncs and commits */
    DEPOT_SYNC_NS_MAX, /* longest */
    DEPOT_WRITTEN,     /* bytes of files */
    DEPOT_PLACED,      /* files that got their places */
    DEPOT_LIVES_LOST,  /* ended because something could not be kept */
    DEPOT_LOST,        /* 1 while no life can begin: nothing is taken */
    DEPOT_COUNTS,
};

struct depot_thread {
    struct desk desk;
    const struct depot *depot;
    void *state; /* NULL: between two lives */
    struct depot_disk disk;
    struct depot_files files;
    struct store *store;
    bool open;            /* a transaction is */
    bool damaged;         /* a change of the present transaction has failed */
    struct list ready;    /* to be answered behind the next commit */
    struct list going_on; /* those that go on later */
    uint64_t tickets;
    _Atomic uint64_t counts[DEPOT_COUNTS]; /* for anybody */
};

/* Opens the files and records below `root` and begins the first life. 0, or -errno with one line in `why`. */
int depot_thread_open(struct depot_thread *thread, const struct depot *depot, const char *root, uint16_t shards,
                      desk_answered_fn *answered, void *user, struct buf *why);
/* 0 or -errno. */
int depot_thread_start(struct depot_thread *thread);
/* What was posted is done first. */
void depot_thread_stop(struct depot_thread *thread);
/* Nothing is under way. */
void depot_thread_close(struct depot_thread *thread);

/* A shard's side: a task for depot_thread_post, or NULL: memory is out. Its request is to be filled in; its buffers, ticket and times
 * are the thread's. */
struct depot_task *depot_task_make(void *user);
void depot_task_free(struct depot_task *task);
/* False: too many are under way. */
bool depot_thread_post(struct depot_thread *thread, uint16_t origin, struct depot_task *task);
struct depot_task *depot_thread_take(struct depot_thread *thread, uint16_t origin);

/* Anybody. */
uint64_t depot_thread_count(const struct depot_thread *thread, enum depot_count count);

/* One round here and now, for tests that have no thread; how long nothing is to be done, in milliseconds. */
uint64_t depot_thread_round(struct depot_thread *thread);

#endif
