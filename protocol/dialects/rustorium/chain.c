/* SPDX-License-Identifier: MIT */
/* Owns the order and the numbers of chain events, the count of listeners per level, and the newest values of the state.
 * It never checks shapes (the dialect has), never knows who listens, and allocates only while it takes a request.
 * The service host calls it at the home of the dialect rustorium, through the table at the end. */
#include "protocol/dialects/rustorium/chain.h"

#include "core/check.h"
#include "protocol/dialects/rustorium/chain_branch.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/dialects/rustorium/rustorium.h"
#include "protocol/json.h"
#include "protocol/service.h"

#include <stdlib.h>

/* A value of the state, or the newest ready-made transaction. */
struct chain_record {
    struct list_node node; /* of a value: in chain.values */
    size_t cost;
    struct slice key; /* escapes resolved */
    struct chain_message message;
    uint8_t bytes[];
};

/* What has still to be given out for the last request. */
enum pending {
    PENDING_NOTHING,
    PENDING_RECORD,
    PENDING_BLOCK, /* the block of the cursor */
    PENDING_TXS,   /* its transactions from cursor.tx on */
};

struct cursor {
    struct chain_block *block;
    uint32_t level; /* its confirmations */
    size_t tx;
};

struct chain {
    const struct rustorium_settings *settings;
    struct chain_branch branch;
    struct list values; /* the one that changed last at the end */
    uint32_t value_count;
    struct map value_keys; /* key -> struct chain_record */
    size_t value_bytes;
    uint64_t forgotten;                       /* blocks, for want of memory */
    struct chain_record *newest_tx;           /* its texts are short: not counted */
    uint64_t tx_count;                        /* ready-made ones taken */
    uint64_t last_block, last_tx, last_state; /* the last numbers given */
    enum pending pending;
    struct cursor cursor;
    struct event record_event;                     /* of PENDING_RECORD */
    uint32_t block_listeners[CHAIN_LEVEL_MAX + 1]; /* filter classes that want a level */
    uint32_t tx_listeners[CHAIN_LEVEL_MAX + 1];
};

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static struct chain_record *oldest_value(const struct chain *chain)
{
    return list_entry(list_first(&chain->values), struct chain_record, node);
}

static void forget_value(struct chain *chain, struct chain_record *value)
{
    list_remove(&value->node);
    map_remove(&chain->value_keys, value->key);
    chain->value_count--;
    chain->value_bytes -= value->cost;
    free(value);
}

