/* SPDX-License-Identifier: MIT */
/* Owns the search for services (N-28 to N-35): reading what is searched, looking through own services and those of peers, a
 * piece per request, and writing what was found. It keeps nothing between two pieces: the cursor says where to go on. Called
 * by node.c.
 *
 * A service is found when every word stands somewhere in its name or description, in lower case. Most are passed over by
 * their signature, 8 bytes each in a row; what is left is looked at. SERVICES_PER_PIECE are gone through at a time. */
#define _GNU_SOURCE /* memmem */
#include "protocol/dialects/rnn/node.h"

#include "core/check.h"
#include "protocol/json.h"

#include <string.h>

#define SERVICES_PER_PIECE 16384
#define BEYOND_PIECE_MAX 16384 /* to the end of a peer of whom something has been found */
#define IDS_PER_SERVICE 8      /* of peer_ids: compared in the time that a service takes */
#define FOUND_MAX 50           /* in one message (N-34) */
#define FOUND_BYTES_MAX (1U << 20)
#define WORDS_MAX 32
#define PEERS_MAX 1000
#define QUERY_BYTES_MAX 1024
#define TYPES_BYTES_MAX 256

struct query {
    struct slice words[WORDS_MAX];
    uint32_t word_count;
    uint64_t signature; /* of all words together */
    uint64_t types;     /* bits; 0: all */
    bool active_only;
    bool all_peers;
    struct slice peers; /* the array */
    uint32_t peer_count;
    struct slice id;  /* request_id as it came */
    uint64_t wall_ms; /* of the answer */
    uint8_t text[QUERY_BYTES_MAX];
    char why[160]; /* of a payload that is none */
};

static bool fail(struct query *query, const char *why, struct slice name)
{
    struct buf text = buf_of(query->why, sizeof query->why - 1);
    buf_put_text(&text, why);
    if (name.bytes <= 64)
        buf_put(&text, name);
    query->why[text.used] = '\0';
    return false;
}

uint64_t node_signature(struct slice text)
{
    uint64_t bits = 0;
    for (size_t i = 0; i + 3 <= text.bytes; i++) {
        uint32_t three = (uint32_t)text.data[i] << 16 | (uint32_t)text.data[i + 1] << 8 | text.data[i + 2];
        bits |= UINT64_C(1) << (three * 0x9E3779B1U >> 26);
    }
    return bits;
}

/* --- what is asked for -------------------------------------------------------------------------------------------- */

/* N-29 */
static bool read_words(struct query *query, const struct json_member *member)
{
    struct buf text = buf_of(query->text, sizeof query->text), lower;
    if (member->token == JSON_ERROR)
        return true;
    if (member->token != JSON_STRING)
        return fail(query, "query must be a string", slice_text(""));
    if (member->raw.bytes > sizeof query->text)
        return fail(query, "query must have at most 1024 bytes", slice_text(""));
    json_unescape(member->raw, &text);
    lower = buf_of(query->text, sizeof query->text);
    rnn_put_lower(&lower, buf_slice(&text));
    struct slice rest = buf_slice(&lower), word;
    while (rest.bytes > 0) {
        size_t bytes = 0;
        while (bytes < rest.bytes && rest.data[bytes] > ' ')
            bytes++;
        word = slice_of(rest.data, bytes);
        rest = slice_skip(rest, bytes < rest.bytes ? bytes + 1 : bytes);
        if (word.bytes == 0)
            continue;
        if (query->word_count == WORDS_MAX)
            return fail(query, "query must have at most 32 words", slice_text(""));
        query->words[query->word_count++] = word;
        query->signature |= node_signature(word);
    }
    return true;
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && text.data[0] == ' ')
        text = slice_skip(text, 1);
    while (text.bytes > 0 && text.data[text.bytes - 1] == ' ')
        text.bytes--;
    return text;
}

