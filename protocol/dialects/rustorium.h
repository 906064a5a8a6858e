/* SPDX-License-Identifier: MIT */
/* What the three parts of the dialect rustorium share: its settings, and the ingest half of its table. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_H

#include "protocol/dialect.h"

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

int rustorium_ingest(struct ingest_call *call, struct slice topic, struct slice body);
int rustorium_read(struct ingest_call *call, struct slice topic);

#endif
