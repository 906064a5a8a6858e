/* SPDX-License-Identifier: MIT */
/* Memory for what is said to one connection alone: answers, pongs, pings, the 101, responses. It is never shared: each
 * connection has segments of its own, which live as long as it has not read them, so what it holds is what it is
 * charged for. Beside the channels' memory there are two such, of clients and of operators, so that nobody's unread
 * answers keep a publisher or /health/live waiting.
 *
 * A budget is shared like this: the first kilobyte of a connection to which nothing else is due is always there; beyond
 * the budget the connection that holds most is ended, not the one that asks next; at twice the budget (what the ended
 * ones hold has not come back yet) who asks for more than that kilobyte is ended too. */
#ifndef RINGCAST_SHARDS_ANSWERS_H
#define RINGCAST_SHARDS_ANSWERS_H

#include "core/frame.h"
#include "core/frame_memory.h"

struct conn;
struct shard;

/* One shard's. */
struct answers {
    struct answer_budget {
        size_t bytes_max;
        size_t mark; /* beyond it the next is cut: bytes_max, and what those who have been cut are still to give back */
    } clients, operators;
};

/* For one call: where the next bytes of a connection go, as a log whose tail is the last segment of its own. */
struct answer {
    struct frame_memory *memory;
    struct frame_log log;
};

void answers_init(struct shard *shard, uint32_t connections_max);
/* The connection is about to get up to `bytes` more. False: it has been ended, because it holds most, or because all is
 * used up. */
bool answer_begin(struct shard *shard, struct conn *conn, size_t bytes, struct answer *answer);
/* They have been pushed, or not. */
void answer_end(struct shard *shard, struct conn *conn, struct answer *answer);

#endif
