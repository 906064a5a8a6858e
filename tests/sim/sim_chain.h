/* SPDX-License-Identifier: MIT */
/* The chain of rustorium: blocks by one publisher, now and then on another branch, and what a listener with so many
 * confirmations is owed: each block when it has them, once, in the order of the branch, its transaction right behind
 * it, and nothing of an abandoned branch. */
#ifndef RINGCAST_TESTS_SIM_SIM_CHAIN_H
#define RINGCAST_TESTS_SIM_SIM_CHAIN_H

#include "core/random.h"
#include "tests/sim/sim_model.h"

#define SIM_LEVELS 4 /* confirmations that clients ask for */
#define SIM_BRANCH_MAX 16

struct sim_world;
struct sim_client;

struct sim_block {
    uint32_t message, parent;      /* parent SIM_NONE: one that nobody knows */
    uint32_t number;               /* height */
    uint32_t triggers[SIM_LEVELS]; /* the block that gives it so many confirmations first; SIM_NONE: none has */
    bool again[SIM_LEVELS];        /* another one did so later: it comes then if nobody listened before */
};

struct sim_chain {
    uint32_t series; /* of its messages */
    struct sim_block *blocks;
    uint32_t count, capacity;
    uint32_t branch[SIM_BRANCH_MAX]; /* indices of blocks, the head last */
    uint32_t branch_count;
    bool broken; /* a block was refused or is undecided: from then on the home's branch is not known */
};

/* One of a client's two subscriptions. */
struct sim_chain_channel {
    uint64_t asked, confirmed;
    uint32_t last;        /* index of a block; SIM_NONE */
    uint64_t last_number; /* of the event */
    struct sim_seen seen;
};

struct sim_chain_view {
    uint32_t level; /* 1-SIM_LEVELS */
    struct sim_chain_channel blocks, transactions;
    uint32_t last_block; /* the chain's last event was this one's; SIM_NONE: a transaction */
};

void sim_chain_start(struct sim_world *world);
void sim_chain_free(struct sim_world *world);

/* The next block for its publisher; bytes. */
size_t sim_chain_begin(struct sim_world *world, uint32_t stream, char *out, size_t room, uint32_t *message);
/* The message was refused, or nobody knows. */
void sim_chain_lost(struct sim_world *world, uint32_t message);

void sim_chain_make(struct sim_world *world, struct sim_client *client);
/* The text of the next subscription that the client lacks (`data` of the request), and which it is; NULL: it has
 * both. */
struct sim_chain_channel *sim_chain_subscribe(struct sim_world *world, struct sim_client *client, char *data,
                                              size_t room);
/* An event has come. NULL, or what is wrong. */
const char *sim_chain_hear_block(struct sim_world *world, struct sim_client *client, struct slice text);
const char *sim_chain_hear_transaction(struct sim_world *world, struct sim_client *client, struct slice text);
const char *sim_chain_complete(struct sim_world *world, const struct sim_client *client);

#endif
