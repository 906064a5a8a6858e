/* SPDX-License-Identifier: MIT */
/* The chain service, the stateful half of the dialect rustorium: it counts confirmations, derives transactions from
 * blocks, and numbers all events.
 *
 * What it keeps: the newest CHAIN_BLOCKS_MAX blocks of the branch, as many abandoned ones, and the newest value of
 * `state_retained` keys, all within `chain_memory`. What does not fit is forgotten, values first, then blocks, oldest
 * first: a forgotten block gets no more confirmations, and its transactions count as new when they come again. The
 * number of blocks forgotten for want of memory stands in the answer to CHAIN_READ_BLOCKS.
 *
 * Events are made only for levels of confirmation that somebody listens to, so their numbers rise with gaps. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_H

#include "protocol/service.h"

#define CHAIN_CHANNEL_BLOCKS "blocks"
#define CHAIN_CHANNEL_TRANSACTIONS "transactions"
#define CHAIN_CHANNEL_STATE "state"

/* Bodies are the `data` objects as clients get them, without white space, with exactly these members in this order: the
 * dialect has checked and rewritten them. */
enum chain_request {
    CHAIN_BLOCK = 1,   /* number, hash, parent_hash, timestamp, transactions. 202, 409 on a loop, 422 too large, 503 */
    CHAIN_STATE,       /* key, value, block_number, timestamp. 202, 422, 503 */
    CHAIN_TX,          /* tx_hash, block_number, timestamp, confirmations; delivered as it is. 202, 422, 503 */
    CHAIN_READ_BLOCKS, /* 200 {"head":{...},"blocks":n,"forgotten":n} or 404 */
    CHAIN_READ_STATE,  /* 200 {"keys":n,"state":[{...},...]}, latest change first, as many as fit the reply; or 404 */
    CHAIN_READ_TX,     /* 200 {"count":n,"newest":{...}} or 404 */
};

/* Its settings are struct rustorium_settings. */
extern const struct service chain_service;

#endif
