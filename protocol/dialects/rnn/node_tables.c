/* SPDX-License-Identifier: MIT */
/* Owns the items of the node's tables: operations on them (I-12), what the store keeps of them, and the memory that they take. It
 * tells nobody. Called by node.c.
 *
 * In the store an item is under LETTER '/' PEER '/' KEY, the peer only of services of others, with its parts as the
 * value; a peer's name under 'W' '/' PEER, what was said of the node under 'n', its id under 'i'. */
#include "protocol/dialects/rnn/node.h"

#include "core/check.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_KEY_BYTES_MAX (2 * RNN_ID_BYTES_MAX + 3)

_Static_assert(RECORD_KEY_BYTES_MAX <= SERVICE_KEY_BYTES_MAX, "a record's key fits");

static const uint8_t letters[LISTS] = {
    [LIST_PEERS] = RNN_LIST_PEERS,         [LIST_BLACKLIST] = RNN_LIST_BLACKLIST,
    [LIST_SESSIONS] = RNN_LIST_SESSIONS,   [LIST_CANDIDATES] = RNN_LIST_CANDIDATES,
    [LIST_SERVICES] = RNN_LIST_SERVICES,   [LIST_CAPABILITIES] = RNN_LIST_CAPABILITIES,
    [LIST_WORKFLOWS] = RNN_LIST_WORKFLOWS,
};

static void list_begin(struct node *node, struct node_list *list, uint8_t letter)
{
    *list = (struct node_list){.letter = letter, .dirty = true};
    map_init(&list->by_key, node->secret);
}

void node_tables_init(struct node *node)
{
    for (unsigned i = 0; i < LISTS; i++)
        list_begin(node, &node->lists[i], letters[i]);
    list_init(&node->peers);
    map_init(&node->peer_map, node->secret);
}

static void list_end(struct node_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    free(list->signatures);
    free(list->message);
    map_free(&list->by_key);
}

static void free_changes(struct node *node)
{
    struct node_item *next;
    for (struct node_item *item = node->changes; item != NULL; item = next) {
        next = item->next_change;
        if (item->gone)
            free(item);
    }
    node->changes = NULL;
}

void node_tables_free(struct node *node)
{
    free_changes(node);
    for (unsigned i = 0; i < LISTS; i++)
        list_end(&node->lists[i]);
    for (struct list_node *at; (at = list_pop_front(&node->peers)) != NULL;) {
        struct node_peer *peer = list_entry(at, struct node_peer, node);
        list_end(&peer->services);
        free(peer);
    }
    map_free(&node->peer_map);
}

struct node_list *node_list_of(struct node *node, uint8_t letter)
{
    for (unsigned i = 0; i < LISTS; i++)
        if (letters[i] == letter)
            return &node->lists[i];
    return NULL;
}

static struct node_peer *peer_of(struct node_list *services)
{
    return (struct node_peer *)(void *)((char *)services - offsetof(struct node_peer, services));
}

