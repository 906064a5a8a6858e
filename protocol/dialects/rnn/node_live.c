/* SPDX-License-Identifier: MIT */
/* Owns live peers and the searches that wait for them (I-13, N-34, N-35, Q-53): who is asked, what has come, who has not
 * answered. A live peer is a channel with a listener; it is asked there, and its answers come as requests. A search that nobody
 * goes on with ends with its time. Called by node.c and node_search.c. */
#include "protocol/dialects/rnn/node.h"

#include "core/check.h"
#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

#define FOUND_MAX 50         /* services in one message (N-34) */
#define NAMED_BYTES_MAX 2048 /* of those who have not answered */

/* A message that has been built and not been fetched: services, without request_id and end. */
struct answer {
    struct list_node node;
    size_t bytes;
    uint8_t text[];
};

enum asked { ASKED_NOT_YET, ASKED_WAITING, ASKED_ANSWERED, ASKED_GONE };

struct asked_peer {
    uint8_t state; /* enum asked */
    uint8_t id_bytes;
    char id[RNN_ID_BYTES_MAX];
};

struct node_asking {
    struct list_node node;
    uint64_t serial;
    uint64_t ticket; /* of the request that waits for the next message; 0: none */
    uint64_t deadline_ms;
    struct list answers;
    size_t answer_bytes;
    size_t query_bytes, id_bytes; /* in `texts`; the id is that of the request that waits */
    uint32_t peer_count;
    struct asked_peer *peers;
    uint8_t *query;
    uint8_t id[256];
};

/* --- live peers --------------------------------------------------------------------------------------------------- */

static struct slice id_of(const struct node_live *live)
{
    return slice_of(live->id, live->id_bytes);
}

static struct node_live *find_live(const struct node *node, struct slice id)
{
    for (struct list_node *at = list_first(&node->live); at != NULL; at = list_next(&node->live, at))
        if (slice_equal(id_of(list_entry(at, struct node_live, node)), id))
            return list_entry(at, struct node_live, node);
    return NULL;
}

static struct asked_peer *find_asked(const struct node_asking *asking, struct slice id)
{
    for (uint32_t i = 0; i < asking->peer_count; i++)
        if (slice_equal(slice_of(asking->peers[i].id, asking->peers[i].id_bytes), id))
            return &asking->peers[i];
    return NULL;
}

/* It has left: nobody waits for it any more. */
static void lose(struct node *node, struct node_live *live)
{
    for (struct list_node *at = list_first(&node->askings); at != NULL; at = list_next(&node->askings, at)) {
        struct asked_peer *asked = find_asked(list_entry(at, struct node_asking, node), id_of(live));
        if (asked != NULL && asked->state != ASKED_ANSWERED)
            asked->state = ASKED_GONE;
    }
    list_remove(&live->node);
    node->live_count--;
    free(live);
}

