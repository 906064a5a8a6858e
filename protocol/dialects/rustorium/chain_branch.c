/* SPDX-License-Identifier: MIT */
/* Owns the blocks of the current branch and of abandoned ones, and the map of their transactions.
 * It never delivers, never checks shapes (the dialect has), and allocates only while it takes a block.
 * The chain service calls it for each block that is ingested and walks the branch to give confirmations out. */
#include "protocol/dialects/rustorium/chain_branch.h"

#include "core/check.h"
#include "protocol/json.h"

#include <stdlib.h>

static void levels_merge(struct chain_levels *into, const struct chain_levels *from)
{
    for (size_t i = 0; i < sizeof into->words / sizeof into->words[0]; i++)
        into->words[i] |= from->words[i];
}

static struct chain_block *block_of(struct list_node *node)
{
    return node == NULL ? NULL : list_entry(node, struct chain_block, node);
}

void chain_branch_init(struct chain_branch *branch, struct siphash_key key)
{
    *branch = (struct chain_branch){0};
    list_init(&branch->blocks);
    list_init(&branch->abandoned);
    map_init(&branch->txs, key);
}

struct chain_block *chain_branch_head(const struct chain_branch *branch)
{
    return list_empty(&branch->blocks) ? NULL : block_of(branch->blocks.head.prev);
}

struct chain_block *chain_branch_parent(const struct chain_branch *branch, const struct chain_block *block)
{
    return block->node.prev == &branch->blocks.head ? NULL : block_of(block->node.prev);
}

struct chain_block *chain_branch_child(const struct chain_branch *branch, const struct chain_block *block)
{
    return block_of(list_next(&branch->blocks, &block->node));
}

/* --- forgetting --------------------------------------------------------------------------------------------------- */

/* Takes the transactions of a block out of the map, as far as they stand there, and frees it. It is in no list. */
static void free_block(struct chain_branch *branch, struct chain_block *block)
{
    for (size_t i = 0; i < block->tx_count; i++) {
        struct chain_tx *tx = &block->txs[i];
        if (map_get(&branch->txs, tx->hash) == tx)
            map_remove(&branch->txs, tx->hash);
        free(tx->delivered_before);
    }
    free(block);
}

static void forget(struct chain_branch *branch, struct chain_block *block)
{
    list_remove(&block->node);
    if (block->abandoned)
        branch->abandoned_count--;
    else
        branch->block_count--;
    branch->bytes -= block->cost;
    free_block(branch, block);
}

void chain_branch_trim(struct chain_branch *branch)
{
    while (branch->block_count > CHAIN_BLOCKS_MAX)
        forget(branch, block_of(list_first(&branch->blocks)));
    while (branch->abandoned_count > CHAIN_BLOCKS_MAX)
        forget(branch, block_of(list_first(&branch->abandoned)));
}

bool chain_branch_forget_oldest(struct chain_branch *branch)
{
    struct chain_block *block = block_of(list_first(&branch->blocks));
    struct chain_block *lost = block_of(list_first(&branch->abandoned));
    if (lost == NULL && branch->block_count <= 1)
        return false;
    forget(branch, lost != NULL && lost->serial < block->serial ? lost : block); /* the head has the highest serial */
    return true;
}

void chain_branch_close(struct chain_branch *branch)
{
    struct list_node *node;
    while ((node = list_pop_front(&branch->blocks)) != NULL || (node = list_pop_front(&branch->abandoned)) != NULL)
        free_block(branch, block_of(node));
    map_free(&branch->txs);
}

/* --- making a block ----------------------------------------------------------------------------------------------- */

enum { NUMBER, HASH, PARENT_HASH, TIMESTAMP, TRANSACTIONS, MEMBERS };

static void read_members(struct slice data, struct json_member members[MEMBERS])
{
    static const char *const names[] = {"number", "hash", "parent_hash", "timestamp", "transactions"};
    for (size_t i = 0; i < MEMBERS; i++)
        members[i].name = names[i];
    check(json_find_members(data, JSON_DEPTH_MAX, false, members, MEMBERS) == JSON_MEMBERS_OK);
}

static void begin_hashes(struct json_reader *list, struct slice text)
{
    struct json_value begin;
    json_init(list, text, 1);
    check(json_next(list, &begin) == JSON_ARRAY_BEGIN);
}

/* How many transactions there are; adds what the escaped ones take when resolved. */
static size_t count_txs(struct slice text, size_t *escaped_bytes)
{
    struct json_reader list;
    struct json_value hash;
    size_t count = 0;
    begin_hashes(&list, text);
    for (; json_next(&list, &hash) == JSON_STRING; count++)
        *escaped_bytes += hash.escaped ? hash.raw.bytes : 0;
    return count;
}

static void fill_txs(struct chain_block *block, struct slice text, struct buf *space)
{
    struct json_reader list;
    struct json_value hash;
    begin_hashes(&list, text);
    for (size_t i = 0; i < block->tx_count; i++) {
        check(json_next(&list, &hash) == JSON_STRING);
        block->txs[i] = (struct chain_tx){.hash = json_resolve(hash.raw, hash.escaped, space),
                                          .hash_text = slice_of(hash.raw.data - 1, hash.raw.bytes + 2),
                                          .block = block};
    }
}

