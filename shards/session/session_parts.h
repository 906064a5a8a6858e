/* SPDX-License-Identifier: MIT */
/* What the files of a session share among themselves: session.c (routing, limits, answers), session_actions.c (rows of
 * actions) and session_census.c (walks over all sessions). Nobody else in the server includes it; bench/growth_world.c
 * starts rows by it. */
#ifndef RINGCAST_SHARDS_SESSION_PARTS_H
#define RINGCAST_SHARDS_SESSION_PARTS_H

#include "protocol/action.h"
#include "protocol/handshake.h"
#include "shards/session/session.h"
#include "shards/shard.h"

struct conn;

/* A row of actions that is being carried out. */
struct run {
    struct action *items;
    uint32_t count, next;
    const struct handshake *handshake; /* of an opening */
};

/* What is left of a row while it waits for an answer: one block with all the bytes that it needs. */
struct pending {
    struct run run;
    struct handshake handshake;
    struct action items[];
};

/* What a dialect may know of a connection, without an `out`. */
struct dialect_call session_call_about(const struct shard *shard, const struct conn *conn);
/* The same for a call that may append actions, to the shard's scratch list. */
struct dialect_call session_call_begin(struct shard *shard, const struct conn *conn);
/* Carries out what a call has appended. `handshake`: of an opening, else NULL. */
void session_run_call(struct shard *shard, struct conn *conn, const struct handshake *handshake);
/* Carries out what a call about the answer of a request ahead has appended, and goes on with a row that has waited for it. */
void session_answer_ahead(struct shard *shard, struct conn *conn);
/* Goes on with a row that waited for an answer, or for room to publish. */
void session_resume(struct shard *shard, struct conn *conn);
/* After a change of its heartbeat or timer: when conn.due_ms is. */
void session_set_due(struct conn *conn);
/* Forgets the row of actions that waits. */
void session_drop_pending(struct conn *conn);
/* The name under which a place is counted at its home. */
struct hash128 session_quota_name(const struct shard *shard, const struct conn *conn, enum quota_kind kind,
                                  struct slice name);
/* The name of a key of a dialect: that of its QUOTA_KEY. */
struct hash128 session_key_name(const struct shard *shard, uint8_t dialect, struct slice key);
/* Whether a key of that name is configured; between session_reload_keys and session_reload_end. */
bool session_reload_knows(const struct shard *shard, struct hash128 name);
/* --- session_body.c --- */

/* The request's content is gathered from here on (conn.body), then given to the dialect. Or it has been refused. */
void session_body_begin(struct shard *shard, struct conn *conn, const struct http1_request *request);
/* role.body, role.held */
void session_body_take(struct shard *shard, struct conn *conn, struct slice *input);
size_t session_body_held(const struct conn *conn);
/* What has been gathered, if anything is, goes. */
void session_body_drop(struct shard *shard, struct conn *conn);

/* Gives back the places in quotas that the connection holds. */
void session_give_back_places(struct shard *shard, struct conn *conn);
/* Counts the open sessions of a dialect. */
void session_count(struct shard *shard, uint8_t dialect, int change);

#endif
