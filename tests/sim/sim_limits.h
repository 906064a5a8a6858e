/* SPDX-License-Identifier: MIT */
/* Who may be refused: how many connections of an address or a key there may be, seen from outside. A place counts from
 * the connect on, and for a while behind the end that the client saw, since the server may see it later. */
#ifndef RINGCAST_TESTS_SIM_SIM_LIMITS_H
#define RINGCAST_TESTS_SIM_SIM_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_HOLDERS_MAX 256

struct sim_world;
struct sim_client;

struct sim_holder {
    uint64_t from_ms, until_ms; /* until UINT64_MAX: connected */
    uint32_t address;
    uint32_t dialect; /* enum sim_kind */
    uint32_t key;     /* of rustorium */
    bool present;
    bool accepted; /* it is certain that it was let in */
};

struct sim_limits {
    struct sim_holder holders[SIM_HOLDERS_MAX]; /* by the client's number */
};

void sim_limits_begin(struct sim_world *world, const struct sim_client *client);
void sim_limits_end(struct sim_world *world, const struct sim_client *client);

/* Whether the limit of its dialect and address may be reached without this client. */
bool sim_limits_address_full(const struct sim_world *world, const struct sim_client *client);
/* Likewise that of all connections of the address. */
bool sim_limits_crowded(const struct sim_world *world, const struct sim_client *client);
/* Likewise the places of its key, or the attempts of its key or address in a minute. */
bool sim_limits_key_full(const struct sim_world *world, const struct sim_client *client);

/* A client of rustorium has been let in: whether that is one attempt too many of its key or address. */
bool sim_limits_exceeded(struct sim_world *world, const struct sim_client *client);

#endif
