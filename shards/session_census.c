/* SPDX-License-Identifier: MIT */
/* Owns the walks over all sessions of a dialect: the census that a dialect asks for, and the counts of each second. It changes
 * nothing. Called by home (a census comes by) and shard_tick. */
#include "core/check.h"
#include "shards/session_parts.h"

#include <stdlib.h>

/* Appends one piece to the reply of a parcel; false when memory is out. */
static bool append_reply(struct parcel *parcel, struct slice piece, size_t *capacity)
{
    size_t comma = parcel->reply_bytes > 0 ? 1 : 0;
    size_t wanted = parcel->reply_bytes + comma + piece.bytes;
    if (wanted > *capacity) {
        *capacity = wanted * 2;
        uint8_t *grown = realloc(parcel->reply, *capacity);
        if (grown == NULL)
            return false;
        parcel->reply = grown;
    }
    if (comma)
        parcel->reply[parcel->reply_bytes] = ',';
    memcpy(parcel->reply + parcel->reply_bytes + comma, piece.data, piece.bytes);
    parcel->reply_bytes = wanted;
    return true;
}

void session_describe_all(struct shard *shard, struct parcel *parcel)
{
    const struct dialect *dialect = dialects[parcel->dialect];
    size_t capacity = parcel->reply_bytes;
    uint32_t cursor = 0;
    for (struct conn *conn; parcel->status == 200 && (conn = slab_next(&shard->conns, &cursor, NULL)) != NULL;) {
        if (conn->state != CONN_OPEN || conn->role != CONN_ROLE_SESSION || conn->dialect != parcel->dialect)
            continue;
        struct dialect_call call = session_call_about(shard, conn);
        struct buf out = buf_of(shard->scratch, sizeof shard->scratch);
        dialect->census->describe(&call, &out, parcel->counts);
        check(!out.overflow);
        if (!append_reply(parcel, buf_slice(&out), &capacity))
            parcel->status = 503;
    }
}

void session_count_all(struct shard *shard)
{
    for (uint8_t d = 0; d < shard->config->dialect_count; d++) {
        uint64_t counts[CENSUS_COUNTS] = {0};
        uint32_t cursor = 0;
        if (dialects[d]->census == NULL)
            continue;
        for (struct conn *conn; (conn = slab_next(&shard->conns, &cursor, NULL)) != NULL;) {
            if (conn->state != CONN_OPEN || conn->role != CONN_ROLE_SESSION || conn->dialect != d)
                continue;
            struct dialect_call call = session_call_about(shard, conn);
            dialects[d]->census->describe(&call, NULL, counts);
        }
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            atomic_store_explicit(&shard->counts[d][n], counts[n], memory_order_relaxed);
    }
}
