/* SPDX-License-Identifier: MIT */
/* A connection of the dialect rnn: a WebSocket, or a request to log in. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_SESSION_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_SESSION_H

#include "protocol/dialects/rnn/rnn.h"

/* What a request or work was for. */
enum rnn_tag { RNN_TAG_HELLO, RNN_TAG_SNAPSHOT, RNN_TAG_SEARCH, RNN_TAG_PASSWORD };

struct rnn_search {
    uint8_t cursor[RNN_CURSOR_BYTES];
    size_t payload_bytes;
    size_t id_bytes; /* of request_id, as written; 0: none */
    uint8_t data[];  /* payload, id */
};

struct rnn_session {
    int64_t expires_s; /* of its token */
    struct rnn_search *search;
    uint8_t user_bytes;
    uint8_t user[RNN_USER_BYTES_MAX]; /* of the token, or who wants to log in */
    bool cors;                        /* the answer is for a page elsewhere, which may read it */
    char extra[384];                  /* header lines of the answer */
};

static inline struct slice rnn_user(const struct rnn_session *session)
{
    return slice_of(session->user, session->user_bytes);
}

/* rnn_searches.c: the dialect's half of searches. */
void rnn_search_begin(struct dialect_call *call, struct slice payload);
void rnn_search_replied(struct dialect_call *call, const struct dialect_reply *reply);
void rnn_search_forget(struct rnn_session *session);

#endif
