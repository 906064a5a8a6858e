/* SPDX-License-Identifier: MIT */
/* A connection, from accept to the return of its slot. conn.c is its life cycle and deadlines, conn_read.c the incoming
 * half, conn_write.c the outgoing half, listener.c where it comes from, session.c what a dialect makes of it.
 *
 *                    conn_open                                    conn_upgrade
 *   FREE ------------------------> HTTP ------------------------------------------------> OPEN
 *                                   |  conn_finish (response sent, no keep-alive)            | conn_close (code, why)
 *                                   v                                                        v
 *                                LINGER <------------------------------------------------ CLOSING
 *                                   |   both close frames through, or the peer's end         |
 *                                   |   conn_terminate (from every state)                    |
 *                                   v                                                        |
 *                                 DYING <----------------------------------------------------+
 *                                   |   no operation in flight -> RING_CLOSE -> slot freed
 *                                   v
 *                                 FREE
 *
 *   HTTP     reads request heads (and bodies); a response may be on its way. Deadline: handshake_timeout for each
 *            request.
 *   OPEN     a WebSocket session (role SESSION) or a publisher (role PUBLISHER). Deadlines: ping, idle, duration,
 *            message.
 *   CLOSING  our close frame is queued behind what was in the outbox; nothing more is pushed; only a close frame is
 *            looked for in the input. Deadline: close_timeout.
 *   LINGER   our side is shut down (or will be when the outbox is empty); input is thrown away until the peer's end, so
 *            that no reset destroys what we sent last. Deadline: 2 s.
 *   DYING    every operation has been cancelled; the slot waits for their completions. No deadline: the kernel answers.
 *
 * What holds in each: conn_check.c. */
#ifndef RINGCAST_SHARDS_CONN_H
#define RINGCAST_SHARDS_CONN_H

#include "core/bucket.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/siphash.h"
#include "core/slab.h"
#include "core/wheel.h"
#include "protocol/timestamp.h"
#include "protocol/ws.h"
#include "shards/conn/input.h"
#include "shards/conn/outbox.h"
#include "shards/conn/role.h"

struct conn_tls;
struct handshake;
struct http1_answer;
struct mail;
struct pending;
struct ring_completion;
struct ring_sent;
struct session_body;

#define DIALECT_NONE UINT8_MAX
/* What may wait for a connection that is no session, behind what is being sent. */
#define RESPONSE_BYTES_MAX (4U << 20)

enum conn_state { CONN_HTTP, CONN_OPEN, CONN_CLOSING, CONN_LINGER, CONN_DYING };

/* Why a connection ends. */
enum close_reason {
    CLOSE_NONE,
#define CLOSE(id, code, text, fault) CLOSE_##id,
#include "core/close.def"
#undef CLOSE
    CLOSE_REASONS,
};
uint16_t close_code(enum close_reason reason);
const char *close_text(enum close_reason reason);

/* Input that is not complete yet; allocated when needed, freed when empty. */
struct conn_input {
    uint8_t *data; /* an HTTP head, or the pieces of a message */
    size_t used, capacity;
    size_t scanned; /* http1_parse_head's memory */
    uint8_t *stash; /* bytes that wait while the connection is parked: [stash_at, stash_used) */
    size_t stash_at, stash_used, stash_capacity;
    uint8_t control[WS_CONTROL_BYTES_MAX];
    uint8_t control_used;
};

/* One membership in an audience (audience.h). */
struct membership {
    uint32_t audience; /* slab index + 1; 0: none */
    uint32_t position; /* in its members */
};

/* What a listener of channels needs beside conn.user, which is its dialect's state (session_bytes; in `small` when it
 * fits there). */
struct session {
    uint64_t small;
    struct pending *pending; /* actions that wait for an answer */
    union {
        struct membership *more;   /* all but the first; in OPEN */
        struct session_body *body; /* while conn.body is set (session_body.c) */
    };
    struct membership first;
    uint8_t memberships; /* at most SUBSCRIPTIONS_PER_CONNECTION_MAX */
    uint8_t quotas;      /* bit per enum quota_kind held */
    uint16_t more_capacity;
    uint32_t messages_in : 30;
    uint32_t unread : 1;   /* the message that has begun is beyond a limit: it is not kept */
    uint32_t at_depot : 1; /* it has asked its dialect's depot, which is told when it goes */
    uint64_t heartbeat_ms; /* next; 0: none */
    uint64_t timer_ms;     /* the dialect's (ACTION_TIMER); 0: none */
    struct bucket messages;
    struct hash128 key_name; /* of the QUOTA_KEY place it holds */
    uint8_t client[16];      /* whom quotas of addresses count (forwarded.h) */
};

