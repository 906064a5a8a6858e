/* SPDX-License-Identifier: MIT */
/* The blocks of a chain: the current branch, and the memory of abandoned ones, so that nothing is delivered twice
 * . What is delivered, and to whom, is decided by the caller; here stands at which levels it was.
 *
 *   branch     oldest first, each block the parent of the next, the last is the head; serials rise
 *   abandoned  blocks that a reorganisation took off the branch, in the order of leaving; never delivered again
 *   txs        a hash -> the one inclusion of it that counts: the one on the branch if there is one, else the last
 *   bytes      the sum of the costs of all blocks: their memory, and their share of the map
 */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_BRANCH_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_BRANCH_H

#include "core/list.h"
#include "core/map.h"
#include "protocol/dialects/rustorium/chain_message.h"

#define CHAIN_BLOCKS_MAX 1000 /* of the branch, and of abandoned ones */
#define CHAIN_LEVEL_MAX 1000  /* confirmations that can be asked for */

/* A set of levels, 1-CHAIN_LEVEL_MAX. */
struct chain_levels {
    uint64_t words[CHAIN_LEVEL_MAX / 64 + 1];
};

/* A transaction in a block. */
struct chain_tx {
    struct slice hash;      /* escapes resolved */
    struct slice hash_text; /* as JSON, quotes included */
    struct chain_block *block;
    struct chain_levels *delivered_before; /* owned: levels delivered out of abandoned blocks; NULL: none */
    bool silent;                           /* another inclusion counts */
};

struct chain_block {
    struct list_node node;
    uint64_t serial;
    size_t cost;
    bool abandoned;
    struct chain_levels block_delivered; /* levels at which the block was delivered */
    struct chain_levels txs_delivered;   /* levels at which its transactions were */
    struct slice hash;                   /* escapes resolved */
    struct slice parent_hash;
    struct slice number_text;    /* as JSON */
    struct slice timestamp_text; /* as JSON */
    struct chain_message message;
    size_t tx_count;
    struct chain_tx txs[]; /* then the bytes that the slices point at */
};

struct chain_branch {
    struct list blocks;
    struct list abandoned;
    uint32_t block_count, abandoned_count;
    struct map txs;
    size_t bytes;
    uint64_t serial;
};

void chain_branch_init(struct chain_branch *branch, struct siphash_key key);
void chain_branch_close(struct chain_branch *branch);

/* Takes a block (the normalised data object, see chain.h) as the new head. A parent other than the head replaces what
 * came behind that parent, or all of it when the parent is not on the branch. Without `derive_txs` its transactions are
 * not entered. 0; 409 when it is already part of the branch that it extends; 422 when it alone would cost more than
 * bytes_max; 503 when memory is out: nothing has changed then. */
int chain_branch_add(struct chain_branch *branch, struct slice data, bool derive_txs, size_t bytes_max);
/* Drops the blocks beyond CHAIN_BLOCKS_MAX. */
void chain_branch_trim(struct chain_branch *branch);
/* Drops the oldest block; false when only the head is left. */
bool chain_branch_forget_oldest(struct chain_branch *branch);

/* Along the branch; NULL at its ends. */
struct chain_block *chain_branch_head(const struct chain_branch *branch);
struct chain_block *chain_branch_parent(const struct chain_branch *branch, const struct chain_block *block);
struct chain_block *chain_branch_child(const struct chain_branch *branch, const struct chain_block *block);

static inline bool chain_levels_has(const struct chain_levels *levels, uint32_t level)
{
    return (levels->words[level / 64] >> (level % 64) & 1) != 0;
}

static inline void chain_levels_add(struct chain_levels *levels, uint32_t level)
{
    levels->words[level / 64] |= UINT64_C(1) << (level % 64);
}

/* Whether this inclusion of the transaction is not to be delivered at the level. */
static inline bool chain_tx_done(const struct chain_tx *tx, uint32_t level)
{
    return tx->silent || (tx->delivered_before != NULL && chain_levels_has(tx->delivered_before, level));
}

#endif