struct node_item *node_item_find(const struct node_list *list, struct slice key)
{
    return map_get(&list->by_key, key);
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static struct slice copy_part(struct node_item *item, size_t *used, struct slice part)
{
    struct slice copy = slice_of(item->data + *used, part.bytes);
    if (part.bytes > 0)
        memcpy(item->data + *used, part.data, part.bytes);
    *used += part.bytes;
    return copy;
}

static struct node_item *item_make(const struct rnn_item *parts)
{
    size_t bytes = parts->key.bytes + parts->text.bytes + parts->tail.bytes + parts->found.bytes +
                   parts->found_tail.bytes + parts->words.bytes;
    struct node_item *item = malloc(sizeof *item + bytes);
    if (item == NULL)
        return NULL;
    size_t used = 0;
    *item = (struct node_item){.bytes = sizeof *item + bytes};
    item->parts.key = copy_part(item, &used, parts->key);
    item->parts.text = copy_part(item, &used, parts->text);
    item->parts.tail = copy_part(item, &used, parts->tail);
    item->parts.found = copy_part(item, &used, parts->found);
    item->parts.found_tail = copy_part(item, &used, parts->found_tail);
    item->parts.words = copy_part(item, &used, parts->words);
    item->parts.number = parts->number;
    check_op(used, ==, bytes);
    return item;
}

static bool items_equal(const struct rnn_item *a, const struct rnn_item *b)
{
    return a->number == b->number && slice_equal(a->text, b->text) && slice_equal(a->tail, b->tail) &&
           slice_equal(a->found, b->found) && slice_equal(a->found_tail, b->found_tail) &&
           slice_equal(a->words, b->words);
}

static void note_change(struct node *node, struct node_item *item)
{
    if (item->changed)
        return;
    item->changed = true;
    item->next_change = node->changes;
    node->changes = item;
}

static void account(struct node *node, struct node_item *item, bool added)
{
    size_t text = item->parts.text.bytes + item->parts.tail.bytes + 32;
    node->bytes = added ? node->bytes + item->bytes : node->bytes - item->bytes;
    item->list->bytes = added ? item->list->bytes + item->bytes : item->list->bytes - item->bytes;
    item->list->text_bytes = added ? item->list->text_bytes + text : item->list->text_bytes - text;
    item->list->dirty = true;
}

/* Out of its list, whose order closes up when the operation is over. */
static void item_remove(struct node *node, struct node_item *item)
{
    map_remove(&item->list->by_key, item->parts.key);
    item->list->items[item->index] = NULL;
    account(node, item, false);
    item->gone = true;
    note_change(node, item);
}

static void close_up(struct node_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i] == NULL)
            continue;
        list->items[kept] = list->items[i];
        list->signatures[kept] = list->signatures[i];
        list->items[kept]->index = kept;
        kept++;
    }
    list->count = kept;
}

static bool make_room(struct node_list *list)
{
    if (list->count < list->capacity)
        return true;
    uint32_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
    struct node_item **items = realloc(list->items, capacity * sizeof(struct node_item *));
    if (items == NULL)
        return false;
    list->items = items;
    uint64_t *signatures = realloc(list->signatures, capacity * sizeof *signatures);
    if (signatures == NULL)
        return false; /* the longer row of items serves until then */
    list->signatures = signatures;
    list->capacity = capacity;
    return true;
}

/* Adds it, or puts it in the place of the one with its key. False: memory is out. */
static bool item_put(struct node *node, struct node_list *list, const struct rnn_item *parts, bool *changed)
{
    struct node_item *old = node_item_find(list, parts->key);
    if (old != NULL && items_equal(&old->parts, parts))
        return true;
    struct node_item *item = make_room(list) ? item_make(parts) : NULL;
    if (item == NULL)
        return false;
    item->list = list;
    uint32_t index = old != NULL ? old->index : list->count;
    if (old != NULL) {
        map_remove(&list->by_key, old->parts.key);
        account(node, old, false);
    }
    if (map_put(&list->by_key, item->parts.key, item) != 0) {
        if (old != NULL) {
            account(node, old, true);
            check(map_put(&list->by_key, old->parts.key, old) == 0); /* its place is still there */
        }
        free(item);
        return false;
    }
    if (old != NULL) { /* the record is written over: nothing has to be forgotten */
        for (struct node_item **at = &node->changes; old->changed && *at != NULL; at = &(*at)->next_change) {
            if (*at == old) {
                *at = old->next_change;
                break;
            }
        }
        free(old);
    } else {
        list->count++;
    }
    item->index = index;
    list->items[index] = item;
    list->signatures[index] = node_signature(item->parts.words);
    account(node, item, true);
    note_change(node, item);
    *changed = true;
    return true;
}

/* --- peers with services ------------------------------------------------------------------------------------------ */

static struct node_peer *peer_find(struct node *node, struct slice id)
{
    return map_get(&node->peer_map, id);
}

static struct node_peer *peer_make(struct node *node, struct slice id)
{
    struct node_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    list_begin(node, &peer->services, RNN_LIST_PEER_SERVICES);
    memcpy(peer->id, id.data, id.bytes);
    peer->id_bytes = id.bytes;
    if (map_put(&node->peer_map, slice_of(peer->id, peer->id_bytes), peer) != 0) {
        free(peer);
        return NULL;
    }
    peer->serial = ++node->peer_serial;
    node->bytes += sizeof *peer;
    list_push_back(&node->peers, &peer->node);
    return peer;
}

