/* SPDX-License-Identifier: MIT */
/* Runs the services that have their home at this shard: makes them, calls them, and lets what they say happen. A
 * service without tables is made on first use, answers at once, and its events are published when they are yielded.
 * One that keeps records lives as service_life.h says: what it says waits until what it wants kept is on the disk. */
#ifndef RINGCAST_SHARDS_SERVICE_HOST_H
#define RINGCAST_SHARDS_SERVICE_HOST_H

#include "core/buf.h"
#include "core/limits.h"
#include "core/wheel.h"

struct errand;
struct event;
struct service_life;
struct shard;
struct storage;

/* A reply or effect holds at most one ingested object and its wrapping. Untouched pages of it cost nothing. */
#define SERVICE_SCRATCH_BYTES (INGEST_BODY_BYTES_MAX + (64U << 10))

struct service_host {
    void *states[DIALECTS_MAX];               /* of dialects[i]->service; NULL: none now */
    struct wheel_timer timers[DIALECTS_MAX];  /* when they want to be called */
    struct service_life *lives[DIALECTS_MAX]; /* of those that keep records and have their home here; else NULL */
    struct storage *storage;                  /* NULL: nobody keeps anything */
    uint32_t outstanding;                     /* requests of this shard that storage has */
    uint8_t storage_seen;                     /* enum storage_state, as it was logged last */
    uint8_t *scratch, *reply;                 /* for one effect and one reply at a time; NULL until they are used */
};

/* Begins the services that keep records and have their home here. Before the first turn; false: memory is out. */
bool service_host_begin(struct shard *shard, struct storage *storage);
void service_host_destroy(struct shard *shard);

/* ERRAND_REQUEST, ERRAND_SUBMIT: asks the service. The answer leaves when it is due: at once, or when what it stands
 * for is kept. */
void service_host_request(struct shard *shard, struct errand *errand);
/* A class of a dialect with a service got its first listener or lost its last. False: the service could not be made. */
bool service_host_interest(struct shard *shard, uint8_t dialect, struct slice channel, struct slice variant,
                           bool added);
/* Whether the timer is one of a service; then it is served. */
bool service_host_on_timer(struct shard *shard, struct wheel_timer *timer);
/* After a reload. */
void service_host_settings(struct shard *shard);
/* Once a turn: takes what storage has answered, and wakes it for what has been posted. Whether there was anything. */
bool service_host_take_answers(struct shard *shard);
/* Before the shard sleeps: whether answers have come meanwhile. */
bool service_host_has_answers(const struct shard *shard);
/* Once a second: services whose storage had failed are begun again. */
void service_host_retry(struct shard *shard);
/* Whether every service that keeps records takes requests, on whichever shard it lives. Any shard. */
bool service_host_all_up(const struct shard *shard);
/* Whether nothing waits here to be kept, said or answered. */
bool service_host_is_quiet(const struct shard *shard);

/* --- for service_life.c ------------------------------------------------------------------------------------------- */

/* Lets one event of a service happen. False: frame memory was exhausted, and those who miss it have been told by a
 * close. */
bool service_publish(struct shard *shard, uint8_t dialect, const struct event *event);
/* Sends the errand's answer, which has been filled in, to where it belongs among the deliveries. */
void service_answer(struct shard *shard, struct errand *errand);
/* After each call of a service: when it wants to be called next. */
void service_set_timer(struct shard *shard, uint8_t dialect);
/* Copies a reply into the errand; one that finds no memory is answered 503. */
void service_fill(struct errand *errand, int status, struct slice reply);

#endif
