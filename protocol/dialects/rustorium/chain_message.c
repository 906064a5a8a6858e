/* SPDX-License-Identifier: MIT */
/* Owns the envelope of chain events around a stored data object.
 * It never allocates and never looks into the object.
 * The chain service calls it when it takes an object and when it gives an event out. */
#include "protocol/dialects/rustorium/chain_message.h"

#include "core/check.h"

struct chain_message chain_message_place(uint8_t *memory, struct slice data)
{
    memcpy(memory + CHAIN_MESSAGE_HEAD_BYTES, data.data, data.bytes);
    return (struct chain_message){.data = memory + CHAIN_MESSAGE_HEAD_BYTES, .bytes = data.bytes};
}

struct slice chain_message_seal(const struct chain_message *message, const char *type, const char *id, uint64_t number)
{
    uint8_t memory[CHAIN_MESSAGE_HEAD_BYTES];
    struct buf head = buf_of(memory, sizeof memory);
    buf_put_text(&head, "{\"type\":\"");
    buf_put_text(&head, type);
    buf_put_text(&head, "\",\"id\":\"");
    buf_put_text(&head, id);
    buf_put_u64(&head, number);
    buf_put_text(&head, "\",\"data\":");
    check(!head.overflow);
    uint8_t *start = message->data - head.used;
    memcpy(start, memory, head.used);
    memcpy(message->data + message->bytes, CHAIN_MESSAGE_TAIL, sizeof(CHAIN_MESSAGE_TAIL) - 1);
    return slice_of(start, head.used + message->bytes + sizeof(CHAIN_MESSAGE_TAIL) - 1);
}
