/* SPDX-License-Identifier: MIT */
/* The budget of what has come from peers and is not complete: heads, pieces of messages, input that waits, bodies of
 * publishers. What a shard holds of it is shared: beyond the budget the connection goes that holds much without getting
 * on, not the one that asks next. */
#ifndef RINGCAST_SHARDS_INPUT_H
#define RINGCAST_SHARDS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct shard;

/* One shard's. */
struct input_budget {
    size_t bytes_max; /* 0: the setting's share; else that (tests) */
    size_t mark;      /* no search before it: bytes_max, and what those who have been ended are still to give back */
    uint32_t at;      /* where the next search goes on */
};

/* The connection is about to hold so many bytes more; they are counted. False: it has been ended instead. */
bool input_take(struct shard *shard, struct conn *conn, size_t bytes);
/* It holds so many less. */
void input_give(struct shard *shard, size_t bytes);

#endif
