/* SPDX-License-Identifier: MIT */
/* The vocabulary of dialects: what a call wants done, as a list of actions that the session carries out in order. An
 * action that has to ask another shard makes the later ones wait, and the connection's next message waits for all of
 * them, so replies are never reordered (G-16). */
#ifndef RINGCAST_PROTOCOL_ACTION_H
#define RINGCAST_PROTOCOL_ACTION_H

#include "core/buf.h"
#include "core/limits.h"
#include "protocol/event.h"
#include "protocol/http1.h"
#include "protocol/quota.h"
#include "protocol/ws.h"

/* ACQUIRE refused: the later actions are dropped and dialect.refused is called. REQUEST, CENSUS, WORK and DEPOT are the
 * last of their row: dialect.replied gets the answer and goes on. */
enum action_kind {
    ACTION_RESPOND,     /* an HTTP response instead of the upgrade */
    ACTION_ACCEPT,      /* the 101; before any SEND or SUBSCRIBE; nothing is on the wire until the whole list is done */
    ACTION_SEND,        /* one message to this connection */
    ACTION_SUBSCRIBE,   /* it becomes (or stays) a listener of the channel, with this variant instead of any before */
    ACTION_UNSUBSCRIBE, /* no event of the channel after this */
    ACTION_PUBLISH,     /* an event from a client; the session does not wait for it */
    ACTION_ACQUIRE,     /* a place in a quota */
    ACTION_REQUEST,     /* a request to the dialect's service */
    ACTION_CENSUS,      /* a walk over the dialect's sessions of all shards */
    ACTION_WORK,        /* what takes long: dialect.work, beside the shards; its body lies in `text` and is wiped */
    ACTION_DEPOT,       /* a request to the dialect's depot, beside the shards */
    ACTION_UNCOUNT,     /* the message at hand does not count for messages_max */
    ACTION_TIMER,       /* sets, moves or (0) clears this connection's timer: dialect.timer is called when it expires */
    ACTION_CLOSE,       /* behind everything sent before */
};

struct action {
    enum action_kind kind;
    union {
        struct http1_answer respond; /* its texts are literals or lie in the session */
        struct {
            enum ws_opcode opcode;
            struct slice payload;
        } send;
        struct {
            struct slice channel;
            struct slice variant;
            uint32_t history_max; /* newest retained messages to send first (O-5) */
        } subscribe;
        struct {
            struct slice channel;
        } unsubscribe;
        struct event publish;
        struct {
            enum quota_kind quota;
            struct slice name;  /* of KEY kinds; ADDRESS kinds use the connection's peer */
            uint32_t limit;     /* places, or attempts per window; 0: counted, never refused */
            uint64_t window_ms; /* of ATTEMPTS kinds */
        } acquire;
        struct {
            uint32_t kind; /* of service_request */
            struct slice body;
            uint32_t tag; /* given back to dialect.replied */
        } request;        /* and of WORK: its kind is the dialect's own */
        struct {
            uint32_t kind;     /* of depot_request */
            struct slice head; /* what the dialect says of it, */
            struct slice body; /* and what has come */
            uint32_t tag;
        } depot;
        struct {
            uint32_t tag;
        } census;
        struct {
            uint64_t after_ms; /* from now; 0: clear */
        } timer;
        struct {
            uint16_t code;
            const char *reason; /* a literal */
        } close;
    };
};

#define ACTIONS_MAX (SUBSCRIPTIONS_PER_CONNECTION_MAX + 8)

/* What a call has produced. Slices point into `text`, into the call's input, or at literals. */
struct actions {
    uint32_t count;
    bool overflow; /* too many actions or too much text: our bug or an absurd request; the session closes with 1011 */
    struct action items[ACTIONS_MAX];
    struct buf text;
};

/* Appending. The payload of action_send may be built in out->text by the caller (buf_since). */
void action_respond(struct actions *out, const struct http1_answer *answer);
/* The same, of a JSON text and nothing else. */
void action_respond_json(struct actions *out, int status, struct slice content);
void action_accept(struct actions *out);
void action_send(struct actions *out, enum ws_opcode opcode, struct slice payload);
void action_subscribe(struct actions *out, struct slice channel, struct slice variant, uint32_t history_max);
void action_unsubscribe(struct actions *out, struct slice channel);
void action_publish(struct actions *out, const struct event *event);
void action_acquire(struct actions *out, enum quota_kind quota, struct slice name, uint32_t limit, uint64_t window_ms);
void action_request(struct actions *out, uint32_t kind, struct slice body, uint32_t tag);
void action_census(struct actions *out, uint32_t tag);
void action_work(struct actions *out, uint32_t kind, struct slice body, uint32_t tag);
void action_depot(struct actions *out, uint32_t kind, struct slice head, struct slice body, uint32_t tag);
void action_uncount(struct actions *out);
void action_timer(struct actions *out, uint64_t after_ms);
void action_close(struct actions *out, uint16_t code, const char *reason);

#endif
