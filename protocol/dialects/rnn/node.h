/* SPDX-License-Identifier: MIT */
/* The node, the stateful half of the dialect rnn, as its files share it: tables of items, what of them is to be kept and told,
 * and searches in them.
 *
 *   node.c            the service: requests, times, effects in their order
 *   node_tables.c     items: operations, what is kept, what is loaded
 *   node_broadcasts.c the periodic messages
 *   node_search.c     looking through services, a piece at a time
 *   node_live.c       peers that are asked during a search, and what they answer
 *
 * Memory: `bytes` counts all items with their keys; beyond settings->memory_bytes an operation is refused whole. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_NODE_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_NODE_H

#include "core/list.h"
#include "core/map.h"
#include "protocol/dialects/rnn/rnn_tables.h"
#include "protocol/interval.h"

/* A list's message fits one effect. */
#define NODE_LIST_BYTES_MAX (15U << 20)

struct node_list;

/* One item; its parts stand behind it. */
struct node_item {
    struct node_list *list;
    uint32_t index; /* in list.items */
    bool gone;      /* only to be forgotten by the store */
    bool changed;   /* on the list of changes */
    struct node_item *next_change;
    struct rnn_item parts;
    size_t bytes; /* of all this */
    uint8_t data[];
};

/* The items of a table, or of one peer's services. */
struct node_list {
    uint8_t letter; /* enum rnn_list */
    struct node_item **items;
    uint64_t *signatures; /* of the words of each item, one behind the other: most need no look at the item itself */
    uint32_t count, capacity;
    struct map by_key;
    size_t bytes;      /* of all items */
    size_t text_bytes; /* of their texts */
    bool dirty;        /* its message has to be built anew */
    uint8_t *message;  /* the payload of its message, NULL: none was built */
    size_t message_bytes;
};

/* Another node, whose services are known here. */
struct node_peer {
    struct list_node node;
    struct node_list services;
    uint64_t serial; /* rises in the order in which they came */
    size_t id_bytes, name_bytes;
    char id[RNN_ID_BYTES_MAX];
    char name[RNN_ID_BYTES_MAX];
};

/* A peer that answers searches itself (I-13). */
struct node_live {
    struct list_node node;
    uint32_t classes; /* of listeners of its channel: 0 when the last has left */
    size_t id_bytes, name_bytes;
    char id[RNN_ID_BYTES_MAX];
    char name[RNN_ID_BYTES_MAX];
};

#define NODE_LIVE_MAX 256U                /* live peers that are known */
#define NODE_ASKING_MAX 256U              /* searches that wait for them */
#define NODE_ANSWERS_BYTES_MAX (4U << 20) /* of one search, not sent yet */
#define NODE_ANSWER_MS 5000U              /* N-34 */

struct node_asking; /* a search that waits for live peers */

enum {
    LIST_PEERS,
    LIST_BLACKLIST,
    LIST_SESSIONS,
    LIST_CANDIDATES,
    LIST_SERVICES,
    LIST_CAPABILITIES,
    LIST_WORKFLOWS,
    LISTS
};

struct node {
    const struct rnn_settings *settings;
    struct siphash_key secret;
    struct node_list lists[LISTS];
    struct list peers; /* with services */
    struct map peer_map;
    uint64_t peer_serial;
    size_t bytes;
    /* what publishers have said of the node itself */
    uint64_t quic_connections;
    bool relay_mode, nat_mode;
    bool node_changed;
    char peer_id[RNN_ID_BYTES_MAX + 1];
    bool id_changed;
    bool failed; /* memory was out in the middle of an operation */
    /* times */
    bool running;
    uint64_t started_ms, now_ms, wall_ms;
    struct interval intervals[RNN_PERIODICS];
    bool told[RNN_PERIODICS]; /* once at least: it is part of a snapshot */
    uint32_t listeners;       /* classes of them */
    /* what follows from the last call */
    struct node_item *changes; /* to be kept or forgotten */
    bool due[RNN_PERIODICS];
    uint8_t *event; /* one message for everybody */
    size_t event_bytes;
    struct list live;    /* struct node_live, in the order in which they came */
    struct list askings; /* struct node_asking, the oldest first */
    uint32_t live_count, asking_count;
    uint64_t asking_serial;
    struct slice told_peer; /* whose capabilities are to be told next; data NULL: nobody's */
    char capability_peer[RNN_ID_BYTES_MAX];
};

/* --- node_tables.c ------------------------------------------------------------------------------------------------ */

void node_tables_init(struct node *node);
void node_tables_free(struct node *node);
/* RNN_TABLE: 202, 422 or 503, with a sentence in `reply`. */
int node_take(struct node *node, struct slice body, struct buf *reply);
/* A record of the store. 0, -ENOMEM, or -EINVAL and why. */
int node_load(struct node *node, struct slice key, struct slice value, const char **why);
/* The next record to be kept or forgotten; false: none. */
bool node_next_record(struct node *node, struct buf *scratch, struct effect *effect);
struct node_list *node_list_of(struct node *node, uint8_t letter);
/* Entries of the blacklist whose time has come go (N-22). */
void node_expire(struct node *node);
/* The item of that key, or NULL. */
struct node_item *node_item_find(const struct node_list *list, struct slice key);

/* --- node_broadcasts.c -------------------------------------------------------------------------------------------- */

/* Appends a periodic message up to its timestamp; false: it is not told now (its mode is off, or no memory). */
bool node_put_message(struct node *node, enum rnn_table table, struct buf *out);
/* RNN_READ: the items of a list. */
int node_read(struct node *node, uint8_t letter, struct buf *reply);

/* A bit for each three bytes that follow each other in the text, 64 for all: a text that holds another one has all its bits. */
uint64_t node_signature(struct slice text);

/* --- node_search.c ------------------------------------------------------------------------------------------------ */

/* RNN_SEARCH */
int node_search(struct node *node, const struct service_request *request, struct buf *reply);
/* Appends a service that was found to a message. */
void node_put_found(struct buf *out, const struct rnn_item *item, struct slice peer, struct slice name, bool first);

/* --- node_live.c -------------------------------------------------------------------------------------------------- */

/* Asks those of the live peers of whom `wants` says so. The serial of the search that waits for them, 0: none is asked. `query`: what they
 * are told, members of a JSON object. */
typedef bool node_wants_fn(const void *user, struct slice peer);
uint64_t node_ask(struct node *node, struct slice query, node_wants_fn *wants, const void *user);
/* What has come meanwhile, as a message behind what is in `reply`: a part or the end; or nothing yet, and `ticket` is answered
 * later. `id`: as in rnn_end_response. */
enum node_heard { NODE_HEARD_PART, NODE_HEARD_END, NODE_HEARD_NOTHING };
enum node_heard node_listen(struct node *node, uint64_t serial, uint64_t ticket, struct slice id, struct buf *reply);
/* RNN_FOUND */
int node_found(struct node *node, struct slice body, struct buf *reply);
void node_live_interest(struct node *node, struct slice peer, struct slice name, bool added);
/* The next question or answer that follows; false: none. */
bool node_live_next(struct node *node, struct buf *scratch, struct effect *effect);
uint64_t node_live_due(const struct node *node);
void node_live_free(struct node *node);
/* A search's head for the end of the list of those who have been looked through. */
void node_put_head(struct buf *reply, uint64_t peer, uint64_t at, uint64_t live, bool last);
#define NODE_ALL_LOOKED UINT64_MAX /* cursor: only live peers are left */

#endif
