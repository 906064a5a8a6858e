/* SPDX-License-Identifier: MIT */
/* Where connections come from: one listening socket per address and shard (SO_REUSEPORT), accepted by a multishot
 * accept.
 *
 * Out of descriptors or slots, accepting stops and begins again when a connection has closed, or after 100 ms: never at
 * once, because a multishot accept that fails spins. */
#ifndef RINGCAST_SHARDS_LISTENER_H
#define RINGCAST_SHARDS_LISTENER_H

#include "core/limits.h"
#include "core/ring.h"
#include "core/wheel.h"
#include "shards/conn/role.h"

struct shard;

struct listener {
    enum role role;                /* of its connections to begin with */
    uint32_t dialects;             /* of role SESSION: bit i: dialects[i] is mounted here */
    uint32_t mounts[DIALECTS_MAX]; /* and which parts of it (dialect_call.mounts) */
    struct ring_address address;
    bool tls;       /* the others speak in plain text */
    uint8_t client; /* enum tls_client_certificate: asked of peers, with tls */
    uint32_t socket;
    bool armed;
    bool paused;              /* waits for descriptors */
    bool shut;                /* a stop: its shutdown has been begun */
    bool ended;               /* and has completed */
    struct wheel_timer retry; /* while paused */
    uint64_t logged_ms;       /* last line about a pause */
};

#define REFUSED_MAX 2048 /* accepted sockets that wait for their close to be submitted */

/* A shard's. */
struct listeners {
    struct listener *items;
    uint32_t count;
    uint32_t refused_count;
    uint32_t refused[REFUSED_MAX]; /* sockets (listener_refuse) */
};

void listener_arm(struct shard *shard, struct listener *listener);
/* RING_ACCEPT completed. */
void listener_on_accept(struct shard *shard, const struct ring_completion *completion);
/* Closes a socket that no connection takes. What the ring cannot take now is tried again by listener_retry_refused. */
void listener_refuse(struct shard *shard, uint32_t socket);
void listener_retry_refused(struct shard *shard);
/* A connection has closed, or the retry timer expired: paused listeners try again. */
void listener_resume(struct shard *shard);
/* Stops accepting for good as far as the stage of the stop asks for it: at the operators' listeners last. Called again
 * until the ring has taken it. */
void listener_stop(struct shard *shard);

/* RING_SHUTDOWN of a listener completed. */
void listener_on_shut(struct shard *shard, uint32_t index, int32_t result);
/* Whether only this machine reaches it: 127.0.0.0/8 or ::1. */
bool listener_is_loopback(const struct listener *listener);
/* Whether requests for this host may come to the listener: any, unless it is a loopback one (setting `hosts`). A request of HTTP/1.0
 * without a host is no browser's. */
bool listener_serves_host(const struct shard *shard, uint32_t index, struct slice host);

/* Whether all have let go of their ports: only then may the ring end, which keeps sockets a while longer than the process. */
bool listener_all_ended(const struct shard *shard);

#endif
