/* SPDX-License-Identifier: MIT */
/* One connection of the bench.
 *
 *   NEW --begin--> CONNECTING --connected--> OPENING --101--> OPEN --end of stream or error--> CLOSED
 *                                 (HTTP publishers go straight to OPEN)
 *   over TLS:              CONNECTING --connected--> SECURING --handshake--> OPENING or OPEN
 *   roamers:  OPEN --goodbye--> LEAVING --end of stream--> LEFT --nothing in flight--> CONNECTING */
#ifndef RINGCAST_BENCH_CONNECTION_H
#define RINGCAST_BENCH_CONNECTION_H

#include "bench/bench_frames.h"
#include "bench/bench_nats.h"
#include "bench/bench_outgoing.h"
#include "bench/bench_ring.h"
#include "bench/bench_secure.h"
#include "bench/bench_track.h"

struct worker;
struct opening;

enum connection_role {
    ROLE_SUBSCRIBER,
    ROLE_ECHO, /* publishes to itself */
    ROLE_IDLE,
    ROLE_SLOW,   /* a subscriber that reads little or nothing */
    ROLE_ROAMER, /* a subscriber that leaves and comes back */
    ROLE_PUBLISHER_WS,
    ROLE_PUBLISHER_INGEST,
    ROLE_PUBLISHER_HTTP,
};

enum connection_state {
    CONNECTION_NEW,
    CONNECTION_CONNECTING,
    CONNECTION_SECURING,
    CONNECTION_OPENING,
    CONNECTION_OPEN,
    CONNECTION_LEAVING,
    CONNECTION_LEFT,
    CONNECTION_CLOSED,
};

struct connection {
    enum connection_state state;
    enum connection_role role;
    uint32_t slot;
    uint32_t channel;
    struct track *tracks; /* of receivers: one per publisher of the channel */
    struct frames frames;
    struct outgoing out;     /* over TLS: plaintext, which `secure` seals */
    struct secure *secure;   /* NULL: no TLS */
    uint64_t published;      /* messages on a publisher WebSocket: its `seq` */
    struct opening *opening; /* until OPEN; of HTTP publishers for good */
    struct nats *nats;       /* --speak nats */
    uint64_t begun_ns;       /* when it was to be opened */
    bool reading;            /* of slow ones: a read is in flight */
    bool returning;          /* of roamers: not the first visit */
};

static inline bool connection_publishes(const struct connection *connection)
{
    return connection->role >= ROLE_PUBLISHER_WS;
}

/* Whether a send is in flight. */
static inline bool connection_sends(const struct connection *connection)
{
    const struct outgoing *wire = connection->secure ? &connection->secure->wire : &connection->out;
    return wire->flight.bytes > 0;
}

/* Bytes that the kernel has not taken. */
static inline size_t connection_waiting(const struct connection *connection)
{
    return outgoing_waiting(&connection->out) + (connection->secure ? outgoing_waiting(&connection->secure->wire) : 0);
}

/* Starts to connect; a failure ends the bench. */
void connection_begin(struct worker *worker, struct connection *connection, uint64_t due_ns);
/* A completion of its slot. */
void connection_on_event(struct worker *worker, struct connection *connection, const struct bench_ring_event *event);
/* Sends what waits in `out`, unless a send is in flight: its completion then does. */
void connection_flush(struct worker *worker, struct connection *connection);
/* Queues a masked frame. */
void connection_put_frame(struct worker *worker, struct connection *connection, enum ws_opcode opcode,
                          struct slice payload);
void connection_free(struct connection *connection);

#endif
