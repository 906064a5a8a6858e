/* SPDX-License-Identifier: MIT */
/* Owns the blocks that are published, the branch on which they stand, and the judgement of who listens to them.
 * It never looks at how the server counts confirmations: a block has as many as there are blocks from it to the head.
 * Called by sim_talk.c for clients of rustorium and by publishers for the blocks. */
#include "tests/sim/sim_chain.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>
#include <stdlib.h>

#define BACK_MAX 3 /* blocks that a new branch leaves */

void sim_chain_start(struct sim_world *world)
{
    world->chain.series = sim_model_series(&world->model);
}

void sim_chain_free(struct sim_world *world)
{
    free(world->chain.blocks);
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static struct sim_block *add_block(struct sim_chain *chain)
{
    if (chain->count == chain->capacity) {
        chain->capacity = chain->capacity == 0 ? 256 : chain->capacity * 2;
        chain->blocks = realloc(chain->blocks, chain->capacity * sizeof *chain->blocks);
        check(chain->blocks != NULL);
    }
    return &chain->blocks[chain->count++];
}

/* Where the next block goes: on the head, on a block behind it, or on one that nobody knows. */
static void choose_branch(struct sim_chain *chain, struct random *random)
{
    uint32_t back = random_chance(random, 1, 8) ? 1 + (uint32_t)random_below(random, BACK_MAX) : 0;
    if (random_chance(random, 1, 60))
        back = chain->branch_count;
    chain->branch_count -= back < chain->branch_count ? back : chain->branch_count;
    if (chain->branch_count == SIM_BRANCH_MAX) {
        memmove(chain->branch, chain->branch + 1, (SIM_BRANCH_MAX - 1) * sizeof chain->branch[0]);
        chain->branch_count--;
    }
}

static size_t put_block(const struct sim_chain *chain, uint32_t index, char *out, size_t room)
{
    const struct sim_block *block = &chain->blocks[index];
    char stamp[SIM_STAMP_BYTES], parent[16] = "unknown";
    sim_text_stamp(stamp, block->message);
    if (block->parent != SIM_NONE)
        snprintf(parent, sizeof parent, "h%08u", block->parent);
    return (size_t)snprintf(out, room,
                            "{\"number\":%u,\"hash\":\"h%08u\",\"parent_hash\":\"%s\",\"timestamp\":\"%s\","
                            "\"transactions\":[\"t%08u\"]}",
                            block->number, index, parent, stamp, index);
}

size_t sim_chain_begin(struct sim_world *world, uint32_t stream, char *out, size_t room, uint32_t *message)
{
    struct sim_chain *chain = &world->chain;
    uint32_t index = chain->count;
    struct sim_block *block = add_block(chain);
    choose_branch(chain, &world->random);
    *block = (struct sim_block){.parent = SIM_NONE, .number = 1 + (uint32_t)random_below(&world->random, 1000)};
    if (chain->branch_count > 0) {
        block->parent = chain->branch[chain->branch_count - 1];
        block->number = chain->blocks[block->parent].number + 1;
    }
    *message = block->message = sim_model_begin(
        &world->model,
        &(struct sim_message){.channel = SIM_NONE, .stream = stream, .form = SIM_BLOCK, .key = chain->series});
    for (int i = 0; i < SIM_LEVELS; i++)
        block->triggers[i] = SIM_NONE;
    chain->branch[chain->branch_count++] = index;
    for (uint32_t level = 1; level <= SIM_LEVELS && level <= chain->branch_count; level++) {
        struct sim_block *confirmed = &chain->blocks[chain->branch[chain->branch_count - level]];
        confirmed->again[level - 1] = confirmed->triggers[level - 1] != SIM_NONE;
        if (!confirmed->again[level - 1])
            confirmed->triggers[level - 1] = index;
    }
    return put_block(chain, index, out, room);
}

void sim_chain_lost(struct sim_world *world, uint32_t message)
{
    if (message != SIM_NONE && world->model.messages[message].form == SIM_BLOCK)
        world->chain.broken = true;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

void sim_chain_make(struct sim_world *world, struct sim_client *client)
{
    client->chain = (struct sim_chain_view){.level = 1 + (uint32_t)random_below(&world->random, SIM_LEVELS),
                                            .blocks = {.last = SIM_NONE},
                                            .transactions = {.last = SIM_NONE},
                                            .last_block = SIM_NONE};
}

struct sim_chain_channel *sim_chain_subscribe(struct sim_world *world, struct sim_client *client, char *data,
                                              size_t room)
{
    struct sim_chain_view *view = &client->chain;
    struct sim_chain_channel *channel = view->blocks.asked == 0 ? &view->blocks : &view->transactions;
    if (channel->asked != 0)
        return NULL;
    channel->asked = sim_model_now(&world->model);
    snprintf(data, room, "{\"channel\":\"%s\",\"filter\":{\"confirmations\":%u}}",
             channel == &view->blocks ? "blocks" : "transactions", view->level);
    return channel;
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

/* The block that gives this one the confirmations that the client waits for. */
static uint32_t trigger_of(const struct sim_world *world, const struct sim_client *client, uint32_t index)
{
    return world->chain.blocks[index].triggers[client->chain.level - 1];
}

/* Whether its place in the order is known. */
static bool is_placed(const struct sim_world *world, const struct sim_client *client, uint32_t index)
{
    return index != SIM_NONE && !world->chain.broken && !world->chain.blocks[index].again[client->chain.level - 1];
}

static const struct sim_message *message_of(const struct sim_world *world, uint32_t index)
{
    return &world->model.messages[world->chain.blocks[index].message];
}

static const char *judge(struct sim_world *world, struct sim_client *client, struct sim_chain_channel *channel,
                         uint32_t index, uint64_t number)
{
    uint32_t trigger = trigger_of(world, client, index);
    if (channel->asked == 0)
        return "an event that was not asked for";
    if (message_of(world, index)->fate == SIM_REFUSED)
        return "of a block that was refused";
    if (number <= channel->last_number)
        return "event numbers do not rise";
    if (sim_seen_has(&channel->seen, index))
        return "for the second time";
    if (trigger == SIM_NONE)
        return "of a block without so many confirmations";
    if (is_placed(world, client, index) && is_placed(world, client, channel->last) &&
        trigger_of(world, client, channel->last) >= trigger)
        return "out of order";
    channel->last_number = number;
    channel->last = index;
    sim_seen_add(&channel->seen, index);
    world->model.deliveries++;
    return NULL;
}

const char *sim_chain_hear_block(struct sim_world *world, struct sim_client *client, struct slice text)
{
    char expected[256];
    uint32_t index = sim_text_number(sim_text_between(text, "\"hash\":\"h", '"'));
    struct slice number = sim_text_between(text, "\"id\":\"block", '"'), data = sim_text_behind(text, "\"data\":");
    if (index >= world->chain.count)
        return "a block that nobody published";
    size_t bytes = put_block(&world->chain, index, expected, sizeof expected);
    if (!slice_starts(data, slice_of(expected, bytes)) || !slice_is(slice_skip(data, bytes), ",\"error\":null}"))
        return "a block that was not published so";
    client->chain.last_block = index;
    return judge(world, client, &client->chain.blocks, index, sim_text_number(number));
}

const char *sim_chain_hear_transaction(struct sim_world *world, struct sim_client *client, struct slice text)
{
    char expected[256], stamp[SIM_STAMP_BYTES];
    struct sim_chain_view *view = &client->chain;
    uint32_t index = sim_text_number(sim_text_between(text, "\"tx_hash\":\"t", '"'));
    struct slice number = sim_text_between(text, "\"id\":\"tx", '"'), data = sim_text_behind(text, "\"data\":");
    if (index >= world->chain.count)
        return "a transaction that nobody published";
    sim_text_stamp(stamp, world->chain.blocks[index].message);
    snprintf(expected, sizeof expected,
             "{\"tx_hash\":\"t%08u\",\"block_number\":%u,\"timestamp\":\"%s\",\"confirmations\":%u},\"error\":null}",
             index, world->chain.blocks[index].number, stamp, view->level);
    if (!slice_is(data, expected))
        return "a transaction that was not published so";
    const char *wrong = judge(world, client, &view->transactions, index, sim_text_number(number));
    uint32_t trigger = trigger_of(world, client, index);
    bool both = wrong == NULL && is_placed(world, client, index) && view->blocks.confirmed != 0 &&
                view->blocks.confirmed < message_of(world, trigger)->begun;
    if (both && view->last_block != index)
        return "a transaction that is not behind its block";
    view->last_block = SIM_NONE;
    return wrong;
}

static const char *complete(const struct sim_world *world, const struct sim_client *client,
                            const struct sim_chain_channel *channel)
{
    for (uint32_t i = 0; channel->confirmed != 0 && i < world->chain.count; i++) {
        uint32_t trigger = trigger_of(world, client, i);
        if (trigger == SIM_NONE || message_of(world, trigger)->fate != SIM_ACCEPTED ||
            message_of(world, trigger)->begun < channel->confirmed)
            continue;
        if (!sim_seen_has(&channel->seen, i))
            return "a block or transaction has not arrived at its confirmations";
    }
    return NULL;
}

const char *sim_chain_complete(struct sim_world *world, const struct sim_client *client)
{
    if (world->chain.broken)
        return NULL;
    const char *wrong = complete(world, client, &client->chain.blocks);
    return wrong != NULL ? wrong : complete(world, client, &client->chain.transactions);
}