/* N-30 */
static bool read_types(struct query *query, const struct json_member *member)
{
    if (member->token == JSON_ERROR)
        return true;
    if (member->token != JSON_STRING)
        return fail(query, "service_type must be a string", slice_text(""));
    uint8_t memory[TYPES_BYTES_MAX];
    struct buf text = buf_of(memory, sizeof memory);
    json_unescape(member->raw, &text);
    if (text.overflow)
        return fail(query, "service_type must have at most 256 bytes", slice_text(""));
    struct slice rest = buf_slice(&text);
    while (rest.bytes > 0) {
        const uint8_t *comma = memchr(rest.data, ',', rest.bytes);
        size_t bytes = comma == NULL ? rest.bytes : (size_t)(comma - rest.data);
        struct slice type = trim(slice_of(rest.data, bytes));
        rest = slice_skip(rest, comma == NULL ? bytes : bytes + 1);
        if (type.bytes == 0)
            continue;
        uint64_t bit = rnn_service_bit(type);
        if (bit == 0)
            return fail(query, "Invalid service type: ", type);
        query->types |= bit;
    }
    return true;
}

/* N-32: strings all, and no more than PEERS_MAX. */
static bool read_peers(struct query *query, const struct json_member *member)
{
    struct json_reader reader;
    struct json_value value;
    uint32_t count = 0;
    query->all_peers = true;
    if (member->token == JSON_ERROR)
        return true;
    if (member->token != JSON_ARRAY_BEGIN)
        return fail(query, "peer_ids must be an array", slice_text(""));
    query->peers = member->text;
    json_init(&reader, member->text, RNN_DEPTH_MAX);
    json_next(&reader, &value);
    for (enum json_token token; (token = json_next(&reader, &value)) != JSON_ARRAY_END; count++) {
        if (token != JSON_STRING)
            return fail(query, "peer_ids must hold strings", slice_text(""));
        if (count == PEERS_MAX)
            return fail(query, "peer_ids must hold at most 1000", slice_text(""));
    }
    query->all_peers = count == 0;
    query->peer_count = count;
    return true;
}

