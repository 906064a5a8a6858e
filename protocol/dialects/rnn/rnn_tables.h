/* SPDX-License-Identifier: MIT */
/* The tables of the node as they travel and are kept: which there are, and how an item is written in a request and in
 * the store. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_TABLES_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_TABLES_H

#include "protocol/dialects/rnn/rnn.h"

/* By the letter with which their keys begin in the store. */
enum rnn_list {
    RNN_LIST_PEERS = 'p',
    RNN_LIST_BLACKLIST = 'b',
    RNN_LIST_SESSIONS = 's',
    RNN_LIST_CANDIDATES = 'c',
    RNN_LIST_SERVICES = 'v',
    RNN_LIST_PEER_SERVICES = 'w', /* each of a peer's own */
    RNN_LIST_CAPABILITIES = 'a',
    RNN_LIST_WORKFLOWS = 'f',
    RNN_LIST_NODE = 'n', /* one item, without a key */
};

#define RNN_ID_BYTES_MAX 100 /* of an item's key, and of a peer's id */

/* The service types, as bits of rnn_item.number, above the bit that says ACTIVE. */
enum { RNN_ACTIVE = 1, RNN_DOCKER = 2, RNN_DATA = 4, RNN_STANDALONE = 8 };

/* One item in a request: its parts in this order. What `text` and `tail` are depends on the list:
 *   services    of the list's message, and nothing; `found` is of a search, the peer left out between its halves, and `words`
 *               what is searched, in lower case
 *   sessions    up to "duration_seconds": and behind the number, when that is to be computed; else the whole and nothing
 *   others      the whole, and nothing */
struct rnn_item {
    struct slice key, text, tail, found, found_tail, words;
    uint64_t number; /* services: bits; blacklist: when it ends, seconds; sessions: the start; node: bits */
};

struct rnn_operation {
    uint8_t kind; /* 'u' upsert, 'd' delete, 'r' replace */
    uint8_t list; /* enum rnn_list */
    struct slice peer, peer_name;
};

void rnn_put_operation(struct buf *out, const struct rnn_operation *operation);
struct rnn_operation rnn_take_operation(struct slice *body);
void rnn_put_item(struct buf *out, const struct rnn_item *item);
bool rnn_take_item(struct slice *body, struct rnn_item *item);

struct ingest_call;
/* rnn_ingest.c: appends the services of a JSON array as items to call->text; 0, or a status with field and message. */
int rnn_put_services(struct ingest_call *call, struct slice array);

/* The bit of a service type, 0: it is none. */
uint64_t rnn_service_bit(struct slice type);
/* Appends the text in lower case: ASCII, as bytes. */
void rnn_put_lower(struct buf *out, struct slice text);

#endif
