/* SPDX-License-Identifier: MIT */
/* How threads beside the shards wake one of them. */
#ifndef RINGCAST_SHARDS_BELL_H
#define RINGCAST_SHARDS_BELL_H

#include <stdint.h>

/* There is an answer for shard `origin` of the array of shards `user`. On the thread that has answered, behind a sequentially
 * consistent fence, which pairs with the one of mail_try_sleep. */
void bell_ring(void *user, uint16_t origin);

#endif
