/* SPDX-License-Identifier: MIT */
/* Clients and objects of the dialect crypto, and what a subscriber is owed: at each tick of a service its newest
 * object, on the service's grid of times; after a subscription the object that there is; nothing after the end of
 * one. */
#ifndef RINGCAST_TESTS_SIM_SIM_CRYPTO_H
#define RINGCAST_TESTS_SIM_SIM_CRYPTO_H

#include "tests/sim/sim_model.h"
#include "tests/sim/sim_work.h"

struct sim_world;
struct sim_client;
struct sim_frame;

/* One service, as one client sees it. */
struct sim_topic {
    bool wanted;               /* from the command on */
    bool had;                  /* there was an object when it asked: one has to come before the next answer */
    uint64_t asked, confirmed; /* 0: not yet */
    uint64_t confirmed_ms;
    uint32_t last; /* message; SIM_NONE: none yet */
    uint32_t count;
    uint64_t last_ms;    /* the server's time in the last update */
    uint32_t calm_count; /* updates in the calm part of the run */
};

struct sim_crypto_view {
    uint8_t path; /* index */
    bool greeted;
    struct sim_topic topics[SIM_SERVICES];
};

/* What all readers have learned of a service. */
struct sim_grid {
    bool known;
    uint64_t phase_ms; /* time of a tick modulo the interval */
};

/* An object of the service for its publisher: at most `room` bytes. */
size_t sim_crypto_object(const struct sim_model *model, uint32_t message, char *out, size_t room);
/* Which service the publisher of that number may publish to; each has one publisher, so that the newest is known. */
uint32_t sim_crypto_choose(struct sim_world *world, uint32_t publisher);

void sim_crypto_make(struct sim_world *world, struct sim_client *client);
void sim_crypto_path(const struct sim_client *client, char *out, size_t room);
/* The upgrade has been asked for, and has succeeded. */
void sim_crypto_on_asked(struct sim_world *world, struct sim_client *client);
void sim_crypto_on_open(struct sim_world *world, struct sim_client *client);
void sim_crypto_say(struct sim_world *world, struct sim_client *client);
void sim_crypto_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame);
/* NULL, or what is missing at rest. */
const char *sim_crypto_complete(struct sim_world *world, const struct sim_client *client);

#endif
