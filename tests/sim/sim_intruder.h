/* SPDX-License-Identifier: MIT */
/* Peers that attack TLS itself, below HTTP and WebSocket: one connection each. */
#ifndef RINGCAST_TESTS_SIM_SIM_INTRUDER_H
#define RINGCAST_TESTS_SIM_SIM_INTRUDER_H

#include "tests/sim/sim_wire.h"
#include "tests/sim/sim_world.h"

enum sim_intrusion {
    SIM_NOISE,         /* no TLS at all */
    SIM_WRONG_HELLO,   /* a record of the handshake with noise in it */
    SIM_HALF_HELLO,    /* and then nothing */
    SIM_SMALL_RECORDS, /* a hello of endless length, in records of a byte */
    SIM_HTTP,          /* where TLS is spoken: has to be told so, in plain text */
    SIM_HASTY_RESET,   /* somewhere in the handshake */
    SIM_MUTE,          /* a good handshake, and then nothing */
    SIM_CUT_RECORD,    /* these come in a good session: half a record, and the end */
    SIM_TAG_ONLY,
    SIM_OVERSIZE_RECORD,
    SIM_FLIPPED, /* a bit of a record */
    SIM_PLAIN_RECORD,
    SIM_GOODBYE, /* close_notify without a close frame: has to be answered by the same */
    SIM_NEW_KEYS,
    SIM_NEW_KEYS_UNREAD, /* without reading what the server says to it */
    SIM_INTRUSIONS,
};

struct sim_intruder {
    enum sim_intrusion way;
    uint32_t number;
    struct sim_wire wire;
    uint64_t start_ms, leave_ms;
    bool connected, upgrades, acted, harmed, ended;
};

/* One that comes at `start_ms`, to a listener that speaks TLS. */
void sim_intruder_make(struct sim_world *world, struct sim_intruder *intruder, uint32_t number, uint64_t start_ms);
/* Whether anything happened. */
bool sim_intruder_step(struct sim_world *world, struct sim_intruder *intruder);
/* Everything has come to rest: the server has ended each of them, in the way that its attack deserves. */
void sim_intruder_check_rest(struct sim_world *world, const struct sim_intruder *intruder);
void sim_intruder_leave(struct sim_world *world, struct sim_intruder *intruder);
void sim_intruder_free(struct sim_intruder *intruder);

#endif
