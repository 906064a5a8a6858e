/* SPDX-License-Identifier: MIT */
/* A desk: one thread beside the shards that takes tasks from all of them and gives each back, done, in a later turn of
 * the shard that posted it; which never waits.
 *
 *     shard: desk_post -> ... desk_take        thread: desk_next -> ... desk_answer
 *
 * Each shard has DESK_TASKS_MAX under way at most; who would post more is told. What a task is, and what is done with it,
 * is the matter of whoever runs the desk. */
#ifndef RINGCAST_SHARDS_DESK_H
#define RINGCAST_SHARDS_DESK_H

#include "core/spsc.h"
#include "core/thread.h"

#define DESK_TASKS_MAX 64 /* a power of two, as rings are */

struct desk_port {
    struct spsc in, out; /* of pointers to tasks */
    _Alignas(64) uint32_t outstanding;
};

/* There are answers for the shard: on the desk's thread, behind a sequentially consistent fence, so that a plain look at
 * the shard's "asleep" decides. */
typedef void desk_answered_fn(void *user, uint16_t origin);
/* Does what there is to do, and says for how many milliseconds the thread may sleep if nothing comes. */
typedef uint64_t desk_round_fn(void *user);

struct desk {
    struct desk_port *ports;
    uint16_t count, next;
    desk_answered_fn *answered;
    void *user; /* of `answered` */
    desk_round_fn *round;
    void *round_user;
    struct thread thread;
    _Alignas(64) _Atomic uint32_t asleep;
    _Atomic bool stopping;
};

/* `shards` ports. 0 or -ENOMEM. */
int desk_init(struct desk *desk, uint16_t shards, desk_answered_fn *answered, void *user);
/* Nothing is under way. */
void desk_destroy(struct desk *desk);
/* A thread of that name that calls `round` whenever there may be something. 0 or -errno. */
int desk_start(struct desk *desk, const char *name, desk_round_fn *round, void *user);
/* Ends the thread behind a last round; the shards post no more. */
void desk_stop(struct desk *desk);

/* A shard's side. The task leaves until desk_take gives it back. False: too many are under way. */
bool desk_post(struct desk *desk, uint16_t origin, void *task);
/* The next one that is done, or NULL. */
void *desk_take(struct desk *desk, uint16_t origin);
bool desk_has_answers(const struct desk *desk, uint16_t origin);

/* The thread's side. One task of each shard in turn, so that none waits for all of another's; NULL: none waits. */
void *desk_next(struct desk *desk, uint16_t *origin);
void desk_answer(struct desk *desk, uint16_t origin, void *task);
/* The server stops: what is under way is finished, nothing new comes. */
bool desk_is_stopping(const struct desk *desk);

#endif
