/* SPDX-License-Identifier: MIT */
/* The addresses that the configuration asks for, each with who is served there, and their listening sockets. */
#ifndef RINGCAST_SHARDS_PORTS_H
#define RINGCAST_SHARDS_PORTS_H

#include "shards/config/config.h"
#include "shards/conn/listener.h"

struct ports {
    const struct config *config;
    struct listener items[LISTENERS_MAX]; /* templates: sockets are RING_SOCKET_NONE */
    uint32_t count;
    uint32_t by_name; /* bit i: items[i] is one of the two of a name (localhost), the other will do */
};

/* Collects them. False, after a log line: nothing to serve, too many, or two owners of one address or path (G-2). */
bool ports_collect(struct ports *ports, const struct config *config);
/* Takes out what this machine does not have: without IPv6 (no ::1, switched off, no such family) `localhost` is
 * 127.0.0.1 alone and `*` is 0.0.0.0; what was asked for by its number stays, and is an error when listening. Says so,
 * and when the kernel cuts the queue of new connections short. False, after a log line: nothing is left. */
bool ports_settle(struct ports *ports);
/* Listens on all of them with one shard's ring (SO_REUSEPORT); of_shard[ports->count] gets the listeners with their
 * sockets. `first`: the first ring of the process, which also finds out whether somebody else has a port. False after a
 * log line. */
bool ports_listen(const struct ports *ports, struct ring *ring, bool first, struct listener *of_shard);

#endif
