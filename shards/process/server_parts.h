/* SPDX-License-Identifier: MIT */
/* What the files of the process share and nobody else includes. */
#ifndef RINGCAST_SHARDS_SERVER_PARTS_H
#define RINGCAST_SHARDS_SERVER_PARTS_H

#include "core/ring.h"
#include "core/thread.h"
#include "shards/operate/admin.h"
#include "shards/process/depots.h"
#include "shards/process/ports.h"
#include "shards/process/server.h"

#include <signal.h>

struct offload;
struct storage;

#define SERVER_POLL_MS 10 /* while stopping or reloading */
#define WHY_BYTES 8192

/* One reading of the settings, by a thread of its own: files may stand on what does not answer. */
struct reload {
    struct thread thread;
    const struct config_source *source;
    const struct config *now;
    struct config *next; /* NULL: refused, and `why` says why */
    struct buf why;
    uint8_t memory[WHY_BYTES];
};

struct server {
    const struct config *config;
    const struct config_source *source;
    struct process_state process;
    struct storage *storage; /* NULL: nothing is kept */
    bool keeping;            /* its thread runs */
    struct offload *offload; /* NULL: no dialect that is served has long work */
    bool offloading;         /* its thread runs */
    struct depots depots;
    struct config *owned;  /* config, as its owner sees it */
    struct config *former; /* the one before, while shards may read it */
    struct reload reload;
    bool reloading;  /* its thread has not been joined */
    bool stop_asked; /* while something else was waited for */
    struct shard *shards[SHARDS_MAX];
    struct ring *rings[SHARDS_MAX];
    struct thread threads[SHARDS_MAX];
    uint16_t count;
    struct ports ports;
    struct siphash_key key;
    uint8_t ticket_secret[32];
    struct ring_features features;
};

void server_sleep_ms(uint64_t ms);

/* --- server_stop.c ------------------------------------------------------------------------------------------------ */

/* Lets everybody go, paced, within drain_timeout; a further signal hurries. */
void server_drain(struct server *server, const sigset_t *signals);
/* Whether all shards have ended what was open, within the grace. */
bool server_wait_for_end(const struct server *server);
/* Whether the threads of all shards have ended, within the grace. */
bool server_join_shards(struct server *server);

#endif
