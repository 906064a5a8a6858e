/* SPDX-License-Identifier: MIT */
/* Owns what the periodic messages say (5.2): the node's own numbers, and the lists, each built anew only when something in it
 * has changed. It decides nothing about times. Called by node.c. */
#include "protocol/dialects/rnn/node.h"

#include "core/check.h"
#include "protocol/json.h"

#include <stdlib.h>

static const struct {
    const char *type;
    const char *member; /* of the payload */
    uint8_t list;       /* index into node.lists */
} tables[RNN_PERIODICS] = {
    [RNN_STATUS] = {"node.status", NULL, 0},
    [RNN_PEERS] = {"peers.updated", "peers", LIST_PEERS},
    [RNN_BLACKLIST] = {"blacklist.updated", "blacklist", LIST_BLACKLIST},
    [RNN_SESSIONS] = {"relay.sessions", "sessions", LIST_SESSIONS},
    [RNN_CANDIDATES] = {"relay.candidates", "candidates", LIST_CANDIDATES},
    [RNN_SERVICES] = {"services.updated", "services", LIST_SERVICES},
    [RNN_WORKFLOWS] = {"workflows.updated", "workflows", LIST_WORKFLOWS},
};

static void put_text(struct buf *out, const char *name, struct slice text)
{
    buf_put_byte(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":");
    json_put_string(out, text);
    buf_put_byte(out, ',');
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    buf_put_byte(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":");
    buf_put_u64(out, value);
}

/* What stands in the message and once more in its stats. */
static void put_self(const struct node *node, struct buf *out)
{
    put_text(out, "peer_id", slice_text(node->peer_id));
    put_text(out, "dht_node_id", slice_text(node->settings->dht_node_id));
    put_number(out, "uptime_seconds", (node->now_ms - node->started_ms) / 1000);
    buf_put_byte(out, ',');
}

/* N-20 */
static void put_status(const struct node *node, struct buf *out)
{
    buf_put_byte(out, '{');
    put_self(node, out);
    buf_put_text(out, "\"stats\":{");
    put_self(node, out);
    put_number(out, "quic_connections", node->quic_connections);
    buf_put_byte(out, ',');
    put_number(out, "relay_sessions", node->lists[LIST_SESSIONS].count);
    buf_put_byte(out, ',');
    put_number(out, "services_count", node->lists[LIST_SERVICES].count);
    buf_put_text(out, "},");
    put_number(out, "known_peers", node->lists[LIST_PEERS].count);
    buf_put_byte(out, '}');
}

/* Whether the item changes by time alone (N-23). */
static void put_item(const struct node *node, const struct node_item *item, struct buf *out)
{
    buf_put(out, item->parts.text);
    if (item->list->letter != RNN_LIST_SESSIONS || item->parts.tail.bytes == 0)
        return;
    uint64_t now_s = node->wall_ms / 1000;
    buf_put_u64(out, now_s > item->parts.number ? now_s - item->parts.number : 0);
    buf_put(out, item->parts.tail);
}

static void put_items(const struct node *node, const struct node_list *list, struct buf *out)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_put_byte(out, ',');
        put_item(node, list->items[i], out);
    }
}

/* Builds the payload of a list's message, if it is not there as it should be. */
static bool build(struct node *node, struct node_list *list, const char *member)
{
    bool by_time = list->letter == RNN_LIST_SESSIONS && list->count > 0;
    if (list->message != NULL && !list->dirty && !by_time)
        return true;
    size_t room = list->text_bytes + 64;
    uint8_t *memory = malloc(room);
    if (memory == NULL)
        return false;
    struct buf out = buf_of(memory, room);
    buf_put_text(&out, "{\"");
    buf_put_text(&out, member);
    buf_put_text(&out, "\":[");
    put_items(node, list, &out);
    buf_put_text(&out, "]}");
    check(!out.overflow);
    free(list->message);
    list->message = memory;
    list->message_bytes = out.used;
    list->dirty = false;
    return true;
}

static bool is_on(const struct node *node, enum rnn_table table)
{
    return table == RNN_SESSIONS ? node->relay_mode : table == RNN_CANDIDATES ? node->nat_mode : true;
}

bool node_put_message(struct node *node, enum rnn_table table, struct buf *out)
{
    struct node_list *list = &node->lists[tables[table].list];
    if (!is_on(node, table))
        return false;
    if (table != RNN_STATUS && !build(node, list, tables[table].member))
        return false;
    rnn_begin(out, tables[table].type);
    if (table == RNN_STATUS)
        put_status(node, out);
    else
        buf_put(out, slice_of(list->message, list->message_bytes));
    return true;
}

int node_read(struct node *node, uint8_t letter, struct buf *reply)
{
    buf_put_text(reply, "{\"items\":[");
    if (letter == RNN_LIST_NODE) {
        put_status(node, reply);
    } else if (letter == RNN_LIST_PEER_SERVICES) {
        bool any = false;
        for (const struct list_node *at = list_first(&node->peers); at != NULL; at = list_next(&node->peers, at)) {
            const struct node_peer *peer = list_entry(at, struct node_peer, node);
            if (any)
                buf_put_byte(reply, ',');
            buf_put_byte(reply, '{');
            put_text(reply, "peer_id", slice_of(peer->id, peer->id_bytes));
            put_text(reply, "peer_name", slice_of(peer->name, peer->name_bytes));
            put_number(reply, "services", peer->services.count);
            buf_put_byte(reply, '}');
            any = true;
        }
    } else if (letter == RNN_LIST_CAPABILITIES) {
        const struct node_list *list = &node->lists[LIST_CAPABILITIES];
        for (uint32_t i = 0; i < list->count; i++) {
            buf_put_text(reply, i > 0 ? ",{" : "{");
            put_text(reply, "peer_id", list->items[i]->parts.key);
            buf_put_text(reply, "\"capabilities\":");
            buf_put(reply, list->items[i]->parts.text);
            buf_put_byte(reply, '}');
        }
    } else {
        put_items(node, node_list_of(node, letter), reply);
    }
    buf_put_text(reply, "]}");
    if (!reply->overflow)
        return 200;
    buf_reset(reply);
    return 503;
}
