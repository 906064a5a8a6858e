/* SPDX-License-Identifier: MIT */
/* Events of aitbc, of the chain and of the market, in one stream that readers may narrow: what is published, and what a
 * reader is owed: everything that it has asked for, once, in one order for all; a fork right behind the block that
 * makes it; the end of an offer at its time. */
#ifndef RINGCAST_TESTS_SIM_SIM_EVENTS_H
#define RINGCAST_TESTS_SIM_SIM_EVENTS_H

#include "core/random.h"
#include "tests/sim/sim_model.h"

#define SIM_VIEWS 4

struct sim_world;
struct sim_client;
struct sim_frame;

/* Of struct sim_message. */
enum sim_event_type {
    SIM_NEW_BLOCK,
    SIM_TX_CONFIRMED,
    SIM_TX_PENDING,
    SIM_SYNC_STATUS,
    SIM_NEW_OFFER,
    SIM_PRICE_UPDATE,
    SIM_OFFER_CANCELLED,
    SIM_EVENT_TYPES,
};

/* The order of one view, as its readers have seen it. */
struct sim_order {
    uint32_t *next; /* by message: + 1; 0: not known */
    uint32_t *previous;
    uint32_t capacity;
};

struct sim_events {
    struct sim_order orders[SIM_VIEWS];
    uint32_t chain_series; /* of all events that are about no offer */
};

/* The offer that one publisher has on the market. */
struct sim_stall {
    uint32_t offer; /* the message that made it; SIM_NONE: none */
};

struct sim_event_view {
    uint8_t path; /* index */
    uint64_t confirmed;
    uint32_t last; /* message; SIM_NONE: none yet */
    bool last_forked;
    struct sim_seen seen, expired;
    uint32_t pings;
};

void sim_events_start(struct sim_world *world);
void sim_events_free(struct sim_world *world);

uint32_t sim_events_begin(struct sim_world *world, struct sim_stall *stall, bool market, uint32_t stream);
size_t sim_events_object(const struct sim_world *world, uint32_t message, char *out, size_t room);

void sim_events_make(struct sim_world *world, struct sim_client *client);
uint16_t sim_events_port(const struct sim_client *client);
void sim_events_path(const struct sim_client *client, char *out, size_t room);
void sim_events_on_open(struct sim_world *world, struct sim_client *client);
void sim_events_say(struct sim_world *world, struct sim_client *client);
void sim_events_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame);
const char *sim_events_complete(struct sim_world *world, const struct sim_client *client);

#endif