struct conn {
    /* touched per delivery */
    _Alignas(16) struct outbox outbox; /* as slab objects are */
    union {
        struct {
            uint8_t state;        /* enum conn_state */
            bool dirty : 1;       /* on a flush queue */
            bool sending : 1;     /* a send is in flight */
            bool corked : 1;      /* nothing is flushed until the opening actions are done */
            bool greeted : 1;     /* OPEN: the answer to the upgrade is on its way */
            bool slow : 1;        /* fell behind its budget; to be closed when the delivery loop is over */
            bool gone : 1;        /* DYING: closed; the slot is freed when the flush queue has let it go */
            bool secure : 1;      /* speaks TLS: conn.tls is there */
            bool copied : 1;      /* to this peer the kernel copies whatever we ask for: no more sends without a copy */
            bool receiving : 1;   /* a receive is armed */
            bool stopping : 1;    /* its cancel is under way */
            bool heard : 1;       /* the peer has sent something */
            bool shutting : 1;    /* a shutdown is in flight */
            bool shut : 1;        /* our side has been shut down */
            bool parked : 1;      /* input waits for an answer, for room or for the next turn */
            bool yielded : 1;     /* parked for the next turn alone, or until one has work left for it (conn_yield) */
            bool processing : 1;  /* its input is being read further up the call stack */
            bool peer_closed : 1; /* its close frame has come, or its end of stream */
            bool eof : 1;         /* its end of stream */
            bool keep_alive : 1;  /* HTTP: after the response another request may come */
            bool cancelled : 1;   /* DYING: the cancel has been queued */
            bool closed : 1;      /* DYING: RING_CLOSE is in flight */
            bool placed : 1;      /* it holds a place of QUOTA_PEER */
            bool head : 1;        /* HTTP: the request's method is HEAD */
            bool body : 1;        /* HTTP: what comes is a request's body (role.body) */
            uint16_t pin;         /* number + 1 of the send in flight, when it is one without a copy; else 0 */
            uint8_t cancels;      /* cancel operations in flight */
            uint8_t pins;         /* sends of its whose memory has not come back (pin.h), the one in flight included */
        };
        uint64_t hot; /* all of these, to be compared at once (CONN_HOT) */
    };
    uint32_t generation;
    uint32_t index;
    uint32_t socket;
    uint16_t listener;    /* index */
    uint16_t close_code;  /* of our close frame; 0: none was sent */
    uint64_t bytes_out;   /* taken by the kernel */
    struct conn_tls *tls; /* NULL: plain text */
    /* touched per message and deadline */
    uint8_t role;         /* enum role: its listener's until an upgrade */
    uint8_t dialect;      /* index, once a request has been routed to one; else DIALECT_NONE */
    uint8_t deflate;      /* compression class (deflate.h), of role SESSION */
    uint8_t why;          /* enum close_reason, once it ends */
    uint32_t minor : 8;   /* HTTP: the version of the request is 1.minor */
    uint32_t weight : 24; /* KiB, for a moment: what a search for the largest holder found of it (answers.c) */
    struct wheel_timer timer;
    struct list_node wait; /* in one of the shard's waiting lists, or none */
    uint64_t accepted_ms;
    uint64_t received_ms; /* last bytes from the peer */
    uint64_t deadline_ms; /* of the present state, HTTP, CLOSING and LINGER; of the open message in OPEN; 0: none */
    uint64_t ping_ms;     /* next */
    uint64_t due_ms;      /* next deadline of the role's own, in OPEN; 0: none */
    struct ws_parser parser;
    struct conn_input *input;
    void *user; /* the role's */
    union {
        struct bucket controls; /* in OPEN */
        uint64_t thrown_away;   /* in CLOSING and LINGER: bytes of the peer that nobody wants */
    };
    struct session session;
};

