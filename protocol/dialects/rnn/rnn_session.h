/* SPDX-License-Identifier: MIT */
/* A connection of the dialect rnn: a WebSocket, or a request to log in. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_SESSION_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_SESSION_H

#include "protocol/dialects/rnn/rnn.h"

/* What a request or work was for. */
enum rnn_tag {
    RNN_TAG_HELLO,
    RNN_TAG_SNAPSHOT,
    RNN_TAG_SEARCH,
    RNN_TAG_PASSWORD,
    RNN_TAG_SERVICE, /* whether that of an upload is there */
    RNN_TAG_UPLOAD,
};

struct rnn_search {
    uint8_t cursor[RNN_CURSOR_BYTES];
    size_t payload_bytes;
    uint8_t payload[];
};

/* Of a request to log in. */
struct rnn_login {
    uint8_t user_bytes;
    uint8_t user[RNN_USER_BYTES_MAX];
    bool varies;     /* the answer depends on where the page is from */
    char extra[384]; /* its header lines */
};

/* A start, until the node has said whether its service is there. */
struct rnn_start {
    size_t payload_bytes;
    uint8_t payload[];
};

struct rnn_session {
    int64_t expires_s;         /* of its token */
    struct rnn_search *search; /* NULL: none is going on */
    struct rnn_start *start;   /* NULL: none is going on */
    char *user;                /* of a WebSocket: the sub of its token */
    struct rnn_login *login;   /* NULL: it is a WebSocket */
};

/* rnn_searches.c: the dialect's half of searches. */
void rnn_search_begin(struct dialect_call *call, struct slice payload);
void rnn_search_replied(struct dialect_call *call, const struct dialect_reply *reply);
void rnn_search_forget(struct rnn_session *session);

/* rnn_uploads.c: the dialect's half of uploads. False: the type is none of theirs, or there are no uploads here. */
bool rnn_upload_message(struct dialect_call *call, struct slice type, struct slice payload);
void rnn_upload_replied(struct dialect_call *call, const struct dialect_reply *reply);
void rnn_upload_forget(struct rnn_session *session);

#endif
