/* SPDX-License-Identifier: MIT */
/* Owns the envelope of every message (N-9) and the parts of what the node answers. Called by the other files of the
 * dialect. */
#include "protocol/dialects/rnn/rnn.h"

#include "core/check.h"
#include "protocol/json.h"

#define REQUEST_ID_BYTES_MAX 256

void rnn_begin(struct buf *out, const char *type)
{
    buf_put_text(out, "{\"type\":\"");
    buf_put_text(out, type);
    buf_put_text(out, "\",\"payload\":");
}

void rnn_end(struct buf *out, uint64_t wall_ms)
{
    buf_put_text(out, ",\"timestamp\":");
    buf_put_u64(out, wall_ms / 1000);
    buf_put_byte(out, '}');
}

void rnn_begin_response(struct buf *out)
{
    rnn_begin(out, "service.search.response");
    buf_put_text(out, "{\"services\":[");
}

void rnn_end_response(struct buf *out, const char *error, bool complete, struct slice id, uint64_t wall_ms)
{
    buf_put_text(out, "],\"error\":");
    json_put_string(out, slice_text(error));
    buf_put_text(out, complete ? ",\"complete\":true" : ",\"complete\":false");
    if (id.bytes > 0) {
        buf_put_text(out, ",\"request_id\":");
        buf_put(out, id);
    }
    buf_put_byte(out, '}');
    rnn_end(out, wall_ms);
}

struct slice rnn_request_id(struct slice payload)
{
    struct json_member id = {.name = "request_id"};
    bool scalar = payload.bytes > 0 && json_find_members(payload, RNN_DEPTH_MAX, false, &id, 1) == JSON_MEMBERS_OK &&
                  id.token != JSON_ERROR && id.token != JSON_OBJECT_BEGIN && id.token != JSON_ARRAY_BEGIN;
    return scalar && id.text.bytes <= REQUEST_ID_BYTES_MAX ? id.text : slice_text("");
}

void rnn_put_part(struct buf *out, struct slice part)
{
    uint8_t length[8];
    store_be64(length, part.bytes);
    buf_put(out, slice_of(length, sizeof length));
    buf_put(out, part);
}

bool rnn_next_part(struct slice *rest, struct slice *part)
{
    if (rest->bytes == 0)
        return false;
    check_op(rest->bytes, >=, 8);
    uint64_t bytes = load_be64(rest->data);
    *rest = slice_skip(*rest, 8);
    check_op(bytes, <=, rest->bytes);
    *part = slice_of(rest->data, (size_t)bytes);
    *rest = slice_skip(*rest, (size_t)bytes);
    return true;
}
