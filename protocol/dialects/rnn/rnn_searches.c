/* SPDX-License-Identifier: MIT */
/* Owns a session's side of searches: one at a time, asked of the node piece by piece, each answer sent as it comes. A session
 * that goes takes its search with it (N-37). It reads no service. Called by rnn.c. */
#include "protocol/dialects/rnn/rnn_session.h"

#include <stdlib.h>
#include <string.h>

void rnn_search_forget(struct rnn_session *session)
{
    free(session->search);
    session->search = NULL;
}

static void send_failure(struct dialect_call *call, const char *error, struct slice payload)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    rnn_begin_response(text);
    rnn_end_response(text, error, true, rnn_request_id(payload), call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

static void ask(struct dialect_call *call, const struct rnn_search *search)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put(text, slice_of(search->cursor, RNN_CURSOR_BYTES));
    buf_put(text, slice_of(search->payload, search->payload_bytes));
    action_request(call->out, RNN_SEARCH, buf_since(text, mark), RNN_TAG_SEARCH);
}

void rnn_search_begin(struct dialect_call *call, struct slice payload)
{
    struct rnn_session *session = call->session;
    if (payload.bytes > RNN_SEARCH_BYTES_MAX) {
        send_failure(call, "payload must have at most 64 KiB", payload);
        return;
    }
    struct rnn_search *search = malloc(sizeof *search + payload.bytes);
    if (search == NULL) {
        send_failure(call, "Out of memory", payload);
        return;
    }
    memset(search->cursor, 0, sizeof search->cursor);
    search->payload_bytes = payload.bytes;
    if (payload.bytes > 0)
        memcpy(search->payload, payload.data, payload.bytes);
    session->search = search;
    ask(call, search);
}

/* The node has written the message: it is not copied, however large it is. */
void rnn_search_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct rnn_session *session = call->session;
    struct rnn_search *search = session->search;
    if (reply->status != 200) {
        send_failure(call, "Try again later", slice_of(search->payload, search->payload_bytes));
        rnn_search_forget(session);
        return;
    }
    struct slice message = slice_skip(reply->body, sizeof(struct rnn_search_head));
    if (message.bytes > 0)
        action_send(call->out, WS_TEXT, message);
    memcpy(search->cursor, reply->body.data, RNN_CURSOR_BYTES);
    if (reply->body.data[RNN_CURSOR_BYTES] == 0)
        ask(call, search);
    else
        rnn_search_forget(session);
}
