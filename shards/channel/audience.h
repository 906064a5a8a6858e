/* SPDX-License-Identifier: MIT */
/* The local half of a channel: the sessions of this shard that listen to one class (channel and variant) of a home.
 * Delivery is a walk over a dense array of members: no dialect code, no allocation, no atomic, no system call. */
#ifndef RINGCAST_SHARDS_AUDIENCE_H
#define RINGCAST_SHARDS_AUDIENCE_H

#include "core/siphash.h"
#include "core/slab.h"
#include "protocol/event.h"

struct shard;
struct conn;
struct mail;
struct errand;

struct member {
    struct conn *conn;   /* of this shard; leaves before its slot is freed */
    uint32_t membership; /* which of its memberships: 0 is session.first */
};

struct audience {
    struct member *members;
    uint32_t count, capacity;
    uint32_t index;       /* slab index of this audience */
    uint32_t class_index; /* at the home */
    uint16_t home;
    uint8_t dialect;
    enum channel_policy policy;
    uint64_t outbox_bytes_max;
    struct hash128 channel; /* its identity */
};

struct audiences {
    struct slab slab;
    uint32_t **by_class;      /* [home][class_index]: slab index + 1; 0: none */
    uint32_t *by_class_count; /* [home] */
};

int audiences_init(struct audiences *audiences, uint16_t shards);
void audiences_destroy(struct audiences *audiences, uint16_t shards);

/* A subscription has been confirmed by the home (an answered ERRAND_SUBSCRIBE): makes the connection a member, in place
 * of an earlier membership in the same channel, and pushes the retained frames that came along. False: memory is
 * out. */
bool audience_join(struct shard *shard, struct conn *conn, struct errand *errand);
/* Ends the membership in that channel; false when there is none. */
bool audience_leave(struct shard *shard, struct conn *conn, struct hash128 channel);
/* Ends all memberships of a connection. */
void audience_leave_all(struct shard *shard, struct conn *conn);
/* Asserts what holds for all audiences (audience.c says what). */
void audiences_check(const struct shard *shard);
/* The connection's membership number i. */
struct membership *audience_membership(struct conn *conn, uint32_t i);

#endif
