/* SPDX-License-Identifier: MIT */
/* A session: a connection that speaks a dialect. The only file that knows both: it counts messages against the limits, calls
 * the dialect, and carries out its actions in order, waiting where an action has to ask a home. */
#ifndef RINGCAST_SHARDS_SESSION_H
#define RINGCAST_SHARDS_SESSION_H

#include "shards/conn.h"
#include "shards/mail.h"

/* A request head on a listener of dialects: routes it, checks the upgrade, opens the session or refuses. */
void session_on_request(struct shard *shard, struct conn *conn, const struct http1_request *request);
/* One whole message. */
void session_on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message);
void session_heartbeat(struct shard *shard, struct conn *conn);
/* MAIL_ACQUIRED. */
void session_on_acquired(struct shard *shard, const struct mail *mail);
/* An answered PARCEL_SUBSCRIBE. */
void session_on_subscribed(struct shard *shard, struct parcel *parcel);
/* The connection's timer (ACTION_TIMER) has expired; false: it has to wait for an answer first. */
bool session_on_timer(struct shard *shard, struct conn *conn);
/* The answer to an ACTION_REQUEST or ACTION_CENSUS. */
void session_on_reply(struct shard *shard, const struct parcel *parcel);
/* PARCEL_CENSUS: appends this shard's sessions of the parcel's dialect. */
void session_describe_all(struct shard *shard, struct parcel *parcel);
/* Once a second: what the sessions of each dialect count up to, for dialect_call.recent_counts. */
void session_count_all(struct shard *shard);
/* The connection stops being a listener and gives its places back; before its slot is freed or while it closes. */
void session_leave(struct shard *shard, struct conn *conn);
void session_end(struct shard *shard, struct conn *conn);
/* After a reload: closes a session whose key is no longer configured, unless close_on_revoke is off. */
void session_revoke(struct shard *shard, struct conn *conn);
/* There is room for publishing again: goes on with the actions that waited for it. */
void session_resume(struct shard *shard, struct conn *conn);

#endif
