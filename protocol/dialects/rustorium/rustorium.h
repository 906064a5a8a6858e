/* SPDX-License-Identifier: MIT */
/* What the parts of the dialect rustorium share: its settings, its filters, and the ingest half of its table. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_RUSTORIUM_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_RUSTORIUM_H

#include "protocol/dialect.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/json.h"

#define RUSTORIUM_DEPTH_MAX 32 /* of a request: R-37 */

enum rustorium_channel { RUSTORIUM_BLOCKS, RUSTORIUM_TRANSACTIONS, RUSTORIUM_STATE, RUSTORIUM_CHANNELS };

enum rustorium_auth_reject {
    RUSTORIUM_REJECT_UPGRADE, /* complete the upgrade, send error 4000, close with 4000 */
    RUSTORIUM_REJECT_HTTP401,
};

enum rustorium_tx_source {
    RUSTORIUM_TX_DERIVE, /* from the blocks */
    RUSTORIUM_TX_INGEST, /* ready-made by the publisher */
};

struct rustorium_settings {
    struct dialect_settings common;
    uint32_t auth_reject;         /* enum rustorium_auth_reject */
    uint32_t tx_source;           /* enum rustorium_tx_source */
    uint64_t attempts_per_minute; /* of an address, and of a key; 0: off */
    uint64_t chain_memory_bytes;
    uint64_t state_retained; /* keys whose newest value is kept for reading */
};

/* Reads `filter` of a subscribe; `key_space` takes a key with escapes. NULL, or the message of the error. */
const char *rustorium_filter_read(enum rustorium_channel channel, const struct json_member *member,
                                  struct buf *key_space, struct chain_filter *filter);

int rustorium_ingest(struct ingest_call *call, struct slice topic, struct slice body);
int rustorium_read(struct ingest_call *call, struct slice topic);

#endif
