/* SPDX-License-Identifier: MIT */
/* The wire bytes of one message at the end of a frame log, plain or compressed, and the content of a compressed message
 * that came in. A shard has one deflater and one inflater, made on first use: nothing of them stays with a
 * connection. */
#ifndef RINGCAST_SHARDS_MESSAGE_H
#define RINGCAST_SHARDS_MESSAGE_H

#include "core/frame.h"
#include "core/frame_memory.h"
#include "protocol/deflate.h"
#include "protocol/ws.h"

struct shard;

struct codec {
    void *deflater_memory; /* NULL: not used yet */
    void *inflater_memory;
    struct deflater *deflater;
    struct inflater *inflater;
    uint8_t *content; /* of the message being inflated */
    size_t content_bytes;
};

/* Appends the frame of a message for receivers of a class (deflate.h); bytes 0 when frame memory is exhausted. It is
 * sent as it is when compressing does not make it shorter. */
struct frame message_frame(struct shard *shard, struct frame_memory *memory, struct frame_log *log,
                           enum ws_opcode opcode, struct slice payload, uint8_t class);
/* The class whose frame serves receivers of `class` for a message of that many bytes: plain below the dialect's
 * threshold. */
uint8_t message_class(const struct shard *shard, uint8_t dialect, uint8_t class, size_t payload_bytes);
/* The content of a whole compressed message, in the shard's memory until the next call (so whoever gets it never causes
 * another connection's message to be inflated meanwhile). 0, or the close code and a literal in *reason. */
uint16_t message_inflate(struct shard *shard, struct slice payload, uint64_t bytes_max, bool text,
                         struct slice *content, const char **reason);
void codec_destroy(struct codec *codec);

#endif
