/* SPDX-License-Identifier: MIT */
/* Owns the reading and writing of NATS protocol lines. It never sends, keeps no payload beyond the stamp at its front
 * and knows nothing of WebSocket. Called by connections whose bench runs with --speak nats.
 *
 *   INFO {json}                    first, from the server
 *   MSG <subject> <sid> [<reply>] <bytes>, then the payload and an empty line's end
 *   PING | PONG | +OK | -ERR '...'
 *   every line ends with CR LF */
#include "bench/bench_nats.h"

void nats_init(struct nats *nats)
{
    memset(nats, 0, sizeof *nats);
}

static enum nats_result bad(struct nats_event *event, const char *why)
{
    event->text = slice_text(why);
    return NATS_BAD;
}

/* The number behind the last space of the line. */
static bool last_number(struct slice line, uint64_t *number)
{
    size_t begin = line.bytes;
    while (begin > 0 && line.data[begin - 1] != ' ')
        begin--;
    if (begin == 0 || begin == line.bytes || line.bytes - begin > 9)
        return false;
    *number = 0;
    for (size_t i = begin; i < line.bytes; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(line.data[i] - '0');
    }
    return true;
}

static bool begins(struct slice line, const char *word)
{
    return slice_starts(line, slice_text(word));
}

/* A whole line, without its end. MORE: nothing that the caller has to know. */
static enum nats_result on_line(struct nats *nats, struct slice line, struct nats_event *event)
{
    if (begins(line, "MSG ")) {
        if (!last_number(line, &nats->bytes))
            return bad(event, "a MSG line without a size");
        nats->skip = nats->bytes + 2;
        nats->head_need = (uint8_t)(nats->bytes < STAMP_HEAD_BYTES ? nats->bytes : STAMP_HEAD_BYTES);
        nats->head_used = 0;
        nats->stamped = false;
        return NATS_MORE;
    }
    if (begins(line, "PING"))
        return NATS_PING;
    if (begins(line, "-ERR")) {
        event->text = line;
        return NATS_REFUSED;
    }
    if (begins(line, "INFO ") || begins(line, "+OK") || begins(line, "PONG"))
        return NATS_MORE;
    return bad(event, "a line that is not of the NATS protocol");
}

/* Looks for the line's end. A line that came in one piece is judged where it lies. */
static enum nats_result take_line(struct nats *nats, struct slice *input, struct nats_event *event)
{
    const uint8_t *end = memchr(input->data, '\n', input->bytes);
    struct slice piece = slice_of(input->data, end ? (size_t)(end - input->data) : input->bytes);
    *input = slice_skip(*input, piece.bytes + (end != NULL));
    if (!end || nats->line_used > 0) {
        size_t room = sizeof nats->line - nats->line_used;
        size_t n = piece.bytes < room ? piece.bytes : room;
        memcpy(nats->line + nats->line_used, piece.data, n);
        nats->line_used = (uint16_t)(nats->line_used + n);
        piece = slice_of(nats->line, nats->line_used);
    }
    if (!end)
        return NATS_MORE;
    nats->line_used = 0;
    if (piece.bytes > 0 && piece.data[piece.bytes - 1] == '\r')
        piece.bytes--;
    return on_line(nats, piece, event);
}

/* The bytes at the front of the payload that may hold its stamp. */
static void take_head(struct nats *nats, struct slice piece)
{
    size_t missing = (size_t)(nats->head_need - nats->head_used);
    size_t n = piece.bytes < missing ? piece.bytes : missing;
    if (n == 0)
        return;
    memcpy(nats->head + nats->head_used, piece.data, n);
    nats->head_used = (uint8_t)(nats->head_used + n);
    if (nats->head_used == nats->head_need)
        nats->stamped = stamp_read(slice_of(nats->head, nats->head_used), &nats->stamp);
}

static enum nats_result take_payload(struct nats *nats, struct slice *input, struct nats_event *event)
{
    size_t n = nats->skip < input->bytes ? (size_t)nats->skip : input->bytes;
    take_head(nats, slice_of(input->data, n));
    *input = slice_skip(*input, n);
    nats->skip -= n;
    if (nats->skip > 0)
        return NATS_MORE;
    event->stamped = nats->stamped;
    event->stamp = nats->stamp;
    event->bytes = nats->bytes;
    return NATS_MESSAGE;
}

enum nats_result nats_next(struct nats *nats, struct slice *input, struct nats_event *event)
{
    enum nats_result result = NATS_MORE;
    while (input->bytes > 0 && result == NATS_MORE)
        result = nats->skip > 0 ? take_payload(nats, input, event) : take_line(nats, input, event);
    return result;
}

void nats_put_connect(struct buf *out, const char *subject)
{
    buf_put_text(out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"protocol\":1,"
                      "\"name\":\"ringcast-bench\",\"lang\":\"c\",\"version\":\"1\"}\r\n");
    if (subject) {
        buf_put_text(out, "SUB ");
        buf_put_text(out, subject);
        buf_put_text(out, " 1\r\n");
    }
}

void nats_put_publish(struct buf *out, struct slice subject, size_t bytes)
{
    buf_put_text(out, "PUB ");
    buf_put(out, subject);
    buf_put_text(out, " ");
    buf_put_u64(out, bytes);
    buf_put_text(out, "\r\n");
}