static bool read_query(struct slice payload, struct query *query)
{
    enum { QUERY, TYPE, PEERS, ACTIVE, MEMBERS };
    struct json_member members[MEMBERS] = {
        {.name = "query"}, {.name = "service_type"}, {.name = "peer_ids"}, {.name = "active_only"}};
    memset(query, 0, offsetof(struct query, text));
    query->why[0] = '\0';
    query->id = rnn_request_id(payload);
    if (payload.bytes == 0 || json_find_members(payload, RNN_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return fail(query, "payload must be an object", slice_text(""));
    if (members[ACTIVE].token != JSON_ERROR && members[ACTIVE].token != JSON_TRUE &&
        members[ACTIVE].token != JSON_FALSE)
        return fail(query, "active_only must be true or false", slice_text(""));
    query->active_only = members[ACTIVE].token == JSON_TRUE;
    return read_words(query, &members[QUERY]) && read_types(query, &members[TYPE]) &&
           read_peers(query, &members[PEERS]);
}

static bool asks_peer(const struct query *query, struct slice id)
{
    struct json_reader reader;
    struct json_value value;
    if (query->all_peers)
        return true;
    json_init(&reader, query->peers, RNN_DEPTH_MAX);
    json_next(&reader, &value);
    while (json_next(&reader, &value) == JSON_STRING)
        if (json_raw_equal(value.raw, value.escaped, id))
            return true;
    return false;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static bool is_found(const struct query *query, const struct node_item *item)
{
    if (query->active_only && !(item->parts.number & RNN_ACTIVE))
        return false;
    if (query->types != 0 && !(item->parts.number & query->types))
        return false;
    for (uint32_t i = 0; i < query->word_count; i++)
        if (memmem(item->parts.words.data, item->parts.words.bytes, query->words[i].data, query->words[i].bytes) ==
            NULL)
            return false;
    return true;
}

void node_put_found(struct buf *out, const struct rnn_item *item, struct slice peer, struct slice name, bool first)
{
    if (!first)
        buf_put_byte(out, ',');
    buf_put(out, item->found);
    buf_put_text(out, ",\"peer_id\":");
    json_put_string(out, peer);
    buf_put_text(out, ",\"peer_name\":");
    json_put_string(out, name);
    buf_put(out, item->found_tail);
}

/* Where a search is: the peer (0: this node itself; NODE_ALL_LOOKED: none any more; else a serial), the next of its services, and
 * its serial among those that have asked live peers (0: it has asked none). */
struct cursor {
    uint64_t peer, at, live;
};

/* The first peer whose serial is at least `serial`; NULL: none. */
static struct node_peer *peer_from(struct node *node, uint64_t serial)
{
    for (struct list_node *at = list_first(&node->peers); at != NULL; at = list_next(&node->peers, at)) {
        struct node_peer *peer = list_entry(at, struct node_peer, node);
        if (peer->serial >= serial)
            return peer;
    }
    return NULL;
}

/* Looks through one list from cursor->at on. A message holds what one peer has, so once something has been found it goes on to
 * that peer's end, unless the message is full or that is far. How many were found; *done: the end was reached. */
static uint32_t look(const struct query *query, const struct node_list *list, struct slice peer, struct slice name,
                     struct cursor *cursor, uint32_t *left, struct buf *out, bool *done)
{
    uint32_t found = 0, beyond = BEYOND_PIECE_MAX;
    size_t mark = out->used;
    *done = false;
    for (; cursor->at < list->count; cursor->at++) {
        if (found == FOUND_MAX || out->used - mark > FOUND_BYTES_MAX || (*left == 0 && (found == 0 || beyond == 0)))
            return found;
        beyond -= *left == 0;
        *left -= *left > 0;
        if ((list->signatures[cursor->at] & query->signature) != query->signature)
            continue;
        const struct node_item *item = list->items[cursor->at];
        if (is_found(query, item))
            node_put_found(out, &item->parts, peer, name, found++ == 0);
    }
    *done = true;
    return found;
}

void node_put_head(struct buf *reply, uint64_t peer, uint64_t at, uint64_t live, bool last)
{
    uint8_t head[sizeof(struct rnn_search_head)];
    store_be64(head, peer);
    store_be64(head + 8, at);
    store_be64(head + 16, live);
    head[RNN_CURSOR_BYTES] = last;
    buf_put(reply, slice_of(head, sizeof head));
}

static void put_head(struct buf *reply, const struct cursor *cursor, bool last)
{
    node_put_head(reply, cursor->peer, cursor->at, cursor->live, last);
}

static void put_final(struct buf *reply, const struct query *query, const char *error)
{
    put_head(reply, &(struct cursor){0}, true);
    rnn_begin_response(reply);
    rnn_end_response(reply, error, true, query->id, query->wall_ms);
}

/* Whose services are looked through: a peer's, or (NULL) those of the node itself. */
struct place {
    const struct node_list *list;
    struct slice id, name;
};

static struct place place_of(const struct node *node, const struct node_peer *peer)
{
    if (peer == NULL)
        return (struct place){&node->lists[LIST_SERVICES], slice_text(node->peer_id),
                              slice_text(node->settings->peer_name)};
    return (struct place){&peer->services, slice_of(peer->id, peer->id_bytes), slice_of(peer->name, peer->name_bytes)};
}

/* What it has, from the cursor on, as a message behind a head. Whether anything was found; *done: all was looked at. */
static bool answer_of(const struct query *query, const struct place *place, struct cursor *cursor, uint32_t *left,
                      struct buf *reply, bool *done)
{
    size_t mark = reply->used;
    put_head(reply, cursor, false);
    rnn_begin_response(reply);
    if (look(query, place->list, place->id, place->name, cursor, left, reply, done) == 0) {
        reply->used = mark;
        return false;
    }
    rnn_end_response(reply, "", false, query->id, query->wall_ms);
    if (*done)
        *cursor = (struct cursor){.peer = cursor->peer + 1, .live = cursor->live};
    store_be64(reply->data + mark, cursor->peer);
    store_be64(reply->data + mark + 8, cursor->at);
    return true;
}

static struct node_peer *peer_behind(struct node *node, struct node_peer *peer)
{
    struct list_node *next = list_next(&node->peers, &peer->node);
    return next == NULL ? NULL : list_entry(next, struct node_peer, node);
}

/* One piece: what was found of one peer, or nothing yet, or the end. */
static void search_piece(struct node *node, const struct query *query, struct cursor *cursor, struct buf *reply)
{
    uint32_t left = SERVICES_PER_PIECE, of_peer = 1 + query->peer_count / IDS_PER_SERVICE;
    bool own = cursor->peer == 0;
    struct node_peer *peer = own ? NULL : peer_from(node, cursor->peer);
    while (left > 0 && (own || peer != NULL)) {
        uint64_t serial = own ? 0 : peer->serial;
        bool done = true;
        if (serial != cursor->peer)
            *cursor = (struct cursor){.peer = serial, .live = cursor->live};
        struct place place = place_of(node, peer);
        left -= left < of_peer ? left : of_peer;
        if (asks_peer(query, place.id) && answer_of(query, &place, cursor, &left, reply, &done))
            return;
        if (!done)
            break; /* in the middle of it */
        *cursor = (struct cursor){.peer = serial + 1, .live = cursor->live};
        peer = own ? peer_from(node, 1) : peer_behind(node, peer);
        own = false;
    }
    if (own || peer != NULL) {
        put_head(reply, cursor, false);
    } else if (cursor->live == 0) {
        put_final(reply, query, "");
    } else {
        *cursor = (struct cursor){.peer = NODE_ALL_LOOKED, .live = cursor->live};
        put_head(reply, cursor, false);
    }
}

/* What live peers answer. */
static int hear(struct node *node, const struct query *query, const struct cursor *cursor, uint64_t ticket,
                struct buf *reply)
{
    size_t mark = reply->used;
    put_head(reply, cursor, false);
    switch (node_listen(node, cursor->live, ticket, query->id, reply)) {
    case NODE_HEARD_END:
        reply->data[mark + RNN_CURSOR_BYTES] = 1;
        return 200;
    case NODE_HEARD_PART:
        return 200;
    case NODE_HEARD_NOTHING:
        break;
    }
    reply->used = mark;
    return SERVICE_LATER;
}

static bool is_asked(const void *user, struct slice peer)
{
    return asks_peer(user, peer);
}

/* What live peers are told of it: what came, as it came. */
static uint64_t ask_live(struct node *node, const struct query *query, struct slice payload)
{
    enum { QUERY, TYPE, ACTIVE, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "query"}, {.name = "service_type"}, {.name = "active_only"}};
    uint8_t memory[6 * (QUERY_BYTES_MAX + TYPES_BYTES_MAX) + 128];
    struct buf asked = buf_of(memory, sizeof memory);
    if (list_empty(&node->live) ||
        json_find_members(payload, RNN_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return 0;
    buf_put_text(&asked, "\"query\":");
    buf_put(&asked, members[QUERY].token == JSON_STRING ? members[QUERY].text : slice_text("\"\""));
    buf_put_text(&asked, ",\"service_type\":");
    buf_put(&asked, members[TYPE].token == JSON_STRING ? members[TYPE].text : slice_text("\"\""));
    buf_put_text(&asked, query->active_only ? ",\"active_only\":true" : ",\"active_only\":false");
    return asked.overflow ? 0 : node_ask(node, buf_slice(&asked), is_asked, query);
}

int node_search(struct node *node, const struct service_request *request, struct buf *reply)
{
    struct query query;
    struct slice body = request->body, payload;
    check_op(body.bytes, >=, RNN_CURSOR_BYTES);
    payload = slice_skip(body, RNN_CURSOR_BYTES);
    struct cursor cursor = {
        .peer = load_be64(body.data), .at = load_be64(body.data + 8), .live = load_be64(body.data + 16)};
    int status = 200;
    bool read = read_query(payload, &query);
    query.wall_ms = node->wall_ms;
    if (read && cursor.peer == 0 && cursor.at == 0 && cursor.live == 0)
        cursor.live = ask_live(node, &query, payload);
    if (!read)
        put_final(reply, &query, query.why);
    else if (cursor.peer == NODE_ALL_LOOKED)
        status = hear(node, &query, &cursor, request->ticket, reply);
    else
        search_piece(node, &query, &cursor, reply);
    check(!reply->overflow);
    return status;
}
