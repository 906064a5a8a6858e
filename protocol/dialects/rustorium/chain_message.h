/* SPDX-License-Identifier: MIT */
/* A data object that lies where its message will be built around it: head room, data, tail. So an object of many
 * megabytes is copied once, when it is taken, and never when it is given out. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_MESSAGE_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_MESSAGE_H

#include "core/buf.h"

#define CHAIN_MESSAGE_HEAD_BYTES 64
#define CHAIN_MESSAGE_TAIL ",\"error\":null}"
#define CHAIN_MESSAGE_EXTRA_BYTES (CHAIN_MESSAGE_HEAD_BYTES + sizeof(CHAIN_MESSAGE_TAIL) - 1)

struct chain_message {
    uint8_t *data; /* the object, CHAIN_MESSAGE_HEAD_BYTES behind the beginning of its memory */
    size_t bytes;
};

/* Copies the object into memory of data.bytes + CHAIN_MESSAGE_EXTRA_BYTES. */
struct chain_message chain_message_place(uint8_t *memory, struct slice data);
/* {"type":TYPE,"id":"ID<number>","data":OBJECT,"error":null}, good until the next call for the same object. */
struct slice chain_message_seal(const struct chain_message *message, const char *type, const char *id, uint64_t number);

static inline struct slice chain_message_data(const struct chain_message *message)
{
    return slice_of(message->data, message->bytes);
}

#endif
