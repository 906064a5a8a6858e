/* SPDX-License-Identifier: MIT */
/* Owns the envelope of every message (N-9) and the parts of what the node answers. Called by the other files of the
 * dialect. */
#include "protocol/dialects/rnn/rnn.h"

#include "core/check.h"

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
