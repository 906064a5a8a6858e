/* SPDX-License-Identifier: MIT */
/* Clients as state machines: each is one connection, from connect to its end, and a judge of what it is told.
 *
 *   WAITING -> OPENING -> OPEN -> LEAVING -> ENDED
 *
 * An honest client that keeps reading must stay connected as long as nothing in the plan takes it away; every end has
 * to be one that the client's ways and the plan allow. */
#ifndef RINGCAST_TESTS_SIM_SIM_CLIENT_H
#define RINGCAST_TESTS_SIM_SIM_CLIENT_H

#include "tests/sim/sim_wire.h"
#include "tests/sim/sim_world.h"

#define SIM_READERS_MAX 3 /* channels of one client of plain */
#define SIM_SUBSCRIPTIONS_MAX 24
#define SIM_EXPECTED_MAX 32

enum sim_kind { SIM_PLAIN, SIM_ECHO, SIM_RUSTORIUM, SIM_HOSTILE, SIM_JOBS, SIM_EVENTS, SIM_CRYPTO };

enum sim_phase { SIM_WAITING, SIM_OPENING, SIM_OPEN, SIM_LEAVING, SIM_ENDED };

enum sim_leaving { SIM_STAYS, SIM_CLOSES, SIM_HALF_CLOSES, SIM_RESETS, SIM_VANISHES };

/* What a hostile client does. */
enum sim_malice {
    SIM_GARBAGE,      /* no HTTP at all */
    SIM_ENDLESS_HEAD, /* a head beyond every limit */
    SIM_TRICKLE,      /* a head that never ends, a byte at a time */
    SIM_SILENT,       /* nothing */
    SIM_UNMASKED,     /* these come behind a good upgrade */
    SIM_OVERSIZE,
    SIM_RESERVED,
    SIM_BAD_TEXT,
    SIM_HALF_FRAME, /* and then a reset */
    SIM_PING_FLOOD,
    SIM_BAD_DEFLATE, /* with permessage-deflate */
    SIM_BOMB,
    SIM_FLOOD,    /* of messages, at plain */
    SIM_INVALID,  /* requests, at rustorium */
    SIM_BINARY,   /* at aitbc */
    SIM_LARGE,    /* at crypto */
    SIM_PIPELINE, /* these publish, more at once than is taken in, and end with garbage: by requests */
    SIM_PUSH,     /* and by a socket */
    SIM_MALICES,
};

/* An answer that has to come next. */
struct sim_expected {
    uint32_t number;                 /* of the request; echo: of the message */
    uint32_t bytes;                  /* echo; crypto: the command */
    bool good;                       /* rustorium: success, else error */
    struct sim_chain_channel *chain; /* rustorium: to be confirmed; NULL: none */
    uint32_t subscription;           /* rustorium: to be confirmed or ended; SIM_NONE; crypto: bits of services */
};

struct sim_client {
    uint32_t number;
    enum sim_kind kind;
    enum sim_phase phase;
    enum sim_leaving leaving;
    enum sim_malice malice;
    uint64_t start_ms, leave_ms, wake_ms;
    uint64_t pause_ms, resume_ms; /* reads nothing in between */
    bool pauses;
    bool upgraded;
    bool harmed;         /* by a fault, before it ended */
    bool refused;        /* rustorium: 4001 has been announced */
    int status;          /* of a response that was no upgrade */
    uint16_t close_code; /* of the server's close frame, 0: none */
    uint32_t speed;      /* bytes read at a time */
    struct sim_wire wire;

    struct sim_reader readers[SIM_READERS_MAX];
    uint32_t reader_count;

    uint32_t key; /* rustorium */
    struct sim_state_view view;
    struct sim_subscription subscriptions[SIM_SUBSCRIPTIONS_MAX];
    char subscription_ids[SIM_SUBSCRIPTIONS_MAX][40];
    uint32_t subscription_count;
    uint64_t requested; /* requests so far */
    struct sim_chain_view chain;

    struct sim_crypto_view crypto;
    struct sim_job_view job;
    struct sim_event_view events;

    struct sim_expected expected[SIM_EXPECTED_MAX]; /* a ring */
    uint32_t expected_head, expected_count;
    uint32_t stream; /* of what a client of plain publishes */
};

/* A client of that kind as the seed wants it, who comes at `start_ms`. */
void sim_client_make(struct sim_world *world, struct sim_client *client, uint32_t number, enum sim_kind kind,
                     uint64_t start_ms);
/* One step: connects, reads, judges, writes. Whether anything happened. */
bool sim_client_step(struct sim_world *world, struct sim_client *client);
/* Answers have to come in the order of the requests. */
void sim_client_expect(struct sim_client *client, struct sim_expected expected);
struct sim_expected sim_client_next_expected(struct sim_world *world, struct sim_client *client);
/* When it wants to act again by itself. */
uint64_t sim_client_due(const struct sim_client *client);
/* The run is over: takes part no more, reads on if it reads. */
void sim_client_leave(struct sim_world *world, struct sim_client *client);
/* Everything has come to rest. */
void sim_client_check_rest(struct sim_world *world, struct sim_client *client);
/* All shards have stopped behind a drain. */
void sim_client_check_drained(struct sim_world *world, struct sim_client *client);
void sim_client_free(struct sim_client *client);

#endif