/* That wait: a home asks for one in 10 ms at most, and asks again. */
#define CUTS_MAX 16

/* A shard's. */
struct conns {
    struct slab slab;
    struct list starved; /* to arm their receive again: no buffers, or the submission queue was full */
    struct list parked;  /* to unpark when there is room for publishing */
    struct list yielded; /* to unpark when a turn has work left for them */
    struct list doomed;  /* slow readers found in a delivery loop */
    /* segments whose readers are to be cut, oldest first, and the slot to which the walk for the first of them has come */
    struct cut {
        const struct segment *segment; /* only compared */
        uint64_t serial;
    } cuts[CUTS_MAX];
    uint32_t cut_count, cut_at;
    size_t input_bytes; /* of all conn_input, and what roles hold of bodies */
    struct input_budget input;
    _Atomic uint32_t open;              /* for the server to watch */
    _Atomic uint32_t clients;           /* of these, all but operators' */
    struct bucket log_lines;            /* about single connections */
    uint64_t date_s;                    /* seconds since 1970 of `date`; 0: never written */
    uint8_t date[TIMESTAMP_HTTP_BYTES]; /* what responses of this second say */
};

/* conn.hot with these fields set, a constant: what is to be found, or, of fields with all their bits set, a mask. */
#define CONN_HOT(...) (((struct conn){__VA_ARGS__}).hot)

/* The connection in a slot: slab_at with a size that the compiler knows. */
static inline struct conn *conn_at(const struct slab *conns, uint32_t index)
{
    return (struct conn *)(void *)conns->chunks[index >> SLAB_CHUNK_SHIFT] + (index & (SLAB_CHUNK_COUNT - 1));
}

/* --- conn.c: life cycle ------------------------------------------------------------------------------------------- */

/* A socket has been accepted: takes a slot, arms its receive. The socket is closed again when there is no slot. */
void conn_open(struct shard *shard, uint32_t socket, uint16_t listener);
/* Answers the upgrade: the connection is a WebSocket from here on, of that role. False: it has been ended instead. */
bool conn_accept(struct shard *shard, struct conn *conn, const struct handshake *handshake, enum role role);
/* Its role, and the limits that it gives. */
static inline const struct conn_role *conn_role(const struct conn *conn)
{
    return conn_roles[conn->role];
}
/* Begins the closing handshake: a close frame behind all that waits; `reason_text` NULL: that of `why`. `code` 0: that
 * of `why`. In HTTP, or when it is past OPEN already, it ends without one. */
void conn_close(struct shard *shard, struct conn *conn, enum close_reason why, uint16_t code, const char *reason_text);
/* A reader fell behind: what waits is dropped, then closed with 1013. */
void conn_close_slow(struct shard *shard, struct conn *conn, enum close_reason why);
/* An HTTP connection is done: shuts down our side when the outbox is empty, then waits for the peer's end. */
void conn_finish(struct shard *shard, struct conn *conn, enum close_reason why);
/* Ends at once. May be called anywhere: it only marks and cancels. */
void conn_terminate(struct shard *shard, struct conn *conn, enum close_reason why);
/* An operation of the connection has completed, or its outbox has run empty: takes the next step of ending, if it
 * ends. */
void conn_advance(struct shard *shard, struct conn *conn);
/* RING_CANCEL completed. */
void conn_on_cancelled(struct shard *shard, struct conn *conn, int32_t result);
void conn_on_close_completed(struct shard *shard, uint32_t index);
/* The flush queue has let go of a connection that is gone: frees its slot. */
void conn_let_go(struct shard *shard, struct conn *conn);
/* Its timer has expired. */
void conn_on_timer(struct shard *shard, struct wheel_timer *timer);
/* Sets the timer to the next deadline. */
void conn_set_timer(struct shard *shard, struct conn *conn);
/* The shard had no turn for so long: every deadline of a peer moves on by that, and who is to be pinged is pinged
 * first. */