static void peer_name(struct node_peer *peer, struct slice name)
{
    if (name.bytes == 0)
        return;
    memcpy(peer->name, name.data, name.bytes);
    peer->name_bytes = name.bytes;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static int refuse(struct buf *reply, int status, const char *why)
{
    buf_put_text(reply, why);
    return status;
}

/* Before anything is changed: whether all of it would fit. Of a table that is replaced nothing counts beside what comes; of
 * an upsert what it replaces does. */
static bool fits(const struct node *node, const struct node_list *list, bool replaces, struct slice body)
{
    size_t bytes = replaces ? node->bytes - list->bytes : node->bytes, texts = replaces ? 0 : list->text_bytes;
    struct rnn_item item;
    while (rnn_take_item(&body, &item)) {
        bytes += sizeof(struct node_item) + item.key.bytes + item.text.bytes + item.tail.bytes + item.found.bytes +
                 item.found_tail.bytes + item.words.bytes;
        texts += item.text.bytes + item.tail.bytes + 32;
    }
    return bytes <= node->settings->memory_bytes &&
           (list->letter == RNN_LIST_PEER_SERVICES || texts <= NODE_LIST_BYTES_MAX);
}

static bool delete_items(struct node *node, struct node_list *list, struct slice body)
{
    struct slice key;
    bool changed = false;
    while (rnn_next_part(&body, &key)) {
        struct node_item *item = node_item_find(list, key);
        if (item == NULL)
            continue;
        item_remove(node, item);
        changed = true;
    }
    close_up(list);
    return changed;
}

/* All that are not in the body go. */
static bool delete_others(struct node *node, struct node_list *list, struct slice body)
{
    struct rnn_item parts;
    bool changed = false;
    for (uint32_t i = 0; i < list->count; i++)
        list->items[i]->gone = true; /* for the moment */
    while (rnn_take_item(&body, &parts)) {
        struct node_item *item = node_item_find(list, parts.key);
        if (item != NULL)
            item->gone = false;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (!list->items[i]->gone)
            continue;
        list->items[i]->gone = false;
        item_remove(node, list->items[i]);
        changed = true;
    }
    close_up(list);
    return changed;
}

/* 202, or 503 when memory was out in the middle: then this life of the node ends and the store's state counts. */
static int put_items(struct node *node, struct node_list *list, struct slice body, bool *changed)
{
    struct rnn_item item;
    while (rnn_take_item(&body, &item))
        if (!item_put(node, list, &item, changed))
            return 503;
    return 202;
}

/* What is told of a peer whose services or capabilities have changed (N-38). */
static void note_capabilities(struct node *node, struct slice peer)
{
    memcpy(node->capability_peer, peer.data, peer.bytes);
    node->told_peer = slice_of(node->capability_peer, peer.bytes);
}

static int take_node(struct node *node, const struct rnn_item *item)
{
    uint64_t quic = node->quic_connections;
    bool relay = node->relay_mode, nat = node->nat_mode;
    if (item->text.bytes > 0) {
        bool read = json_u64(item->text, &quic);
        check(read);
    }
    relay = item->tail.bytes > 0 ? slice_is(item->tail, "true") : relay;
    nat = item->found.bytes > 0 ? slice_is(item->found, "true") : nat;
    node->node_changed |= quic != node->quic_connections || relay != node->relay_mode || nat != node->nat_mode;
    node->quic_connections = quic;
    node->relay_mode = relay;
    node->nat_mode = nat;
    return 202;
}

int node_take(struct node *node, struct slice body, struct buf *reply)
{
    struct rnn_operation operation = rnn_take_operation(&body);
    struct rnn_item item;
    if (operation.list == RNN_LIST_NODE)
        return rnn_take_item(&body, &item) ? take_node(node, &item) : 202;
    bool of_peer = operation.list == RNN_LIST_PEER_SERVICES, changed = false;
    struct node_peer *peer = of_peer ? peer_find(node, operation.peer) : NULL;
    if (of_peer && peer == NULL && operation.kind == 'd')
        return 202;
    if (of_peer && peer == NULL && (peer = peer_make(node, operation.peer)) == NULL)
        return refuse(reply, 503, "out of memory");
    struct node_list *list = of_peer ? &peer->services : node_list_of(node, operation.list);
    if (operation.kind == 'd') {
        changed = delete_items(node, list, body);
    } else {
        if (!fits(node, list, operation.kind == 'r', body))
            return refuse(reply, 422, "more than rnn.memory has room for, or a table of more than 15 MiB");
        if (operation.kind == 'r')
            changed = delete_others(node, list, body);
        if (put_items(node, list, body, &changed) != 202)
            return 503;
    }
    if (of_peer)
        peer_name(peer, operation.peer_name);
    if (changed && of_peer)
        note_capabilities(node, operation.peer);
    return 202;
}

void node_expire(struct node *node)
{
    struct node_list *list = &node->lists[LIST_BLACKLIST];
    bool any = false;
    for (uint32_t i = 0; i < list->count; i++) {
        uint64_t ends_s = list->items[i]->parts.number;
        if (ends_s == 0 || ends_s > node->wall_ms / 1000)
            continue;
        item_remove(node, list->items[i]);
        any = true;
    }
    if (any)
        close_up(list);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void put_key(struct buf *out, const struct node_item *item)
{
    buf_put_byte(out, item->list->letter);
    buf_put_byte(out, '/');
    if (item->list->letter == RNN_LIST_PEER_SERVICES) {
        const struct node_peer *peer = peer_of(item->list);
        buf_put(out, slice_of(peer->id, peer->id_bytes));
        buf_put_byte(out, '/');
    }
    buf_put(out, item->parts.key);
}

bool node_next_record(struct node *node, struct buf *scratch, struct effect *effect)
{
    struct node_item *item = node->changes;
    if (item == NULL)
        return false;
    node->changes = item->next_change;
    item->changed = false;
    if (item->list->letter == RNN_LIST_CAPABILITIES)
        note_capabilities(node, item->parts.key);
    put_key(scratch, item);
    effect->key = buf_slice(scratch);
    effect->table = 0;
    effect->kind = EFFECT_DELETE;
    if (item->gone) {
        free(item);
        return true;
    }
    size_t mark = scratch->used;
    effect->kind = EFFECT_PUT;
    if (item->list->letter == RNN_LIST_PEER_SERVICES) {
        const struct node_peer *peer = peer_of(item->list);
        rnn_put_part(scratch, slice_of(peer->name, peer->name_bytes));
    }
    rnn_put_item(scratch, &item->parts);
    effect->body = buf_since(scratch, mark);
    return true;
}

/* Whether the parts stand there whole: what rnn_take_item would otherwise not survive. */
static bool is_whole(struct slice value, unsigned parts)
{
    for (unsigned i = 0; i < parts; i++) {
        if (value.bytes < 8 || load_be64(value.data) > value.bytes - 8)
            return false;
        if (i + 1 == parts && load_be64(value.data) != 8)
            return false;
        value = slice_skip(value, 8 + (size_t)load_be64(value.data));
    }
    return value.bytes == 0;
}

int node_load(struct node *node, struct slice key, struct slice value, const char **why)
{
    struct node_peer *peer = NULL;
    struct rnn_item item;
    bool changed = false, of_peer = key.bytes > 2 && key.data[0] == RNN_LIST_PEER_SERVICES;
    *why = "is no item of a table";
    if (key.bytes < 3 || key.data[1] != '/' || !is_whole(value, of_peer ? 8 : 7))
        return -EINVAL;
    struct node_list *list = node_list_of(node, key.data[0]);
    if (of_peer) {
        struct slice rest = slice_skip(key, 2), name;
        const uint8_t *end = memchr(rest.data, '/', rest.bytes);
        if (end == NULL || end == rest.data || (size_t)(end - rest.data) > RNN_ID_BYTES_MAX)
            return -EINVAL;
        struct slice id = slice_of(rest.data, (size_t)(end - rest.data));
        peer = peer_find(node, id);
        if (peer == NULL && (peer = peer_make(node, id)) == NULL)
            return -ENOMEM;
        check(rnn_next_part(&value, &name));
        if (name.bytes > RNN_ID_BYTES_MAX)
            return -EINVAL;
        peer_name(peer, name);
        list = &peer->services;
    }
    if (list == NULL || !rnn_take_item(&value, &item) || item.key.bytes > RNN_ID_BYTES_MAX)
        return -EINVAL;
    if (!item_put(node, list, &item, &changed))
        return -ENOMEM;
    node->changes = NULL; /* it is kept already */
    list->items[list->count - 1]->changed = false;
    return 0;
}
