/* SPDX-License-Identifier: MIT */
/* Filters of job notifications as variants, and the events that they look at (E-52). A variant:
 *
 *   byte 0        1: customer is there   2: kinds are   4: status is
 *   byte 1        priority_min (0: all)
 *   byte 2        bits of the states, in the order of names below
 *   customer      length and text
 *   kinds         count, then each behind its length, sorted
 *   last byte     0: a class that all such filters share; 8: behind eight bytes that are one connection's number
 *
 * An event's key: level as the state's bit and priority (level = bit << 8 | priority), key = length and text of the
 * kind, length and text of the customer (255: none), then the variants' that are to be passed over: nothing, or one
 * whole. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_FILTER_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_FILTER_H

#include "core/buf.h"
#include "protocol/dialects/emprops/transitions.h"
#include "protocol/event.h"

#define FILTER_BYTES_MAX 24576

struct filter {
    struct slice customer; /* data NULL: any */
    struct slice kinds;    /* as requirements_put_list wrote them; data NULL: any */
    uint8_t priority_min;
    uint8_t states; /* bits; 0: any */
};

void filter_put(struct buf *out, const struct filter *filter);
/* The variant for one session alone: so the hub learns when it listens. */
void filter_put_own(struct buf *out, struct slice variant, uint64_t connection);
/* Whose it is; 0: a shared one. */
uint64_t filter_owner(struct slice variant);
/* The bit of the state that clients see. */
uint8_t filter_state(enum job_status status);
void filter_put_key(struct buf *out, struct slice kind, struct slice customer, struct slice except);
/* dialect.matches: a variant of another channel is empty and lets everything through. */
bool filter_matches(struct slice variant, const struct event *event);

#endif
