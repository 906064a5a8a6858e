/* SPDX-License-Identifier: MIT */
/* A role: what a connection is for, and the only way from a connection up to its user. A listener names the role with
 * which its connections begin; an upgrade may change it (conn_upgrade). Use in two steps:
 *
 *   1. Fill in one `const struct conn_role` in the file that implements it. What one connection needs lies behind
 *      conn.user, or in conn.session for listeners of channels.
 *   2. Name it in a row of roles.def.
 *
 * Where a function is NULL the role has nothing to do there. None is called while the members of an audience are
 * walked. */
#ifndef RINGCAST_SHARDS_ROLE_H
#define RINGCAST_SHARDS_ROLE_H

#include "protocol/ws.h"

struct conn;
struct http1_request;
struct shard;

enum role {
#define ROLE(id, record, name) ROLE_##id,
#include "shards/conn/roles.def"
#undef ROLE
    ROLES,
};

/* The limits of one connection as the settings are now. In HTTP they are the server's own, whatever the role. */
struct role_limits {
    uint64_t ping_interval_ms;  /* protocol pings; 0: off */
    uint64_t idle_timeout_ms;   /* without any byte from the peer; 0: off */
    uint64_t duration_max_ms;   /* since the accept; 0: off */
    uint64_t message_bytes_max; /* of one message of the peer's, inflated */
    uint64_t outbox_bytes_max;  /* that wait behind what is being sent */
    uint64_t send_timeout_ms;   /* of a send that does not move; 0: by the server's and idle_timeout (progress.h) */
};

/* A request head; `request` is good for the call. Answers, or sees to it that an answer follows. */
typedef void role_request_fn(struct shard *shard, struct conn *conn, const struct http1_request *request);
/* A piece of a request's body, while conn.body is set; takes what belongs to it off the front of *input. */
typedef void role_body_fn(struct shard *shard, struct conn *conn, struct slice *input);
/* A piece of a message; `first`: its first, so that the message counts. False: nobody wants to read it, or the connection has been ended.
 * What is unwanted is neither kept nor inflated, and comes as a message without content, when its last piece is there. */
typedef bool role_wanted_fn(struct shard *shard, struct conn *conn, bool first);
/* One whole message of a WebSocket; `message` is good for the call. */
typedef void role_message_fn(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message);
/* conn.due_ms has come, in OPEN: sets it anew. */
typedef void role_timer_fn(struct shard *shard, struct conn *conn);
/* It was parked for want of room (conn_wait_for_room), and there is some, or the server stops. */
typedef void role_resume_fn(struct shard *shard, struct conn *conn);
/* New settings, in OPEN: ends what is no longer allowed. */
typedef void role_reload_fn(struct shard *shard, struct conn *conn);
/* It begins to end (conn.state is still what it was): it is to be part of nothing any more. May be called again. `why`:
 * a close frame is about to be sent for that reason (enum close_reason), and the role may say something before it;
 * CLOSE_NONE: nothing can be said. */
typedef void role_leave_fn(struct shard *shard, struct conn *conn, uint8_t why);
/* Its slot goes back: frees what the role holds. */
typedef void role_end_fn(struct shard *shard, struct conn *conn);
/* Bytes that it holds of a request's body, counted by input_take. */
typedef size_t role_held_fn(const struct conn *conn);
/* In OPEN. */
typedef struct role_limits role_limits_fn(const struct shard *shard, const struct conn *conn);

struct conn_role {
    role_request_fn *request; /* NULL: it is past HTTP */
    role_body_fn *body;
    role_wanted_fn *wanted;   /* NULL: all are */
    role_message_fn *message; /* NULL: it never upgrades; so are limits */
    role_timer_fn *timer;
    role_resume_fn *resume;
    role_reload_fn *reload;
    role_leave_fn *leave;
    role_end_fn *end;
    role_limits_fn *limits;
    role_held_fn *held; /* NULL: none */
    /* Served to the end of a stop, and never counted among the clients nor against their limits. */
    bool operates;
    /* At a listener on a loopback address a request for a host that this machine is not known by is refused with 421,
     * so that no page whose name has been made to point here reads or publishes anything (RFC 9110 section 7.4). */
    bool knows_hosts;
};

/* [enum role], defined where the floors meet (roles.c). */
extern const struct conn_role *const conn_roles[ROLES];
/* What a listener whose connections begin with the role is called in the log. */
extern const char *const role_names[ROLES];

#endif
