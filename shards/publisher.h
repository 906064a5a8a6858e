/* SPDX-License-Identifier: MIT */
/* The publisher WebSocket (I-5): a stream of objects with sequence numbers, acknowledged in order. At most
 * PUBLISHER_WINDOW objects are under way; then the publisher's input waits. */
#ifndef RINGCAST_SHARDS_PUBLISHER_H
#define RINGCAST_SHARDS_PUBLISHER_H

#include "shards/ingest.h"

#define PUBLISHER_WINDOW 1024
/* One object of INGEST_BODY_BYTES_MAX in base64 and its envelope. */
#define PUBLISHER_MESSAGE_BYTES_MAX (INGEST_BODY_BYTES_MAX / 3 * 4 + 4096)

struct publisher;

/* The state of a publisher that may publish what ingest key number `key` may; NULL when memory is out. Freed with the
 * exchange of the connection. */
struct publisher *publisher_make(const struct shard *shard, const struct conn *conn, uint32_t key);
void publisher_free(struct publisher *publisher);
/* Accepts the upgrade. */
void publisher_open(struct shard *shard, struct conn *conn, const struct handshake *handshake);
void publisher_on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message);
/* After a reload: finds its key again, or closes. */
void publisher_revoke(struct shard *shard, struct conn *conn);
/* There is room again: goes on reading, unless the window is full. */
void publisher_resume(struct shard *shard, struct conn *conn);
/* The home has served one object. */
void publisher_on_answer(struct shard *shard, struct conn *conn, const struct parcel *parcel);
/* Sends the acknowledgements that have become due in this tick, one message per publisher. */
void publisher_send_acks(struct shard *shard);

#endif
