/* SPDX-License-Identifier: MIT */
/* Owns a session's side of searches: one at a time, asked of the node piece by piece, each answer sent as it comes. A session
 * that goes takes its search with it (N-37). It reads no service. Called by rnn.c. */
#include "protocol/dialects/rnn/rnn_session.h"

#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

void rnn_search_forget(struct rnn_session *session)
{
    free(session->search);
    session->search = NULL;
}

/* A message of an answer; `payload` lacks its closing brace. */
static void send_response(struct dialect_call *call, struct slice payload, struct slice id)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    rnn_begin(text, "service.search.response");
    buf_put(text, payload);
    if (id.bytes > 0) {
        buf_put_text(text, ",\"request_id\":");
        buf_put(text, id);
    }
    buf_put_byte(text, '}');
    rnn_end(text, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

static void send_failure(struct dialect_call *call, const char *error, struct slice id)
{
    uint8_t memory[256];
    struct buf payload = buf_of(memory, sizeof memory);
    buf_put_text(&payload, "{\"services\":[],\"error\":");
    json_put_string(&payload, slice_text(error));
    buf_put_text(&payload, ",\"complete\":true");
    send_response(call, buf_slice(&payload), id);
}

static void ask(struct dialect_call *call, const struct rnn_search *search)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put(text, slice_of(search->cursor, RNN_CURSOR_BYTES));
    buf_put(text, slice_of(search->data, search->payload_bytes));
    action_request(call->out, RNN_SEARCH, buf_since(text, mark), RNN_TAG_SEARCH);
}

/* any scalar, of a length that is worth repeating. */
static struct slice request_id(struct slice payload)
{
    struct json_member id = {.name = "request_id"};
    bool scalar = payload.bytes > 0 && json_find_members(payload, RNN_DEPTH_MAX, false, &id, 1) == JSON_MEMBERS_OK &&
                  id.token != JSON_ERROR && id.token != JSON_OBJECT_BEGIN && id.token != JSON_ARRAY_BEGIN;
    return scalar && id.text.bytes <= 256 ? id.text : slice_text("");
}

void rnn_search_begin(struct dialect_call *call, struct slice payload)
{
    struct rnn_session *session = call->session;
    struct slice id = request_id(payload);
    if (payload.bytes > RNN_SEARCH_BYTES_MAX) {
        send_failure(call, "payload must have at most 64 KiB", id);
        return;
    }
    struct rnn_search *search = malloc(sizeof *search + payload.bytes + id.bytes);
    if (search == NULL) {
        send_failure(call, "Out of memory", id);
        return;
    }
    memset(search->cursor, 0, sizeof search->cursor);
    search->payload_bytes = payload.bytes;
    search->id_bytes = id.bytes;
    if (payload.bytes > 0)
        memcpy(search->data, payload.data, payload.bytes);
    memcpy(search->data + payload.bytes, id.data, id.bytes);
    rnn_search_forget(session);
    session->search = search;
    ask(call, search);
}

void rnn_search_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct rnn_session *session = call->session;
    struct rnn_search *search = session->search;
    struct slice id = slice_of(search->data + search->payload_bytes, search->id_bytes);
    struct slice payload = slice_skip(reply->body, reply->status == 200 ? sizeof(struct rnn_search_head) : 0);
    if (reply->status != 200) {
        send_failure(call, "Try again later", id);
        return;
    }
    if (payload.bytes > 0)
        send_response(call, payload, id);
    memcpy(search->cursor, reply->body.data, RNN_CURSOR_BYTES);
    if (reply->body.data[RNN_CURSOR_BYTES] == 0)
        ask(call, search);
}
