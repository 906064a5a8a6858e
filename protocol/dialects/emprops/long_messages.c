/* SPDX-License-Identifier: MIT */
/* Owns how a message that is too long for one frame of a client's liking is sent: in chunks, to those who said that
 * they take them (E-80, Q-23). It never shortens one. notifications.c, submissions.c and claims.c send by it what may
 * be long. */
#include "protocol/dialects/emprops/hub_parts.h"

#include "protocol/base64.h"
#include "protocol/sha256.h"

#include <stdlib.h>

/* Makes the chunk `index` of `total`. */
static void put_chunk(struct hub *hub, uint64_t number, uint64_t index, uint64_t total, struct slice data,
                      const char *hash, const char *type)
{
    uint8_t memory[48];
    struct buf id = buf_of(memory, sizeof memory);
    struct buf *out = effects_open(hub, EMPROPS_CHUNK_BYTES / 3 * 4 + 8);
    put_connection_id(&id, "chunk-", number);
    message_begin(out, "chunked_message");
    message_text(out, "chunk_id", buf_slice(&id));
    message_u64(out, "chunk_index", index);
    message_u64(out, "total_chunks", total);
    message_member(out, "data");
    buf_put_byte(out, '"');
    base64_encode(data, out);
    buf_put_byte(out, '"');
    message_literal(out, "data_hash", hash);
    message_literal(out, "original_type", type);
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
}

static void in_chunks(struct hub *hub, uint64_t connection, bool answer, const char *type, struct message message)
{
    char hash[SHA256_TEXT_BYTES + 1];
    uint64_t number = ++hub->last_chunked, total = (message.bytes + EMPROPS_CHUNK_BYTES - 1) / EMPROPS_CHUNK_BYTES;
    uint8_t *data = malloc(EMPROPS_CHUNK_BYTES); /* effects move while they grow */
    if (data == NULL || hub->effects.lost) {
        hub->effects.lost = true;
        free(data);
        return;
    }
    sha256_text(effects_text(hub, message), hash);
    for (uint64_t i = 0; i < total; i++) {
        struct slice rest = slice_skip(effects_text(hub, message), (size_t)i * EMPROPS_CHUNK_BYTES);
        size_t bytes = rest.bytes < EMPROPS_CHUNK_BYTES ? rest.bytes : EMPROPS_CHUNK_BYTES;
        if (hub->effects.lost)
            break;
        memcpy(data, rest.data, bytes);
        put_chunk(hub, number, i, total, slice_of(data, bytes), hash, type);
        if (answer)
            effects_send(hub);
        else
            effects_publish_to(hub, connection, 0, effects_message(hub));
    }
    free(data);
}

void long_publish(struct hub *hub, const struct session *session, uint32_t conflate, const char *type,
                  struct message message)
{
    if (session->chunked && message.bytes > EMPROPS_CHUNK_ABOVE)
        in_chunks(hub, session->connection, false, type, message);
    else
        effects_publish_to(hub, session->connection, conflate, message);
}

void long_send(struct hub *hub, const struct session *session, const char *type, struct message message)
{
    if (session->chunked && message.bytes > EMPROPS_CHUNK_ABOVE)
        in_chunks(hub, session->connection, true, type, message);
    else if (!hub->effects.lost)
        effects_item(hub, HUB_SEND, effects_text(hub, message), slice_of(NULL, 0));
}
