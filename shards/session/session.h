/* SPDX-License-Identifier: MIT */
/* A session: a connection that speaks a dialect (the role session_role). It counts messages against the limits, calls the dialect,
 * and carries out its actions in order, waiting where an action has to ask a home. */
#ifndef RINGCAST_SHARDS_SESSION_H
#define RINGCAST_SHARDS_SESSION_H

#include "shards/conn/conn.h"
#include "shards/mail/mail.h"

/* An answered ERRAND_SUBSCRIBE. */
void session_on_subscribed(struct shard *shard, struct errand *errand);
/* The answer to an ACTION_REQUEST or ACTION_CENSUS. */
void session_on_reply(struct shard *shard, struct errand *errand);
/* ERRAND_CENSUS: appends this shard's sessions of the errand's dialect. */
void session_describe_all(struct shard *shard, struct errand *errand);
/* Once a second: what the sessions of each dialect count up to, for dialect_call.recent_counts. */
void session_count_all(struct shard *shard);

#endif