void conns_absent(struct shard *shard, uint64_t ms);
/* After a reload: its deadlines follow the settings. */
void conn_settings(struct shard *shard, struct conn *conn);
struct conn *conn_get(struct shard *shard, struct handle handle);
static inline struct handle conn_handle(const struct conn *conn)
{
    return (struct handle){.index = conn->index, .generation = conn->generation};
}
/* The answer to its QUOTA_PEER. */
void conn_on_place(struct shard *shard, const struct mail *mail);
/* Unique in the life of the process. */
uint64_t conn_id(const struct shard *shard, const struct conn *conn);
/* Goes on with the walk for those who hold segments that are to be cut. */
void conn_cut_go_on(struct shard *shard);
/* --- conn_check.c ------------------------------------------------------------------------------------------------- */

/* Asserts what holds between two turns. */
void conn_check(const struct shard *shard, struct conn *conn);

/* --- conn_read.c: the incoming half ------------------------------------------------------------------------------- */

/* RING_RECEIVE completed. */
void conn_on_receive(struct shard *shard, struct conn *conn, const struct ring_completion *completion);
/* The rest of the input waits until conn_unpark. */
void conn_park(struct shard *shard, struct conn *conn);
/* Its input waits for the next turn: this one has done enough for it. */
void conn_yield(struct shard *shard, struct conn *conn);
/* The phase for those who have yielded: each goes on a little, in the order in which they did. Whether there were any. */
bool conn_resume_yielded(struct shard *shard);
/* A parked connection is resumed when there is room for publishing. */
void conn_wait_for_room(struct shard *shard, struct conn *conn);
/* The same in a list of the caller's, who resumes its role. */
void conn_wait(struct conn *conn, struct list *list);
/* Goes on with what has been waiting. */
void conn_unpark(struct shard *shard, struct conn *conn);
/* Arms the receive unless it is armed, stopped or out of buffers. */
void conn_arm_receive(struct shard *shard, struct conn *conn);
/* Bytes of the peer, in plain text. */
void conn_take_input(struct shard *shard, struct conn *conn, struct span input);
/* Nothing more will come from the peer. */
void conn_on_end_of_stream(struct shard *shard, struct conn *conn);
/* The input buffers go back. */
void conn_free_input(struct shard *shard, struct conn *conn);

/* --- conn_write.c: the outgoing half ------------------------------------------------------------------------------ */

/* Appends bytes of the connection's own (a reply, a control frame, a response). False: the connection has been
 * ended. */
bool conn_send_bytes(struct shard *shard, struct conn *conn, struct slice bytes);
/* Appends one message with its header. */
bool conn_send_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice payload);
/* Appends a whole HTTP response, with Date and what its status owes (http1_response); without keep_alive the
 * connection is finished after it. */
void conn_respond(struct shard *shard, struct conn *conn, const struct http1_answer *answer);
/* The same, of a request that is refused: {"error":"WHY"}. */
void conn_refuse(struct shard *shard, struct conn *conn, int status, const char *why);
/* The same, with 405: the resource knows these methods only ("GET, HEAD"). */
void conn_refuse_method(struct shard *shard, struct conn *conn, const char *allow);
/* The same, with 403: the request comes from a page that may not. */
void conn_refuse_origin(struct shard *shard, struct conn *conn);
/* Appends a 100: the client waits for it before it sends the content. False: the connection has been ended. */
bool conn_continue(struct shard *shard, struct conn *conn);
/* What Date says in this second (RFC 9110 section 6.6.1). */
struct slice conn_date(struct shard *shard);
/* Puts it on the queue of connections to be flushed in this tick; `bulk`: behind those that are not. */
void conn_mark_dirty(struct shard *shard, struct conn *conn, bool bulk);
/* RING_SEND or RING_SEND_ZERO_COPY completed. */
void conn_on_sent(struct shard *shard, struct conn *conn, int32_t result);
/* Plain sends completed: takes those from the first on that have ended as sends usually do. How many; the next, when
 * there is one, is for conn_on_sent if its connection is still there. */
uint32_t conn_on_sends(struct shard *shard, const struct ring_sent *sent, uint32_t count);
/* Counts channel messages that the kernel has taken. */
void conn_count_sent(struct shard *shard, uint64_t messages);
/* Flushes queued connections, express before bulk, within the tick's bounds. Whether some are left. */
bool conn_flush_queues(struct shard *shard);
/* Releases all that waits in the outbox (not what is in flight), accounted as dropped. */
void conn_drop_waiting(struct shard *shard, struct conn *conn, bool slow);

#endif
