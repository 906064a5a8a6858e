/* SPDX-License-Identifier: MIT */
/* Offload: one thread beside the shards for what computes long and touches nothing, such as a password's hash. A shard
 * posts a task and takes it back, done, in a later turn; it never waits.
 *
 *     shard: offload_post -> ... offload_take        thread: run(kind, body, reply)
 *
 * Each shard has DESK_TASKS_MAX under way at most; the next one is refused and counted, so a flood of them costs
 * others nothing: they wait behind each other, not in front of a shard. */
#ifndef RINGCAST_SHARDS_OFFLOAD_H
#define RINGCAST_SHARDS_OFFLOAD_H

#include "core/buf.h"
#include "core/limits.h"
#include "shards/offload/desk.h"

/* What a task does: a pure function. Returns an HTTP status, appends to `reply` at most WORK_REPLY_BYTES_MAX bytes;
 * may write over the body. */
typedef int offload_run_fn(uint32_t kind, struct span body, struct buf *reply);

struct offload_task {
    offload_run_fn *run;
    uint32_t kind;
    int status;
    void *user; /* the maker's */
    size_t body_bytes, reply_bytes;
    uint8_t reply[WORK_REPLY_BYTES_MAX];
    uint8_t body[];
};

struct offload {
    struct desk desk;
    _Atomic uint64_t done, refused;
};

/* `shards` ports. 0 or -ENOMEM. */
int offload_init(struct offload *offload, uint16_t shards, desk_answered_fn *answered, void *user);
/* Nothing is under way. */
void offload_destroy(struct offload *offload);
/* 0 or -errno. */
int offload_start(struct offload *offload);
/* What was posted is done first; the shards post no more. */
void offload_stop(struct offload *offload);

/* A task with a copy of the body; NULL: memory is out. */
struct offload_task *offload_make(offload_run_fn *run, uint32_t kind, struct slice body, void *user);
/* Wipes what it held. */
void offload_free(struct offload_task *task);
/* The task leaves until offload_take gives it back. False: too many are under way (counted). */
bool offload_post(struct offload *offload, uint16_t origin, struct offload_task *task);
/* The next one that is done, or NULL. */
struct offload_task *offload_take(struct offload *offload, uint16_t origin);
/* Whether there is one. */
bool offload_has_answers(const struct offload *offload, uint16_t origin);
/* Runs what is posted here and now, for those who have no thread. */
void offload_run_posted(struct offload *offload);
/* Posts of all shards that found the limit. Anybody. */
uint64_t offload_refused(const struct offload *offload);

#endif
