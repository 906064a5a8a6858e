/* SPDX-License-Identifier: MIT */
/* Runs the services that have their home at this shard: makes them on first use, calls them, publishes what they yield. */
#ifndef RINGCAST_SHARDS_SERVICE_HOST_H
#define RINGCAST_SHARDS_SERVICE_HOST_H

#include "core/limits.h"
#include "core/wheel.h"
#include "shards/channel/channel.h"

struct shard;

struct service_host {
    void *states[DIALECTS_MAX];              /* of dialects[i]->service, NULL until used */
    struct wheel_timer timers[DIALECTS_MAX]; /* when they want to be called */
    uint8_t *scratch;                        /* for one reply or event at a time; NULL until a service is used */
};

/* ERRAND_REQUEST: status and reply; the events that follow have been published. */
void service_host_request(struct shard *shard, struct errand *errand);
/* A class of a dialect with a service got its first listener or lost its last. False: the service could not be made. */
bool service_host_interest(struct shard *shard, uint8_t dialect, struct slice channel, struct slice variant,
                           bool added);
/* Whether the timer is one of a service; then it is served. */
bool service_host_on_timer(struct shard *shard, struct wheel_timer *timer);
/* After a reload. */
void service_host_settings(struct shard *shard);
void service_host_destroy(struct shard *shard);

#endif
