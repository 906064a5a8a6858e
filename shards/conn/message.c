/* SPDX-License-Identifier: MIT */
/* Owns the building of messages: header and payload, plain or compressed, straight into a frame log, and the inflating
 * of what came in. It never decides who gets a message. Called by fanout (once per event and class), conn_write
 * (replies) and conn_read (compressed messages). */
#include "shards/conn/message.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "protocol/dialect.h"
#include "protocol/inflate.h"
#include "protocol/ws.h"
#include "shards/config/settings.h"
#include "shards/shard.h"

#include <stdlib.h>

/* An inflated message of more than this gives its memory back at once. */
#define CONTENT_BYTES_KEPT (256U << 10)
#define CONTENT_BYTES_FIRST 4096U

/* What would take longer to compress is sent as it is: a turn cannot wait for it. At level 1 181 KiB, in a window of 512 bytes 33 KiB. */
#define DEFLATE_PS_MAX (4000ULL * WORK_PS_PER_US)

static struct deflater *deflater_of(struct shard *shard)
{
    struct codec *codec = shard->codec;
    if (codec->deflater == NULL && (codec->deflater_memory = aligned_alloc(64, DEFLATER_BYTES)) != NULL)
        codec->deflater =
            deflater_place(codec->deflater_memory, DEFLATER_BYTES, (int)shard->config->server.compression_level);
    return codec->deflater;
}

static struct inflater *inflater_of(struct shard *shard)
{
    struct codec *codec = shard->codec;
    if (codec->inflater == NULL && (codec->inflater_memory = aligned_alloc(64, INFLATER_BYTES)) != NULL)
        codec->inflater = inflater_place(codec->inflater_memory, INFLATER_BYTES);
    return codec->inflater;
}

void codec_destroy(struct codec *codec)
{
    free(codec->deflater_memory);
    free(codec->inflater_memory);
    free(codec->content);
}

/* What one byte costs at the level of the settings, in the window of the class. */
static uint64_t deflate_price(const struct shard *shard, uint8_t class)
{
    return work_deflate_ps(shard->config->server.compression_level, deflate_class_window_bits(class));
}

/* The compressed frame, or bytes 0 when it would not be shorter, or memory is out. */
static struct frame compressed_frame(struct shard *shard, struct frame_memory *memory, struct frame_log *log,
                                     enum ws_opcode opcode, struct slice payload, uint8_t class)
{
    struct deflater *deflater = deflater_of(shard);
    size_t room = payload.bytes - 1 + DEFLATER_TAIL_BYTES;
    uint8_t *at = deflater == NULL
                      ? NULL
                      : frame_append_reserve(memory, shard->idle, log, (uint32_t)(WS_HEADER_BYTES_MAX + room));
    if (at == NULL)
        return (struct frame){0};
    struct buf out = buf_of(at + WS_HEADER_BYTES_MAX, room);
    stats_add(&shard->stats, STAT_DEFLATED, 1);
    work_spend_at(shard->work, WORK_DEFLATE, payload.bytes, deflate_price(shard, class));
    if (!deflate_message(deflater, payload, deflate_class_window_bits(class), &out))
        return (struct frame){0};
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes = ws_header_write_compressed(header, opcode, out.used);
    memmove(at + header_bytes, out.data, out.used);
    memcpy(at, header, header_bytes);
    return frame_append_commit(log, (uint32_t)(header_bytes + out.used));
}

struct frame message_frame(struct shard *shard, struct frame_memory *memory, struct frame_log *log,
                           enum ws_opcode opcode, struct slice payload, uint8_t class)
{
    if (class != DEFLATE_CLASS_PLAIN && payload.bytes > 0) {
        struct frame frame = compressed_frame(shard, memory, log, opcode, payload, class);
        if (frame.bytes > 0)
            return frame;
    }
    uint32_t bytes = (uint32_t)(ws_header_bytes(payload.bytes) + payload.bytes);
    uint8_t *at = frame_append_reserve(memory, shard->idle, log, bytes);
    if (at == NULL)
        return (struct frame){0};
    size_t header_bytes = ws_header_write(at, opcode, payload.bytes);
    if (payload.bytes > 0)
        memcpy(at + header_bytes, payload.data, payload.bytes);
    return frame_append_commit(log, bytes);
}

uint8_t message_class(const struct shard *shard, uint8_t dialect, uint8_t class, size_t payload_bytes)
{
    if (class == DEFLATE_CLASS_PLAIN || payload_bytes < config_dialect(shard->config, dialect)->compression_threshold)
        return DEFLATE_CLASS_PLAIN;
    uint8_t of_message = deflate_class_of_message(class, payload_bytes);
    return payload_bytes * deflate_price(shard, of_message) <= DEFLATE_PS_MAX ? of_message : DEFLATE_CLASS_PLAIN;
}

/* Room for at least `bytes` of content. */
static bool content_grow(struct codec *codec, size_t bytes)
{
    if (bytes <= codec->content_bytes)
        return true;
    uint8_t *grown = realloc(codec->content, bytes);
    if (grown == NULL)
        return false;
    codec->content = grown;
    codec->content_bytes = bytes;
    return true;
}

uint16_t message_inflate(struct shard *shard, struct slice payload, uint64_t bytes_max, bool text,
                         struct slice *content, const char **reason)
{
    struct codec *codec = shard->codec;
    struct inflater *inflater = inflater_of(shard);
    *reason = "out of memory";
    if (codec->content_bytes > CONTENT_BYTES_KEPT) {
        free(codec->content);
        codec->content = NULL;
        codec->content_bytes = 0;
    }
    if (inflater == NULL || !content_grow(codec, CONTENT_BYTES_FIRST))
        return WS_CLOSE_INTERNAL;
    stats_add(&shard->stats, STAT_INFLATED, 1);
    struct buf out = buf_of(codec->content, codec->content_bytes);
    inflate_begin(inflater, bytes_max, text);
    for (;;) {
        switch (inflate_next(inflater, &payload, true, &out)) {
        case INFLATE_END:
            work_spend(shard->work, WORK_INFLATE, out.used);
            *content = buf_slice(&out);
            return 0;
        case INFLATE_FULL:
            if (!content_grow(codec, codec->content_bytes * 2))
                return WS_CLOSE_INTERNAL;
            out.data = codec->content;
            out.capacity = codec->content_bytes;
            break;
        case INFLATE_ERROR:
            work_spend(shard->work, WORK_INFLATE, out.used);
            return inflate_fault(inflater, reason);
        case INFLATE_MORE:
            check(false); /* the input was the last */
        }
    }
}
