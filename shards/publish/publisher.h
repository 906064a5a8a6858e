/* SPDX-License-Identifier: MIT */
/* The publisher WebSocket (I-5): a stream of objects with sequence numbers, acknowledged in order (the role
 * publisher_role). At most PUBLISHER_WINDOW objects are under way; then the publisher's input waits. */
#ifndef RINGCAST_SHARDS_PUBLISHER_H
#define RINGCAST_SHARDS_PUBLISHER_H

#include "shards/publish/ingest.h"

#define PUBLISHER_WINDOW 1024

struct handshake;

/* Accepts the upgrade of a publisher that may publish what ingest key number `key` may. False: memory is out, nothing
 * was sent. */
bool publisher_open(struct shard *shard, struct conn *conn, uint32_t key, const struct handshake *handshake);
/* It listens to questions now, or cannot (ERRAND_SERVE). */
void publisher_on_serving(struct shard *shard, struct errand *errand);
/* The home has served one object. */
void publisher_on_answer(struct shard *shard, struct conn *conn, const struct errand *errand);
/* Sends the acknowledgements that have become due in this tick, one message per publisher. */
void publisher_send_acks(struct shard *shard);

#endif
