/* SPDX-License-Identifier: MIT */
/* Proves the chain service against a small model of it, on random branches. Run by unit_protocol. */
#include "core/random.h"
#include "tests/unit/protocol/dialects/rustorium/chain_rig.h"

#define MODEL_BLOCKS 400
#define MODEL_TXS 12
#define MODEL_LEVELS 4

/* Everything by plain lists and no memory of its own: the branch, and which (object, level) has ever been delivered. */
struct model {
    int branch[MODEL_BLOCKS], branch_count; /* indices of blocks */
    struct {
        int name;
        int txs[4], tx_count;
    } blocks[MODEL_BLOCKS];
    int block_count;
    bool block_done[MODEL_BLOCKS][MODEL_LEVELS + 1], tx_done[MODEL_TXS][MODEL_LEVELS + 1];
    bool block_wanted[MODEL_LEVELS + 1], tx_wanted[MODEL_LEVELS + 1];
    char events[4096];
};

/* The block of the branch that carries the transaction first: later ones on the same branch do not count. */
static bool model_first(const struct model *model, int position, int slot)
{
    int tx = model->blocks[model->branch[position]].txs[slot];
    for (int p = 0; p <= position; p++)
        for (int s = 0; s < (p == position ? slot : model->blocks[model->branch[p]].tx_count); s++)
            if (model->blocks[model->branch[p]].txs[s] == tx)
                return false;
    return true;
}

static void model_deliver(struct model *model)
{
    size_t used = 0;
    model->events[0] = '\0';
    for (int level = MODEL_LEVELS; level >= 1; level--) {
        int position = model->branch_count - level;
        if (position < 0)
            continue;
        int index = model->branch[position], name = model->blocks[index].name;
        if (model->block_wanted[level] && !model->block_done[name][level]) {
            model->block_done[name][level] = true;
            used += (size_t)sprintf(model->events + used, "%d@%d ", name, level);
        }
        for (int s = 0; model->tx_wanted[level] && s < model->blocks[index].tx_count; s++) {
            int tx = model->blocks[index].txs[s];
            if (model->tx_done[tx][level] || !model_first(model, position, s))
                continue;
            model->tx_done[tx][level] = true;
            used += (size_t)sprintf(model->events + used, "t:%d@%d ", tx, level);
        }
    }
}

/* Extends the branch at a random block (mostly its head), sometimes with a block that was there before. */
static void model_step(struct model *model, struct random *random)
{
    char hash[16], parent[16], txs[64] = "";
    int keep = model->branch_count;
    if (random_chance(random, 1, 4))
        keep = (int)random_below(random, (uint64_t)model->branch_count + 1);
    int index = model->block_count++;
    model->blocks[index].name = index;
    if (keep < model->branch_count && random_chance(random, 1, 3)) { /* the same one again, and as it was */
        index = --model->block_count;
        int again = model->branch[keep];
        model->blocks[index] = model->blocks[again];
        model->block_count++;
    } else {
        model->blocks[index].tx_count = (int)random_below(random, 4);
        for (int s = 0; s < model->blocks[index].tx_count; s++)
            model->blocks[index].txs[s] = (int)random_below(random, MODEL_TXS);
    }
    snprintf(hash, sizeof hash, "%d", model->blocks[index].name);
    snprintf(parent, sizeof parent, "%d", keep == 0 ? -1 : model->blocks[model->branch[keep - 1]].name);
    for (int s = 0, used = 0; s < model->blocks[index].tx_count; s++)
        used += sprintf(txs + used, "%s\"%d\"", s == 0 ? "" : ",", model->blocks[index].txs[s]);
    model->branch_count = keep;
    model->branch[model->branch_count++] = index;
    model_deliver(model);
    cr_assert_eq(block(hash, parent, txs), 202);
    cr_assert_str_eq(events, model->events, "block %s on %s with %s", hash, parent, txs);
}

Test(chain, agrees_with_a_model_on_random_branches)
{
    static struct model model;
    struct random random;
    random_init(&random, 19);
    for (int round = 0; round < 60; round++) {
        model = (struct model){0};
        open_chain();
        for (int step = 0; step < MODEL_BLOCKS - 1; step++) {
            for (uint32_t level = 1; level <= MODEL_LEVELS; level++) {
                if (random_chance(&random, 1, 10)) {
                    model.block_wanted[level] = !model.block_wanted[level];
                    listen_to("blocks", level, model.block_wanted[level]);
                }
                if (random_chance(&random, 1, 10)) {
                    model.tx_wanted[level] = !model.tx_wanted[level];
                    listen_to("transactions", level, model.tx_wanted[level]);
                }
            }
            model_step(&model, &random);
        }
        close_chain();
    }
}
