/* SPDX-License-Identifier: MIT */
/* What the parts of the dialect rnn share: its settings, what its sessions ask the node, and how messages are
 * written. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_RNN_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_RNN_H

#include "protocol/action.h"
#include "protocol/dialect.h"
#include "protocol/service.h"

#define RNN_DEPTH_MAX 32                 /* K-27 */
#define RNN_SEARCH_BYTES_MAX (64U << 10) /* of the payload of a search */
#define RNN_CONTENT_BYTES_MAX 4096       /* of a login (N-2) */
#define RNN_USER_BYTES_MAX 128           /* what a token's sub can hold */
#define RNN_CHANNEL "node"               /* everything is told to everybody */
#define RNN_SERVING "serve:"             /* the channel of a live peer, which is asked there; the variant is its name */

/* The periodic messages, in the order in which a snapshot has them (N-20 to N-26). */
enum rnn_table {
    RNN_STATUS,
    RNN_PEERS,
    RNN_BLACKLIST,
    RNN_SESSIONS,
    RNN_CANDIDATES,
    RNN_SERVICES,
    RNN_WORKFLOWS,
    RNN_PERIODICS,
};

struct rnn_settings {
    struct dialect_settings common;
    struct option_texts secrets; /* for tokens; the first one signs */
    struct option_texts users;   /* "NAME HASH" */
    uint64_t token_lifetime_ms;
    uint64_t logins_failed_max; /* per address and minute */
    bool close_on_expiry;
    bool snapshot_on_connect;
    bool json_ping;
    char *peer_id; /* "": one that is made once and kept */
    char *peer_name;
    char *dht_node_id;
    bool relay_mode, nat_mode; /* until somebody publishes them */
    uint64_t interval_ms[RNN_PERIODICS];
    uint64_t memory_bytes; /* of all tables */
    char *uploads;         /* the folder of uploaded files; "": there are none */
    bool require_service;  /* that of an upload is in the table */
    uint64_t uploads_per_user;
};

extern const struct option rnn_options[];
int rnn_check_settings(const void *settings, struct buf *why);
/* The hash of a user's password, or NULL: there is no such user. */
const char *rnn_user_hash(const struct rnn_settings *settings, struct slice name);

/* --- what is asked of the node ------------------------------------------------------------------------------------ */

enum rnn_request {
    RNN_HELLO = 1, /* nothing: 200 with the peer id */
    RNN_SNAPSHOT,  /* nothing: 200 with messages for rnn_next_part, as they are sent */
    RNN_SEARCH, /* a cursor of RNN_CURSOR_BYTES (zeros at first) and the payload of a search: 200 with rnn_search_head
                      and a message as it is sent, or with a head alone: there is more to look through; later, when a live
                      peer is waited for */
    RNN_TABLE,  /* an operation on a table, as rnn_ingest.c has checked it: 202, 422, 503 */
    RNN_EVENT,  /* a message of 5.4, whole: 202 */
    RNN_READ,   /* the topic of a table: 200 with its items */
    RNN_KNOWS,  /* the id of a service of this node: 200, 404 */
    RNN_FOUND,  /* what a live peer has found, as rnn_serving.c has checked it: 202, 413 */
};

#define RNN_CURSOR_BYTES 24

struct rnn_search_head {
    uint8_t cursor[RNN_CURSOR_BYTES];
    uint8_t last; /* 1: the message is the final one */
};
_Static_assert(sizeof(struct rnn_search_head) == RNN_CURSOR_BYTES + 1, "it is copied as bytes");

/* Parts of a body: a length of 8 bytes, big-endian, and the bytes. */
void rnn_put_part(struct buf *out, struct slice part);
bool rnn_next_part(struct slice *rest, struct slice *part);

/* Its settings are struct rnn_settings. */
extern const struct service rnn_node;

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* {"type":TYPE,"payload": ... and what stands behind the payload (N-9). */
void rnn_begin(struct buf *out, const char *type);
void rnn_end(struct buf *out, uint64_t wall_ms);
/* An answer to a search begins, up to the first service, and ends behind the last one. `id`: its request_id as it came, no
 * bytes for none. */
void rnn_begin_response(struct buf *out);
void rnn_end_response(struct buf *out, const char *error, bool complete, struct slice id, uint64_t wall_ms);
/* The request_id of a search's payload: any scalar of a length that is worth repeating; else no bytes. */
struct slice rnn_request_id(struct slice payload);

/* --- the other halves --------------------------------------------------------------------------------------------- */

bool rnn_is_login(struct slice path);
extern const struct dialect_rest rnn_rest;
void rnn_login_replied(struct dialect_call *call, const struct dialect_reply *reply);
/* so many failures of this address in this minute that it is not asked any more. */
void rnn_login_refused(struct dialect_call *call);
int rnn_work(uint32_t kind, struct span body, struct buf *reply);

extern const struct dialect_ingest rnn_ingest;
/* rnn_serving.c: publishers that answer searches (I-13). */
int rnn_serve(struct ingest_call *call, struct slice message);
int rnn_results(struct ingest_call *call, struct slice message);

#endif