/* A block in one piece of memory, in no list and no map. 0, 422 or 503. */
static int make_block(struct slice data, bool derive_txs, size_t bytes_max, struct chain_block **made)
{
    struct json_member members[MEMBERS];
    read_members(data, members);
    size_t escaped_bytes = 0, tx_count = derive_txs ? count_txs(members[TRANSACTIONS].text, &escaped_bytes) : 0;
    for (size_t i = HASH; i <= PARENT_HASH; i++)
        escaped_bytes += members[i].escaped ? members[i].raw.bytes : 0;
    size_t struct_bytes = sizeof(struct chain_block) + tx_count * sizeof(struct chain_tx);
    size_t bytes = struct_bytes + escaped_bytes + CHAIN_MESSAGE_EXTRA_BYTES + data.bytes;
    size_t cost = bytes + tx_count * 2 * sizeof(struct map_entry); /* a map is about half full */
    if (cost > bytes_max)
        return 422;
    struct chain_block *block = malloc(bytes);
    if (block == NULL)
        return 503;
    struct buf space = buf_of((uint8_t *)block + struct_bytes, escaped_bytes);
    *block = (struct chain_block){.cost = cost, .tx_count = tx_count};
    block->message = chain_message_place(space.data + escaped_bytes, data);
    read_members(chain_message_data(&block->message), members);
    block->hash = json_resolve(members[HASH].raw, members[HASH].escaped, &space);
    block->parent_hash = json_resolve(members[PARENT_HASH].raw, members[PARENT_HASH].escaped, &space);
    block->number_text = members[NUMBER].text;
    block->timestamp_text = members[TIMESTAMP].text;
    fill_txs(block, members[TRANSACTIONS].text, &space);
    check(!space.overflow);
    *made = block;
    return 0;
}

/* --- joining it to the branch ------------------------------------------------------------------------------------- */

static struct chain_block *find_on_branch(const struct chain_branch *branch, struct slice hash)
{
    struct chain_block *at = chain_branch_head(branch);
    while (at != NULL && !slice_equal(at->hash, hash))
        at = chain_branch_parent(branch, at);
    return at;
}

/* Whether the block stays on the branch when it goes on from `fork` (NULL: from nothing). */
static bool stays(const struct chain_block *block, const struct chain_block *fork)
{
    return !block->abandoned && fork != NULL && block->serial <= fork->serial;
}

/* The same block may have come before and be abandoned: its levels are taken over. False when it stays on the branch,
 * and so would be its own ancestor. */
static bool recall_block(const struct chain_branch *branch, struct chain_block *block, const struct chain_block *fork)
{
    const struct list *lists[] = {&branch->blocks, &branch->abandoned};
    for (size_t i = 0; i < 2; i++) {
        for (struct list_node *node = list_first(lists[i]); node != NULL; node = list_next(lists[i], node)) {
            const struct chain_block *other = block_of(node);
            if (!slice_equal(other->hash, block->hash))
                continue;
            if (stays(other, fork))
                return false;
            levels_merge(&block->block_delivered, &other->block_delivered);
        }
    }
    return true;
}

/* The levels at which a transaction was delivered out of abandoned blocks; NULL when memory is out. */
static struct chain_levels *recall_tx(const struct chain_tx *before)
{
    struct chain_levels *levels = malloc(sizeof *levels);
    if (levels == NULL)
        return NULL;
    *levels = before->block->txs_delivered;
    if (before->delivered_before != NULL)
        levels_merge(levels, before->delivered_before);
    return levels;
}

/* Enters new hashes into the map and gathers what is known of those that are there. False when memory is out;
 * free_block undoes it. */
static bool enter_txs(struct chain_branch *branch, struct chain_block *block, const struct chain_block *fork)
{
    for (size_t i = 0; i < block->tx_count; i++) {
        struct chain_tx *tx = &block->txs[i], *before = map_get(&branch->txs, tx->hash);
        if (before == NULL) {
            if (map_put(&branch->txs, tx->hash, tx) != 0)
                return false;
        } else if (before->block == block || stays(before->block, fork)) {
            tx->silent = true;
        } else {
            tx->delivered_before = recall_tx(before);
            if (tx->delivered_before == NULL)
                return false;
            block->cost += sizeof *tx->delivered_before;
        }
    }
    return true;
}

/* Puts the inclusions of this block in the place of those in abandoned blocks; cannot fail. */
static void replace_txs(struct chain_branch *branch, struct chain_block *block)
{
    for (size_t i = 0; i < block->tx_count; i++) {
        struct chain_tx *tx = &block->txs[i];
        if (tx->delivered_before == NULL)
            continue;
        const struct chain_tx *before = map_get(&branch->txs, tx->hash);
        if (before->block == block) { /* named twice in it */
            tx->silent = true;
            continue;
        }
        map_remove(&branch->txs, tx->hash);
        check(map_put(&branch->txs, tx->hash, tx) == 0); /* no larger than before, so nothing is allocated */
    }
}

/* Takes all behind `fork` off the branch (NULL: all). */
static void abandon_behind(struct chain_branch *branch, const struct chain_block *fork)
{
    struct chain_block *next;
    while ((next = fork == NULL ? block_of(list_first(&branch->blocks)) : chain_branch_child(branch, fork)) != NULL) {
        list_remove(&next->node);
        list_push_back(&branch->abandoned, &next->node);
        next->abandoned = true;
        branch->block_count--;
        branch->abandoned_count++;
    }
}

int chain_branch_add(struct chain_branch *branch, struct slice data, bool derive_txs, size_t bytes_max)
{
    struct chain_block *block;
    int status = make_block(data, derive_txs, bytes_max, &block);
    if (status != 0)
        return status;
    const struct chain_block *fork = find_on_branch(branch, block->parent_hash);
    if (!recall_block(branch, block, fork))
        status = 409;
    else if (!enter_txs(branch, block, fork))
        status = 503;
    if (status != 0) {
        free_block(branch, block);
        return status;
    }
    abandon_behind(branch, fork);
    replace_txs(branch, block);
    block->serial = ++branch->serial;
    list_push_back(&branch->blocks, &block->node);
    branch->block_count++;
    branch->bytes += block->cost;
    return 0;
}