void node_live_interest(struct node *node, struct slice peer, struct slice name, bool added)
{
    struct node_live *live = find_live(node, peer);
    if (!added) {
        if (live != NULL && --live->classes == 0)
            lose(node, live);
        return;
    }
    if (live == NULL) { /* beyond the limit, or without memory, it is one that nobody asks */
        live = node->live_count < NODE_LIVE_MAX ? calloc(1, sizeof *live) : NULL;
        if (live == NULL)
            return;
        check(peer.bytes <= sizeof live->id && name.bytes <= sizeof live->name);
        memcpy(live->id, peer.data, peer.bytes);
        live->id_bytes = peer.bytes;
        list_push_back(&node->live, &live->node);
        node->live_count++;
    }
    if (name.bytes > 0)
        memcpy(live->name, name.data, name.bytes);
    live->name_bytes = name.bytes;
    live->classes++;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void asking_free(struct node *node, struct node_asking *asking)
{
    struct list_node *at;
    while ((at = list_pop_front(&asking->answers)) != NULL)
        free(list_entry(at, struct answer, node));
    list_remove(&asking->node);
    node->asking_count--;
    free(asking->peers);
    free(asking->query);
    free(asking);
}

void node_live_free(struct node *node)
{
    struct list_node *at;
    while ((at = list_first(&node->askings)) != NULL)
        asking_free(node, list_entry(at, struct node_asking, node));
    while ((at = list_pop_front(&node->live)) != NULL)
        free(list_entry(at, struct node_live, node));
}

static struct node_asking *find_asking(const struct node *node, uint64_t serial)
{
    for (struct list_node *at = list_first(&node->askings); at != NULL; at = list_next(&node->askings, at))
        if (list_entry(at, struct node_asking, node)->serial == serial)
            return list_entry(at, struct node_asking, node);
    return NULL;
}

/* Those of whom nobody has fetched what there was in the time of another answer are gone. */
static void forget_old(struct node *node)
{
    struct list_node *at = list_first(&node->askings), *next;
    for (; at != NULL; at = next) {
        struct node_asking *asking = list_entry(at, struct node_asking, node);
        next = list_next(&node->askings, at);
        if (asking->ticket == 0 && node->now_ms >= asking->deadline_ms + NODE_ANSWER_MS)
            asking_free(node, asking);
    }
}

uint64_t node_ask(struct node *node, struct slice query, node_wants_fn *wants, const void *user)
{
    forget_old(node);
    struct node_asking *asking = node->asking_count < NODE_ASKING_MAX ? calloc(1, sizeof *asking) : NULL;
    if (asking == NULL)
        return 0;
    list_init(&asking->answers);
    asking->peers = calloc(node->live_count, sizeof *asking->peers);
    asking->query = malloc(query.bytes);
    list_push_back(&node->askings, &asking->node);
    node->asking_count++;
    for (struct list_node *at = list_first(&node->live); at != NULL && asking->peers != NULL;
         at = list_next(&node->live, at)) {
        const struct node_live *live = list_entry(at, struct node_live, node);
        if (!wants(user, id_of(live)))
            continue;
        struct asked_peer *asked = &asking->peers[asking->peer_count++];
        asked->id_bytes = (uint8_t)live->id_bytes;
        memcpy(asked->id, live->id, live->id_bytes);
    }
    if (asking->query == NULL || asking->peer_count == 0) {
        asking_free(node, asking);
        return 0;
    }
    memcpy(asking->query, query.data, query.bytes);
    asking->query_bytes = query.bytes;
    asking->serial = ++node->asking_serial;
    asking->deadline_ms = node->now_ms + NODE_ANSWER_MS;
    return asking->serial;
}

static bool is_over(const struct node *node, const struct node_asking *asking)
{
    if (node->now_ms >= asking->deadline_ms)
        return true;
    for (uint32_t i = 0; i < asking->peer_count; i++)
        if (asking->peers[i].state == ASKED_NOT_YET || asking->peers[i].state == ASKED_WAITING)
            return false;
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* N-35 */
static void put_end(const struct node *node, const struct node_asking *asking, struct slice id, struct buf *reply)
{
    char memory[NAMED_BYTES_MAX];
    struct buf error = buf_of(memory, sizeof memory - 5);
    for (uint32_t i = 0; i < asking->peer_count; i++) {
        const struct asked_peer *asked = &asking->peers[i];
        if (asked->state == ASKED_ANSWERED)
            continue;
        if (error.capacity - error.used < sizeof asked->id + 24U) {
            buf_put_text(&error, ", ...");
            break;
        }
        buf_put_text(&error, error.used == 0 ? "No response from: " : ", ");
        buf_put(&error, slice_of(asked->id, asked->id_bytes));
    }
    memory[error.used] = '\0';
    rnn_begin_response(reply);
    rnn_end_response(reply, memory, true, id, node->wall_ms);
}

static enum node_heard take_next(struct node *node, struct node_asking *asking, struct slice id, struct buf *reply)
{
    struct list_node *at = list_pop_front(&asking->answers);
    if (at != NULL) {
        struct answer *answer = list_entry(at, struct answer, node);
        asking->answer_bytes -= answer->bytes;
        rnn_begin_response(reply);
        buf_put(reply, slice_of(answer->text, answer->bytes));
        rnn_end_response(reply, "", false, id, node->wall_ms);
        free(answer);
        return NODE_HEARD_PART;
    }
    if (!is_over(node, asking))
        return NODE_HEARD_NOTHING;
    put_end(node, asking, id, reply);
    asking_free(node, asking);
    return NODE_HEARD_END;
}

enum node_heard node_listen(struct node *node, uint64_t serial, uint64_t ticket, struct slice id, struct buf *reply)
{
    struct node_asking *asking = find_asking(node, serial);
    if (asking == NULL) { /* its time was over long ago */
        rnn_begin_response(reply);
        rnn_end_response(reply, "", true, id, node->wall_ms);
        return NODE_HEARD_END;
    }
    enum node_heard heard = take_next(node, asking, id, reply);
    if (heard != NODE_HEARD_NOTHING)
        return heard;
    check_op(id.bytes, <=, sizeof asking->id);
    asking->ticket = ticket;
    asking->id_bytes = id.bytes;
    if (id.bytes > 0)
        memcpy(asking->id, id.data, id.bytes);
    return NODE_HEARD_NOTHING;
}

/* A message of at most FOUND_MAX of the items, kept until it is fetched. */
static bool keep_answer(struct node_asking *asking, const struct node_live *live, struct slice *items)
{
    struct rnn_item item;
    struct slice look = *items;
    size_t bytes = 0;
    uint32_t count = 0;
    for (; count < FOUND_MAX && rnn_take_item(&look, &item); count++)
        bytes += item.found.bytes + item.found_tail.bytes + 6 * (live->id_bytes + live->name_bytes) + 64;
    struct answer *answer =
        asking->answer_bytes + bytes > NODE_ANSWERS_BYTES_MAX ? NULL : malloc(sizeof *answer + bytes);
    if (answer == NULL)
        return false;
    struct buf out = buf_of(answer->text, bytes);
    for (uint32_t i = 0; i < count && rnn_take_item(items, &item); i++)
        node_put_found(&out, &item, id_of(live), slice_of(live->name, live->name_bytes), i == 0);
    check(!out.overflow);
    answer->bytes = out.used;
    asking->answer_bytes += out.used;
    answer->node = (struct list_node){0};
    list_push_back(&asking->answers, &answer->node);
    return true;
}

/* Body: serial (u64), whether that was all (u8), the peer as a part, items. What comes too late is passed over. */
int node_found(struct node *node, struct slice body, struct buf *reply)
{
    uint64_t serial = load_be64(body.data);
    bool complete = body.data[8] != 0;
    struct slice peer, items = slice_skip(body, 9);
    bool whole = rnn_next_part(&items, &peer);
    check(whole);
    struct node_asking *asking = find_asking(node, serial);
    const struct node_live *live = find_live(node, peer);
    struct asked_peer *asked = asking == NULL || live == NULL ? NULL : find_asked(asking, peer);
    if (asked == NULL || asked->state != ASKED_WAITING || node->now_ms >= asking->deadline_ms)
        return 202;
    while (items.bytes > 0)
        if (!keep_answer(asking, live, &items)) {
            buf_put_text(reply, "more results than a search keeps until they are sent (4 MiB)");
            return 413;
        }
    if (complete)
        asked->state = ASKED_ANSWERED;
    return 202;
}

/* --- what follows ------------------------------------------------------------------------------------------------- */

static bool tell_question(struct node_asking *asking, struct buf *scratch, struct effect *effect)
{
    for (uint32_t i = 0; i < asking->peer_count; i++) {
        struct asked_peer *asked = &asking->peers[i];
        if (asked->state != ASKED_NOT_YET)
            continue;
        asked->state = ASKED_WAITING;
        buf_put_text(scratch, RNN_SERVING);
        buf_put(scratch, slice_of(asked->id, asked->id_bytes));
        effect->event.channel = buf_slice(scratch);
        size_t mark = scratch->used;
        buf_put_text(scratch, "{\"op\":\"search\",\"search_id\":");
        buf_put_u64(scratch, asking->serial);
        buf_put_byte(scratch, ',');
        buf_put(scratch, slice_of(asking->query, asking->query_bytes));
        buf_put_byte(scratch, '}');
        effect->kind = EFFECT_PUBLISH;
        effect->event.payload = buf_since(scratch, mark);
        effect->event.opcode = WS_TEXT;
        return true;
    }
    return false;
}

static bool tell_answer(struct node *node, struct node_asking *asking, struct buf *scratch, struct effect *effect)
{
    uint64_t ticket = asking->ticket, serial = asking->serial;
    if (ticket == 0 || (list_empty(&asking->answers) && !is_over(node, asking)))
        return false;
    asking->ticket = 0;
    node_put_head(scratch, NODE_ALL_LOOKED, 0, serial, false);
    enum node_heard heard = take_next(node, asking, slice_of(asking->id, asking->id_bytes), scratch);
    scratch->data[RNN_CURSOR_BYTES] = heard == NODE_HEARD_END;
    effect->kind = EFFECT_REPLY;
    effect->ticket = ticket;
    effect->status = 200;
    effect->body = buf_slice(scratch);
    return true;
}

bool node_live_next(struct node *node, struct buf *scratch, struct effect *effect)
{
    struct list_node *at = list_first(&node->askings), *next;
    for (; at != NULL; at = next) {
        struct node_asking *asking = list_entry(at, struct node_asking, node);
        next = list_next(&node->askings, at);
        if (tell_question(asking, scratch, effect) || tell_answer(node, asking, scratch, effect))
            return true;
    }
    return false;
}

uint64_t node_live_due(const struct node *node)
{
    uint64_t due_ms = UINT64_MAX;
    for (struct list_node *at = list_first(&node->askings); at != NULL; at = list_next(&node->askings, at)) {
        const struct node_asking *asking = list_entry(at, struct node_asking, node);
        uint64_t at_ms = asking->ticket == 0 ? UINT64_MAX : is_over(node, asking) ? node->now_ms : asking->deadline_ms;
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    return due_ms;
}
