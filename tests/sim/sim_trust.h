/* SPDX-License-Identifier: MIT */
/* Who speaks TLS with the server, and which certificate they believe: the first one until a reload, either while shards
 * take it over, only the new one from then on. */
#ifndef RINGCAST_TESTS_SIM_SIM_TRUST_H
#define RINGCAST_TESTS_SIM_SIM_TRUST_H

#include "core/random.h"
#include "tests/sim/sim_wire.h"

struct sim_world;

/* What the seed chooses of TLS. */
struct sim_tls_plan {
    uint32_t listeners;     /* a bit for each: speaks TLS; 0: TLS is left out of the run */
    bool tls12;             /* also TLS 1.2 */
    uint32_t memory;        /* what the library may hold beside the contexts; 0: no bound */
    uint32_t buffer_memory; /* of each shard; less than an operator may choose */
    uint32_t handshakes;    /* of a shard at a time */
    uint32_t updates;       /* peers change keys with one write in so many; 0: never */
    uint32_t records;       /* the server changes its key after so many records; 0: after as many as a real one */
    uint32_t intruders;
};

enum sim_belief { SIM_BELIEVES_BEFORE, SIM_BELIEVES_BEHIND, SIM_BELIEVES_BOTH, SIM_BELIEFS };

struct sim_trust {
    struct WOLFSSL_CTX *contexts[SIM_BELIEFS][2]; /* of TLS 1.3 and 1.2 */
    struct WOLFSSL_SESSION *tickets[2];
    uint64_t bytes_before; /* of the server, without shards; and with them */
    uint64_t bytes;
};

void sim_tls_plan_choose(struct sim_tls_plan *plan, struct random *random);
void sim_trust_trace(struct sim_world *world);
/* What has come of it in all shards. */
void sim_trust_trace_sum(struct sim_world *world);
/* Before the shards are made. */
void sim_trust_start(struct sim_world *world);
/* They are made, or have taken other certificates over. */
void sim_trust_on_shards(struct sim_world *world);
/* No bound on memory from here on. */
void sim_trust_calm(const struct sim_world *world);
/* Everybody has gone: the library holds for the server what it held at the start, and what it loses by a fault of
 * its own (tests/support/tls_lost.h). Fails the run otherwise. */
void sim_trust_check_empty(const struct sim_world *world);
/* The shards are gone: nothing of the library's memory may be left but that. Fails the run otherwise. */
void sim_trust_end(struct sim_world *world);
void sim_trust_free(struct sim_world *world);

bool sim_trust_speaks(const struct sim_world *world, uint16_t port);
/* sim_wire_connect, with TLS where the port speaks it. */
bool sim_trust_connect(struct sim_world *world, struct sim_wire *wire, uint16_t port, struct ring_address from);
/* Whether the server may have refused a handshake for want of memory or of places for them. */
bool sim_trust_crowded(const struct sim_world *world);
/* Whether the library has been refused memory. */
bool sim_trust_starved(const struct sim_world *world);

#endif
