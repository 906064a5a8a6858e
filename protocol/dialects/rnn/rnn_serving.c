/* SPDX-License-Identifier: MIT */
/* Owns what publishers say that answer searches themselves (I-13, Q-53): that they serve a peer, and what they have
 * found. It keeps nothing: who serves is a listener of a channel, and the node knows what it has asked. Called by the
 * publisher WebSocket through rnn_ingest. */
#include "protocol/dialects/rnn/rnn_tables.h"

#include "protocol/json.h"

static int refuse(struct ingest_call *call, int status, const char *message)
{
    call->field = "";
    call->message = message;
    return status;
}

/* Appends a string of at most RNN_ID_BYTES_MAX bytes. */
static bool take_id(const struct json_member *member, struct buf *text, struct slice *id)
{
    size_t mark = text->used;
    if (member->token != JSON_STRING || member->raw.bytes > 6 * RNN_ID_BYTES_MAX)
        return false;
    json_unescape(member->raw, text);
    *id = buf_since(text, mark);
    return id->bytes <= RNN_ID_BYTES_MAX;
}

int rnn_serve(struct ingest_call *call, struct slice message)
{
    enum { PEER, NAME, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "peer_id"}, {.name = "peer_name"}};
    struct slice peer, name = slice_text("");
    if (json_find_members(message, RNN_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return refuse(call, 400, "Not a JSON object");
    buf_put_text(call->text, RNN_SERVING);
    if (!take_id(&members[PEER], call->text, &peer) || peer.bytes == 0)
        return refuse(call, 422, "peer_id must be a string of 1 to 100 bytes");
    call->event.channel = slice_of(call->text->data, call->text->used);
    if (members[NAME].token != JSON_ERROR && !take_id(&members[NAME], call->text, &name))
        return refuse(call, 422, "peer_name must be a string of at most 100 bytes");
    call->event.key = name;
    size_t mark = call->text->used;
    buf_put_text(call->text, "{\"op\":\"serving\",\"peer_id\":");
    json_put_string(call->text, peer);
    buf_put_byte(call->text, '}');
    call->body = buf_since(call->text, mark);
    return 0;
}

int rnn_results(struct ingest_call *call, struct slice message)
{
    enum { SEARCH, SERVICES, COMPLETE, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "search_id"}, {.name = "services"}, {.name = "complete"}};
    uint8_t head[9];
    uint64_t serial;
    if (json_find_members(message, RNN_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return refuse(call, 400, "Not a JSON object");
    if (members[SEARCH].token != JSON_NUMBER || !json_u64(members[SEARCH].raw, &serial))
        return refuse(call, 422, "search_id must be that of a search");
    if (members[SERVICES].token != JSON_ARRAY_BEGIN)
        return refuse(call, 422, "services must be an array");
    if (members[COMPLETE].token != JSON_TRUE && members[COMPLETE].token != JSON_FALSE)
        return refuse(call, 422, "complete must be true or false");
    store_be64(head, serial);
    head[8] = members[COMPLETE].token == JSON_TRUE;
    size_t mark = call->text->used;
    buf_put(call->text, slice_of(head, sizeof head));
    rnn_put_part(call->text, slice_skip(call->source, slice_text(RNN_SERVING).bytes));
    int status = rnn_put_services(call, members[SERVICES].text);
    call->kind = INGEST_REQUEST;
    call->request_kind = RNN_FOUND;
    call->body = buf_since(call->text, mark);
    return status;
}
