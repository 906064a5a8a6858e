/* SPDX-License-Identifier: MIT */
/* Publishers as state machines: one connection after another to the ingest listener, by HTTP or by the publisher
 * WebSocket. Each connection is a stream of its own: what is sent on it is ordered, between two of them nothing is. */
#ifndef RINGCAST_TESTS_SIM_SIM_PUBLISHER_H
#define RINGCAST_TESTS_SIM_SIM_PUBLISHER_H

#include "tests/sim/sim_objects.h"
#include "tests/sim/sim_wire.h"
#include "tests/sim/sim_world.h"

#define SIM_OUTSTANDING_MAX 1200 /* more than the server takes before it has acknowledged the first */

enum sim_way { SIM_BY_REQUEST, SIM_BY_BATCH, SIM_BY_SOCKET, SIM_WAYS };

struct sim_outstanding {
    uint32_t message; /* SIM_NONE: a block, which is not followed */
    uint64_t seq;     /* by socket */
    bool refused;     /* by socket: a nack has come */
    bool unframed;    /* refused for want of frame memory */
};

struct sim_publisher {
    uint32_t number;
    enum sim_way way;
    struct sim_wire wire;
    bool open;   /* by socket: upgraded */
    bool floods; /* by socket: will send more at once than the server takes */
    uint32_t stream;
    uint64_t wake_ms;
    uint64_t seq;
    uint64_t acknowledged; /* the last cumulative acknowledgement */
    struct sim_objects objects;
    struct sim_outstanding outstanding[SIM_OUTSTANDING_MAX];
    uint32_t outstanding_count;
    uint32_t accepted, refused, undecided; /* messages, for the summary */
};

void sim_publisher_make(struct sim_world *world, struct sim_publisher *publisher, uint32_t number);
/* Whether anything happened. */
bool sim_publisher_step(struct sim_world *world, struct sim_publisher *publisher, bool may_publish);
void sim_publisher_check_rest(struct sim_world *world, struct sim_publisher *publisher);
/* Lets its connection go. */
void sim_publisher_leave(struct sim_publisher *publisher);
void sim_publisher_free(struct sim_publisher *publisher);

#endif
