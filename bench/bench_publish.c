/* SPDX-License-Identifier: MIT */
/* Owns the bytes of published messages: payload, and what each way of publishing puts around it. It never decides
 * when to publish and never sends. Called by streams. */
#include "bench/bench_publish.h"

#include "bench/bench_opening.h"
#include "core/check.h"

#define FRAME_HEADER_BYTES_MAX 14
#define WRAPPING_BYTES_MAX 4096 /* around a payload: a request head, or the publisher WebSocket's JSON */

static void put_payload(struct buf *out, size_t bytes, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    check_op(out->capacity - out->used, >=, bytes);
    struct stamp stamp = {.source = stream->source, .sequence = sequence, .sent_ns = sent_ns & STAMP_TIME_MASK};
    uint8_t *at = out->data + out->used;
    stamp_write(at, &stamp);
    memset(at + STAMP_BYTES, 'x', bytes - STAMP_BYTES);
    out->used += bytes;
}

/* Header before, mask over what `out` holds behind FRAME_HEADER_BYTES_MAX bytes of room; then all of it goes out. */
static void commit_frame(struct worker *worker, struct outgoing *to, struct buf *out, enum ws_opcode opcode)
{
    check(!out->overflow);
    uint64_t bits = random_u64(&worker->random);
    uint8_t key[4];
    memcpy(key, &bits, sizeof key);
    uint8_t header[FRAME_HEADER_BYTES_MAX];
    size_t payload_bytes = out->used - FRAME_HEADER_BYTES_MAX;
    size_t header_bytes = ws_header_write_masked(header, opcode, payload_bytes, key);
    ws_mask(out->data + FRAME_HEADER_BYTES_MAX, payload_bytes, key, 0);
    if (header_bytes < FRAME_HEADER_BYTES_MAX)
        memmove(out->data + header_bytes, out->data + FRAME_HEADER_BYTES_MAX, payload_bytes);
    memcpy(out->data, header, header_bytes);
    outgoing_commit(to, header_bytes + payload_bytes);
}

static void publish_by_ws(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    const struct options *options = worker->bench->options;
    struct outgoing *to = &stream->publisher->out;
    size_t room = FRAME_HEADER_BYTES_MAX + (size_t)options->size;
    struct buf out = buf_of(outgoing_reserve(to, room), room);
    out.used = FRAME_HEADER_BYTES_MAX;
    put_payload(&out, (size_t)options->size, stream, sequence, sent_ns);
    commit_frame(worker, to, &out, options->binary ? WS_BINARY : WS_TEXT);
}

/* Text goes as a JSON string, which is delivered as its text: the quotation marks belong to the payload. */
static void publish_by_ingest(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    const struct bench *bench = worker->bench;
    size_t size = (size_t)bench->options->size;
    struct outgoing *to = &stream->publisher->out;
    size_t room = WRAPPING_BYTES_MAX + size * 3;
    struct buf out = buf_of(outgoing_reserve(to, room), room);
    char memory[CHANNEL_NAME_BYTES];
    out.used = FRAME_HEADER_BYTES_MAX;
    buf_put_text(&out, "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"");
    url_put_topic(&bench->url, bench_channel_name(bench, stream->channel, memory), &out);
    buf_put_text(&out, "\",\"seq\":");
    buf_put_u64(&out, stream->publisher->published++);
    if (bench->options->binary) {
        buf_put_text(&out, ",\"data_base64\":\"");
        /* The payload is built at the end of the room and encoded into its beginning. */
        struct buf payload = buf_of(out.data + room - size, size);
        put_payload(&payload, size, stream, sequence, sent_ns);
        out.used += base64_write(out.data + out.used, buf_slice(&payload));
    } else {
        buf_put_text(&out, ",\"data\":\"");
        put_payload(&out, size - 2, stream, sequence, sent_ns);
    }
    buf_put_text(&out, "\"}");
    commit_frame(worker, to, &out, WS_TEXT);
}

static void publish_by_nats(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    const struct bench *bench = worker->bench;
    struct outgoing *to = &stream->publisher->out;
    size_t room = WRAPPING_BYTES_MAX + (size_t)bench->options->size;
    struct buf out = buf_of(outgoing_reserve(to, room), room);
    char channel[CHANNEL_NAME_BYTES];
    uint8_t memory[URL_PATH_BYTES_MAX + CHANNEL_NAME_BYTES];
    struct buf subject = buf_of(memory, sizeof memory);
    url_put_topic(&bench->url, bench_channel_name(bench, stream->channel, channel), &subject);
    out.used = FRAME_HEADER_BYTES_MAX;
    nats_put_publish(&out, buf_slice(&subject), (size_t)bench->options->size);
    put_payload(&out, (size_t)bench->options->size, stream, sequence, sent_ns);
    buf_put_text(&out, "\r\n");
    commit_frame(worker, to, &out, WS_BINARY);
}

static void publish_by_http(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    const struct bench *bench = worker->bench;
    const struct options *options = bench->options;
    struct outgoing *to = &stream->publisher->out;
    size_t room = HTTP_HEAD_BYTES_MAX + (size_t)options->size;
    struct buf out = buf_of(outgoing_reserve(to, room), room);
    char memory[CHANNEL_NAME_BYTES];
    buf_put_text(&out, "POST ");
    url_put_path(&bench->publish_url, bench_channel_name(bench, stream->channel, memory), &out);
    buf_put_text(&out, " HTTP/1.1\r\nHost: ");
    buf_put_text(&out, bench->publish_url.authority);
    if (options->key[0]) {
        buf_put_text(&out, "\r\nAuthorization: Bearer ");
        buf_put_text(&out, options->key);
    }
    buf_put_text(&out, options->binary ? "\r\nContent-Type: application/octet-stream" : "\r\nContent-Type: text/plain");
    buf_put_text(&out, "\r\nContent-Length: ");
    buf_put_u64(&out, options->size);
    buf_put_text(&out, "\r\n\r\n");
    put_payload(&out, (size_t)options->size, stream, sequence, sent_ns);
    check(!out.overflow);
    outgoing_commit(to, out.used);
}

void publish_message(struct worker *worker, const struct stream *stream, uint32_t sequence, uint64_t sent_ns)
{
    switch (stream->publisher->role) {
    case ROLE_PUBLISHER_INGEST:
        publish_by_ingest(worker, stream, sequence, sent_ns);
        break;
    case ROLE_PUBLISHER_HTTP:
        publish_by_http(worker, stream, sequence, sent_ns);
        break;
    case ROLE_PUBLISHER_WS:
        if (stream->publisher->nats)
            publish_by_nats(worker, stream, sequence, sent_ns);
        else
            publish_by_ws(worker, stream, sequence, sent_ns);
        break;
    case ROLE_ECHO:
    case ROLE_SUBSCRIBER:
    case ROLE_IDLE:
    case ROLE_SLOW:
    case ROLE_ROAMER:
        publish_by_ws(worker, stream, sequence, sent_ns);
        break;
    }
}