static void trim(struct chain *chain)
{
    const struct rustorium_settings *settings = chain->settings;
    chain_branch_trim(&chain->branch);
    while (chain->value_count > settings->state_retained)
        forget_value(chain, oldest_value(chain));
    while (chain->branch.bytes + chain->value_bytes > settings->chain_memory_bytes && chain->value_count > 0)
        forget_value(chain, oldest_value(chain));
    while (chain->branch.bytes > settings->chain_memory_bytes && chain_branch_forget_oldest(&chain->branch))
        chain->forgotten++;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static int refuse(struct buf *reply, int status, const char *why)
{
    buf_put_text(reply, why);
    return status;
}

static int refuse_object(struct buf *reply, int status)
{
    switch (status) {
    case 409:
        return refuse(reply, status, "the block is already part of the branch that it extends");
    case 422:
        return refuse(reply, status, "larger than rustorium.chain_memory");
    default:
        return refuse(reply, status, "out of memory");
    }
}

/* The highest level that anybody listens to; 0: none. */
static uint32_t highest_level(const struct chain *chain)
{
    uint32_t level = CHAIN_LEVEL_MAX;
    while (level > 0 && chain->block_listeners[level] == 0 && chain->tx_listeners[level] == 0)
        level--;
    return level;
}

/* With a new head each block of the branch has one confirmation more. They are given out oldest block first, each
 * before its transactions. */
static void begin_confirmations(struct chain *chain)
{
    uint32_t highest = highest_level(chain);
    struct cursor *cursor = &chain->cursor;
    struct chain_block *block = chain_branch_head(&chain->branch);
    if (highest == 0)
        return;
    for (cursor->level = 0; block != NULL && cursor->level < highest; cursor->level++) {
        cursor->block = block;
        block = chain_branch_parent(&chain->branch, block);
    }
    chain->pending = PENDING_BLOCK;
}

static int take_block(struct chain *chain, struct slice body, struct buf *reply)
{
    bool derive = chain->settings->tx_source == RUSTORIUM_TX_DERIVE;
    int status = chain_branch_add(&chain->branch, body, derive, chain->settings->chain_memory_bytes);
    if (status != 0)
        return refuse_object(reply, status);
    begin_confirmations(chain);
    return 202;
}

/* A record in memory of its own. 0, 422 or 503. */
static int make_record(const struct chain *chain, struct slice body, const struct json_member *key,
                       struct chain_record **made)
{
    size_t key_bytes = key->escaped ? key->raw.bytes : 0;
    size_t bytes = sizeof(struct chain_record) + key_bytes + CHAIN_MESSAGE_EXTRA_BYTES + body.bytes;
    size_t cost = bytes + 2 * sizeof(struct map_entry);
    if (cost > chain->settings->chain_memory_bytes)
        return 422;
    struct chain_record *record = malloc(bytes);
    if (record == NULL)
        return 503;
    *record = (struct chain_record){.cost = cost};
    record->message = chain_message_place(record->bytes + key_bytes, body);
    struct slice raw = slice_of(record->message.data + (key->raw.data - body.data), key->raw.bytes);
    struct buf space = buf_of(record->bytes, key_bytes);
    record->key = json_resolve(raw, key->escaped, &space);
    *made = record;
    return 0;
}

static void begin_record(struct chain *chain, const struct event *event)
{
    chain->record_event = *event;
    chain->pending = PENDING_RECORD;
}

static int take_state(struct chain *chain, struct slice body, struct buf *reply)
{
    struct chain_record *value;
    struct json_member key = {.name = "key"};
    check(json_find_members(body, JSON_DEPTH_MAX, false, &key, 1) == JSON_MEMBERS_OK);
    int status = make_record(chain, body, &key, &value);
    if (status != 0)
        return refuse_object(reply, status);
    struct chain_record *before = map_get(&chain->value_keys, value->key);
    if (before != NULL)
        forget_value(chain, before);
    if (map_put(&chain->value_keys, value->key, value) != 0) {
        free(value);
        return refuse_object(reply, 503);
    }
    list_push_back(&chain->values, &value->node);
    chain->value_count++;
    chain->value_bytes += value->cost;
    begin_record(chain, &(struct event){.channel = slice_text(CHAIN_CHANNEL_STATE),
                                        .payload = chain_message_seal(&value->message, "state_update", "state",
                                                                      ++chain->last_state),
                                        .opcode = WS_TEXT,
                                        .key = value->key});
    return 202;
}

static int take_tx(struct chain *chain, struct slice body, struct buf *reply)
{
    struct chain_record *tx;
    uint64_t level = 0;
    struct json_member members[] = {{.name = "tx_hash"}, {.name = "confirmations"}};
    check(json_find_members(body, JSON_DEPTH_MAX, false, members, 2) == JSON_MEMBERS_OK);
    check(json_u64(members[1].raw, &level) && level <= UINT32_MAX);
    int status = make_record(chain, body, &members[0], &tx);
    if (status != 0)
        return refuse_object(reply, status);
    free(chain->newest_tx);
    chain->newest_tx = tx;
    chain->tx_count++;
    begin_record(chain,
                 &(struct event){.channel = slice_text(CHAIN_CHANNEL_TRANSACTIONS),
                                 .payload = chain_message_seal(&tx->message, "tx_confirmed", "tx", ++chain->last_tx),
                                 .opcode = WS_TEXT,
                                 .level = (uint32_t)level,
                                 .key = tx->key});
    return 202;
}

/* --- reading (I-15) ----------------------------------------------------------------------------------------------- */

static int reply_whole(struct buf *reply)
{
    if (!reply->overflow)
        return 200;
    buf_reset(reply);
    return refuse(reply, 503, "too large to be read");
}

static int read_head(const struct chain *chain, struct buf *reply)
{
    const struct chain_block *head = chain_branch_head(&chain->branch);
    if (head == NULL)
        return refuse(reply, 404, "No state");
    buf_put_text(reply, "{\"head\":");
    buf_put(reply, chain_message_data(&head->message));
    buf_put_text(reply, ",\"blocks\":");
    buf_put_u64(reply, chain->branch.block_count);
    buf_put_text(reply, ",\"forgotten\":");
    buf_put_u64(reply, chain->forgotten);
    buf_put_byte(reply, '}');
    return reply_whole(reply);
}

static int read_values(const struct chain *chain, struct buf *reply)
{
    if (chain->value_count == 0)
        return refuse(reply, 404, "No state");
    buf_put_text(reply, "{\"keys\":");
    buf_put_u64(reply, chain->value_count);
    buf_put_text(reply, ",\"state\":[");
    size_t first = reply->used;
    for (const struct list_node *node = chain->values.head.prev; node != &chain->values.head; node = node->prev) {
        const struct chain_record *value = list_entry(node, const struct chain_record, node);
        if (value->message.bytes + sizeof ",]}" - 1 > reply->capacity - reply->used)
            break;
        if (reply->used > first)
            buf_put_byte(reply, ',');
        buf_put(reply, chain_message_data(&value->message));
    }
    buf_put_text(reply, "]}");
    return reply_whole(reply);
}

static int read_tx(const struct chain *chain, struct buf *reply)
{
    if (chain->newest_tx == NULL)
        return refuse(reply, 404, "No state");
    buf_put_text(reply, "{\"count\":");
    buf_put_u64(reply, chain->tx_count);
    buf_put_text(reply, ",\"newest\":");
    buf_put(reply, chain_message_data(&chain->newest_tx->message));
    buf_put_byte(reply, '}');
    return reply_whole(reply);
}

/* --- giving out --------------------------------------------------------------------------------------------------- */

static struct event tx_event(struct chain *chain, const struct chain_tx *tx, uint32_t level, struct buf *out)
{
    buf_reset(out);
    buf_put_text(out, "{\"type\":\"tx_confirmed\",\"id\":\"tx");
    buf_put_u64(out, ++chain->last_tx);
    buf_put_text(out, "\",\"data\":{\"tx_hash\":");
    buf_put(out, tx->hash_text);
    buf_put_text(out, ",\"block_number\":");
    buf_put(out, tx->block->number_text);
    buf_put_text(out, ",\"timestamp\":");
    buf_put(out, tx->block->timestamp_text);
    buf_put_text(out, ",\"confirmations\":");
    buf_put_u64(out, level);
    buf_put_text(out, "}" CHAIN_MESSAGE_TAIL);
    check(!out->overflow); /* at most 1.2 KiB: a hash has at most 128 bytes, each at most 6 as an escape */
    return (struct event){.channel = slice_text(CHAIN_CHANNEL_TRANSACTIONS),
                          .payload = buf_slice(out),
                          .opcode = WS_TEXT,
                          .level = level,
                          .key = tx->hash};
}

/* The block of the cursor, unless nobody wants it at this level or it has been delivered at it. Then come its
 * transactions, on the same terms. */
static bool give_block(struct chain *chain, struct event *event)
{
    struct chain_block *block = chain->cursor.block;
    uint32_t level = chain->cursor.level;
    bool txs = chain->tx_listeners[level] > 0 && !chain_levels_has(&block->txs_delivered, level);
    chain->cursor.tx = txs ? 0 : block->tx_count;
    chain->pending = PENDING_TXS;
    if (txs)
        chain_levels_add(&block->txs_delivered, level);
    if (chain->block_listeners[level] == 0 || chain_levels_has(&block->block_delivered, level))
        return false;
    chain_levels_add(&block->block_delivered, level);
    *event = (struct event){.channel = slice_text(CHAIN_CHANNEL_BLOCKS),
                            .payload = chain_message_seal(&block->message, "new_block", "block", ++chain->last_block),
                            .opcode = WS_TEXT,
                            .level = level};
    return true;
}

/* The next transaction of the cursor's block; behind the last one the cursor moves towards the head. */
static bool give_tx(struct chain *chain, struct buf *scratch, struct event *event)
{
    struct cursor *cursor = &chain->cursor;
    while (cursor->tx < cursor->block->tx_count) {
        const struct chain_tx *tx = &cursor->block->txs[cursor->tx++];
        if (chain_tx_done(tx, cursor->level))
            continue;
        *event = tx_event(chain, tx, cursor->level, scratch);
        return true;
    }
    cursor->block = chain_branch_child(&chain->branch, cursor->block);
    cursor->level--;
    chain->pending = cursor->block == NULL ? PENDING_NOTHING : PENDING_BLOCK;
    return false;
}

static bool chain_next(void *state, struct buf *scratch, struct effect *effect)
{
    struct event *event = &effect->event;
    struct chain *chain = state;
    while (chain->pending != PENDING_NOTHING) {
        if (chain->pending == PENDING_RECORD) {
            chain->pending = PENDING_NOTHING;
            *event = chain->record_event;
            return true;
        }
        if (chain->pending == PENDING_BLOCK ? give_block(chain, event) : give_tx(chain, scratch, event))
            return true;
    }
    trim(chain); /* only now: what has just been given out had to live so long */
    return false;
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static int chain_open(void *state, const void *settings)
{
    struct chain *chain = state;
    /* those who choose hashes do not know where the memory lies; the order of the maps shows nowhere */
    struct siphash_key key = {.k0 = (uint64_t)(uintptr_t)state, .k1 = (uint64_t)(uintptr_t)&chain_service};
    chain->settings = settings;
    chain_branch_init(&chain->branch, key);
    list_init(&chain->values);
    map_init(&chain->value_keys, key);
    return 0;
}

static void chain_close(void *state)
{
    struct chain *chain = state;
    while (chain->value_count > 0)
        forget_value(chain, oldest_value(chain));
    map_free(&chain->value_keys);
    chain_branch_close(&chain->branch);
    free(chain->newest_tx);
}

static void chain_settings(void *state, const void *settings)
{
    struct chain *chain = state;
    chain->settings = settings; /* smaller bounds hold from the end of the next request */
}

static int chain_request(void *state, const struct service_request *request, struct buf *reply)
{
    struct chain *chain = state;
    check(chain->pending == PENDING_NOTHING);
    switch ((enum chain_request)request->kind) {
    case CHAIN_BLOCK:
        return take_block(chain, request->body, reply);
    case CHAIN_STATE:
        return take_state(chain, request->body, reply);
    case CHAIN_TX:
        return take_tx(chain, request->body, reply);
    case CHAIN_READ_BLOCKS:
        return read_head(chain, reply);
    case CHAIN_READ_STATE:
        return read_values(chain, reply);
    case CHAIN_READ_TX:
        return read_tx(chain, reply);
    }
    check_op(request->kind, <=, CHAIN_READ_TX);
    return refuse(reply, 404, "no such request");
}

static void chain_interest(void *state, struct slice channel, struct slice variant, bool added)
{
    struct chain *chain = state;
    uint32_t *listeners = slice_is(channel, CHAIN_CHANNEL_BLOCKS)         ? chain->block_listeners
                          : slice_is(channel, CHAIN_CHANNEL_TRANSACTIONS) ? chain->tx_listeners
                                                                          : NULL;
    struct chain_filter filter;
    while (listeners != NULL && chain_filter_next(&variant, &filter)) {
        check_op(filter.level, <=, CHAIN_LEVEL_MAX);
        check(added || listeners[filter.level] > 0);
        if (added)
            listeners[filter.level]++;
        else
            listeners[filter.level]--;
    }
}

const struct service chain_service = {
    .name = "chain",
    .state_bytes = sizeof(struct chain),
    .open = chain_open,
    .close = chain_close,
    .settings = chain_settings,
    .request = chain_request,
    .next = chain_next,
    .interest = chain_interest,
};
