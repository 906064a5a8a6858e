/* SPDX-License-Identifier: MIT */
/* The lives of a service that keeps records. All effects that one of its calls yields are one *unit*: what is to be
 * kept goes to storage as one transaction, what is to be said waits here, and leaves in order when the unit and all
 * units before it are kept.
 *
 *                begin                       all records loaded
 *     (DOWN) ------------> LOADING ------------------------------> UP ----+
 *       ^                     |  a record cannot be read                  |  a transaction failed
 *       +---------------------+-------------------------------------------+
 *
 *   LOADING  storage hands over the records, piece by piece. Requests are answered 503.
 *   UP       requests go to the service.
 *   DOWN     nothing of the life that ended is said any more: what waited is dropped, who asked is answered 503,
 *            sessions of the dialect are closed with 1012 on all shards, so that nobody believes what is not kept.
 *            The next life begins from what storage has, as soon as that works; never when a sync has failed or a
 *            record cannot be read: then the process has to be started anew, or the store mended.
 *
 * So: an acknowledgement that leaves stands for records that are on the disk, and whatever anybody was told follows
 * from such. */
#ifndef RINGCAST_SHARDS_SERVICE_LIFE_H
#define RINGCAST_SHARDS_SERVICE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

struct errand;
struct service_life;
struct shard;

/* Makes the lives of each service with tables that has its home here and is reached by a listener; the first begins
 * with the first turn. False: memory is out. */
bool service_lives_begin(struct shard *shard);
void service_lives_destroy(struct shard *shard);

/* Asks the service; the answer leaves by service_answer, now or later. */
void service_life_request(struct shard *shard, struct service_life *life, struct errand *errand);
/* Its time has come (service.due). */
void service_life_timer(struct shard *shard, struct service_life *life);
/* Whether it takes requests; anybody may read it. */
bool service_life_is_up(const struct service_life *life);

#endif
